"""Logical channels, command chaining, short and extended length, GET RESPONSE (7816-3, 7816-4)."""

from itertools import pairwise

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, PIN, personalized_card
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, KEY_BY_NAME
from cardlib.messaging import v1
from tests.cards.issuer_sessions import Issuer, fcp

H = bytes.fromhex
ROOTS = public_test_roots(1)
STORE = KeyStore(ROOTS)
KEYS = STORE.terminal_keys.for_card(CHIP, b"99000000")
FREE, HIDDEN = "00A4080C04DDF1EF05", "00A4080C04DDF1EF06"
PHOTO, VISIT = "00A4080C04DDF1EF07", "00A4080C06DDF1DF03EE01"
FIRST_RECORD = "00B2010400"


class Talk:
    """A card with some options; commands and answers in hex."""

    def __init__(self, card: SoftwareCard | None = None, **options: object) -> None:
        given = CardOptions(**options)  # type: ignore[arg-type]
        self.card = card or personalized_card(ROOTS, options=given)

    def __call__(self, command: str, channel: int = 0) -> str:
        raw = H(command)
        return self.card.transmit(bytes((raw[0] | channel,)) + raw[1:]).hex().upper()

    def authenticate(self, name: str, channel: int = 0) -> None:
        challenge = H(self("0084000008", channel))[:-2]
        command = v1.external_authenticate(
            KEYS.process_key(name, challenge), bytes(8), KEY_BY_NAME[name].reference, 1
        )
        assert self(bytes(command).hex(), channel) == "9000"


@pytest.fixture
def talk() -> Talk:
    return Talk(logical_channels=4)


# Logical channels.


def test_a_card_without_logical_channels_refuses_them_and_never_uses_another() -> None:
    talk = Talk()
    assert talk("0070000001") == "6881"
    assert talk(FREE) == "9000"
    for channel in (1, 2, 3):
        assert talk(HIDDEN, channel) == "6881"
    assert talk(FIRST_RECORD)[-4:] == "9000", "channel 0 has its file still"


@pytest.mark.parametrize("cla", [0x40, 0x41, 0x4F, 0x60, 0x7F, 0x50])
def test_channels_4_to_19_do_not_exist(talk: Talk, cla: int) -> None:
    assert talk(f"{cla:02X}A4080C04DDF1EF06") == "6881"


@pytest.mark.parametrize("cla", [0x20, 0x3F, 0xA0, 0xC0, 0xE0, 0xFF, 0x88, 0x8C])
def test_reserved_classes_are_6e00(talk: Talk, cla: int) -> None:
    assert talk(f"{cla:02X}A4080C04DDF1EF06") == "6E00"


def test_the_card_assigns_the_lowest_free_number(talk: Talk) -> None:
    assert [talk("0070000001") for _ in range(4)] == ["019000", "029000", "039000", "6A81"]
    assert talk("00708002") == "9000"
    assert talk("0070000001") == "029000"


def test_a_number_can_be_asked_for_and_is_then_not_answered(talk: Talk) -> None:
    assert talk("00700003") == "9000"
    assert talk("00700003") == "6A81"
    assert talk("00700004") == "6A86"
    assert talk("0070000001") == "019000"


@pytest.mark.parametrize(("command", "sw"), [
    ("00708000", "6A86"), ("00708003", "6200"), ("00704000", "6A86"), ("0070000001AA", "6700"),
    ("0070800101AA", "6700"), ("007000", "6700"),
])  # fmt: skip
def test_what_makes_no_sense_of_channels_is_refused(talk: Talk, command: str, sw: str) -> None:
    assert talk(command) == sw


def test_a_card_with_two_channels_has_two() -> None:
    talk = Talk(logical_channels=2)
    assert talk("0070000001") == "019000"
    assert talk("0070000001") == "6A81"
    assert talk("00700002") == "6A86"


def test_each_channel_has_its_own_selection(talk: Talk) -> None:
    talk(FREE)
    talk("0070000001")
    assert talk(FIRST_RECORD, 1) == "6986", "a channel of the basic one begins at the MF"
    assert talk(PHOTO, 1) == "9000"
    assert talk(FIRST_RECORD) == talk("00B2010400")
    assert talk(FIRST_RECORD)[-4:] == "9000"
    assert talk("00B0000001", 1) == "6982"


