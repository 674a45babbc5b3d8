"""What version 1 cannot detect: each test succeeds in the forgery, and fails at it in version 2.

Version 1 protects the header and the data of a change and nothing else: no read, no answer, no
SELECT, no order (card specification, section 4).
"""

from collections.abc import Callable

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.errors import CardError, ChannelError, StatusWordError
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.card_profile import RHCARD

BLOOD, ALLERGIES, INDEX = "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF06"
FIRST, OTHER = "DDF1/DF03/ED01", "DDF1/DF03/ED02"
READ_BINARY, READ_RECORD, SELECT = 0xB0, 0xB2, 0xA4
APPEND, UPDATE, MARK = 0xDC, 0xD6, 0xD2
BEFORE, AFTER = b"as it was", b"as it is!"
CLEAR = RHCARD.having({"clear_updates": "yes"})
both_protocols = pytest.mark.parametrize("protocol", [1, 2])
Transmit = Callable[[bytes], bytes]
Forgery = Callable[[bytes, Transmit], bytes]


class Line:
    """A card behind somebody who takes the commands of one instruction, once there is a forgery."""

    def __init__(self, card: SoftwareCard) -> None:
        self.card, self.atr = card, card.atr
        self.forgery: tuple[int, Forgery] | None = None

    def transmit(self, command: bytes) -> bytes:
        if self.forgery and command[1] == self.forgery[0]:
            return self.forgery[1](command, self.card.transmit)
        return self.card.transmit(command)

    def reset(self) -> bytes:
        return self.card.reset()


def terminal(protocol: int, *keys: str, clear: bool = False) -> tuple[ResidentHealthCard, Line]:
    """A terminal with rights, at a line on which nothing is forged yet."""
    roots = public_test_roots(protocol)
    line = Line(personalized_card(roots, options=CardOptions(clear_updates=clear)))
    card_keys = KeyStore(roots).terminal_keys
    card = ResidentHealthCard(line, card_keys, min_protocol=1, profile=CLEAR if clear else RHCARD)
    for key in keys:
        card.authenticate(key)
    return card, line


def swallowed(_: bytes, __: Transmit) -> bytes:
    return b"\x90\x00"


@both_protocols
def test_a_read_is_altered(protocol: int) -> None:
    card, line = terminal(protocol, "RK1_DF02")
    assert card.read(BLOOD)[0].value == "4"

    def forgery(command: bytes, transmit: Transmit) -> bytes:
        reply = transmit(command)
        return reply[:2] + bytes((reply[2] ^ 6,)) + reply[3:]

    line.forgery = READ_RECORD, forgery
    if protocol == 1:
        assert card.read(BLOOD)[0].value == "2"
    else:
        with pytest.raises(ChannelError):
            card.read(BLOOD)


@both_protocols
def test_an_old_answer_is_given_again(protocol: int) -> None:
    card, line = terminal(protocol, "RK1_DF03", "UK1_DF03")
    card.write_binary(FIRST, 0, BEFORE)
    seen: list[bytes] = []

    def once(command: bytes, transmit: Transmit) -> bytes:
        seen.append(transmit(command))
        return seen[0]

    line.forgery = READ_BINARY, once
    assert card.read_binary(FIRST, 0, len(BEFORE)) == BEFORE
    card.write_binary(FIRST, 0, AFTER)
    if protocol == 1:
        assert card.read_binary(FIRST, 0, len(AFTER)) == BEFORE
    else:
        with pytest.raises(ChannelError):
            card.read_binary(FIRST, 0, len(AFTER))


CHANGES: dict[str, tuple[int, tuple[str, ...], Callable[[ResidentHealthCard], object]]] = {
    "update": (UPDATE, ("UK1_DF03",), lambda card: card.write_binary(FIRST, 0, AFTER)),
    "append": (APPEND, ("UK3_DF02",), lambda card: card.append(ALLERGIES, {"allergen": "芒果"})),
    "mark": (MARK, ("UK1_DF03",), lambda card: card.mark(INDEX, 3)),
}
every_change = pytest.mark.parametrize("kind", CHANGES)


@both_protocols
@every_change
def test_a_change_is_dropped_and_9000_forged(protocol: int, kind: str) -> None:
    ins, keys, change = CHANGES[kind]
    card, line = terminal(protocol, *keys)
    before = dict(line.card.memory.pages)
    line.forgery = ins, swallowed
    if protocol == 1:
        change(card)
        unlike = [page for page, held in line.card.memory.pages.items() if before[page] != held]
        assert not unlike, "the terminal believes in a change that never was"
    else:
        with pytest.raises(ChannelError):
            change(card)


@both_protocols
@every_change
def test_a_change_that_was_made_is_said_to_be_refused(protocol: int, kind: str) -> None:
    ins, keys, change = CHANGES[kind]
    card, line = terminal(protocol, *keys)
    made: list[bytes] = []

    def forgery(command: bytes, transmit: Transmit) -> bytes:
        made.append(transmit(command)[-2:])
        return b"\x65\x81"

    line.forgery = ins, forgery
    with pytest.raises(StatusWordError if protocol == 1 else ChannelError):
        change(card)
    assert made == [b"\x90\x00"]


@both_protocols
def test_an_altered_select_puts_a_change_into_another_file(protocol: int) -> None:
    card, line = terminal(protocol, "RK1_DF03", "UK1_DF03")
    card.write_binary(OTHER, 0, BEFORE)

    def forgery(command: bytes, transmit: Transmit) -> bytes:
        return transmit(command.replace(b"\xed\x01", b"\xed\x02"))

    def altered(command: bytes, transmit: Transmit) -> bytes:
        return transmit(command[:10] + bytes((command[10] ^ 1,)) + command[11:])

    line.forgery = SELECT, forgery if protocol == 1 else altered
    if protocol == 1:
        card.write_binary(FIRST, 0, AFTER)
    else:
        with pytest.raises(CardError):
            card.write_binary(FIRST, 0, AFTER)
    line.forgery = None
    if protocol == 2:
        card.reset()
        card.authenticate("RK1_DF03")
    assert card.read_binary(OTHER, 0, len(BEFORE)) == (AFTER if protocol == 1 else BEFORE)


@both_protocols
def test_whoever_is_on_the_line_reads_with_the_terminals_rights(protocol: int) -> None:
    card, line = terminal(protocol, "RK1_DF02")
    line.card.transmit(bytes.fromhex("00A4080C06DDF1DF02EF05"))
    reply = line.card.transmit(bytes.fromhex("00B2010400"))
    assert (reply[-2:] == b"\x90\x00") == (protocol == 1)
    assert card.rights == {"RK1_DF02"}


@both_protocols
def test_in_the_profile_of_clear_updates_he_writes_as_well(protocol: int) -> None:
    card, line = terminal(protocol, "RK1_DF03", "UK1_DF03", clear=True)
    line.card.transmit(bytes.fromhex("00A4080C06DDF1DF03ED01"))
    reply = line.card.transmit(bytes.fromhex("00D6000009") + AFTER)
    if protocol == 1:
        assert reply == b"\x90\x00"
        assert card.read_binary(FIRST, 0, len(AFTER)) == AFTER
    else:
        assert reply in (b"\x69\x82", b"\x69\x86")
