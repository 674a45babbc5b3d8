"""Secure messaging version 1 on the card, against messages made from the spec's words."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, LifeCycle, PowerCut
from cardlib.emulator.profile.card_state import KEY_TRIES
from cardlib.layout import FILE_BY_PATH, KEY_BY_NAME, FileSpec
from tests.cards.software_cards import Terminal, cut_at, key_bytes, sample, terminal
from tests.programs import openssl

EMERGENCY = FILE_BY_PATH["DDF1/DF02/EF05"]
SPECIAL = FILE_BY_PATH["DDF1/DF02/EF06"]
ALLERGIES = FILE_BY_PATH["DDF1/DF02/EF07"]
INDEX = FILE_BY_PATH["DDF1/DF03/EF05"]
VISIT = FILE_BY_PATH["DDF1/DF03/EE01"]
HOSPITALS = FILE_BY_PATH["DDF1/DF05/EF05"]
STK = KEY_BY_NAME["STK_DF02"]
CHAINING = 0x10
KINDS = [EMERGENCY, SPECIAL, ALLERGIES, INDEX, VISIT, HOSPITALS]
both_ciphers = pytest.mark.parametrize("cipher", list(Cipher), ids=lambda cipher: cipher.name)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)


def at(path: str, *keys: str, cipher: Cipher = Cipher.SM4) -> Terminal:
    card = terminal(cipher)
    card.select(path)
    file = FILE_BY_PATH[path]
    card.authenticate(*(keys or {file.read_key, file.update_key, file.erase_key} - {"NEVER"}))
    return card


def tries(card: Terminal, name: str = STK.name) -> int:
    stored = card.card.state.card_key(KEY_BY_NAME[name])
    assert stored is not None
    return stored.tries


def content(card: Terminal) -> dict[int, bytes]:
    """What the files hold; the pages of keys and counters left out."""
    return {number: page for number, page in card.card.memory.pages.items() if number >= 16}


@both_ciphers
@every_kind
def test_every_kind_of_update_is_taken_under_both_ciphers(kind: FileSpec, cipher: Cipher) -> None:
    card = at(kind.path, cipher=cipher)
    assert card.sw(card.change(kind, sample(kind))) == 0x9000
    data, sw = card.read(kind)
    assert sw == 0x9000 and data.startswith(sample(kind))


@both_ciphers
def test_the_terminal_of_these_tests_agrees_with_the_openssl_command(cipher: Cipher) -> None:
    card = terminal(cipher)
    challenge, data = bytes(range(8)), bytes(range(40))
    complement = bytes(255 - octet for octet in challenge)
    key = openssl.ecb(cipher.name, key_bytes(STK.name), challenge + complement)
    assert card.process_key(STK.name, challenge) == key
    plain = b"\x28" + data + b"\x80" + bytes(6)
    assert card.encrypted(key, data) == openssl.ecb(cipher.name, key, plain)
    assert card.mac(key, data) == openssl.cbc(cipher.name, key, data + b"\x80" + bytes(7))[-16:][:4]
    folded = openssl.ecb(cipher.name, key, data[:8] + bytes(8))
    xored = bytes(a ^ b for a, b in zip(folded[:8], folded[8:], strict=True))
    assert card.cryptogram(STK.name, challenge, data[:8]) == xored


@pytest.mark.parametrize(
    ("length", "lc"),
    [(1, 0x14), (18, 0x24), (20, 0x24), (29, 0x34), (30, 0x34), (100, 0x74), (180, 0xC4)],
)
def test_lc_follows_from_the_length_rule(length: int, lc: int) -> None:
    command = terminal().protected(STK.name, "04DC0104", bytes(2 + length))
    assert command[4] == lc == len(command) - 5


def test_lc_of_a_mark_is_4_and_of_an_append_its_records() -> None:
    card = terminal()
    assert card.protected("STK_DF03", "84D20104")[:5].hex().upper() == "84D2010404"
    assert card.protected(STK.name, "04DC0003", bytes(120))[4] == 0x84


@both_ciphers
def test_a_command_is_taken_once(cipher: Cipher) -> None:
    card = at(ALLERGIES.path, cipher=cipher)
    command = card.change(ALLERGIES, sample(ALLERGIES))
    assert card.sw(command) == 0x9000
    assert card.sw(command) == 0x6984
    card.challenge()
    assert card.sw(command) == 0x6988
    assert card.read(ALLERGIES, 2)[1] == 0x6A83


@every_kind
def test_without_a_challenge_it_is_6984_and_without_a_mac_6987(kind: FileSpec) -> None:
    card = at(kind.path)
    before = content(card)
    command = card.change(kind, sample(kind))
    card.card.channels[0].challenge = None
    assert card.sw(command) == 0x6984
    header = command[:4]
    for data in (b"", b"\1", b"\1\2", b"\1\2\3"):
        card.challenge()
        lc = bytes((len(data),)) if data else b""
        assert card.sw(header + lc + data) == 0x6987
    assert content(card) == before
    assert tries(card, "STK_" + kind.df_path[-4:]) == KEY_TRIES


def test_field_codes_mark_without_a_mac_is_refused() -> None:
    card = at(INDEX.path)
    card.challenge()
    assert card.sw("84D2010400") == 0x6987
    assert card.read(INDEX) == (b"\xff", 0x9000)


@pytest.mark.parametrize(
    "command", ["00DC010403290141", "00DC000378", "80D20104", "800C0104", "00D600000141"]
)
def test_a_plain_update_is_refused_even_with_the_right(command: str) -> None:
    raw = bytes.fromhex(command)
    if raw[1:4] == b"\xdc\x00\x03":
        raw += bytes(120)
    path = {0xDC: EMERGENCY.path, 0xD2: INDEX.path, 0x0C: INDEX.path, 0xD6: VISIT.path}[raw[1]]
    card = at(ALLERGIES.path if raw[3] == 3 else path)
    before = content(card)
    assert card.sw(raw) == 0x6982
    assert content(card) == before


CLEAR = CardOptions(clear_updates=True)


def field_card(path: str, *keys: str, life_cycle: LifeCycle = LifeCycle.ACTIVE) -> Terminal:
    """A card whose profile takes what field code sends in clear."""
    card = terminal(life_cycle=life_cycle, options=CLEAR)
    card.select(path)
    card.authenticate(*keys)
    return card


def test_the_profile_takes_appends_marks_and_binary_updates_in_clear_after_uk() -> None:
    card = field_card(ALLERGIES.path, "RK1_DF02", "UK3_DF02")
    record = sample(ALLERGIES)
    assert card.sw(bytes.fromhex("00DC0003") + bytes((len(record),)) + record) == 0x9000
    assert card.read(ALLERGIES) == (record, 0x9000)
    card = field_card(VISIT.path, "RK1_DF03", "UK1_DF03")
    assert card.sw("00D60100020102") == 0x9000
    assert card.send("00B0010002") == (b"\1\2", 0x9000)
    card.select(INDEX.path)
    assert card.sw("84D2020400") == 0x9000
    assert card.read(INDEX, 2) == (b"\0", 0x9000)


def test_what_field_code_does_not_send_in_clear_needs_its_mac_there_too() -> None:
    card = field_card(EMERGENCY.path, "UK1_DF02")
    assert card.sw("00DC0104" + "03" + "290141") == 0x6982
    card = field_card(INDEX.path, "UK1_DF03", "UK2_DF03")
    assert card.sw("80D20104") == 0x6982
    assert card.sw("84D201040100") == 0x6984
    assert card.sw("800C0104") == 0x6982
    assert card.sw("840C010400") == 0x9000, "an erase mark is sent in clear too"
    card.select(VISIT.path)
    for command in ("00D70000075402000053010100", "00D000000101", "000E0000"):
        assert card.sw(command) in (0x6982, 0x6985)
    card.select(HOSPITALS.path)
    card.authenticate(HOSPITALS.update_key)
    for command in ("00E20000" + "01" + "00", "04DC000300"):
        assert card.sw(command) in (0x6982, 0x6984, 0x6987)


def test_in_clear_too_a_change_needs_the_right_and_an_active_card() -> None:
    card = field_card(VISIT.path, "RK1_DF03")
    assert card.sw("00D60000020102") == 0x6982
    card.select(INDEX.path)
    assert card.sw("84D2020400") == 0x6982
    card = field_card(VISIT.path, "UK1_DF03", life_cycle=LifeCycle.PERSONALIZED)
    assert card.sw("00D60000020102") == 0x6985


@both_ciphers
@every_kind
def test_the_profile_of_clear_updates_takes_protected_ones_all_the_same(
    kind: FileSpec, cipher: Cipher
) -> None:
    card = terminal(cipher, options=CLEAR)
    card.select(kind.path)
    card.authenticate(*{kind.read_key, kind.update_key} - {"NEVER"})
    command = card.change(kind, sample(kind))
    assert card.sw(command[:-1] + bytes((command[-1] ^ 1,))) == 0x6988
    assert card.sw(card.change(kind, sample(kind))) == 0x9000


def test_wrong_macs_are_6988_and_count_on_the_stk() -> None:
    card = at(EMERGENCY.path)
    record = sample(EMERGENCY)
    for left in range(14, -1, -1):
        command = card.change(EMERGENCY, record)
        assert card.sw(command[:-1] + bytes((command[-1] ^ 1,))) == 0x6988
        assert tries(card) == left
    assert card.sw(card.change(EMERGENCY, record)) == 0x6983
    assert card.sw(card.authentication("UK1_DF02")) == 0x9000
    card.select(INDEX.path)
    card.authenticate("UK1_DF03")
    assert card.sw(card.change(INDEX, b"")) == 0x9000


def test_a_right_mac_gives_all_tries_back_even_when_the_command_is_refused() -> None:
    card = at(EMERGENCY.path)
    for _ in range(14):
        command = card.change(EMERGENCY, sample(EMERGENCY))
        assert card.sw(command[:-1] + bytes((command[-1] ^ 1,))) == 0x6988
    assert tries(card) == 1
    assert card.sw(card.change(EMERGENCY, b"not a record")) == 0x6A80
    assert tries(card) == KEY_TRIES


@both_ciphers
def test_every_flipped_bit_of_a_command_is_noticed(cipher: Cipher) -> None:
    before = content(at(SPECIAL.path, cipher=cipher))
    for position in range(5 + 16 + 4):
        for bit in (0x01, 0x10, 0x80):
            card = at(SPECIAL.path, cipher=cipher)
            command = bytearray(card.change(SPECIAL, sample(SPECIAL)))
            command[position] ^= bit
            sw = card.sw(bytes(command))
            assert content(card) == before, (position, bit)
            begins_a_chain = position == 0 and bit == CHAINING
            assert (sw == 0x9000) == begins_a_chain, (position, bit)


@pytest.mark.parametrize("other", ["STK_DF01", "STK_DDF1", "UK1_DF02", "RK1_DF02", "STM_MF"])
def test_another_key_is_not_the_stk_of_the_df(other: str) -> None:
    card = at(EMERGENCY.path)
    assert card.sw(card.protected(other, "04DC0104", sample(EMERGENCY))) == 0x6988
    assert tries(card) == 14


def test_wrong_padding_and_wrong_inner_length_are_6988_under_a_right_mac() -> None:
    card = at(EMERGENCY.path)
    record = sample(EMERGENCY)
    for plain in (
        b"\3" + record + bytes(12),  # no 80
        b"\2" + record + b"\x80" + bytes(11),  # inner length too small
        b"\4" + record + b"\x80" + bytes(11),  # inner length too large
        b"\x80" + bytes(15),  # nothing inside, not even the length
        b"\3" + record + b"\x80" + bytes(11) + bytes(16),  # more than a block of padding
    ):
        key = card.process_key(STK.name, card.challenge())
        body = b"".join(card.block(key, plain[i : i + 16]) for i in range(0, len(plain), 16))
        start = bytes.fromhex("04DC0104") + bytes((len(body) + 4,))
        assert card.sw(start + body + card.mac(key, start + body)) == 0x6988
    for size in (1, 15, 17):
        key = card.process_key(STK.name, card.challenge())
        start = bytes.fromhex("04DC0104") + bytes((size + 4,)) + bytes(size)
        assert card.sw(start + card.mac(key, start)) == 0x6988
    assert tries(card) == KEY_TRIES
    assert card.read(EMERGENCY)[0] == bytes.fromhex("2901FF")


def test_a_right_mac_without_data_is_no_record() -> None:
    card = at(EMERGENCY.path)
    assert card.sw(card.protected(STK.name, "04DC0104")) == 0x6A80


@every_kind
def test_without_the_update_right_the_mac_is_not_even_judged(kind: FileSpec) -> None:
    card = at(kind.path, kind.read_key)
    if kind.update_key == kind.read_key:
        return
    before, stk = content(card), "STK_" + kind.df_path[-4:]
    assert card.sw(card.change(kind, sample(kind))) == 0x6982
    command = card.change(kind, sample(kind))
    assert card.sw(command[:-1] + b"\0") == 0x6982
    assert tries(card, stk) == KEY_TRIES
    assert content(card) == before


@every_kind
def test_a_personalized_card_refuses_updates_with_6985(kind: FileSpec) -> None:
    card = terminal(life_cycle=LifeCycle.PERSONALIZED)
    card.select(kind.path)
    assert card.sw(card.change(kind, sample(kind))) == 0x6985
    card.authenticate(*{kind.read_key, kind.update_key, kind.erase_key} - {"NEVER"})
    before = content(card)
    assert card.sw(card.change(kind, sample(kind))) == 0x6985
    assert card.sw(card.erasure(kind)) == 0x6985
    assert content(card) == before


@pytest.mark.parametrize("cla", [0x08, 0x0C, 0x88, 0x8C])
def test_other_secure_messaging_is_not_taken(cla: int) -> None:
    card = at(EMERGENCY.path)
    command = card.change(EMERGENCY, sample(EMERGENCY))
    assert card.sw(bytes((cla,)) + command[1:]) == (0x6E00 if cla & 0x80 else 0x6882)


@pytest.mark.parametrize("command", ["04B2010400", "04A4000002DDF1", "04B0000000", "0484000008"])
def test_version_1_protects_changes_only(command: str) -> None:
    card = at(EMERGENCY.path)
    assert card.sw(command) == 0x6882


def test_an_update_cut_at_any_write_is_done_or_not_done() -> None:
    old, new = b"o" * 200, b"n" * 200
    outcomes = set()
    for position in range(60):
        card = at(VISIT.path)
        assert card.sw(card.change(VISIT, old, offset=200)) == 0x9000
        command = card.change(VISIT, new, offset=200)
        card.card.memory.on_write = cut_at(position)
        try:
            finished = card.sw(command) == 0x9000
        except PowerCut:
            finished = False
        card.card.memory.on_write = None
        card.card.reset()
        card.select(VISIT.path)
        card.authenticate("RK1_DF03")
        found, sw = card.send("00B000C8C8")
        assert sw == 0x9000
        assert found == new or (found == old and not finished)
        assert tries(card, "STK_DF03") in (KEY_TRIES - 1, KEY_TRIES)
        outcomes.add((found == new, finished))
        if finished:
            break
    assert outcomes == {(False, False), (True, False), (True, True)}


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(list(Cipher)),
    st.binary(min_size=1, max_size=238),
    st.integers(0, 1800),
    st.integers(0, 300),
    st.integers(1, 255),
)
@example(Cipher.SM4, b"\0", 0, 0, 28)
def test_what_was_altered_is_never_written(
    cipher: Cipher, data: bytes, offset: int, position: int, change: int
) -> None:
    card = at(VISIT.path, cipher=cipher)
    command = card.change(VISIT, data, offset=offset)
    altered = bytearray(command)
    altered[position % len(command)] ^= change
    before = content(card)
    sw = card.sw(bytes(altered))
    assert content(card) == before
    begins_a_chain = altered[0] & CHAINING and altered[1:] == command[1:]
    assert sw != 0x9000 or begins_a_chain, "only a chain's first part is answered 9000"
    if offset + len(data) <= VISIT.size:
        assert card.sw(card.change(VISIT, data, offset=offset)) == 0x9000
        assert content(card) != before or not data.strip(b"\xff")
