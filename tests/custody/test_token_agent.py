"""The same roots in a key store and in SoftHSM, each behind an agent: the cards are the same."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError, KeysUnavailable
from cardlib.issuance.making import make_card
from cardlib.keys.roots import Roots, new_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_making import import_roots
from cardlib.keys.token.token_session import TokenSession
from cardlib.layout import KEYS
from personalize.cli.exits import Exit
from personalize.custody.roles import Role
from personalize.custody.token_source import TokenSource
from personalize.custody.vault import Vault
from tests.cards.cards import CHIP, REGION
from tests.custody.desks import Bench, bench, check_value_told
from tests.custody.hosts import Host, host
from tests.custody.people import Person, person
from tests.custody.station import CARDHOLDER, CHIP_SERIAL, JOB, activate, blank, records
from tests.custody.token_hosts import running, signers
from tests.programs.other_user import STATION, as_user
from tests.programs.rhcard import Ran, rhcard
from tests.programs.softhsm import PIN, SoftHsm

ANN, BOB, CAI = (person(name) for name in ("ann", "bob", "cai"))
EVE = person("eve", Role.AUDITOR)


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
        [check_value_told(agent.issuer().terminal_keys.for_card(CHIP, REGION), key.name)
         for key in KEYS]
        for agent in agents
    ]  # fmt: skip
    assert values[0] == values[1]
    assert agents[0].issuer().identity == agents[1].issuer().identity


def test_lock_logs_out(agents: tuple[Bench, Bench]) -> None:
    _, agent = agents
    issuer = agent.issuer()
    agent.connection(Role.CUSTODIAN).call("lock")
    with pytest.raises(KeysUnavailable, match="is locked"):
        issuer.holder_hash("1")
    agent.service.vault.unlock(PIN)
    assert issuer.holder_hash("1")


# --- unlocking production keys in a token takes two people --------------------------------


class CountedSource(TokenSource):
    """The token, and how often a PIN was tried at it."""

    __slots__ = ()
    tried: ClassVar[list[str]] = []

    def open(self, passphrase: str) -> TokenHolder:
        self.tried.append(passphrase)
        return TokenSource.open(self, passphrase)


@pytest.fixture
def token(sides: tuple[Roots, TokenSource], tmp_path: Path) -> Iterator[Host]:
    with host(tmp_path, [ANN, BOB, CAI, EVE]) as made:
        source, policy = sides[1], made.service.policy
        counted = CountedSource(source.module, source.label, source.store)
        counted.tried.clear()
        made.service.vault = Vault(counted, policy, test_keys=False)
        yield made
        made.service.lock()


def test_two_custodians_unlock_a_token_with_its_pin(token: Host) -> None:
    opened = token.call("unlock-token", **token.signed("unlock", {}, ANN, CAI), pin=PIN)
    assert opened["identity"] == token.call("status")["identity"]
    log = token.service.log.path.read_text()
    assert PIN not in log and '"unlock-token"' in log
    assert "ann" in log and "cai" in log


def test_one_person_with_the_pin_alone_unlocks_nothing(token: Host) -> None:
    with pytest.raises(CardKeyError, match="two custodians unlock them together"):
        token.call("unlock", passphrase=PIN)
    assert token.call("status")["locked"]
    assert CountedSource.tried == []


@pytest.mark.parametrize(
    ("people", "why"),
    [((ANN,), "needs 2 different operators"), ((ANN, ANN), "is named twice|signed twice"),
     ((ANN, EVE), "eve may not unlock"), ((ANN, person("dan")), "dan")],
    ids=["one alone", "one person twice", "no custodian", "a stranger"],
)  # fmt: skip
def test_no_try_of_the_pin_is_spent_before_the_statement_is_right(
    token: Host, people: tuple[Person, ...], why: str
) -> None:
    with pytest.raises(CardKeyError, match=why):
        token.call("unlock-token", **token.signed("unlock", {}, *people), pin=PIN)
    assert token.call("status")["locked"]
    assert CountedSource.tried == []


def test_a_statement_opens_a_token_once_and_only_this_one_and_for_this(token: Host) -> None:
    for wrong in (token.signed("rotate", {}, ANN, BOB), token.signed("unlock", {"x": 1}, ANN, BOB)):
        with pytest.raises(CardKeyError, match=r"the statement (is for|says something else)"):
            token.call("unlock-token", **wrong, pin=PIN)
    forged = token.signed("unlock", {}, ANN, BOB)
    forged["signatures"][1]["signature"] = bytes(64)
    with pytest.raises(CardKeyError, match="signature of bob"):
        token.call("unlock-token", **forged, pin=PIN)
    assert CountedSource.tried == []
    signed = token.signed("unlock", {}, ANN, BOB)
    token.call("unlock-token", **signed, pin=PIN)
    token.call("lock")
    with pytest.raises(CardKeyError, match="was used before"):
        token.call("unlock-token", **signed, pin=PIN)
    assert CountedSource.tried == [PIN]


def test_a_wrong_pin_opens_nothing_and_needs_a_new_statement(token: Host) -> None:
    signed = token.signed("unlock", {}, ANN, BOB)
    with pytest.raises(CardKeyError, match="PIN"):
        token.call("unlock-token", **signed, pin="00000000")
    with pytest.raises(CardKeyError, match="was used before"):
        token.call("unlock-token", **signed, pin=PIN)
    assert token.call("status")["locked"]
    assert CountedSource.tried == ["00000000"]
    token.call("unlock-token", **token.signed("unlock", {}, ANN, BOB), pin=PIN)


def test_a_pin_is_nothing_for_a_key_store(tmp_path: Path) -> None:
    with host(tmp_path, [ANN, BOB]) as store, pytest.raises(CardKeyError, match="in a key store"):
        store.call("unlock-token", **store.signed("unlock", {}, ANN, BOB), pin=PIN)


# --- the same at the command line, with an agent that runs --------------------------------


@pytest.fixture(scope="module")
def station(sides: tuple[Roots, TokenSource]) -> Iterator[Path]:
    """A folder with an agent of production keys in a token, and what its operators have."""
    with running(sides[1], '"station"') as folder:
        yield folder


def unlocked(folder: Path, *words: object, env: Mapping[str, str] | None = None) -> Ran:
    def work() -> Ran:
        os.environ.update(env or {})
        return rhcard("agent", "unlock", "--socket", folder / "run" / "agent.sock", *words)

    return as_user(STATION, work)


@pytest.mark.parametrize("names", [(), ("ann",), ("ann", "ann")], ids=["nobody", "one", "twice"])
def test_one_person_alone_is_refused_with_one_line(station: Path, names: tuple[str, ...]) -> None:
    done = unlocked(station, *signers(station, *names), env={"RHCARD_TOKEN_PIN": PIN})
    assert (done.code, done.out) == (Exit.KEY_PROBLEM, "")
    assert len(done.err.splitlines()) == 1
    assert "unlock needs" in done.err
    assert PIN not in done.err


@pytest.mark.parametrize("how", ["environment", "file"])
def test_two_people_and_the_pin_unlock_it(station: Path, how: str) -> None:
    env = {"RHCARD_TOKEN_PIN": PIN if how == "environment" else ""}
    more = ["--pin-file", station / "pin.txt"] if how == "file" else []
    done = unlocked(station, *signers(station, "ann", "bob"), *more, env=env)
    assert done.code == 0, done.err
    assert "Unlocked: " in done.err
    assert PIN not in done.err + done.out


def test_a_passphrase_file_has_no_effect_for_a_token_so_it_is_an_error(station: Path) -> None:
    done = unlocked(station, "--passphrase-file", station / "pin.txt")
    assert done.code == Exit.USAGE
    assert "give its PIN with --pin-file FILE" in done.err
