"""Verification: it finds what differs, what is open, what is accepted, and harms no card."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.checks.content import compare
from cardlib.checks.findings import NOTHING_LEFT_OUT, CardCheck, Finding
from cardlib.checks.verify import verify_card
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.filesystem import record_slots
from cardlib.emulator.filesystem.tree import PROFILE, ElementaryFile
from cardlib.errors import TransportError
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance import IssuerSession, personalize
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import (
    FILE_BY_PATH,
    FILES,
    FieldValue,
    FileSpec,
    State,
    decode_file,
    dgi_of_record,
    encode_record,
)
from cardlib.layout.load import Records, decoded, records
from cardlib.layout.records import without_value
from personalize.preparation.prepared import PreparedCard
from tests.cards.bureau import new_batch, store

CHIP = ChipSerial(b"VERIFIED")
PIN = Pin("802143")


@pytest.fixture(scope="module", params=[1, 2])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PreparedCard:
    """The sample's fifth resident, who has allergies, a bank and hospitals; both versions."""
    batch = new_batch(tmp_path_factory.mktemp("verify"), 1, skip=4, keys=store(request.param))
    return batch.card(1)


def protocol_of(card: PreparedCard) -> int:
    return int(dict(card.groupings)[0x0102][2:3])


def keys_of(card: PreparedCard) -> KeyStore:
    return store(protocol_of(card))


def terminal_at(made: SoftwareCard, card: PreparedCard, key: str) -> ResidentHealthCard:
    made.reset()
    terminal = ResidentHealthCard(made, keys_of(card).terminal_keys, protocol_of(card))
    terminal.authenticate(key)
    return terminal


def personalized(card: PreparedCard) -> SoftwareCard:
    keys = keys_of(card)
    issuer = keys.issuer_keys(CHIP)
    of_keys = keys.groupings(CHIP, card.region, PIN)
    made = SoftwareCard.blank(CHIP, keys.blank_keys(CHIP))
    load = [*records(card.groupings, CHIP).items(), *of_keys]
    personalize(made, keys.transport_keys(CHIP), issuer, load)
    return made


@pytest.fixture
def card(prepared: PreparedCard) -> SoftwareCard:
    made = personalized(prepared)
    IssuerSession.open(made, keys_of(prepared).issuer_keys(CHIP)).activate()
    return made


def check(connection: Connection, card: PreparedCard, *, full: bool = False) -> CardCheck:
    """Check an active card."""
    issued, keys = records(card.groupings, CHIP), keys_of(card).terminal_keys
    return verify_card(connection, keys, issued, CHIP, active=True, full=full)


def verified(
    connection: Connection, card: PreparedCard, *, full: bool = False
) -> tuple[Finding, ...]:
    return check(connection, card, full=full).findings


class Between:
    """A connection that changes some answers."""

    def __init__(self, card: SoftwareCard, change: Callable[[bytes, bytes], bytes]) -> None:
        self.card, self.change = card, change
        self.commands: list[bytes] = []

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> bytes:
        return self.card.reset()

    def transmit(self, command: bytes) -> bytes:
        self.commands.append(command)
        return self.change(command, self.card.transmit(command))


def test_a_good_card_has_no_finding(card: SoftwareCard, prepared: PreparedCard) -> None:
    assert verified(card, prepared) == ()


def test_a_card_before_activation_is_verified_with_its_pin(prepared: PreparedCard) -> None:
    made, expected = personalized(prepared), records(prepared.groupings, CHIP)
    keys = keys_of(prepared).terminal_keys
    assert verify_card(made, keys, expected, CHIP, active=False, pin=PIN).findings == ()
    wrong = Pin("000001")
    (finding,) = verify_card(made, keys, expected, CHIP, active=False, pin=wrong).findings
    assert "63C2" in finding.problem
    assert "000001" not in str(finding)


def test_a_card_that_was_not_activated_is_found_out(prepared: PreparedCard) -> None:
    (finding,) = verified(personalized(prepared), prepared)
    assert (finding.expected, finding.found[:4]) == ("6982", "6985")


def test_it_changes_nothing_and_spends_no_try(card: SoftwareCard, prepared: PreparedCard) -> None:
    before = dict(card.memory.pages)
    watched = Between(card, lambda command, response: response)
    assert verified(watched, prepared) == ()
    assert {n: p for n, p in card.memory.pages.items() if before.get(n) != p} == {}
    assert not any(command[1] == 0x20 for command in watched.commands)


def test_every_field_is_compared(prepared: PreparedCard, card: SoftwareCard) -> None:
    """Whatever value was issued instead, it is that field that is found."""
    issued, tried = records(prepared.groupings, CHIP), 0
    for file in FILES:
        read = terminal_at(card, prepared, file.read_key or "RK1_DDF1").read(file.path)
        for value in decoded(file, issued):
            if value.state in (State.VALUE, State.NEGATIVE):
                (finding,) = compare(file, read, other_value(file, value, issued))
                assert (finding.path, finding.record) == (file.path, value.record)
                assert (finding.field, finding.found) == (value.field.name, value.text)
                assert finding.expected != value.text
                tried += 1
    assert tried > 50