def test_a_channel_opened_from_another_begins_where_that_is(talk: Talk) -> None:
    talk("00700001")
    talk("00A4080C02DDF1", 1)
    assert talk("0070000001", 1) == "029000"
    assert talk("00A4020C02EF05", 2) == "9000"


def test_rights_are_of_one_channel_and_end_with_it(talk: Talk) -> None:
    talk("00700001")
    talk(HIDDEN, 1)
    talk.authenticate("RK1_DDF1", 1)
    assert talk(FIRST_RECORD, 1)[-4:] == "9000"
    talk(HIDDEN)
    assert talk(FIRST_RECORD) == "6982"
    talk("0070000001", 1)
    talk(HIDDEN, 2)
    assert talk(FIRST_RECORD, 2) == "6982", "nor of one opened from it"
    talk("00708000", 1)
    assert talk(FIRST_RECORD, 1) == "6881"
    talk("00700001")
    talk(HIDDEN, 1)
    assert talk(FIRST_RECORD, 1) == "6982"


def test_the_pin_and_the_challenge_are_of_one_channel(talk: Talk) -> None:
    talk("00700001")
    for channel in (0, 1):
        talk("00A4080C02DDF1", channel)
    assert talk("0020000006313335373930", 1) == "9000"
    assert (talk("00200000"), talk("00200000", 1)) == ("63C3", "9000")
    challenge = H(talk("0084000008", 1))[:-2]
    proof = v1.external_authenticate(KEYS.process_key("RK1_DDF1", challenge), bytes(8), 0x04, 1)
    assert talk(bytes(proof).hex()) == "6984"


def test_an_scp03_session_is_of_one_channel(talk: Talk) -> None:
    Issuer(talk.card)
    talk("00700001")
    assert talk(FREE, 1) == "9000"
    assert talk(FIRST_RECORD, 1)[-4:] == "9000"
    assert talk(FIRST_RECORD) == "6982"


def test_a_file_that_is_deleted_is_current_in_no_channel(talk: Talk) -> None:
    issuer = Issuer(talk.card)
    issuer.select("DDF1")
    assert issuer.create(fcp("0C00", "3821")) == 0x9000
    assert issuer.create(fcp("0C01", "0121", 10)) == 0x9000
    talk("00700001")
    talk("00A4080C06DDF10C000C01", 1)
    assert talk("00B0000000", 1)[-4:] == "9000"
    issuer.select("DDF1")
    assert issuer.sw("00E40000", "0C00") == 0x9000
    assert talk("00B0000000", 1) == "6986"
    assert talk("00A4020C02EF05", 1) == "9000", "the directory above is current"


def test_reset_closes_all_channels_but_the_basic_one(talk: Talk) -> None:
    talk("00700001")
    talk.card.reset()
    assert talk(FREE, 1) == "6881"
    assert talk("0070000001") == "019000"


def test_a_pin_that_gets_blocked_is_unverified_on_every_channel(talk: Talk) -> None:
    verify = "0020000006" + PIN.encode("ascii").hex()
    wrong = "0020000006" + b"000001".hex()
    for channel in (0, 1):
        if channel:
            assert talk("0070000001") == "019000"
        assert talk("00A4040C05F052484301", channel) == "9000"
        assert talk(verify, channel) == "9000"
    assert talk("0070000001") == "029000"
    assert talk("00A4040C05F052484301", 2) == "9000"
    assert [talk(wrong, 2), talk(wrong, 2)] == ["63C2", "63C1"]
    assert [talk("00200000", channel) for channel in (0, 1)] == ["9000", "9000"]
    assert talk(wrong, 2) == "63C0"
    assert [talk("00200000", channel) for channel in (0, 1)] == ["63C0", "63C0"]


# Command chaining.


def chained(talk: Talk, header: str, parts: list[bytes], le: str = "") -> list[str]:
    cla, rest = int(header[:2], 16), header[2:]
    answers = [
        talk(f"{cla | 0x10:02X}{rest}{len(part):02X}{part.hex()}" if part else
             f"{cla | 0x10:02X}{rest}")
        for part in parts[:-1]
    ]  # fmt: skip
    return [*answers, talk(f"{header}{len(parts[-1]):02X}{parts[-1].hex()}{le}")]


