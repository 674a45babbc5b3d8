"""What the SAM refuses (card specification 3; amendment 6), each with its status word."""

from collections.abc import Callable

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.layout import KEYS
from tests.cards.sams import (
    CHALLENGE,
    ENCRYPT_CHALLENGE,
    PIN,
    ask,
    authenticate,
    binding,
    blank_sam,
    command,
    diversify,
    factors,
    opened,
    sam_of,
    sw,
)

H = bytes.fromhex
V2 = (2, Cipher.SM4, 1)
NOT_IN_2_0 = [k.name for k in KEYS if k.role in ("STK", "STM", "IRK")]


# --- selection and PIN --------------------------------------------------------------------


def test_nothing_is_calculated_before_the_pin() -> None:
    sam = sam_of()
    assert sw(sam, "00A4000002DF01") == 0x9000
    for sent in (diversify("RK1_DF02"), authenticate("RK1_DF02"), ENCRYPT_CHALLENGE,
                 command(0xEB, 0, 0, bytes(56))):  # fmt: skip
        assert sw(sam, sent) == 0x6982


def test_nothing_is_done_before_df01_is_selected() -> None:
    sam = sam_of()
    for sent in (H("0020000006") + PIN.digits, diversify("RK1_DF02"), ENCRYPT_CHALLENGE):
        assert sw(sam, sent) == 0x6985


@pytest.mark.parametrize("leave", ["00A40000023F00", "00A4040008A000000151000000"])
def test_leaving_df01_ends_the_pin_state(leave: str) -> None:
    sam = opened(sam_of())
    assert sw(sam, leave) == 0x9000
    assert sw(sam, "00A4000002DF01") == 0x9000
    assert sw(sam, diversify("RK1_DF02")) == 0x6982


def test_selecting_df01_again_keeps_the_pin_state_and_forgets_the_process_key() -> None:
    sam = opened(sam_of())
    assert sw(sam, diversify("RK1_DF02")) == 0x9000
    assert sw(sam, "00A4000002DF01") == 0x9000
    assert sw(sam, ENCRYPT_CHALLENGE) == 0x6985
    assert sw(sam, diversify("RK1_DF02")) == 0x9000


def test_three_wrong_pins_block_the_sam_and_its_own_is_refused_too() -> None:
    sam = sam_of()
    assert sw(sam, "00A4000002DF01") == 0x9000
    wrong, right = H("0020000006") + b"000000", H("0020000006") + PIN.digits
    assert [sw(sam, wrong) for _ in range(3)] == [0x63C2, 0x63C1, 0x63C0]
    sam.reset()
    assert sw(sam, "00A4000002DF01") == 0x9000
    assert sw(sam, right) == 0x6983
    assert sw(sam, "00200000") == 0x63C0


def test_a_wrong_pin_closes_an_open_sam_and_a_right_one_gives_the_tries_back() -> None:
    sam = opened(sam_of())
    assert sw(sam, "00200000") == 0x9000
    assert sw(sam, H("0020000006") + b"000000") == 0x63C2
    assert sw(sam, diversify("RK1_DF02")) == 0x6982
    opened(sam)
    assert sw(sam, H("0020000006") + b"000000") == 0x63C2


@pytest.mark.parametrize(("form", "data", "status"), [
    ("ASCII", H("135790"), 0x6700), ("ASCII", b"13579A", 0x6A80), ("ASCII", b"\xff" * 6, 0x6A80),
    ("BCD", PIN.digits, 0x6700), ("BCD", H("13579A"), 0x6A80), ("BCD", H("135790"), 0x9000),
    ("ASCII", PIN.digits, 0x9000),
])  # fmt: skip
def test_a_pin_of_another_form_spends_no_try(form: str, data: bytes, status: int) -> None:
    sam = sam_of(pin_form=form)
    assert sw(sam, "00A4000002DF01") == 0x9000
    assert sw(sam, b"\x00\x20\x00\x00" + bytes((len(data),)) + data) == status
    assert sw(sam, "00200000") == (0x9000 if status == 0x9000 else 0x63C3)


