"""The card's version 2: commands of all forms, the PIN, blocking and other applications."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU
from cardlib.crypto import Cipher
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH
from cardlib.messaging.scp03_channel import Scp03Channel
from tests.cards.v2_cards import PIN, Terminal
from tests.emulator.v2_session import opened

H = bytes.fromhex
LONG = CardOptions(extended_length=True, command_chaining=True)
CLINICAL, ALLERGIES, INDEX = "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF06"


# --- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
def test_commands_of_all_four_cases(cipher: Cipher) -> None:
    terminal = opened("UK1_DF02", cipher).authenticate("RK1_DF02", "UK1_DF02")
    assert terminal.select("DDF1/DF02") == 0x9000
    assert len(terminal.ok("00840000", le=8)) == 8
    fci = terminal.ok("00A40800", H("DDF1DF02"), le=256)
    assert fci[0] == 0x6F
    terminal.select("DDF1/DF03")
    terminal.authenticate("UK1_DF03", "RK1_DF03")
    assert terminal.select(INDEX) == 0x9000
    assert terminal.ok("00D20104") == b""
    assert terminal.ok("00B20104", le=256) == b"\x00"


@pytest.mark.parametrize("cipher", Cipher)
def test_records_are_read_and_updated_without_an_stk(cipher: Cipher) -> None:
    terminal = opened("RK1_DF02", cipher)
    assert terminal.try_authenticate("UK1_DF02").sw == 0x9000
    terminal.select(CLINICAL)
    assert terminal.ok("00B20104", le=256) == H("290104")
    terminal.ok("00DC0104", H("290102"))
    assert terminal.ok("00B20104", le=256) == H("290102")


def test_odd_instructions_carry_do85_both_ways() -> None:
    terminal = opened("RK1_DF03")
    assert terminal.try_authenticate("UK1_DF03").sw == 0x9000
    terminal.select("DDF1/DF03/ED01")
    terminal.ok("00D70000", H("540200105303AABBCC"))
    assert terminal.ok("00B00010", le=3) == H("AABBCC")
    assert terminal.ok("00B10000", H("54020010"), le=5) == H("5303AABBCC")


def test_a_short_reply_carries_223_bytes() -> None:
    terminal = opened("RK1_DF03")
    terminal.select("DDF1/DF03/ED01")
    assert len(terminal.ok("00B00000", le=223)) == 223
    assert len(terminal.ok("00B00000", le=256)) == 223
    assert terminal.send("00B00000", le=224) == (b"", 0x6700, True)
    assert len(terminal.ok("00B00000", le=223)) == 223


@pytest.mark.parametrize("path", [CLINICAL, ALLERGIES, "DDF1/DF02/EF08"])
def test_p2_05_answers_as_many_whole_records_as_223_bytes_take(path: str) -> None:
    terminal = opened("RK1_DF02")
    file = FILE_BY_PATH[path]
    terminal.select(path)
    single = []
    for record in range(1, file.records + 1):
        reply = terminal.send(f"00B2{record:02X}04", le=256)
        if reply.sw == 0x9000:
            single.append(reply.data)
    if not single:
        return
    whole = terminal.ok("00B20105", le=256)
    fitting, total = b"", 0
    for record_data in single:
        total += len(record_data)
        if total > 223:
            break
        fitting += record_data
    assert whole == fitting and len(whole) <= 223


def test_extended_length_carries_whole_files() -> None:
    terminal = opened("RK1_DF03", options=LONG)
    assert terminal.try_authenticate("UK1_DF03").sw == 0x9000
    terminal.select("DDF1/DF03/ED01")
    size = FILE_BY_PATH["DDF1/DF03/ED01"].size
    data = bytes(i * 7 & 0xFF for i in range(size))
    assert terminal.send("00D60000", data).sw == 0x9000
    reply = terminal.send("00B00000", le=size, long=True)
    assert (reply.data, reply.sw) == (data, 0x9000)


def test_without_extended_length_it_is_refused_and_the_session_ends() -> None:
    terminal = opened("RK1_DF03")
    terminal.select("DDF1/DF03/ED01")
    assert terminal.send("00B00000", le=400, long=True).sw == 0x6700
    assert terminal.raw(terminal.command("00B00000", le=16)) == H("6982")


@pytest.mark.parametrize("segment", [1, 16, 100, 255])
def test_a_chain_is_joined_before_its_mac_is_checked(segment: int) -> None:
    terminal = opened("UK1_DF03")
    assert terminal.try_authenticate("RK1_DF03").sw == 0x9000
    terminal.select("DDF1/DF03/ED01")
    data = bytes(range(256)) + bytes(44)
    whole = terminal.command("00D60000", data)
    body = whole[7:-2]
    parts = [body[i : i + segment] for i in range(0, len(body), segment)]
    for part in parts[:-1]:
        assert terminal.raw(H("1CD60000") + bytes((len(part),)) + part) == H("9000")
    last = H("0CD60000") + bytes((len(parts[-1]),)) + parts[-1] + b"\x00"
    assert terminal.reply(0xD6, terminal.raw(last)) == (b"", 0x9000, True)
    assert terminal.ok("00B00000", le=200) == data[:200]


def test_without_chaining_a_chain_is_refused() -> None:
    terminal = opened("UK1_DF03", options=CardOptions(command_chaining=False))
    terminal.select("DDF1/DF03/ED01")
    reply = terminal.raw(H("1CD6000010") + bytes(16))
    assert int.from_bytes(reply[-2:], "big") in (0x6884, 0x6982)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(Cipher),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=239)), max_size=6),
)
def test_a_file_reads_as_it_was_written(cipher: Cipher, writes: list[tuple[int, bytes]]) -> None:
    terminal = opened("RK1_DF03", cipher)
    assert terminal.try_authenticate("UK1_DF03").sw == 0x9000
    terminal.select("DDF1/DF03/ED01")
    model = bytearray(b"\xff" * FILE_BY_PATH["DDF1/DF03/ED01"].size)
    for offset, data in writes:
        terminal.ok(f"00D6{offset:04X}", data)
        model[offset : offset + len(data)] = data
    for offset in range(0, len(model), 223):
        part = bytes(model[offset : offset + 223])
        assert terminal.ok(f"00B0{offset:04X}", le=len(part)) == part


# --- PIN, marks, blocking -------------------------------------------------------------------


def test_the_pin_is_taken_inside_a_session_alone() -> None:
    terminal = Terminal()
    terminal.select("DDF1")
    assert terminal.sw(H("0020000006") + PIN.encode()) == 0x6982
    assert terminal.sw("00200000") == 0x6982
    terminal.authenticate("RK1_DF04")
    terminal.select("DDF1/DF04/EF05")
    assert terminal.send("00B20104", le=256).sw == 0x9000
    assert terminal.send("00200000").sw == 0x63C3
    assert terminal.send("00200000", b"000000").sw == 0x63C2
    assert terminal.send("00200000", PIN.encode()).sw == 0x9000


def test_a_holders_file_needs_the_pin_in_the_session() -> None:
    terminal = opened("RK1_DF04")
    assert terminal.try_authenticate("UK1_DF04").sw == 0x9000
    terminal.select("DDF1/DF04/EF05")
    record = terminal.ok("00B20104", le=256)
    assert terminal.send("00DC0104", record).sw == 0x6982
    assert terminal.send("00200000", PIN.encode()).sw == 0x9000
    assert terminal.send("00DC0104", record).sw == 0x9000
    assert terminal.raw("00B2010400") == H("6982")
    terminal.keys = None
    terminal.authenticate("RK1_DF04", "UK1_DF04").select("DDF1/DF04/EF05")
    assert terminal.send("00DC0104", record).sw == 0x6982


def test_the_pin_is_changed_and_unblocked_in_a_session() -> None:
    terminal = opened("RK1_DDF1")
    assert terminal.send("00240000", PIN.encode() + b"246802").sw == 0x9000
    assert terminal.send("00200000", b"246802").sw == 0x9000
    for left in (2, 1, 0):
        assert terminal.send("00200000", b"000000").sw == 0x63C0 | left
    assert terminal.send("00200000", b"246802").sw == 0x6983
    assert terminal.send("002C0200", b"975313").sw == 0x6982
    terminal.authenticate("PUK_DDF1")
    assert terminal.send("002C0200", b"975313").sw == 0x9000
    assert terminal.send("00200000", b"975313").sw == 0x9000
    for _ in range(3):
        terminal.send("00200000", b"000000")
    assert terminal.send("002C0300").sw == 0x9000
    assert terminal.send("00200000", b"975313").sw == 0x9000


def test_marks_are_set_and_erased_without_data() -> None:
    terminal = opened("UK1_DF03").authenticate("RK1_DF03", "UK1_DF03")
    terminal.select(INDEX)
    assert terminal.send("00D20204").sw == 0x9000
    assert terminal.ok("00B20204", le=256) == b"\x00"
    assert terminal.send("000C0204").sw == 0x6982
    assert terminal.try_authenticate("UK2_DF03").sw == 0x9000
    terminal.select(INDEX)
    assert terminal.send("000C0204").sw == 0x9000
    assert terminal.ok("00B20204", le=256) == b"\xff"


def test_an_application_is_blocked_and_unblocked_by_its_lk() -> None:
    terminal = opened("RK1_DF02")
    assert terminal.send("001E0000").sw == 0x6982
    assert terminal.try_authenticate("LK_DF02").sw == 0x9000
    assert terminal.send("001E0000").sw == 0x9000
    reply = terminal.send("00A4080C", H("DDF1DF02"))
    assert (reply.sw, reply.protected) == (0x6283, True)
    terminal.send("00A4080C", H("DDF1DF02EF05"))
    assert terminal.send("00B20104", le=256).sw == 0x6985
    terminal.card.reset()
    terminal.keys = None
    assert terminal.select("DDF1/DF02") == 0x6283
    assert terminal.try_authenticate("LK_DF02").sw == 0x9000
    assert terminal.send("00180000").sw == 0x9000
    assert terminal.send("00A4080C", H("DDF1DF02EF05")).sw == 0x9000


def test_the_card_is_blocked_by_its_bk_for_ever() -> None:
    terminal = opened("RK1_DF02")
    terminal.select("MF")
    assert terminal.send("00160000").sw == 0x6982
    terminal.authenticate("BK_MF")
    reply = terminal.send("00160000")
    assert (reply.sw, reply.protected) == (0x9000, True)
    terminal.card.reset()
    assert terminal.sw("00A4080C02DDF1") == 0x6A81


def test_the_rights_of_a_df_go_with_its_selection() -> None:
    terminal = opened("RK1_DF02")
    terminal.select("DDF1/DF03")
    terminal.select(CLINICAL)
    assert terminal.send("00B20104", le=256).sw == 0x6982


# --- another application --------------------------------------------------------------------


def with_a_created_application() -> Terminal:
    """A 2.0 card that the issuer gave a DF of its own name, D0 01 02 03 04."""
    terminal = Terminal(Cipher.SM4)
    issuer = KeyStore(public_test_roots(2, Cipher.SM4)).issuer_keys(CHIP)
    channel = Scp03Channel.open(terminal.card.transmit, issuer, 0x33)
    template = bytes.fromhex("620E 820138 8302A001 8405D001020304".replace(" ", ""))
    assert channel.send(CommandAPDU(0x00, 0xE0, 0, 0, template)).sw == 0x9000
    terminal.card.reset()
    return terminal


@pytest.mark.parametrize("aid", ["A000000151000000", "D001020304", ""])
def test_selecting_another_application_by_name_ends_the_session(aid: str) -> None:
    terminal = with_a_created_application().authenticate("RK1_DF02")
    assert terminal.send("00A4040C", bytes.fromhex(aid)).sw == 0x9000, "under the session still"
    assert terminal.sw("00A4080C06DDF1DF02EF05") == 0x9000, "the session has ended"
    assert terminal.sw("00B2010400") == 0x6982, "and its rights with it"


def test_selecting_the_health_application_again_keeps_the_session() -> None:
    terminal = with_a_created_application().authenticate("RK1_DDF1")
    assert terminal.send("00A4040C", bytes.fromhex("F052484301")).sw == 0x9000
    assert terminal.select("DDF1/EF06") == 0x9000
    assert terminal.send("00B20104", le=256).sw == 0x9000
