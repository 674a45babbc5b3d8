"""The card's version 2 against the specification's words: what it takes, answers and refuses."""

from collections.abc import Callable

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
from tests.cards.v2_cards import AID, PIN, ROLES, VERSION, Terminal, card_key
from tests.oracles import v2 as ref

H = bytes.fromhex
LONG = CardOptions(extended_length=True, command_chaining=True)
CHANNELS = CardOptions(logical_channels=4)
CLINICAL, ALLERGIES, INDEX = "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF06"
OVER = (0x6982, False)


def opened(name: str = "RK1_DF02", cipher: Cipher = Cipher.SM4, **options: object) -> Terminal:
    """A session by that key."""
    return Terminal(cipher, **options).authenticate(name)  # type: ignore[arg-type]


def is_over(terminal: Terminal) -> bool:
    """Whether the card has left the session, with all rights: its own words, in clear."""
    return terminal.sw("00A4080C06DDF1DF02EF05") == 0x9000 and terminal.sw("00B2010400") == 0x6982


# --- authentication -------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("name", ROLES)
def test_every_role_key_opens_a_session(cipher: Cipher, name: str) -> None:
    terminal = opened(name, cipher)
    assert terminal.select("DDF1/EF05") == 0x9000
    assert terminal.ok("00B20204", le=256)[0] == 0x02


@pytest.mark.parametrize("kid", ["82", "02"])
def test_keys_that_do_not_authenticate_are_not_found(kid: str) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02" if kid == "82" else "MF")
    terminal.challenge()
    assert terminal.sw(H(f"008200{kid}28") + bytes(40) + b"\x28") == 0x6A88


def test_the_irk_never_authenticates_by_82() -> None:
    terminal = Terminal()
    terminal.select("DDF1")
    irk, rnd_ic = card_key(Cipher.SM4, "IRK_DDF1"), terminal.challenge()
    data = ref.cryptogram("SM4", irk, b"\x01", H("DDF10401"), bytes(8) + rnd_ic + bytes(16))
    assert terminal.exchange_82("RK1_DDF1", data).sw == 0x63CE, "in 82, 04 is RK1_DDF1"