def test_a_blank_sam_has_no_df01_and_says_so() -> None:
    sam = blank_sam()
    assert sw(sam, "00A4000002DF01") == 0x6A82
    assert sw(sam, "00A4040005F052484302") == 0x9000
    assert sw(sam, H("0020000006") + PIN.digits) == 0x6985
    assert sw(sam, diversify("RK1_DF02")) == 0x6982


# --- 80 DE and 80 FA ----------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_only_the_keys_own_levels_and_usage_are_taken(key: object) -> None:
    name, sam = key.name, opened(sam_of())  # type: ignore[attr-defined]
    good = diversify(name)
    accepted = []
    for p1 in range(0x100):
        for data in (factors(name), bytes(8), bytes(16), bytes(24)):
            sent = command(0xDE, p1, good[3], data + CHALLENGE)
            if sw(sam, sent) == 0x9000:
                accepted.append((p1, len(data)))
    assert set(accepted) == {(good[2], len(factors(name)))}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_version_2_takes_only_the_keys_own_levels(key: object) -> None:
    """Else a level-2 key of the chip as region and RHC2-ENC as chip would be another key's."""
    name, sam = key.name, opened(sam_of(V2))  # type: ignore[attr-defined]
    good = authenticate(name)
    accepted = set()
    for p1 in range(0x100):
        for data in (bytes(8), bytes(16), bytes(24)):
            sent = command(0xEA, p1, good[3], data + CHALLENGE + good[-6:])
            if sw(sam, sent) == 0x9000:
                accepted.add((p1 >> 5, len(data)))
    levels = len(factors(name)) // 8
    assert accepted == (set() if name in NOT_IN_2_0 else {(levels, 8 * levels)})


def test_an_authentication_gives_one_block_that_ends_in_zeros() -> None:
    sam = opened(sam_of())
    assert sw(sam, diversify("RK1_DF02")) == 0x9000
    assert sw(sam, command(0xFA, 5, 0, bytes(32))) == 0x6985
    assert sw(sam, command(0xFA, 0, 0, bytes(32))) == 0x6700
    assert sw(sam, command(0xFA, 0, 0, bytes(15))) == 0x6700
    assert sw(sam, command(0xFA, 0, 0, bytes(15) + b"\1")) == 0x6A80
    assert sw(sam, ENCRYPT_CHALLENGE) == 0x9000
    assert sw(sam, ENCRYPT_CHALLENGE) == 0x6985


@pytest.mark.parametrize(("header", "data", "status"), [
    (0x00, bytes(0), 0x6700), (0x00, bytes(17), 0x6700), (0x05, bytes(16), 0x6700),
    (0x05, bytes(33), 0x6700), (0x01, bytes(16), 0x6A86),
])  # fmt: skip
def test_messaging_takes_whole_blocks(header: int, data: bytes, status: int) -> None:
    sam = opened(sam_of())
    assert sw(sam, diversify("STK_DF02")) == 0x9000
    assert sw(sam, command(0xFA, header, 0, data)) == status


def test_a_2_0_set_diversifies_its_internal_key_only() -> None:
    sam = opened(sam_of(V2))
    held = [k.name for k in KEYS if k.role not in ("STK", "STM")]
    taken = [name for name in held if sw(sam, diversify(name)) == 0x9000]
    assert taken == ["IRK_DDF1"]
    assert sw(sam, diversify("RK1_DF02")) == 0x6985
    assert sw(sam, diversify("STK_DF02")) == 0x6A88


# --- 80 EA and 80 EB ----------------------------------------------------------------------


@pytest.mark.parametrize("byte", range(6))
def test_a_b_that_is_not_the_keys_is_refused(byte: int) -> None:
    sam = opened(sam_of(V2))
    own = binding("RK1_DF02", Cipher.SM4, 1)
    other = own[:byte] + bytes((own[byte] ^ 1,)) + own[byte + 1 :]
    assert sw(sam, authenticate("RK1_DF02", b=other)) == 0x6A80
    assert sw(sam, command(0xEB, 0, 0, bytes(56))) == 0x6985
    assert sw(sam, authenticate("RK1_DF02")) == 0x9000