def other_value(file: FileSpec, value: FieldValue, issued: Records) -> Records:
    """The records with one field otherwise: FF, as if it had been left blank."""
    dgi = dgi_of_record(file, value.record or 1)
    start = value.field.offset + (2 if file.is_tlv else 0)
    raw = bytearray(issued[dgi])
    raw[start : start + value.field.length] = b"\xff" * len(raw[start : start + value.field.length])
    return {**issued, dgi: bytes(raw)}


def test_a_changed_field_is_named_with_what_was_expected_and_found(
    card: SoftwareCard, prepared: PreparedCard
) -> None:
    terminal = terminal_at(card, prepared, "UK1_DDF1")
    terminal.update("DDF1/EF08", 2, {"phone_1": "13800138000"})
    (finding,) = verified(card, prepared)
    assert (finding.path, finding.record, finding.field) == ("DDF1/EF08", 2, "phone_1")
    assert finding.found == "13800138000"
    assert finding.expected == prepared.value("phone_1")
    assert "13800138000" not in finding.place


def test_what_was_not_prepared_and_is_written_is_found(
    card: SoftwareCard, prepared: PreparedCard
) -> None:
    terminal = terminal_at(card, prepared, "UK3_DF02")
    terminal.append("DDF1/DF02/EF08", {"vaccine": "流感疫苗"})
    findings = verified(card, prepared)
    assert {finding.path for finding in findings} == {"DDF1/DF02/EF08"}


def test_another_cards_values_are_found(card: SoftwareCard, prepared: PreparedCard) -> None:
    keys = keys_of(prepared).terminal_keys
    another = records(prepared.groupings, ChipSerial(b"ANOTHER!"))
    (finding,) = verify_card(card, keys, another, CHIP, active=True).findings
    assert finding.field == "chip_serial_number"
    expected = records(prepared.groupings, CHIP)
    other_chip = ChipSerial(b"ANOTHER!")
    findings = verify_card(card, keys, expected, other_chip, active=True).findings
    assert [(f.field, f.problem) for f in findings] == [("chip", "differs")]


def test_tag_02_is_compared_with_the_specification_in_the_fci(
    card: SoftwareCard, prepared: PreparedCard
) -> None:
    """Even where the list that was prepared says the same as tag 02."""
    file, said = PROFILE["DDF1/EF05"], f"{protocol_of(prepared)}.1"
    assert isinstance(file, ElementaryFile)
    stored = said.encode("ascii").ljust(4, b"\0")
    record_slots.write(card.memory, file, 2, stored)
    card.memory.commit()
    expected = {**records(prepared.groupings, CHIP), 0x0102: bytes((2, 4)) + stored}
    keys = keys_of(prepared).terminal_keys
    (finding,) = verify_card(card, keys, expected, CHIP, active=True).findings
    assert (finding.path, finding.record, finding.field) == ("DDF1/EF05", 2, "spec_version")
    assert (finding.expected, finding.found) == (f"{protocol_of(prepared)}.0", said)


def opened(card: SoftwareCard) -> Between:
    """A card that lets anybody read everything."""
    answers = {0xB2: b"\x01\x01\x31\x90\x00", 0xB0: b"\xff" * 16 + b"\x90\x00"}
    authenticated = [False]

    def opens(command: bytes, response: bytes) -> bytes:
        authenticated[0] |= command[1] == 0x82
        refused = response == b"\x69\x82" and not authenticated[0]
        return answers.get(command[1], response) if refused else response

    return Between(card, opens)


def test_each_closed_file_that_is_open_is_found(card: SoftwareCard, prepared: PreparedCard) -> None:
    closed = {file.path for file in FILES if file.read_key}
    result = check(opened(card), prepared, full=True)
    assert {f.path for f in result.findings if "without keys" in f.problem} == closed
    assert result.left_out == NOTHING_LEFT_OUT


def test_the_standard_check_tries_one_file_a_directory_and_names_the_others(
    card: SoftwareCard, prepared: PreparedCard
) -> None:
    closed = {file.path for file in FILES if file.read_key}
    result = check(opened(card), prepared)
    tried = {f.path for f in result.findings if "without keys" in f.problem}
    assert {path.rsplit("/", 1)[0] for path in tried} == {file.df_path for file in FILES}
    assert len(tried) == 6
    assert set(result.left_out.not_tried) == closed - tried


def test_what_the_standard_check_does_not_read_is_named_and_a_full_one_reads_it(
    card: SoftwareCard, prepared: PreparedCard
) -> None:
    """A change inside a gap is found by the full check only, one beside it by both."""
    gaps = check(card, prepared).left_out.not_read
    folders = {"DDF1/DF03/EE", "DDF1/DF03/ED", "DDF1/EF09", "DDF1/EF07"}
    assert {gap.path[:12] for gap in gaps} == folders
    for gap in gaps:
        size = FILE_BY_PATH[gap.path].size
        for offset, found in ((gap.start, 0), (gap.end - 1, 0), (gap.start - 1, 1), (gap.end, 1)):
            if 0 <= offset < size:
                with changed_byte(card, gap.path, offset):
                    standard, full = verified(card, prepared), verified(card, prepared, full=True)
                assert [f.path for f in standard] == [gap.path] * found, offset
                assert [f.path for f in full] == [gap.path], offset