@pytest.mark.parametrize("cuts", [(), (3,), (1, 2, 3, 4)])
def test_a_chain_is_the_command_that_its_parts_make(talk: Talk, cuts: tuple[int, ...]) -> None:
    path = H("DDF1DF01EF05")
    bounds = [0, *cuts, len(path)]
    parts = [path[a:b] for a, b in pairwise(bounds)]
    assert set(chained(talk, "00A4080C", parts)) == {"9000"}
    assert talk(FIRST_RECORD) == "6982"


def test_a_chain_is_executed_once_with_its_last_part() -> None:
    talk = Talk(clear_updates=True)
    talk(VISIT)
    talk.authenticate("UK1_DF03")
    talk.authenticate("RK1_DF03")
    data = bytes(range(250)) + bytes(250)
    answers = chained(talk, "00D60000", [data[:200], data[200:400], data[400:]])
    assert answers == ["9000"] * 3
    assert H(talk("00B0000000"))[:-2] == data[:256]
    assert H(talk("00B0010000"))[:-2][:244] == data[256:]


def test_nothing_happens_before_the_last_part() -> None:
    talk = Talk(clear_updates=True)
    talk(VISIT)
    talk.authenticate("UK1_DF03")
    talk.authenticate("RK1_DF03")
    assert talk("10D6000002AABB") == "9000"
    talk.card.reset()
    talk(VISIT)
    talk.authenticate("RK1_DF03")
    assert talk("00B0000002") == "FFFF9000"
    assert talk("00D6000002CCDD") == "6982", "and what was collected is gone with its rights"


def test_another_command_ends_a_chain_and_is_executed(talk: Talk) -> None:
    assert talk("10A4080C02DDF1") == "9000"
    assert talk("0084000008")[-4:] == "9000"
    assert talk("00A4080C02EF05") == "6A82", "the first part is forgotten"


def test_another_chain_is_6883_and_both_are_forgotten(talk: Talk) -> None:
    assert talk("10A4080C02DDF1") == "9000"
    assert talk("10DC010401AA") == "6883"
    assert talk("00A4080C02EF05") == "6A82"


def test_chains_of_two_channels_do_not_mix(talk: Talk) -> None:
    talk("00700001")
    assert talk("10A4080C02DDF1") == "9000"
    assert talk("10A4080C02DDF1", 1) == "9000"
    assert talk("00A4080C02EF05") == "9000"
    assert talk("00A4080C02EF06", 1) == "9000"


def test_a_chain_longer_than_any_command_is_6700(talk: Talk) -> None:
    part = "10A4080CFF" + "00" * 255
    assert {talk(part) for _ in range(257)} == {"9000"}
    assert talk(part) == "6700"
    assert talk(FREE) == "9000"


def test_a_card_without_chaining_says_6884() -> None:
    talk = Talk(command_chaining=False)
    assert talk("10A4080C02DDF1") == "6884"
    assert talk("00A4080C02EF05") == "6A82"


# Extended length.


def test_extended_length_is_6700_where_it_is_off() -> None:
    talk = Talk()
    for command in ("00A4080C000004DDF1EF05", "00B00000000000", "00B2010400000100"):
        assert talk(command) == "6700"
        assert talk.card.last_refusal == "this card does not support extended length"


@pytest.mark.parametrize(("command", "length"), [
    ("00B00000000000", 3072), ("00B00000000BFF", 3071), ("00B00000000C00", 3072),
    ("00B0000000000A", 10), ("00B00B0000", 256), ("00B00BFF0000FF", 1),
])  # fmt: skip
def test_an_extended_read_carries_as_much_as_le_says(command: str, length: int) -> None:
    talk = Talk(extended_length=True)
    assert FILE_BY_PATH["DDF1/EF07"].size == 3072
    talk(PHOTO)
    talk.authenticate("RK1_DDF1")
    answer = H(talk(command))
    assert len(answer) - 2 == length
    assert answer[-2:] in (H("9000"), H("6282"))
    assert (answer[-2:] == H("6282")) == (command == "00B00BFF0000FF")