def test_the_internal_key_does_not_authenticate() -> None:
    assert sw(opened(sam_of(V2)), authenticate("IRK_DDF1")) == 0x6A80


def test_a_1_0_set_does_not_authenticate_by_version_2() -> None:
    assert sw(opened(sam_of()), authenticate("RK1_DF02")) == 0x6985


def test_there_are_no_session_keys_without_80_ea_before() -> None:
    sam = opened(sam_of(V2))
    assert sw(sam, command(0xEB, 0, 0, bytes(56))) == 0x6985
    for between in (diversify("IRK_DDF1"), H("00A4000002DF01"), H("0020000006") + PIN.digits):
        assert sw(sam, authenticate("RK1_DF02")) == 0x9000
        assert sw(sam, between) == 0x9000
        assert sw(sam, command(0xEB, 0, 0, bytes(56))) == 0x6985


def test_a_wrong_reply_ends_the_authentication() -> None:
    sam = opened(sam_of(V2))
    assert sw(sam, authenticate("RK1_DF02")) == 0x9000
    assert sw(sam, command(0xEB, 0, 0, bytes(55))) == 0x6700
    assert sw(sam, command(0xEB, 0, 0, bytes(56))) == 0x6300
    assert sw(sam, command(0xEB, 0, 0, bytes(56))) == 0x6985


def test_its_own_cryptogram_is_no_reply_of_a_card() -> None:
    sam = opened(sam_of(V2))
    cryptogram, _ = ask(sam, authenticate("RK1_DF02"))
    assert sw(sam, command(0xEB, 0, 0, cryptogram + bytes(16))) == 0x6300


# --- limit, roles, versions ---------------------------------------------------------------


def _v1(sam: SoftwareSam) -> int:
    return sw(sam, diversify("RK1_DF02"))


def _v2(sam: SoftwareSam) -> int:
    return sw(sam, authenticate("RK1_DF02"))


@pytest.mark.parametrize(("kind", "once"), [((1, Cipher.SM4, 1), _v1), (V2, _v2)])
def test_it_stops_at_its_limit_whatever_is_reset(
    kind: tuple[int, Cipher, int], once: Callable[[SoftwareSam], int]
) -> None:
    sam = sam_of(kind, limit=3)
    for status in (0x9000, 0x9000, 0x9000, 0x6984, 0x6984):
        sam.reset()
        assert once(opened(sam)) == status
    assert sw(sam, diversify("IRK_DDF1")) == 0x6984
    if kind[0] == 1:
        assert sw(sam, diversify("STK_DF02")) == 0x6984


def test_what_is_refused_is_not_counted_and_messaging_is_not_either() -> None:
    sam = opened(sam_of(limit=1))
    assert sw(sam, diversify("STK_DF02")) == 0x9000
    assert sw(sam, command(0xDE, 0x27, 0x33, bytes(16))) == 0x6A86
    assert sw(sam, diversify("RK1_DF02", 2)) == 0x6A88
    assert sw(sam, diversify("RK1_DF02")) == 0x9000
    assert sw(sam, diversify("RK1_DF02")) == 0x6984


def test_a_role_has_its_keys_and_no_other() -> None:
    sam = opened(sam_of(roles=("emergency",)))
    taken = {k.name for k in KEYS if sw(sam, diversify(k.name)) == 0x9000}
    assert taken == {"IRK_DDF1", "RK1_DF02"}


@pytest.mark.parametrize("sent", [
    "80CADF2000", "80F28002024F00", "80F080FF", "00B0000000", "80501234", "84E2880000",
    "80E2880000", "80D8FF8100", "00840000", "00820000", "80E40000", "9000", "0CDE473300",
    "90DE4733", "00A4010002DF01", "00A4000002DF02", "00A4040005F052484301",
])  # fmt: skip
def test_what_a_sam_does_not_have_is_refused(sent: str) -> None:
    assert sw(opened(sam_of()), sent) not in (0x9000, 0x6F00)
