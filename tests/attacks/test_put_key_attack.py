"""The PUT KEY attack on the key agent, over each of its verbs.

Who knows the transport keys of a blank reads what is encrypted under their Key-DEK. If the agent
encrypted issuer keys or card keys under a DEK that a caller names or knows, it would give away the
keys of all cards. The attacker here is a station: its chip is in stock, and it knows the chip's
transport keys.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import BlockCipher, Cipher, static_keys
from cardlib.emulator import SoftwareCard
from cardlib.errors import CardError, CardKeyError
from cardlib.exchange import send
from cardlib.facts import SECURITY_DOMAIN, Pin
from cardlib.issuance import select_application
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.issuance.making import HostSession, make_card
from cardlib.issuance.offers import offer_from_json
from cardlib.issuance.transfers import Transfer
from cardlib.keys import Purpose
from cardlib.keys.agent.agent_keys import versions
from cardlib.keys.agent.agent_verbs import FORMS, OF_CARDS, OF_EVERYBODY, OF_TERMINALS
from cardlib.keys.agent.agent_wire import Document, from_frame
from cardlib.keys.agent.batch_forms import OF_BATCHES
from cardlib.keys.issuer import PinOf, RecordRefused, Scp03Set, Share
from cardlib.keys.roots import TEST_TRANSPORT_ROOT, Roots, new_roots
from cardlib.keys.store import KeyStore
from cardlib.pki.signed_data import opened as opened_signed
from personalize.custody.own_roots import check_roots
from personalize.custody.roles import Role
from tests.cards.cards import CHIP, REGION
from tests.custody.desks import (
    Bench,
    DirectConnection,
    bench,
    check_value_told,
    own_keys,
    public_keys,
)
from tests.custody.secret_values import found_in, keys_of, roots_of
from tests.custody.station import (
    CARDHOLDER,
    CHIP_SERIAL,
    JOB,
    OTHER_CHIP,
    RECORDS,
    activate,
    blank,
    opened,
    records,
)
from tests.programs.rhcard import PASSPHRASE

JOB_MEMBERS = {"batch": JOB.batch.bytes, "number": 1, "chip": CHIP}
IN_SESSION: Mapping[str, Mapping[str, Any]] = {
    "session-answer": {"reply": bytes(31) + b"\x90\0"},
    "session-opened": {"reply": b"\x90\0"},
    "replace-keys": JOB_MEMBERS,
    "load": {**JOB_MEMBERS, "records": RECORDS, "region": REGION, "pin": "135790"},
    "activate": {},
    "reset-tries": {"key": "RK1_DDF1"},
    "session-done": {"replies": [b"\x90\0"]},
    "sam-replace-keys": {},
    "sam-load": {"pin": "802143", "pin_form": "ASCII", "meaning_of_0": "newest"},
}
"""The verbs of a session, with members that are right as such."""
HERE = {**OF_EVERYBODY, **OF_CARDS, **OF_BATCHES, **OF_TERMINALS}
"""All verbs but those of ceremonies and SAMs."""
KNOWN_KEYS = {
    "those of another chip": own_keys().blank_keys(CHIP),
    "of the public root": static_keys(BlockCipher(Cipher.AES, TEST_TRANSPORT_ROOT), OTHER_CHIP),
    "made up": (bytes(16), bytes(16), bytes(16)),
}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "state", stock=frozenset((CHIP, OTHER_CHIP))) as made:
        yield made


def begin(connection: DirectConnection, key_set: Scp03Set, chip: bytes) -> Document:
    identity = bytes.fromhex(own_keys().identity)
    return connection.call("session", identity=identity, key_set=key_set, chip=chip)


def test_the_verbs_of_a_session_are_these() -> None:
    assert IN_SESSION.keys() == {name for name, form in FORMS.items() if "session" in form.takes}


@pytest.mark.parametrize("verb", IN_SESSION)
@pytest.mark.parametrize("key_set", Scp03Set)
@pytest.mark.parametrize("known", KNOWN_KEYS.values(), ids=KNOWN_KEYS.keys())
def test_who_answers_for_a_chip_with_keys_that_are_not_its_own_gets_nothing(
    agent: Bench, verb: str, key_set: Scp03Set, known: tuple[bytes, bytes, bytes]
) -> None:
    connection = agent.connection()
    begun = begin(connection, key_set, OTHER_CHIP)
    card = SoftwareCard.blank(OTHER_CHIP, known)
    select_application(card, SECURITY_DOMAIN)
    challenge = send(card.transmit, CommandAPDU.parse(begun["command"]))
    with pytest.raises(CardError):
        connection.call("session-answer", session=begun["session"], reply=bytes(challenge))
    with pytest.raises(CardKeyError, match="nothing that is open"):
        connection.call(verb, session=begun["session"], **IN_SESSION[verb])


@pytest.mark.parametrize("verb", IN_SESSION)
@pytest.mark.parametrize("key_set", Scp03Set)
def test_a_session_in_which_the_card_has_proved_nothing_makes_nothing(
    agent: Bench, verb: str, key_set: Scp03Set
) -> None:
    connection = agent.connection()
    begun = begin(connection, key_set, CHIP)
    with pytest.raises(CardError):
        connection.call(verb, session=begun["session"], **IN_SESSION[verb])
    assert agent.service.jobs.state_of(CHIP) is None


@pytest.mark.parametrize("verb", ["load", "activate", "reset-tries"])
def test_no_grouping_is_made_in_the_session_of_a_chips_transport_keys(
    agent: Bench, verb: str
) -> None:
    connection = agent.connection()
    issuer = AgentIssuer(connection, versions(connection)[0])
    host = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
    with pytest.raises(CardKeyError, match="issuer keys"):
        connection.call(verb, session=host._session, **IN_SESSION[verb])


def test_put_key_is_made_for_the_chip_of_its_session_only(agent: Bench) -> None:
    connection = agent.connection()
    issuer = AgentIssuer(connection, versions(connection)[0])
    host = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
    members = {**JOB_MEMBERS, "chip": OTHER_CHIP}
    with pytest.raises(CardKeyError, match="this session is with chip"):
        connection.call("replace-keys", session=host._session, **members)


@pytest.mark.parametrize("key_set", Scp03Set)
def test_a_blank_of_his_own_that_was_not_received_gets_no_session(
    agent: Bench, key_set: Scp03Set
) -> None:
    with pytest.raises(CardKeyError, match="not in received stock"):
        begin(agent.connection(), key_set, b"his chip")


def test_no_verb_takes_a_key_or_gives_one_but_the_session_keys_of_one_card() -> None:
    """16 or 32 bytes that could be a key, by verb: names of things, and what a card answers."""
    named = {"identity", "batch", "sealed_key", "chaining", "seal", "key_ids"}
    members = {
        name
        for form in HERE.values()
        for name, kind in form.takes.items()
        if kind.words.startswith(("16 bytes", "24 bytes", "32 bytes")) or "key" in name
    }
    assert members == named | {"key", "key_set"}
    given = {
        (verb, name)
        for verb, form in HERE.items()
        for name, kind in form.returns.items()
        if kind.words.startswith("16 bytes")
    }
    assert given == {("session-keys", "enc"), ("session-keys", "mac")}


def test_who_knows_a_blanks_keys_and_has_its_put_key_learns_the_keys_of_that_card_alone(
    agent: Bench,
) -> None:
    """The limit that docs/explanation names: one card, in stock, claimed and logged."""
    connection = agent.connection()
    issuer = AgentIssuer(connection, versions(connection)[0])
    opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP).replace_keys(JOB)
    again = opened(blank(), issuer, Scp03Set.TRANSPORT, CHIP)
    with pytest.raises(CardKeyError, match="is for another record"):
        again.replace_keys(replace(JOB, number=2))
    assert agent.service.log.path.read_text("ascii").count('"verb":"replace-keys"') == 2


@pytest.mark.parametrize("public", ["transport", "issuer", "RK1_DDF1"])
@pytest.mark.parametrize("test_keys", [True, False])
def test_a_store_with_one_public_root_among_its_own_is_refused(
    public: str, test_keys: bool
) -> None:
    ours = new_roots()
    with pytest.raises(CardKeyError, match=r"are public test keys and .* are not"):
        check_roots(KeyStore(_with_public(ours, public)), test_keys=test_keys)
    check_roots(KeyStore(ours), test_keys=test_keys)


def test_public_roots_are_taken_for_a_trial_only() -> None:
    check_roots(public_keys(), test_keys=True)
    with pytest.raises(CardKeyError, match="--test-keys"):
        check_roots(public_keys(), test_keys=False)


def _with_public(ours: Roots, name: str) -> Roots:
    known = public_keys()._roots
    if name in ours.card:
        card = type(ours.card)({**ours.card, name: known.card[name]})
        return replace(ours, card=card)
    return (
        replace(ours, transport=known.transport)
        if name == "transport"
        else replace(ours, issuer=known.issuer)
    )


def test_no_answer_of_any_verb_holds_a_key(tmp_path: Path) -> None:
    """A batch, a card and a reading by every verb there is; then all answers are searched."""
    used: dict[str, list[bytes]] = {}
    for protocol in (1, 2):
        roots = own_keys(protocol)._roots
        with bench(tmp_path / f"state {protocol}", own_keys(protocol), give_ups=1) as made:
            connections = {role: made.connection(role) for role in Role}
            _day(connections, protocol)
            made.service.log.path.read_bytes()
            answers = [each for c in connections.values() for each in c.answered]
            secrets = roots_of(roots) | keys_of(roots, CHIP, REGION)
            raw = b"".join(answers)
            assert found_in(raw + made.service.log.path.read_bytes(), secrets) == set()
            assert found_in(raw + secrets["issuer root"].hex().encode(), secrets) == {"issuer root"}
            for each in connections.values():
                for asked, answered in zip(each.asked, each.answered, strict=True):
                    if "ok" in from_frame(answered):
                        used.setdefault(str(from_frame(asked)["verb"]), []).append(answered)
    assert used.keys() == HERE.keys()


MANIFEST = json.dumps({"batch_id": str(JOB.batch), "count": 1}).encode()


def _of_old_batch(number: int) -> bytes:
    """What a record of a batch of format 2 is bound to."""
    return JOB.batch.bytes + number.to_bytes(4, "big") + (1).to_bytes(4, "big")


def _day(connections: Mapping[Role, DirectConnection], protocol: int) -> None:
    issuers = {
        role: AgentIssuer(connections[role], versions(connections[role])[0])
        for role in (Role.STATION, Role.PREPARATION, Role.TERMINAL)
    }
    preparing, station = issuers[Role.PREPARATION], issuers[Role.STATION]
    preparing.holder_hash("1234")
    preparing.security_code("990101199001019999", "20260101")
    batch = preparing.new_batch(JOB.batch, 1, [Share("here", 1, 1)])
    again = preparing.continued_batch(JOB.batch, 1, batch.kept)
    sealed = batch.seal(1, b"a record")
    assert again.seal(1, b"a record") == sealed
    signed = opened_signed(batch.sign(MANIFEST))
    assert (signed.content, signed.signer.der) == (MANIFEST, station.preparation_certificate)
    stored = station.sealed_batch(JOB.batch, 1, batch.ranges)
    assert stored.unseal(1, sealed) == b"a record"
    pin = station.seal_pin(PinOf(JOB.batch, 1, 0), Pin("135790"))
    assert station.unseal_pin(PinOf(JOB.batch, 1, 0), pin) == "135790"
    offered = opened_signed(station.offer_site_key("north")).content
    share = Share("north", 1, 1, offer_from_json(offered))
    moved = station.transfer(JOB.batch, 1, batch.ranges[0], share, transferred=False)
    given = Transfer.from_json(opened_signed(moved).content).to
    there = station.sealed_batch(JOB.batch, 1, batch.ranges, [given])
    assert there.unseal(1, sealed) == b"a record"
    with pytest.raises(RecordRefused, match="records 1 to 1 were transferred to site north"):
        stored.unseal(1, sealed)
    members = {"batch": JOB.batch.bytes, "key_ids": []}
    assert connections[Role.CUSTODIAN].call("purge-batch", **members) == {"keys": 2}
    for each in (stored, there):
        with pytest.raises(RecordRefused, match="were destroyed here"):
            each.unseal(1, sealed)
    sealed_key = own_keys(protocol).seal(Purpose.BATCH, bytes(32), _of_old_batch(0))
    old, key = station.old_batch(JOB.batch, 1, sealed_key), AESGCM(bytes(32))
    old.check_header(b"header", key.encrypt(bytes(12), b"", b"header"))
    old_record = key.encrypt(bytes(11) + b"\1", b"a record", _of_old_batch(1))
    assert old.unseal(1, old_record) == b"a record"
    card = blank(keys=own_keys(protocol))
    make_card(card, station, JOB, records(protocol), *CARDHOLDER)
    station_keys = station.terminal_keys.for_card(CHIP, REGION)
    assert check_value_told(station_keys, "UK1_DDF1")
    card.reset()
    activate(card, station)
    card.reset()
    terminal = ResidentHealthCard(card, issuers[Role.TERMINAL].terminal_keys, min_protocol=1)
    terminal.authenticate("RK1_DDF1")
    if protocol == 1:
        stk = station_keys.process_key("STK_DDF1", bytes(8))
        assert stk.encrypt(bytes(32)) and stk.mac(b"message")
    card.reset()
    HostSession.open(card, station.session(Scp03Set.ISSUER, CHIP_SERIAL)).reset_tries("RK1_DDF1")
    lost = replace(JOB, number=2, chip=OTHER_CHIP)
    connections[Role.STATION].service.jobs.claim(lost, connections[Role.STATION].desk.caller)
    station.give_up(lost)
    connections[Role.AUDITOR].call("status")
    connections[Role.CUSTODIAN].call("lock")
    connections[Role.CUSTODIAN].call("unlock", passphrase=PASSPHRASE)