def test_an_extended_command_carries_what_fits_the_file() -> None:
    talk = Talk(extended_length=True, clear_updates=True)
    talk(VISIT)
    for key in ("UK1_DF03", "RK1_DF03"):
        talk.authenticate(key)
    data = bytes(range(256)) * 7
    command = CommandAPDU(0x00, 0xD6, 0x00, 0x00, data, extended=True)
    assert talk(bytes(command).hex()) == "9000"
    assert H(talk("00B00000000700"))[:-2] == data


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("command", [
    "00A4080C05DDF1", "00A4080C04DDF1EF050000", "00A4080C000004DDF1EF",
    "00A4080C000004DDF1EF0500", "00A4080C0000", "00A4", "",
])  # fmt: skip
def test_lengths_that_do_not_agree_are_6700(command: str, extended: bool) -> None:
    assert Talk(extended_length=extended).card.transmit(H(command)) == H("6700")


# GET RESPONSE.


def test_without_le_the_answer_waits_for_get_response(talk: Talk) -> None:
    talk(FREE)
    whole = talk(FIRST_RECORD)
    assert talk("00B20104") == f"61{len(whole) // 2 - 2:02X}"
    assert talk("00C0000000") == whole
    assert talk("00C0000000") == "6985"


def test_get_response_gives_as_much_as_le_says_and_tells_what_is_left(talk: Talk) -> None:
    talk(FREE)
    assert talk("00B2020400")[-4:] == "9000"
    data = H(talk("00B2030400"))[:-2]
    assert talk("00B20304") == f"61{len(data):02X}"
    found, left = b"", len(data)
    while left:
        answer = H(talk("00C0000005"))
        found, left = found + answer[:-2], left - len(answer[:-2])
        assert answer[-2:] == (bytes((0x61, left)) if left else H("9000"))
    assert found == data


def test_256_bytes_that_wait_are_6100() -> None:
    talk = Talk(extended_length=True)
    talk(PHOTO)
    talk.authenticate("RK1_DDF1")
    assert talk("00B00000") == "6100"
    assert len(H(talk("00C0000000"))) == 258


def test_le_that_is_too_small_is_6cxx_and_nothing_waits(talk: Talk) -> None:
    talk(FREE)
    whole = talk(FIRST_RECORD)
    length = len(whole) // 2 - 2
    assert talk("00B2010401") == f"6C{length:02X}"
    assert talk("00C0000000") == "6985"
    assert talk(f"00B20104{length:02X}") == whole


@pytest.mark.parametrize("command", ["00A40000", "0084000008", "00B20004", "00FF0000"])
def test_any_other_command_forgets_what_waits(talk: Talk, command: str) -> None:
    talk(FREE)
    assert talk("00B20104")[:2] == "61"
    talk(command)
    assert talk("00C0000000") == "6985"


def test_what_is_no_command_leaves_what_waits(talk: Talk) -> None:
    talk(FREE)
    assert talk("00B20104")[:2] == "61"
    assert talk("00A4") == "6700"
    assert talk("00C0000000")[-4:] == "9000"


def test_what_waits_is_of_its_channel(talk: Talk) -> None:
    talk("00700001")
    talk(FREE)
    assert talk("00B20104")[:2] == "61"
    assert talk("00C0000000", 1) == "6985"
    assert talk("00C0000000")[-4:] == "9000"


def test_get_response_takes_no_parameters(talk: Talk) -> None:
    talk(FREE)
    talk("00B20104")
    assert talk("00C0010000") == "6A86"
    assert talk("00C0000100") == "6A86"
    assert talk("00C0000000")[-4:] == "9000"


def test_select_without_le_answers_9000_and_never_61xx(talk: Talk) -> None:
    assert talk("00A4040005F052484301") == "9000"
    assert talk("00A4040005F05248430100")[:2] == "6F"
    assert talk("00A4040005F05248430105")[:2] == "6C"


def test_initialize_update_without_le_is_answered_at_once(talk: Talk) -> None:
    answer = H(talk("8050000008" + "00" * 8))
    assert (answer[-2:], answer[:8]) == (H("9000"), CHIP)
