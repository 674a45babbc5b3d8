"""The same roots in a key store and in SoftHSM, each behind an agent: the cards are the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError, KeysUnavailable
from cardlib.issuance.making import make_card
from cardlib.keys.roots import Roots, new_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.token_making import import_roots
from cardlib.keys.token_session import TokenSession
from cardlib.layout import KEYS
from personalize.custody.roles import Role
from personalize.custody.token_source import TokenSource
from personalize.custody.vault import Vault
from tests.cards.cards import CHIP, REGION
from tests.custody.desks import Bench, bench
from tests.custody.station import CARDHOLDER, CHIP_SERIAL, JOB, activate, blank, records
from tests.programs.softhsm import PIN, SoftHsm


@pytest.fixture(scope="module", params=[1, 2], ids=["protocol 1", "protocol 2"])
def sides(request: pytest.FixtureRequest, softhsm: SoftHsm) -> tuple[Roots, TokenSource]:
    roots, label = new_roots(request.param, Cipher.AES), softhsm.new_token()
    session = TokenSession(softhsm.module, label, PIN)
    import_roots(session, "main", roots)
    session.lock()
    return roots, TokenSource(softhsm.module, label, "main")


@pytest.fixture
def agents(sides: tuple[Roots, TokenSource], tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    roots, source = sides
    with bench(tmp_path / "file", KeyStore(roots)) as one, bench(tmp_path / "token") as other:
        other.service.vault = Vault(source, other.service.policy, test_keys=False)
        other.service.vault.unlock(PIN)
        yield one, other
        other.service.lock()


def test_both_make_the_same_card_and_each_reads_the_others(
    sides: tuple[Roots, TokenSource], agents: tuple[Bench, Bench]
) -> None:
    protocol = sides[0].protocol
    read = []
    for maker, reader in (agents, agents[::-1]):
        issuer, card = maker.issuer(), blank(keys=KeyStore(sides[0]))
        make_card(card, issuer, JOB, records(protocol, Cipher.AES), *CARDHOLDER)
        card.reset()
        activate(card, issuer, CHIP_SERIAL)
        card.reset()
        terminal = ResidentHealthCard(
            card, reader.issuer(Role.TERMINAL).terminal_keys, min_protocol=1
        )
        terminal.internal_authenticate()
        terminal.authenticate("RK1_DDF1")
        read.append([repr(value) for value in terminal.read("DDF1/EF05")])
    assert read[0] == read[1]
    values = [
        [agent.issuer().terminal_keys.for_card(CHIP, REGION).key_check_value(key.name)
         for key in KEYS]
        for agent in agents
    ]  # fmt: skip
    assert values[0] == values[1]
    assert agents[0].issuer().identity == agents[1].issuer().identity


def test_a_wrong_pin_opens_nothing_and_lock_logs_out(agents: tuple[Bench, Bench]) -> None:
    _, agent = agents
    issuer = agent.issuer()
    agent.connection(Role.CUSTODIAN).call("lock")
    with pytest.raises(KeysUnavailable, match="is locked"):
        issuer.holder_hash("1")
    custodian = agent.connection(Role.CUSTODIAN)
    with pytest.raises(CardKeyError, match="PIN"):
        custodian.call("unlock", passphrase="00000000")
    assert custodian.call("status")["locked"]
    custodian.call("unlock", passphrase=PIN)
    assert issuer.holder_hash("1")