def spoiled(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("bit", [0, 7, 64, 127, 128, 200, 255, 256, 300, 319])
def test_a_changed_cryptogram_costs_a_try_and_gives_nothing(bit: int) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    data, *_ = terminal.authentication("RK1_DF02")
    assert terminal.exchange_82("RK1_DF02", spoiled(data, bit)) == (b"", 0x63CE, False)
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x6984
    assert is_over(terminal)


Forge = Callable[[Terminal, bytes], bytes]


def of(first: bytes, b: str, order: str = "T C K", name: str = "RK1_DF02") -> Forge:
    """A cryptogram that is right but for what is said."""

    def make(terminal: Terminal, rnd_ic: bytes) -> bytes:
        parts = {"T": bytes(8), "C": rnd_ic, "K": bytes(16), "O": b"\xa5" * 8}
        randoms = b"".join(parts[part] for part in order.split())
        return ref.cryptogram(terminal.e, card_key(terminal.cipher, name), first, H(b), randoms)

    return make


@pytest.mark.parametrize("forge", [
    of(b"\x02", "DF0284200101"), of(b"\x00", "DF0284200101"), of(b"\x01", "DF0384200101"),
    of(b"\x01", "DF0285200101"), of(b"\x01", "DDF184200101"), of(b"\x01", "DF028401"),
    of(b"\x01", "DF0284100101"), of(b"\x01", "DF0284200201"), of(b"\x01", "DF0284200102"),
    of(b"\x01", "DF0284200101", "C T K"), of(b"\x01", "DF0284200101", "T O K"),
    of(b"\x01", "DF0284200101", name="RK1_DF03"),
], ids=["reflected", "first", "DF", "KID", "DDF", "old B", "spec", "cipher", "version",
        "order", "random", "key"])  # fmt: skip
def test_a_cryptogram_for_something_else_is_refused(forge: Forge) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    data = forge(terminal, terminal.challenge())
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x63CE
    good = of(b"\x01", "DF0284200101")(terminal, terminal.challenge())
    assert terminal.exchange_82("RK1_DF02", good).sw == 0x9000


def test_a_global_key_is_bound_to_the_df_that_holds_it() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    rnd_ic = terminal.challenge()
    key = card_key(Cipher.SM4, "UK1_DDF1")
    data = ref.cryptogram("SM4", key, b"\1", H("DDF105200101"), bytes(8) + rnd_ic + bytes(16))
    reply = terminal.exchange_82("UK1_DDF1", data)
    assert reply.sw == 0x9000
    ref.from_cryptogram("SM4", key, b"\2", H("DDF105200101"), reply.data)


def test_an_old_authentication_does_not_come_again() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    data, *randoms = terminal.authentication("RK1_DF02")
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x9000
    terminal.card.reset()
    terminal.select("DDF1/DF02")
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x6984
    terminal.challenge()
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x63CE
    assert randoms


def test_the_cards_randoms_are_fresh() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    challenges, answers = set(), set()
    for _ in range(8):
        rnd_ic = terminal.challenge()
        data = of(b"\x01", "DF0284200101")(terminal, rnd_ic)
        reply = terminal.exchange_82("RK1_DF02", data)
        key = card_key(Cipher.SM4, "RK1_DF02")
        challenges.add(rnd_ic)
        answers.add(ref.from_cryptogram("SM4", key, b"\2", H("DF0284200101"), reply.data)[16:])
        terminal.card.reset()
        terminal.select("DDF1/DF02")
    assert len(challenges) == len(answers) == 8


def test_fifteen_wrong_cryptograms_block_a_key_and_success_restores_its_tries() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    for left in range(14, 0, -1):
        terminal.challenge()
        assert terminal.exchange_82("RK1_DF02", bytes(40)).sw == 0x63C0 | left
    assert terminal.try_authenticate("RK1_DF02").sw == 0x9000
    terminal.card.reset()
    terminal.keys = None
    terminal.select("DDF1/DF02")
    for left in range(14, -1, -1):
        terminal.challenge()
        assert terminal.exchange_82("RK1_DF02", bytes(40)).sw == 0x63C0 | left
    assert terminal.try_authenticate("RK1_DF02").sw == 0x6983


@pytest.mark.parametrize("size", [0, 1, 16, 18, 39, 41, 80])
def test_authentication_data_of_another_length_costs_nothing(size: int) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    terminal.challenge()
    length = bytes((size,)) if size else b""
    assert terminal.sw(H("00820084") + length + bytes(size) + b"\x28") == 0x6700
    for _ in range(15):
        terminal.challenge()
    assert terminal.try_authenticate("RK1_DF02").sw == 0x9000


def test_a_session_answers_to_nothing_but_its_own_keys() -> None:
    first, second = opened(), opened()
    command = first.command("00840000", le=8)
    assert second.card.transmit(command) == H("6988")
    assert is_over(second)


# --- no downgrade ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["plain", "in a session"])
def test_version_1_authentication_is_refused_without_a_try(before: str) -> None:
    terminal = Terminal()
    if before == "in a session":
        terminal.authenticate("UK1_DF02")
        terminal.challenge()
        reply = terminal.send("00820084", bytes(17))
        assert (reply.sw, reply.protected) == (0x6985, True)
        return
    terminal.select("DDF1/DF02")
    for _ in range(16):
        terminal.challenge()
        assert terminal.sw(H("0082008411") + bytes(17)) == 0x6985
    assert terminal.try_authenticate("RK1_DF02").sw == 0x9000


@pytest.mark.parametrize("command", [
    "04DC010408" + "00" * 8, "04DC000308" + "00" * 8, "04D6000008" + "00" * 8,
    "84D2010404" + "00" * 4, "840C010404" + "00" * 4, "841E000004" + "00" * 4,
    "8418000004" + "00" * 4, "8416000004" + "00" * 4, "04B2010400",
])  # fmt: skip
def test_version_1_protection_is_refused(command: str) -> None:
    terminal = Terminal()
    terminal.select(INDEX)
    assert terminal.sw(command) == 0x6882
    terminal.authenticate("UK1_DF03")
    assert terminal.sw(command) in (0x6882, 0x6982)


def test_internal_authentication_keeps_its_form() -> None:
    terminal = Terminal()
    terminal.select("DDF1")
    data, sw = terminal.plain(H("0088000011") + bytes(16) + bytes((VERSION, 8)))
    assert (len(data), sw) == (8, 0x9000)


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


# --- what ends a session --------------------------------------------------------------------


def test_a_command_with_any_bit_changed_is_not_done_and_ends_the_session() -> None:
    answers = {}
    for bit in range(8 * (5 + 29)):
        terminal = opened("RK1_DF02")
        assert terminal.try_authenticate("UK1_DF02").sw == 0x9000
        terminal.select(CLINICAL)
        command = terminal.command("00DC0104", H("290102"))
        answers[bit] = terminal.raw(spoiled(command, bit)).hex().upper()
        again = terminal.raw(command)
        if answers[bit] not in NO_COMMAND:
            assert again == H("6988" if bit == 4 else "6982"), "a chain begun, or no session"
            assert read_afresh(terminal) == H("290104"), bit
    assert {answers[bit] for bit in range(2)} == {"6881"}, "another logical channel"
    assert {answers[bit] for bit in (5, 7)} == {"6E00"}, "no class of this card"
    assert {answers[bit] for bit in range(32, 40)} == {"6700"}, "no command at all"
    assert {answers[bit] for bit in range(40, 8 * 34)} == {"6987", "6988"}


NO_COMMAND = ("6881", "6E00", "6700")
"""What is said before a command is one of this channel's session, which goes on untouched."""


def read_afresh(terminal: Terminal) -> bytes:
    """Record 1 of the clinical basics in a new session."""
    terminal.card.reset()
    terminal.keys = None
    terminal.authenticate("RK1_DF02").select(CLINICAL)
    return terminal.ok("00B20104", le=256)


Breaking = Callable[[Terminal], bytes]


def body_of(terminal: Terminal, objects: bytes, header: str = "0CB20104") -> bytes:
    """A command with a right MAC over these objects."""
    assert terminal.keys
    terminal.ssc += 1
    message = ref.counter(terminal.ssc) + ref.padded(H(header))
    message += ref.padded(objects) if objects else b""
    mac = ref.cmac(terminal.e, terminal.keys[1], message)[:8]
    return ref.short(H(header), objects + ref.tlv(0x8E, mac))


def sealed(terminal: Terminal, padded: bytes) -> bytes:
    """Padded data encrypted for the next command."""
    assert terminal.keys
    iv = ref.ecb(terminal.e, terminal.keys[0], ref.counter(terminal.ssc + 1))
    return ref.cbc(terminal.e, terminal.keys[0], iv, padded)


MISSING = {
    "no data field": lambda t: H("0CB20104"),
    "no data field but Le": lambda t: H("0CB2010400"),
    "no MAC": lambda t: ref.short(H("0CB20104"), H("970100")),
    "no MAC but data": lambda t: ref.short(H("0CB20104"), H("8711") + bytes(17)),
}
INCORRECT = {
    "MAC of zeros": lambda t: ref.short(H("0CB20104"), H("9701008E08") + bytes(8)),
    "MAC without its own counter": lambda t: (body_of(t, H("970100")), body_of(t, H("970100")))[1],
    "padding of zeros": lambda t: body_of(
        t, ref.tlv(0x87, b"\x01" + sealed(t, bytes(16))), "0CDC0104"
    ),
    "padding of a whole block": lambda t: body_of(
        t, ref.tlv(0x87, b"\x01" + sealed(t, b"\x80" + bytes(31))), "0CDC0104"
    ),
    "no padding indicator": lambda t: body_of(
        t, ref.tlv(0x87, sealed(t, ref.padded(H("290102")))), "0CDC0104"
    ),
    "part of a block": lambda t: body_of(t, ref.tlv(0x87, b"\x01" + bytes(15)), "0CDC0104"),
    "DO85 for an even INS": lambda t: body_of(
        t, ref.tlv(0x85, sealed(t, ref.padded(H("290102")))), "0CDC0104"
    ),
    "a foreign object": lambda t: body_of(t, ref.tlv(0x81, H("290102")), "0CDC0104"),
    "Le of three bytes": lambda t: body_of(t, H("9703000100")),
}  # fmt: skip


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("what", MISSING)
def test_a_missing_object_is_6987_in_clear_and_ends_the_session(what: str, cipher: Cipher) -> None:
    terminal = opened(cipher=cipher)
    terminal.select(CLINICAL)
    assert terminal.raw(MISSING[what](terminal)) == H("6987")
    assert is_over(terminal)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("what", INCORRECT)
def test_a_wrong_object_is_6988_in_clear_and_ends_the_session(what: str, cipher: Cipher) -> None:
    terminal = opened("UK1_DF02", cipher)
    terminal.select(CLINICAL)
    assert terminal.raw(INCORRECT[what](terminal)) == H("6988")
    assert is_over(terminal)


@pytest.mark.parametrize("command", [
    "00B2010400", "00A4080C06DDF1DF02EF05", "0084000008", "00A4040005F05248430100", "80CA9F7F00",
    "0020000006313335373930", "00FE000000", "80B2010400", "1000000000", "00820084",
])  # fmt: skip
def test_a_plain_command_ends_the_session_unprocessed(command: str) -> None:
    terminal = opened()
    terminal.select(CLINICAL)
    assert terminal.raw(command) == H("6982")
    assert is_over(terminal)
    terminal.keys = None
    terminal.authenticate("RK1_DF02")


def test_get_response_is_no_plain_command() -> None:
    terminal = opened()
    terminal.select(CLINICAL)
    assert terminal.raw("00C0000000")[-2:] != H("6982")
    assert terminal.ok("00B20104", le=256)


def test_every_other_status_comes_protected_and_keeps_the_session() -> None:
    terminal = opened()
    for header, data, le, sw in [
        ("00A4080C", H("DDF1DF07"), None, 0x6A82),
        ("00B20104", b"", 256, 0x6986),
        ("00A4080C", H("DDF1DF01EF05"), None, 0x9000),
        ("00B20104", b"", 256, 0x6982),
        ("00A4080C", H("DDF1DF02EF05"), None, 0x9000),
        ("00FC0000", b"", None, 0x6D00),
        ("00B00000", b"", 1, 0x6981),
    ]:
        reply = terminal.send(header, data, le)
        assert (reply.sw, reply.protected) == (sw, True), header


def test_a_further_authentication_adds_its_role_under_new_keys() -> None:
    terminal = opened("RK1_DF02")
    assert terminal.keys
    first = terminal.keys
    assert terminal.try_authenticate("UK1_DF02").sw == 0x9000
    assert terminal.keys != first and terminal.ssc == 0
    terminal.select(CLINICAL)
    terminal.ok("00DC0104", H("290102"))
    assert terminal.ok("00B20104", le=256) == H("290102")


def test_after_an_authentication_no_ef_is_current() -> None:
    terminal = Terminal()
    terminal.select("DDF1/EF05")
    assert terminal.select("DDF1/DF02") == 0x9000
    terminal.authenticate("RK1_DF02")
    terminal.select(CLINICAL)
    assert terminal.ok("00B20104", le=256)
    assert terminal.try_authenticate("UK1_DF02").sw == 0x9000
    assert terminal.send("00B20104", le=256) == (b"", 0x6986, True)


def test_a_failed_further_authentication_ends_the_session() -> None:
    terminal = opened("RK1_DF02")
    terminal.challenge()
    reply = terminal.exchange_82("UK1_DF02", bytes(40))
    assert (reply.sw, reply.protected) == (0x63CE, True)
    assert is_over(terminal)


def test_a_refused_first_authentication_does_not_shorten_the_next_session() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    terminal.challenge()
    assert terminal.exchange_82("RK1_DF02", bytes(40)).sw == 0x63CE
    terminal.authenticate("RK1_DF02")
    for _ in range(3):
        assert terminal.select(CLINICAL) == 0x9000
        assert terminal.ok("00B20104", le=256) == H("290104")


def test_reset_ends_a_session_with_its_rights() -> None:
    terminal = opened()
    terminal.card.reset()
    assert is_over(terminal)
    old = terminal.command("00B20104", le=256)
    assert int.from_bytes(terminal.raw(old)[-2:], "big") in (0x6882, 0x6982, 0x6987, 0x6988)


def test_selecting_another_application_ends_a_session() -> None:
    terminal = opened()
    reply = terminal.send("00A40400", H("A000000151000000"), le=256)
    assert reply.sw == 0x9000 and reply.protected
    assert is_over(terminal)
    terminal = opened()
    assert terminal.send("00A4040C", AID).sw == 0x9000
    assert terminal.send("00A4080C", H("DDF1EF05")).sw == 0x9000


def test_a_session_belongs_to_one_logical_channel() -> None:
    terminal = Terminal(options=CHANNELS)
    assert terminal.plain("0070000001")[0] == b"\x01"
    assert terminal.sw("01A4080C04DDF1DF02") == 0x9000
    other = Terminal(options=CHANNELS, channel=1)
    other.card = terminal.card
    terminal.authenticate("RK1_DF02")
    terminal.select(CLINICAL)
    assert terminal.sw("01A4080C06DDF1DF02EF05") == 0x9000
    assert terminal.sw("01B2010400") == 0x6982
    other.authenticate("RK1_DF02")
    other.select(CLINICAL)
    assert other.ok("00B20104", le=256) == terminal.ok("00B20104", le=256)
    assert terminal.sw("01B2010400") == 0x6982
    assert terminal.ok("00B20104", le=256)
    other.keys = None
    other.authenticate("RK1_DF02")
    closing = terminal.send("00708001")
    assert closing.sw == 0x9000
    assert terminal.ok("00B20104", le=256)


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
