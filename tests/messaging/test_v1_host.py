"""Secure messaging version 1 against the specification's words, computed by the openssl command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.errors import FormatError, StatusWordError
from cardlib.keys.roots import public_test_roots
from cardlib.keys.software import SoftwareKeySet, SoftwareProcessKey
from cardlib.keys.store import KeyStore
from cardlib.layout.card_profile import RHCARD
from cardlib.messaging import v1
from cardlib.transport.recorder import Recorder
from tests.programs import openssl

CHIP = bytes.fromhex("5248430000000001")
REGION = b"41000000"
CHALLENGE = bytes.fromhex("A1B2C3D4E5F60718")
CLEAR = RHCARD.having({"clear_updates": "yes"})
ROOT = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
LC_BY_VALUE_LENGTH = {1: 0x14, 18: 0x24, 20: 0x24, 29: 0x34, 30: 0x34, 100: 0x74, 180: 0xC4}
"""The specification's table: length of the value in a TLV record to Lc (section 4)."""


# --- the specification's words, again ---------------------------------------------------


def diversified(cipher: str, key: bytes, data8: bytes) -> bytes:
    """diversify(K, D8) = E_K(D8 ‖ not D8)."""
    return openssl.ecb(cipher, key, data8 + bytes(255 - octet for octet in data8))


def process_key(cipher: str, *steps: bytes) -> bytes:
    """Root, then each diversification step, the challenge last."""
    key = ROOT
    for step in steps:
        key = diversified(cipher, key, step)
    return key


def filled(data: bytes) -> bytes:
    """Padded 80 00… by at least one byte."""
    data += b"\x80"
    return data + b"\x00" * (-len(data) % 16)


def protected(cipher: str, key: bytes, header: bytes, data: bytes) -> bytes:
    """Encrypt length ‖ data by ECB; MAC header ‖ Lc ‖ encrypted by CBC with IV 0; 4 bytes."""
    encrypted = openssl.ecb(cipher, key, filled(bytes([len(data)]) + data)) if data else b""
    head = header + bytes([len(encrypted) + 4])
    return head + encrypted + openssl.cbc(cipher, key, filled(head + encrypted))[-16:-12]


def folded(cipher: str, key: bytes, data8: bytes) -> bytes:
    """C = E(data8 ‖ 00*8), then C[0:8] xor C[8:16]."""
    c = openssl.ecb(cipher, key, data8 + bytes(8))
    return bytes(left ^ right for left, right in zip(c[:8], c[8:], strict=True))


# --- our messages ------------------------------------------------------------------------


def ours(cipher: Cipher, name: str = "STK_DF02") -> SoftwareProcessKey:
    keys = SoftwareKeySet({name: ROOT}, 1, cipher).for_card(CHIP, REGION)
    return keys.process_key(name, CHALLENGE)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize(("name", "steps"), [
    ("STK_DF02", (REGION, CHIP, CHALLENGE)), ("STK_DF01", (CHIP, CHALLENGE)),
])  # fmt: skip
def test_process_keys_follow_the_diversification_levels(
    cipher: Cipher, name: str, steps: tuple[bytes, ...]
) -> None:
    block = bytes(range(16))
    expected = openssl.ecb(cipher.name, process_key(cipher.name, *steps), block)
    assert ours(cipher, name).encrypt(block) == expected


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize(("length", "lc"), LC_BY_VALUE_LENGTH.items())
def test_an_updated_record_is_as_the_specification_says(
    cipher: Cipher, length: int, lc: int
) -> None:
    record = bytes([0x16, length]) + bytes(range(length))
    message = bytes(v1.protect(ours(cipher), CommandAPDU(0x00, 0xDC, 0x02, 0x04, record)))
    assert message[:5] == bytes([0x04, 0xDC, 0x02, 0x04, lc])
    key = process_key(cipher.name, REGION, CHIP, CHALLENGE)
    assert message == protected(cipher.name, key, message[:4], record)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize(("header", "data"), [
    ("00DC0003", bytes(120)),
    ("00D60100", b"\xff" * 238),
    ("00D60000", b"x"),
    ("00D60000", bytes(15)),
    ("80D20104", b""),
    ("800C0304", b""),
    ("801E0000", b""),
])  # fmt: skip
def test_appends_binary_updates_and_marks_are_as_the_specification_says(
    cipher: Cipher, header: str, data: bytes
) -> None:
    cla, ins, p1, p2 = bytes.fromhex(header)
    command = CommandAPDU(cla, ins, p1, p2, data)
    message = bytes(v1.protect(ours(cipher), command))
    assert message[0] == command.cla | 0x04
    key = process_key(cipher.name, REGION, CHIP, CHALLENGE)
    assert message == protected(cipher.name, key, message[:4], data)
    if not data:
        assert message[4] == 4 and len(message) == 9


