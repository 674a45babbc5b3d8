"""Command and response APDUs: every case, short and extended, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.commands import COMMANDS, name_of
from cardlib.errors import CardError, FormatError
from cardlib.exchange import send

octet = st.integers(0, 255)
data = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([0, 1, 254, 255, 256, 257, 65534, 65535]).map(bytes),
)
ne = st.one_of(st.none(), st.integers(1, 65536), st.sampled_from([1, 255, 256, 257, 65535, 65536]))
commands = st.builds(CommandAPDU, octet, octet, octet, octet, data, ne, st.booleans())


@given(commands)
def test_a_command_comes_back_as_it_was_coded(command: CommandAPDU) -> None:
    parsed = CommandAPDU.parse(bytes(command))
    assert parsed == CommandAPDU(
        command.cla, command.ins, command.p1, command.p2, command.data, command.le,
        command.is_extended,
    )  # fmt: skip
    assert bytes(parsed) == bytes(command)


@given(st.binary(max_size=300))
def test_any_bytes_are_one_command_or_a_format_error(raw: bytes) -> None:
    try:
        command = CommandAPDU.parse(raw)
    except FormatError:
        return
    assert bytes(command) == raw


# ISO/IEC 7816-3:2006 12.1.3, tables 12 and 13: each case, short (S) and extended (E).
CASES = {
    "1": (CommandAPDU(0, 0xA4, 0, 0), "00A40000"),
    "2S": (CommandAPDU(0, 0x84, 0, 0, le=8), "0084000008"),
    "2S, all there is": (CommandAPDU(0, 0xB0, 0, 0, le=256), "00B0000000"),
    "3S": (CommandAPDU(0, 0xA4, 0, 0, b"\xdd\xf1"), "00A4000002DDF1"),
    "4S": (CommandAPDU(0, 0xA4, 4, 0, b"\xf0\x52", 256), "00A4040002F05200"),
    "2E": (CommandAPDU(0, 0xB0, 0, 0, le=0x1234), "00B00000001234"),
    "2E, all there is": (CommandAPDU(0, 0xB0, 0, 0, le=65536), "00B00000000000"),
    "2E, though short would do": (
        CommandAPDU(0, 0xB0, 0, 0, le=1, extended=True),
        "00B00000000001",
    ),
    "3E": (CommandAPDU(0, 0xD6, 0, 0, bytes(256)), "00D60000000100" + "00" * 256),
    "4E": (CommandAPDU(0, 0xD6, 0, 0, b"\1", 2, extended=True), "00D6000000000101" + "0002"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_is_coded_as_the_standard_says(case: str) -> None:
    command, coded = CASES[case]
    assert bytes(command).hex().upper() == coded
    assert bytes(CommandAPDU.parse(bytes.fromhex(coded))) == bytes.fromhex(coded)


@pytest.mark.parametrize(
    "raw",
    [
        "", "00", "00A4", "00A400",  # no whole header
        "00A4000002DD", "00A4000002DDF10000", "00A40000FF00", "00A400000201",  # Lc is not the size
        "00A40000FF" + "00" * 254, "00A40000FF" + "00" * 257,
        "00A400000000", "00A4000000000000",  # extended Lc of zero, or half a length
        "00A400000000020F", "00A40000000002010203", "00A400000000020102030405",
        "00D600000001" + "00" * 256,  # one byte fewer than the extended Lc says
    ],
)  # fmt: skip
def test_lengths_that_disagree_are_a_format_error(raw: str) -> None:
    with pytest.raises(FormatError):
        CommandAPDU.parse(bytes.fromhex(raw))


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("value", [-1, 256])
def test_a_header_is_four_bytes(position: int, value: int) -> None:
    header = [0, 0, 0, 0]
    header[position] = value
    cla, ins, p1, p2 = header
    with pytest.raises(FormatError):
        CommandAPDU(cla, ins, p1, p2)


@pytest.mark.parametrize("le", [0, -1, 65537])
def test_a_command_expects_1_to_65536_bytes(le: int) -> None:
    with pytest.raises(FormatError):
        CommandAPDU(0, 0xB0, 0, 0, le=le)


def test_a_command_carries_at_most_65535_bytes() -> None:
    with pytest.raises(FormatError):
        CommandAPDU(0, 0xD6, 0, 0, bytes(65536))


def test_extended_is_implied_only_where_short_cannot_carry_the_command() -> None:
    assert not CommandAPDU(0, 0, 0, 0, bytes(255), 256).is_extended
    assert CommandAPDU(0, 0, 0, 0, bytes(256)).is_extended
    assert CommandAPDU(0, 0, 0, 0, le=257).is_extended
    assert not CommandAPDU(0, 0, 0, 0, extended=True).is_extended


@given(st.binary(max_size=300), st.integers(0, 0xFFFF))
def test_a_response_comes_back_as_it_was_coded(body: bytes, sw: int) -> None:
    response = ResponseAPDU(body, sw)
    assert ResponseAPDU.parse(bytes(response)) == response
    assert response.ok == (sw == 0x9000 or 0x6100 <= sw <= 0x61FF)


@pytest.mark.parametrize("raw", [b"", b"\x90"])
def test_a_response_has_two_status_bytes(raw: bytes) -> None:
    with pytest.raises(FormatError):
        ResponseAPDU.parse(raw)


class Script:
    """A card that answers from a list and remembers what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = [bytes.fromhex(answer) for answer in answers], list[str]()

    def transmit(self, command: bytes) -> bytes:
        self.asked.append(command.hex().upper())
        return self.answers.pop(0)


def test_6cxx_is_asked_again_with_the_right_le() -> None:
    card = Script("6C03", "0102039000")
    response = send(card.transmit, CommandAPDU(0, 0xB2, 1, 4, le=1))
    assert response == ResponseAPDU(b"\1\2\3", 0x9000)
    assert card.asked == ["00B2010401", "00B2010403"]


def test_61xx_is_followed_to_the_end_on_the_same_channel() -> None:
    card = Script("6102", "01026100", "036281")
    response = send(card.transmit, CommandAPDU(0x06, 0xDC, 1, 4, b"x"))
    assert response == ResponseAPDU(b"\1\2\3", 0x6281)
    assert card.asked[1:] == ["02C0000002", "02C0000000"]


def test_other_answers_are_given_back_as_they_are() -> None:
    card = Script("6982")
    assert send(card.transmit, CommandAPDU(0, 0xB0, 0, 0, le=256)).sw == 0x6982


def test_a_card_that_promises_for_ever_is_an_error_not_a_hang() -> None:
    with pytest.raises(CardError):
        send(lambda _: b"\x61\x10", CommandAPDU(0, 0xB0, 0, 0))
    with pytest.raises(CardError):
        send(lambda _: bytes(16) + b"\x61\x10", CommandAPDU(0, 0xB0, 0, 0))


def test_instructions_have_names_and_globalplatforms_own_in_its_class() -> None:
    assert name_of(0x00, 0xA4) == "SELECT"
    assert name_of(0x84, 0xE2) == "STORE DATA"
    assert name_of(0x00, 0xE2) == "APPEND RECORD"
    assert name_of(0x80, 0xD2) == "WRITE RECORD"
    assert name_of(0x00, 0x01) == "INS 01"
    assert len({(spec.cla, spec.ins) for spec in COMMANDS}) == len(COMMANDS)
