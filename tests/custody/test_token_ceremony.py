"""Ceremonies with keys in a token: import, rotation and retirement as with a key store."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from pkcs11 import Attribute

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.issuance.making import make_card
from cardlib.keys import KeyHolder, Purpose, RootKeys
from cardlib.keys.agent.agent_keys import versions
from cardlib.keys.issuer import CardJob
from cardlib.keys.roots import TEST_TRANSPORT_ROOT, Roots, new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_version import KEY_NAMES
from cardlib.layout import KEY_BY_NAME
from personalize.custody.component import SET, SET_SIZE, check_value
from personalize.custody.roles import Role
from personalize.custody.token_source import TokenSource
from tests.cards.cards import CHIP, REGION
from tests.custody.desks import DirectConnection, caller
from tests.custody.hosts import Host, host
from tests.custody.people import files
from tests.custody.station import CARDHOLDER, JOB, OTHER_CHIP, activate, blank, records
from tests.custody.token_hosts import (
    ANN,
    BOB,
    holder_of,
    people_of,
    receipts_of,
    session_of,
    signed_import,
    signed_retirement,
    signed_rotation,
    source_with,
    token_host,
    unlock,
)
from tests.programs.softhsm import SoftHsm

VALUE = bytes(range(1, 251)) * 2 + bytes(range(60, 60 + SET_SIZE - 500))
ROOT = VALUE[:16]
SERIAL = ChipSerial(CHIP)


@pytest.fixture
def roots() -> Roots:
    return new_roots(2, Cipher.AES)


@pytest.fixture
def source(softhsm: SoftHsm, roots: Roots) -> TokenSource:
    return source_with(softhsm, roots)


@pytest.fixture
def agent(source: TokenSource, tmp_path: Path) -> Iterator[Host]:
    register = files(tmp_path, people_of(tmp_path))
    with token_host(tmp_path, register, source) as made:
        unlock(made)
        yield made


def labels(source: TokenSource) -> list[str]:
    """The labels of our root keys; those of regions, which a session derives, have none."""
    return [label for label in session_of(source).key_labels() if label]


def values(keys: RootKeys) -> dict[str, object]:
    """What cards get of each root, by its name."""
    card = keys.terminal_keys.for_card(CHIP, REGION)
    return {
        **{name: card.key_check_value(name) for name in KEY_BY_NAME},
        "transport": keys.transport_keys(SERIAL).key_check_values,
        "issuer": keys.issuer_keys(SERIAL).key_check_values,
        "cvk": [keys.security_code(f"{number:010}", "20261127") for number in range(9)],
        "secret": keys.holder_hash("1"),
    }


def changed(holder: KeyHolder, one: int, other: int) -> set[str]:
    """The names of the roots in which two versions differ."""
    mine, theirs = (values(holder.versions[number]) for number in (one, other))
    return {name for name in KEY_NAMES if mine[name] != theirs[name]}


# --- import -------------------------------------------------------------------------------


def test_a_set_makes_the_same_keys_in_a_store_and_in_a_token(agent: Host, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with host(tmp_path / "one", [ANN, BOB], cipher=Cipher.AES) as store:
        store.unlock(ANN, BOB)
        one, two = (signed_import(each, SET, VALUE)() for each in (store, agent))
        assert one == two and two["version"] == 2
    assert agent.call("status")["identity"] == two["identity"]


@pytest.mark.parametrize("what", ["transport", "issuer", "cvk", "RK1_DF01", "UK1_DDF1"])
def test_one_key_makes_a_version_whose_other_keys_are_those_of_the_newest(
    agent: Host, source: TokenSource, roots: Roots, what: str
) -> None:
    before = labels(source)
    done = signed_import(agent, what, ROOT)()
    holder = holder_of(agent)
    assert changed(holder, 1, 2) == {what}
    assert holder.newest.identity == done["identity"] != holder.versions[1].identity
    expected = with_root(roots, what)
    shown = {each["name"]: each["value"] for each in done["check_values"]}
    assert shown == expected
    (new,) = set(labels(source)) - set(before)
    assert f"/v2/{what}/" in new and len(labels(source)) == len(before) + 1
    text = "\n".join(agent.call("receipt", number=1)["lines"])
    assert done["identity"] in text and expected[what] in text


def with_root(roots: Roots, what: str) -> Mapping[str, str]:
    """The check values of all roots, as a key store with this root has them."""
    every = {**roots.card, "transport": roots.transport, "issuer": roots.issuer, "cvk": roots.cvk}
    every[what] = ROOT
    return {name: check_value(name, Cipher.AES, root) for name, root in every.items()}


def test_what_was_sealed_before_a_key_came_in_opens_after_it(agent: Host) -> None:
    sealed = agent.service.vault.keys.seal(Purpose.BATCH, b"record", b"batch")
    signed_import(agent, "cvk", ROOT)()
    for keys in holder_of(agent).versions.values():
        assert keys.unseal(Purpose.BATCH, sealed, b"batch") == b"record"


def test_keys_come_in_one_after_the_other(agent: Host) -> None:
    signed_import(agent, "transport", ROOT)()
    signed_import(agent, "issuer", ROOT)()
    holder = holder_of(agent)
    assert changed(holder, 2, 3) == {"issuer"}
    assert changed(holder, 1, 3) == {"transport", "issuer"}


def test_the_key_that_is_there_already_changes_nothing(agent: Host, source: TokenSource) -> None:
    signed_import(agent, "transport", ROOT)()
    before = labels(source)
    with pytest.raises(CardKeyError, match="the token has this transport already"):
        signed_import(agent, "transport", ROOT)()
    assert (labels(source), receipts_of(agent)) == (before, [1])


@pytest.mark.parametrize("what", ["transport", "RK1_DF01"])
def test_a_published_key_comes_into_no_token_with_keys_of_its_own(
    agent: Host, source: TokenSource, what: str
) -> None:
    public = TEST_TRANSPORT_ROOT if what == "transport" else (
        public_test_roots(2, Cipher.AES, 3).card[what])  # fmt: skip
    before = labels(source)
    with pytest.raises(CardKeyError, match="published test keys and keys of your own"):
        signed_import(agent, what, public)()
    assert (labels(source), receipts_of(agent)) == (before, [])


def test_no_key_of_a_token_is_exported(agent: Host) -> None:
    parameters = {"form": "components", "what": SET, "version": 1}
    with pytest.raises(CardKeyError, match="the keys are in a token"):
        agent.call("export-components", **agent.signed("export", parameters, ANN, BOB))


def test_a_token_has_no_custodians_to_exchange(agent: Host) -> None:
    wanted = {"before": [], "custodians": {"ann": ANN.key.operator.fingerprint}}
    signed = agent.signed("exchange-custodians", wanted, ANN, BOB)
    for verb, members in (("custodians", {}), ("exchange-custodians", signed)):
        with pytest.raises(CardKeyError, match="the keys are in a token"):
            agent.call(verb, **members)


# --- rotation -----------------------------------------------------------------------------


def test_a_rotation_makes_all_keys_inside_and_keeps_the_transport_root(
    agent: Host, source: TokenSource, softhsm: SoftHsm
) -> None:
    done = signed_rotation(agent, 2)()
    holder = holder_of(agent)
    assert (done["version"], done["receipt"]) == (2, 1)
    assert agent.call("status")["identity"] == done["identity"] == holder.newest.identity
    assert changed(holder, 1, 2) == set(KEY_NAMES) - {"transport"}
    new = [label for label in labels(source) if "/v2/" in label]
    assert len(new) == len(KEY_NAMES) - 1
    raw = softhsm.session(source.label)
    for label in new:
        (key,) = raw.get_objects({Attribute.LABEL: label})
        for right in ("LOCAL", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE"):
            assert key[Attribute[right]], (label, right)


def test_a_rotation_makes_a_new_transport_root_too_if_that_is_signed(
    agent: Host, source: TokenSource
) -> None:
    signed_rotation(agent, 2, transport=True)()
    assert changed(holder_of(agent), 1, 2) == set(KEY_NAMES)
    assert len(labels(source)) == 2 * len(KEY_NAMES)


def test_a_rotation_keeps_the_transport_root_that_came_in_last(agent: Host) -> None:
    signed_import(agent, "transport", ROOT)()
    signed_rotation(agent, 3)()
    assert "transport" not in changed(holder_of(agent), 2, 3)


def test_a_statement_says_which_version_and_whose_transport_root(agent: Host) -> None:
    for wrong in (signed_rotation(agent, 3), signed_rotation(agent, 1)):
        with pytest.raises(CardKeyError, match="says something else"):
            wrong()
    once = signed_rotation(agent, 2)
    once()
    with pytest.raises(CardKeyError, match="was used before"):
        once()
    assert receipts_of(agent) == [1]


def test_there_are_seven_versions_and_no_more(agent: Host, source: TokenSource) -> None:
    for version in range(2, 8):
        signed_import(agent, "cvk", bytes([version]) * 16)()
    before = labels(source)
    for change in (signed_rotation(agent, 8), lambda: signed_import(agent, "cvk", ROOT)):
        with pytest.raises(CardKeyError, match="key version 7 is the last"):
            change()
    assert list(holder_of(agent).versions) == list(range(1, 8))
    assert (labels(source), receipts_of(agent)) == (before, list(range(1, 7)))


def test_public_test_keys_rotate_to_public_ones(softhsm: SoftHsm, tmp_path: Path) -> None:
    source = source_with(softhsm, public_test_roots(2, Cipher.AES))
    register = files(tmp_path, people_of(tmp_path))
    with token_host(tmp_path, register, source, test_keys=True) as agent:
        agent.service.policy = replace(agent.service.policy, stock=None)
        unlock(agent)
        with pytest.raises(CardKeyError, match="one transport root: it cannot change"):
            signed_rotation(agent, 2, transport=True)()
        done = signed_rotation(agent, 2)()
        assert done["identity"] == public_test_roots(2, Cipher.AES, 2).identity


# --- retirement ---------------------------------------------------------------------------


def test_a_retired_version_makes_no_card_and_reads_them(agent: Host) -> None:
    old = agent.service.vault.keys.identity
    with pytest.raises(CardKeyError, match="rotate first"):
        signed_retirement(agent, 1)()
    signed_rotation(agent, 2)()
    done = signed_retirement(agent, 1)()
    assert (done["version"], done["identity"], receipts_of(agent)) == (1, old, [1, 2])
    agent.call("lock")
    unlock(agent)
    told = {each["version"]: each["retired"] for each in agent.call("versions")["versions"]}
    assert told == {1: True, 2: False}
    assert holder_of(agent).of(old).key_version == 1
    assert holder_of(agent).terminal_keys.versions == (1, 2)
    with pytest.raises(CardKeyError, match="is retired: cards of it are read and verified"):
        agent.service.vault.for_issuing(old)
    for version, why in ((1, "retired already"), (3, "holds no version 3")):
        with pytest.raises(CardKeyError, match=why):
            signed_retirement(agent, version)()
    assert receipts_of(agent) == [1, 2]


def test_a_batch_of_before_is_issued_after_a_rotation_until_its_version_is_retired(
    source: TokenSource, roots: Roots, tmp_path: Path
) -> None:
    """Blank cards of one stock have the transport keys of both versions."""
    register, stock = files(tmp_path, people_of(tmp_path)), frozenset((CHIP, bytes(OTHER_CHIP)))
    jobs = [JOB, CardJob(UUID(int=2), 1, OTHER_CHIP)]
    cards = [blank(bytes(job.chip), KeyStore(roots)) for job in jobs]
    with token_host(tmp_path, register, source, stock=stock) as agent:
        unlock(agent)
        signed_rotation(agent, 2)()
        station = DirectConnection(agent.service, caller(Role.STATION))
        new, old = (AgentIssuer(station, about) for about in versions(station))
        assert (new.key_version, old.key_version) == (2, 1)
        for card, issuer, job in zip(cards, (old, new), jobs, strict=True):
            make_card(card, issuer, job, records(2, Cipher.AES), *CARDHOLDER)
            card.reset()
            activate(card, issuer, job.chip)
            card.reset()
        signed_retirement(agent, 1)()
        for card in cards:
            terminal = ResidentHealthCard(card, holder_of(agent).terminal_keys)
            terminal.internal_authenticate()
            terminal.authenticate("RK1_DDF1")
            assert terminal.read("DDF1/EF05")
        with pytest.raises(CardKeyError, match=r"key version 1 .* is retired"):
            make_card(blank(keys=KeyStore(roots)), old, JOB, records(2, Cipher.AES), *CARDHOLDER)


def test_a_key_comes_into_a_version_like_the_newest_that_makes_cards(agent: Host) -> None:
    signed_rotation(agent, 2)()
    signed_retirement(agent, 2)()
    signed_import(agent, "cvk", ROOT)()
    assert changed(holder_of(agent), 1, 3) == {"cvk"}