@contextmanager
def changed_byte(card: SoftwareCard, path: str, offset: int) -> Iterator[None]:
    """A card with one byte of a transparent file otherwise, as if its memory had failed."""
    file = PROFILE[path]
    assert isinstance(file, ElementaryFile)
    address = file.address + offset
    card.memory.write(address, bytes((card.memory.byte(address) ^ 0x40,)))
    card.memory.commit()
    yield
    card.memory.write(address, bytes((card.memory.byte(address) ^ 0x40,)))
    card.memory.commit()


def test_other_bytes_with_the_same_meaning_are_found(
    card: SoftwareCard, prepared: PreparedCard
) -> None:
    """A text that ends in blanks reads like one that ends in zeros, but nobody issued it."""
    issued = records(prepared.groupings, CHIP)
    name = issued[0x0201]
    padded = name.rstrip(b"\0").ljust(len(name), b" ")
    assert padded != name
    keys = keys_of(prepared).terminal_keys
    (finding,) = verify_card(card, keys, {**issued, 0x0201: padded}, CHIP, active=True).findings
    assert (finding.path, finding.record) == ("DDF1/EF06", 1)
    assert finding.problem == "has other bytes than were issued, with the same meaning"


@pytest.mark.parametrize(
    ("header", "answer", "problem"),
    [
        ("8050FF00", "9000", "INITIALIZE UPDATE with transport keys"),
        ("00DC0104", "9000", "UPDATE RECORD in clear"),
        ("00880000", "00000000000000009000", "internal authentication"),
        ("00820083", "6983", "LK_DF0"),
        ("00820003", "63CE", "BK_MF"),
        ("00820087", "63CE", "UK3_DF02"),
    ],
)
def test_what_is_not_refused_or_not_done_is_found(
    card: SoftwareCard, prepared: PreparedCard, header: str, answer: str, problem: str
) -> None:
    def lies(command: bytes, response: bytes) -> bytes:
        wanted = bytes.fromhex(header)
        # An authentication may be the first or a further one of a version-2 session.
        start = 1 if wanted[1] == 0x82 else 0
        return bytes.fromhex(answer) if command[start:4] == wanted[start:] else response

    findings = verified(Between(card, lies), prepared)
    assert findings
    assert all(problem in finding.problem for finding in findings)


def test_a_copy_without_the_key_is_found_and_no_other_key_is_tried_on_it(
    card: SoftwareCard, prepared: PreparedCard
) -> None:
    other = KeyStore(new_roots(protocol_of(prepared), Cipher.SM4))
    before = dict(card.memory.pages)
    expected = records(prepared.groupings, CHIP)
    (finding,) = verify_card(card, other.terminal_keys, expected, CHIP, active=True).findings
    assert "not genuine" in finding.problem
    assert card.memory.pages == before


def test_a_blank_is_one_finding(prepared: PreparedCard) -> None:
    blank = SoftwareCard.blank(CHIP, keys_of(prepared).blank_keys(CHIP))
    (finding,) = verified(blank, prepared)
    assert finding.problem.startswith("identification")


def test_a_card_that_goes_away_is_no_finding(card: SoftwareCard, prepared: PreparedCard) -> None:
    def gone(command: bytes, response: bytes) -> bytes:
        if command[1] == 0x82:
            raise TransportError("card pulled out")
        return response

    with pytest.raises(TransportError):
        verified(Between(card, gone), prepared)


@pytest.mark.parametrize("state", [s for s in State if s not in (State.VALUE, State.NEGATIVE)])
def test_a_field_that_should_be_there_and_is_not_is_found_in_every_state(state: State) -> None:
    file = FILE_BY_PATH["DDF1/EF06"]
    values = without_value(file, 1, state, "why")
    (finding,) = compare(file, values, {0x0201: encode_record(file, 1, {"name": "王䶮"})})
    assert (finding.state, finding.expected, finding.found) == (state, "王䶮", "")


@pytest.mark.parametrize("state", [State.EMPTY, State.DENIED, State.CORRUPT, State.MISSING])
def test_a_field_that_should_be_unwritten_must_be_just_that(state: State) -> None:
    file = FILE_BY_PATH["DDF1/EF06"]
    (finding,) = compare(file, without_value(file, 1, state), {})
    assert finding.problem == "must be unwritten"
    assert compare(file, without_value(file, 1, State.UNWRITTEN), {}) == []


def test_a_record_that_was_not_read_at_all_is_found() -> None:
    file = FILE_BY_PATH["DDF1/DF02/EF07"]
    assert compare(file, decode_file(file, []), {}) == []
    assert len(compare(file, without_value(file, 1, State.MISSING), {})) == 2
    values: tuple[FieldValue, ...] = ()
    (finding,) = compare(file, values, {0x0B02: encode_record(file, 2, {"allergen": "花生"})})
    assert (finding.record, finding.field, finding.state) == (2, "allergen", State.MISSING)