@pytest.mark.parametrize("cipher", Cipher)
def test_external_authenticate_is_as_the_specification_says(cipher: Cipher) -> None:
    terminal_random = bytes(range(8))
    command = v1.external_authenticate(ours(cipher), terminal_random, 0x84, 1)
    key = process_key(cipher.name, REGION, CHIP, CHALLENGE)
    cryptogram = folded(cipher.name, key, terminal_random)
    expected = bytes.fromhex("0082008411") + cryptogram + terminal_random + b"\x01"
    assert bytes(command) == expected


@pytest.mark.parametrize("cipher", Cipher)
def test_internal_authenticate_is_as_the_specification_says(cipher: Cipher) -> None:
    sam_random, data8 = CHALLENGE, bytes(range(8))
    command = v1.internal_authenticate(sam_random, data8, 3)
    assert bytes(command) == bytes.fromhex("0088000011") + sam_random + data8 + b"\x03\x08"
    key = process_key(cipher.name, REGION, CHIP, sam_random)
    assert v1.cryptogram(ours(cipher), data8) == folded(cipher.name, key, data8)


def test_get_challenge_asks_for_eight_bytes() -> None:
    assert bytes(v1.GET_CHALLENGE) == bytes.fromhex("0084000008")


@given(st.binary(max_size=238))
def test_any_data_that_fits_makes_a_short_command(data: bytes) -> None:
    message = bytes(v1.protect(ours(Cipher.SM4), CommandAPDU(0x00, 0xD6, 0, 0, data)))
    assert message[4] == len(message) - 5
    assert message[4] % 16 == 4 and len(message) <= 5 + 244


def test_too_much_data_and_wrong_classes_are_refused() -> None:
    key = ours(Cipher.SM4)
    with pytest.raises(FormatError, match="239 bytes"):
        v1.protect(key, CommandAPDU(0x00, 0xD6, 0, 0, bytes(239)))
    for cla in (0x0C, 0x08, 0x10, 0x40):
        with pytest.raises(FormatError):
            v1.protect(key, CommandAPDU(cla, 0xD6, 0, 0, b"x"))
    for size in (0, 7, 9, 16):
        with pytest.raises(FormatError):
            v1.external_authenticate(key, bytes(size), 0x84, 1)
        with pytest.raises(FormatError):
            v1.internal_authenticate(bytes(size), bytes(8), 1)
        with pytest.raises(FormatError):
            v1.internal_authenticate(bytes(8), bytes(size), 1)


@pytest.mark.parametrize(("command", "sent"), [
    ("00DC0003020102", "00DC0003020102"),
    ("00D60102020102", "00D60102020102"),
    ("80D20204", "84D2020400"),
    ("800C0204", "840C020400"),
])  # fmt: skip
def test_field_codes_commands_go_out_in_clear(command: str, sent: str) -> None:
    clear = v1.in_clear(CommandAPDU.parse(bytes.fromhex(command)))
    assert clear is not None and bytes(clear).hex().upper() == sent


@pytest.mark.parametrize("command", ["00DC0104020102", "801E0000", "80240000", "80160000"])
def test_what_field_code_protects_goes_out_protected(command: str) -> None:
    assert v1.in_clear(CommandAPDU.parse(bytes.fromhex(command))) is None


STORE = KeyStore(public_test_roots(1))


def writer(recorder: Recorder, *, clear: bool) -> ResidentHealthCard:
    return ResidentHealthCard(
        recorder, STORE.terminal_keys, min_protocol=1, profile=CLEAR if clear else RHCARD
    )


@pytest.mark.parametrize("clear", [False, True], ids=["protected", "in clear"])
def test_a_terminal_writes_as_field_code_does_to_cards_of_that_profile(clear: bool) -> None:
    options = CardOptions(clear_updates=clear)
    recorder = Recorder(personalized_card(public_test_roots(1), options=options))
    card = writer(recorder, clear=clear)
    card.authenticate("UK3_DF02")
    card.append("DDF1/DF02/EF07", {"allergen": "芒果"})
    card.authenticate("RK1_DF03")
    card.authenticate("UK1_DF03")
    slot = card.write_visit("inpatient", {"admission_date": "20250304"})
    card.authenticate("UK1_DF02")
    card.update("DDF1/DF02/EF05", 1, {"abo_blood_group": "2"})
    card.authenticate("RK1_DF02")
    assert card.read("DDF1/DF02/EF07")[0].value == "芒果"
    assert card.read("DDF1/DF02/EF05")[0].value == "2"
    card.authenticate("RK1_DF03")
    assert [found for found, _ in card.read_visits("inpatient")] == [slot]
    heads = {exchange.command[:2].hex() for exchange in recorder.exchanges}
    assert heads & {"00dc", "00d6", "04d6"} == ({"00dc", "00d6"} if clear else {"04d6"})
    assert heads >= {"04dc", "84d2"}


def test_a_card_of_another_profile_refuses_what_comes_in_clear() -> None:
    card = writer(Recorder(personalized_card(public_test_roots(1))), clear=True)
    card.authenticate("UK1_DF03")
    with pytest.raises(StatusWordError, match="6982"):
        card.write_binary("DDF1/DF03/EE01", 0, b"in clear")
