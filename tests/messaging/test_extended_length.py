"""Readers that cannot carry extended length: found out in clear, then all commands are short."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.errors import CardError, ChannelError, TransportError
from cardlib.exchange import Connection, observed
from cardlib.script import Runner, parse
from cardlib.transport.extended_length import PROBE
from cardlib.transport.recorder import Recorder
from tests.card.test_visits import visit
from tests.cards.v2_cards import card_of, key_set

LONG = CardOptions(extended_length=True)
LONGEST_SHORT = 261
HOSPITAL = ("RK1_DF03", "UK1_DF03")
SLOT = "DDF1/DF03/EE01"


def refuses(_: SoftwareCard, command: bytes) -> bytes:
    raise TransportError("the reader refuses the command")


def answers_6700(_: SoftwareCard, command: bytes) -> bytes:
    return b"\x67\x00"


def cuts_to_a_tpdu(card: SoftwareCard, command: bytes) -> bytes:
    """A driver that takes the 00 of an extended command for the length byte of a short one."""
    return card.transmit(command[:5])


def cuts_to_a_buffer(card: SoftwareCard, command: bytes) -> bytes:
    return card.transmit(command[:LONGEST_SHORT])


@dataclass
class Reader:
    """A reader that carries short commands; `limit` is what it does to longer ones than `most`."""

    limit: Callable[[SoftwareCard, bytes], bytes]
    most: int = 0
    card: SoftwareCard = field(default_factory=lambda: card_of(Cipher.AES, LONG))
    sent: list[bytes] = field(default_factory=list)

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> bytes:
        return self.card.reset()

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        if len(command) > self.most and len(command) > 5 and command[4] == 0:
            return self.limit(self.card, command)
        return self.card.transmit(command)


class Knowing(Reader):
    """A reader that says itself that it does not carry extended length."""

    extended_length = False


class Able(Reader):
    """A reader that says itself that it carries extended length."""

    extended_length = True


LIMITS = (refuses, answers_6700, cuts_to_a_tpdu, cuts_to_a_buffer)


def hospital(connection: Connection, *, short_only: bool = False) -> ResidentHealthCard:
    terminal = ResidentHealthCard(connection, key_set(Cipher.AES), short_only=short_only)
    for name in HOSPITAL:
        terminal.authenticate(name)
    return terminal


def written_and_read(terminal: ResidentHealthCard) -> None:
    """A visit record of 1,893 bytes, there and back."""
    terminal.write_visit("inpatient", visit("inpatient"))
    (raw,) = terminal.read_raw(SLOT)
    assert raw is not None and len(raw) == 1893
    changed = bytes(byte ^ 0xFF for byte in raw)
    terminal.write_binary(SLOT, 0, changed)
    assert terminal.read_raw(SLOT) == [changed]


@pytest.mark.parametrize("limit", LIMITS)
def test_long_files_go_through_a_reader_that_carries_short_commands_only(
    limit: Callable[[SoftwareCard, bytes], bytes],
) -> None:
    reader = Reader(limit)
    written_and_read(hospital(reader))
    assert [raw for raw in reader.sent if len(raw) > LONGEST_SHORT] == [bytes(PROBE)]


@pytest.mark.parametrize("limit", LIMITS)
def test_the_reader_is_asked_before_the_session_and_never_in_it(
    limit: Callable[[SoftwareCard, bytes], bytes],
) -> None:
    reader = Reader(limit)
    hospital(reader)
    asked = reader.sent.index(bytes(PROBE))
    assert all(raw[0] == 0x00 for raw in reader.sent[: asked + 1])
    assert reader.sent[asked + 1][:2] == b"\x00\x84"
    assert reader.sent.count(bytes(PROBE)) == 1


def test_the_question_changes_nothing_on_the_card() -> None:
    card = card_of(Cipher.AES, LONG)
    card.transmit(bytes.fromhex("00A4040C05F052484301"))
    card.transmit(bytes.fromhex("00A4020C02EF05"))
    before, record = dict(card.memory.pages), card.transmit(bytes.fromhex("00B2010400"))
    assert card.transmit(bytes(PROBE)) == b"\x6a\x82"
    assert card.transmit(bytes.fromhex("00B2010400")) == record
    assert dict(card.memory.pages) == before


def test_a_reader_that_carries_all_of_it_is_asked_once_and_used() -> None:
    reader = Reader(refuses, most=1 << 20)
    terminal = hospital(reader)
    terminal.write_visit("inpatient", visit("inpatient"))
    reader.sent.clear()
    terminal.read_raw(SLOT)
    assert sum(raw[1] == 0xB0 for raw in reader.sent) == 1
    terminal.reset()
    hospital(reader)
    assert reader.sent.count(bytes(PROBE)) == 1


@pytest.mark.parametrize(("kind", "reads"), [(Knowing, 9), (Able, 1)])
@pytest.mark.parametrize("seen_by", ["nobody", "an observer", "a recorder"])
def test_a_reader_that_knows_is_not_asked(kind: type[Reader], reads: int, seen_by: str) -> None:
    reader = kind(refuses, most=1 << 20)
    with observed(reader, *([Ignoring()] if seen_by == "an observer" else [])) as connection:
        terminal = hospital(Recorder(connection) if seen_by == "a recorder" else connection)
        terminal.write_visit("inpatient", visit("inpatient"))
        reader.sent.clear()
        terminal.read_raw(SLOT)
        assert sum(raw[1] == 0xB0 for raw in reader.sent) == reads
    assert bytes(PROBE) not in reader.sent


class Ignoring:
    def saw(self, _: object, /) -> None: ...


def test_the_switch_sends_short_commands_only_and_asks_nothing() -> None:
    reader = Reader(refuses, most=1 << 20)
    written_and_read(hospital(reader, short_only=True))
    assert all(len(raw) <= LONGEST_SHORT for raw in reader.sent)


def test_a_card_without_extended_length_is_not_asked() -> None:
    reader = Reader(refuses, card=card_of(Cipher.AES))
    hospital(reader)
    assert bytes(PROBE) not in reader.sent


def test_in_clear_nothing_is_asked() -> None:
    reader = Reader(refuses)
    ResidentHealthCard(reader).read("DDF1/EF05")
    assert bytes(PROBE) not in reader.sent


@pytest.mark.parametrize(("limit", "error"), [
    (refuses, TransportError), (answers_6700, ChannelError),
])  # fmt: skip
def test_a_protected_command_that_got_lost_is_never_sent_again(
    limit: Callable[[SoftwareCard, bytes], bytes], error: type[CardError]
) -> None:
    """The reader carries the question, and not the 1,893 bytes after it: the session ends."""
    reader = Reader(limit, most=512)
    terminal = hospital(reader)
    values = visit("inpatient")
    with pytest.raises(error, match=r"in extended length: .* short_only"):
        terminal.write_visit("inpatient", values)
    lost = reader.sent[-1]
    assert reader.sent.count(lost) == 1
    with pytest.raises(ChannelError, match="reset the card"):
        terminal.select("DDF1")
    assert reader.sent[-1] == lost
    terminal.reset()
    terminal = hospital(reader, short_only=True)
    assert terminal.write_visit("inpatient", values) == 1
    assert len(terminal.read_visits("inpatient")) == 1


SCRIPT = parse(
    "reset\n00A4040005F05248430100\n00A4080C04DDF1DF03\n"
    "#! authenticate RK1_DF03\n#! authenticate UK1_DF03\n"
    f"00A4080C06DDF1DF03ED01\n#> 9000\n00D60000000300{'41' * 768}\n#> 9000\n"
    "00B00000C8\n#> 9000 ..\n"
)  # fmt: skip
"""Writes 768 bytes with one extended command, and reads 200 of them."""


@pytest.mark.parametrize("limit", LIMITS)
def test_a_script_says_that_the_reader_was_the_reason_and_goes_on(
    limit: Callable[[SoftwareCard, bytes], bytes],
) -> None:
    outcomes = list(Runner(Reader(limit), key_set(Cipher.AES)).run(SCRIPT))
    assert [each.difference for each in outcomes if each.difference] == []
    told = [[fact.value for fact in each.facts if fact.name == "command length"]
            for each in outcomes]  # fmt: skip
    why = "short, because the reader cannot carry extended length"
    assert told == [[], [], [], [why], [], [], [], []]
    assert outcomes[-1].data == b"A" * 200


@pytest.mark.parametrize("short_only", [False, True])
def test_a_script_in_an_able_reader_has_nothing_to_tell(short_only: bool) -> None:
    reader = Reader(refuses, most=1 << 20)
    outcomes = list(Runner(reader, key_set(Cipher.AES), short_only=short_only).run(SCRIPT))
    assert [each.difference for each in outcomes if each.difference] == []
    assert not any(fact.name == "command length" for each in outcomes for fact in each.facts)
    assert any(len(raw) > LONGEST_SHORT for raw in reader.sent) is not short_only
