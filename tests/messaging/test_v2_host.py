"""The host's version 2: authentication and messages as the specification says, and no others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError, ChannelError, FormatError
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import KEY_BY_NAME
from cardlib.messaging import v2
from cardlib.messaging.iso import SecureMessaging, cmac_suite, protected_length
from cardlib.messaging.v2 import binding
from tests.messaging.v2_peer import (
    attempt,
    b_of,
    c1,
    card_key,
    card_keys,
    messaging,
    refused,
    waiting,
)
from tests.oracles import v2 as ref
from tests.programs import openssl

H = bytes.fromhex
CHIP, REGION, VERSION = H("5248430000000001"), b"41000000", 3
ROOT = H("00112233445566778899AABBCCDDEEFF")
RND_IC, RND_IFD = H("A1B2C3D4E5F60718"), H("0123456789ABCDEF")
K_IFD, K_IC = bytes(range(0x40, 0x50)), bytes(range(0x90, 0xA0))
NAME = "RK1_DF02"
KEY = KEY_BY_NAME[NAME]
SESSION = (bytes(range(16)), bytes(range(16, 32)))
ALTERED = r"^the reply is not what the card sent$"
GET_CHALLENGE, LARGE = H("0084000008"), 0x10000


# --- authentication -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [
    ("RK1_DF02", "DF0284200203"), ("RK1_DDF1", "DDF104200203"), ("BK_MF", "3F0003200203"),
    ("UK1_DF05", "DF0585200203"),
])  # fmt: skip
def test_b_names_the_df_that_holds_the_key_and_what_the_fci_said(name: str, expected: str) -> None:
    assert binding(KEY_BY_NAME[name], c1(Cipher.AES)).hex().upper() == expected
    with pytest.raises(FormatError):
        binding(KEY_BY_NAME[name], H("03"))


@pytest.mark.parametrize("cipher", Cipher)
def test_the_cryptogram_is_as_the_specification_says(cipher: Cipher) -> None:
    b = b_of(cipher)
    expected = ref.cryptogram(
        cipher.name, card_key(cipher.name), b"\1", b, RND_IFD + RND_IC + K_IFD
    )
    ours = attempt(cipher)
    assert ours.cryptogram == expected
    command = v2.external_authenticate(ours, KEY)
    assert bytes(command) == H("0082008428") + expected + b"\x28"


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("chaining", [bytes(16), b"\xa5" * 16])
def test_session_keys_are_as_the_specification_says(cipher: Cipher, chaining: bytes) -> None:
    e, b = cipher.name, b_of(cipher)
    reply = ref.cryptogram(e, card_key(e), b"\2", b, RND_IC + RND_IFD + K_IC)
    ours = attempt(cipher).session_keys(reply, chaining)
    enc, mac = ref.session_keys(e, K_IFD, K_IC, RND_IFD, RND_IC, b, chaining)
    block = bytes(range(16))
    assert ours.enc.encrypt_ecb(block) == ref.ecb(e, enc, block)
    assert ours.mac.encrypt_ecb(block) == ref.ecb(e, mac, block)
    assert enc.hex() not in repr(ours) and mac.hex() not in repr(ours)


@pytest.mark.parametrize("cipher", Cipher)
def test_keys_cryptograms_and_a_message_agree_with_the_openssl_command(cipher: Cipher) -> None:
    e, b, turned = cipher.name, b_of(cipher), bytes(255 - octet for octet in b"RHC2-ENC")
    key = card_key(e)
    k_enc = openssl.ecb(e, key, b"RHC2-ENC" + turned)
    k_mac = openssl.ecb(e, key, b"RHC2-MAC" + bytes(255 - octet for octet in b"RHC2-MAC"))
    m = openssl.cbc(e, k_enc, RND_IFD + RND_IC + K_IFD)
    ours = attempt(cipher)
    assert ours.cryptogram == m + openssl.cmac(e, k_mac, b"\x01" + b + m)[:8]
    answer = openssl.cbc(e, k_enc, RND_IC + RND_IFD + K_IC)
    answer += openssl.cmac(e, k_mac, b"\x02" + b + answer)[:8]
    p = openssl.cmac(e, SESSION[1], b"RHC2-CHAIN")
    keys = ours.session_keys(answer, p)
    z, ctx = bytes(a ^ c for a, c in zip(K_IFD, K_IC, strict=True)), RND_IFD + RND_IC + b + p
    s_enc = openssl.kbkdf(e, z, b"RHC2-SENC", ctx, 16)
    s_mac = openssl.kbkdf(e, z, b"RHC2-SMAC", ctx, 16)
    host = SecureMessaging(cmac_suite(keys.enc, keys.mac))
    command, record = H("0CDC0104"), H("290102")
    ssc = bytes(15) + b"\x01"
    sealed = openssl.cbc(e, s_enc, record + b"\x80" + bytes(12), openssl.ecb(e, s_enc, ssc))
    objects = H("871101") + sealed
    to_mac = ssc + command + b"\x80" + bytes(11) + objects + b"\x80" + bytes(-len(objects) % 16 - 1)
    expected = objects + b"\x8e\x08" + openssl.cmac(e, s_mac, to_mac)[:8]
    assert host.protect(0x00, 0xDC, 1, 4, record) == command + b"\x1d" + expected + b"\x00"


@pytest.mark.parametrize("cipher", Cipher)
def test_only_the_cards_own_answer_is_taken(cipher: Cipher) -> None:
    e, key, b = cipher.name, card_key(cipher.name), b_of(cipher)
    good = ref.cryptogram(e, key, b"\2", b, RND_IC + RND_IFD + K_IC)
    forged = {
        "reflected": attempt(cipher).cryptogram,
        "of the terminal's kind": ref.cryptogram(e, key, b"\1", b, RND_IC + RND_IFD + K_IC),
        "randoms not turned": ref.cryptogram(e, key, b"\2", b, RND_IFD + RND_IC + K_IC),
        "another RND.IFD": ref.cryptogram(e, key, b"\2", b, RND_IC + RND_IC + K_IC),
        "another RND.IC": ref.cryptogram(e, key, b"\2", b, RND_IFD + RND_IFD + K_IC),
        "another DF": ref.cryptogram(e, key, b"\2", H("DF03") + b[2:], RND_IC + RND_IFD + K_IC),
        "another KID": ref.cryptogram(e, key, b"\2", H("DF0285") + b[3:], RND_IC + RND_IFD + K_IC),
        "another spec": ref.cryptogram(
            e, key, b"\2", b[:3] + H("21") + b[4:], RND_IC + RND_IFD + K_IC),
        "another cipher": ref.cryptogram(
            e, key, b"\2", b[:4] + H("03") + b[5:], RND_IC + RND_IFD + K_IC),
        "another version": ref.cryptogram(
            e, key, b"\2", b[:5] + H("02"), RND_IC + RND_IFD + K_IC),
        "the B of before": ref.cryptogram(
            e, key, b"\2", H("DF028403"), RND_IC + RND_IFD + K_IC),
        "another key": ref.cryptogram(e, bytes(16), b"\2", b, RND_IC + RND_IFD + K_IC),
        "short": good[:-1], "long": good + b"\0", "empty": b"",
    }  # fmt: skip
    errors = set()
    for name, reply in forged.items():
        with pytest.raises(ChannelError) as error:
            attempt(cipher).session_keys(reply, bytes(16))
        errors.add(str(error.value))
        assert name
    assert len(errors) == 1
    attempt(cipher).session_keys(good, bytes(16))


def test_every_flipped_bit_of_the_cards_answer_is_noticed() -> None:
    e, b = "AES", b_of(Cipher.AES)
    good = ref.cryptogram(e, card_key(e), b"\2", b, RND_IC + RND_IFD + K_IC)
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ChannelError):
            attempt(Cipher.AES).session_keys(bytes(flipped), bytes(16))


def test_an_authentication_gives_keys_once_and_never_after_a_failure() -> None:
    e, b = "SM4", b_of(Cipher.SM4)
    good = ref.cryptogram(e, card_key(e), b"\2", b, RND_IC + RND_IFD + K_IC)
    once = attempt(Cipher.SM4)
    once.session_keys(good, bytes(16))
    failed = attempt(Cipher.SM4)
    with pytest.raises(ChannelError):
        failed.session_keys(bytes(40), bytes(16))
    for spent in (once, failed):
        with pytest.raises(ChannelError):
            spent.session_keys(good, bytes(16))


def test_randoms_are_fresh_and_no_repr_shows_them() -> None:
    keys = card_keys(Cipher.SM4)
    first, second = (keys.authentication(NAME, RND_IC, b_of(Cipher.SM4)) for _ in range(2))
    assert first.cryptogram != second.cryptogram
    assert repr(first) == repr(second) == "<authentication SM4 DF0284200103>"


def test_wrong_lengths_and_the_other_protocol_are_refused() -> None:
    for rnd_ic, b in ((bytes(7), bytes(6)), (bytes(8), bytes(4)), (bytes(8), bytes(5))):
        with pytest.raises(CardKeyError):
            attempt_keys = card_keys(Cipher.SM4)
            attempt_keys.authentication(NAME, rnd_ic, b)
    with pytest.raises(CardKeyError):
        attempt(Cipher.SM4).session_keys(bytes(40), bytes(15))
    version1 = SoftwareKeySet({NAME: ROOT}, 1, Cipher.SM4).for_card(CHIP, REGION)
    with pytest.raises(CardKeyError, match="cannot authenticate by version 2"):
        version1.authentication(NAME, RND_IC, bytes(6))


def test_a_protocol_2_key_set_makes_process_keys_of_the_irk_alone() -> None:
    keys = card_keys(Cipher.SM4, "IRK_DDF1", NAME, "STK_DF02", "BK_MF")
    assert keys.process_key("IRK_DDF1", bytes(8)).mac(b"") != b""
    for name in (NAME, "STK_DF02", "BK_MF"):
        with pytest.raises(CardKeyError, match="no process key"):
            keys.process_key(name, bytes(8))


# --- messages -------------------------------------------------------------------------------

commands = st.builds(
    CommandAPDU,
    st.integers(0, 3), st.sampled_from((0xB0, 0xB1, 0xD6, 0xD7, 0xA4, 0xDC)),
    st.integers(0, 255), st.integers(0, 255),
    st.binary(max_size=300), st.none() | st.integers(1, 256) | st.sampled_from((257, 1000, LARGE)),
    st.booleans(),
)  # fmt: skip


def le_bytes(command: CommandAPDU) -> bytes:
    if command.le is None:
        return b""
    if command.extended or command.le > 256:
        return (command.le & 0xFFFF).to_bytes(2, "big")
    return bytes((command.le & 0xFF,))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(Cipher), st.lists(commands, min_size=1, max_size=4), st.data())
def test_messages_agree_with_the_reference_both_ways(
    cipher: Cipher, sequence: list[CommandAPDU], data: st.DataObject
) -> None:
    host, ssc = messaging(cipher), 0
    for command in sequence:
        header = bytes((command.cla | 0x0C, command.ins, command.p1, command.p2))
        le = le_bytes(command)
        body = ref.command(cipher.name, SESSION, ssc + 1, header, command.data, le)
        form = ref.extended if len(body) > 255 or len(le) == 2 or command.extended else ref.short
        raw = host.protect(*command[:5], command.le, extended=command.extended)
        assert raw == form(header, body)
        assert protected_length(command.ins, len(command.data), len(le)) == len(body)
        plain = data.draw(st.binary(max_size=300))
        sw = data.draw(st.sampled_from((0x9000, 0x6282, 0x6A82, 0x6982, 0x63C2)))
        reply = ref.reply(cipher.name, SESSION, ssc + 2, command.ins, plain, sw)
        assert host.unwrap(ResponseAPDU.parse(reply)) == ResponseAPDU(plain, sw)
        ssc += 2


def test_wrap_is_protect_as_a_command() -> None:
    command = CommandAPDU(0x00, 0xB0, 0x00, 0x10, le=223)
    wrapped = messaging(Cipher.SM4).wrap(command)
    assert bytes(wrapped) == messaging(Cipher.SM4).protect(0x00, 0xB0, 0x00, 0x10, le=223)


def test_classes_that_have_no_protected_form_are_refused() -> None:
    for cla in (0x04, 0x0C, 0x10, 0x40, 0x80, 0x84):
        host = messaging(Cipher.AES)
        with pytest.raises(FormatError):
            host.protect(cla, 0xB0, 0, 0)
        assert not host.is_open


REPLY = ref.reply("AES", SESSION, 2, 0xB0, b"twenty bytes of data", 0x9000)


def test_every_flipped_bit_of_a_reply_is_noticed_and_told_alike() -> None:
    assert waiting().unwrap(ResponseAPDU.parse(REPLY)).data == b"twenty bytes of data"
    told = set()
    for bit in range(8 * len(REPLY)):
        flipped = bytearray(REPLY)
        flipped[bit // 8] ^= 1 << bit % 8
        told.add(refused(bytes(flipped)))
    assert told == {"the reply is not what the card sent"}


def test_a_reply_cut_anywhere_or_lengthened_is_noticed() -> None:
    for end in range(len(REPLY) - 2):
        refused(REPLY[:end] + b"\x90\x00")
        refused(REPLY[-2 - end :])
    refused(REPLY[:-2] + b"\x00\x90\x00")
    refused(b"\x00" + REPLY)


def mac_of(objects: bytes, ssc: int = 2) -> bytes:
    return ref.cmac("AES", SESSION[1], ref.counter(ssc) + ref.padded(objects))[:8]


@pytest.mark.parametrize("case", [
    "padding 00", "padding FF", "padding of a whole block", "no indicator", "another indicator",
    "part of a block", "no blocks", "twice", "order", "DO85 for an even INS", "no status",
    "another status", "foreign object", "indefinite length", "length too long", "nothing",
])  # fmt: skip
def test_a_rightly_maced_reply_that_is_no_reply_is_told_like_a_bad_mac(case: str) -> None:
    e, (s_enc, _) = "AES", SESSION
    iv, status = ref.ecb(e, s_enc, ref.counter(2)), H("99029000")

    def sealed(padded: bytes) -> bytes:
        return ref.cbc(e, s_enc, iv, padded)

    good = ref.tlv(0x87, b"\1" + sealed(ref.padded(b"data")))
    objects = {
        "padding 00": ref.tlv(0x87, b"\1" + sealed(bytes(16))) + status,
        "padding FF": ref.tlv(0x87, b"\1" + sealed(b"\xff" * 16)) + status,
        "padding of a whole block":
            ref.tlv(0x87, b"\1" + sealed(b"\x80" + bytes(31))) + status,
        "no indicator": ref.tlv(0x87, sealed(ref.padded(b"data"))) + status,
        "another indicator": ref.tlv(0x87, b"\2" + sealed(ref.padded(b"data"))) + status,
        "part of a block": ref.tlv(0x87, b"\1" + bytes(15)) + status,
        "no blocks": ref.tlv(0x87, b"\1") + status,
        "twice": good + good + status,
        "order": status + good,
        "DO85 for an even INS": ref.tlv(0x85, sealed(ref.padded(b"data"))) + status,
        "no status": good,
        "another status": good + H("99026982"),
        "foreign object": ref.tlv(0x81, b"data") + status,
        "indefinite length": H("8780") + status,
        "length too long": H("8711") + b"\1" + bytes(15) + status,
        "nothing": b"",
    }[case]  # fmt: skip
    reply = objects + ref.tlv(0x8E, mac_of(objects)) + b"\x90\x00"
    assert refused(reply) == "the reply is not what the card sent"


def test_an_odd_ins_takes_do85_alone() -> None:
    reply = ref.reply("AES", SESSION, 2, 0xB1, b"data", 0x9000)
    assert waiting(0xB1).unwrap(ResponseAPDU.parse(reply)).data == b"data"
    assert refused(reply, 0xB0) == refused(REPLY, 0xB1) == "the reply is not what the card sent"


@pytest.mark.parametrize("sw", ["9000", "6982", "6A82", "6988", "6987", "6C10", "63C0", "6282"])
@pytest.mark.parametrize("data", ["", "99029000", "00" * 9])
def test_a_reply_without_protection_ends_the_session(sw: str, data: str) -> None:
    assert "is not protected" in refused(H(data + sw))


def test_replies_are_not_taken_before_their_command_or_twice() -> None:
    host = messaging(Cipher.AES)
    with pytest.raises(ChannelError):
        host.unwrap(ResponseAPDU.parse(ref.reply("AES", SESSION, 1, 0xB0, b"", 0x9000)))
    host = waiting()
    with pytest.raises(ChannelError):
        host.protect(0x00, 0xB0, 0, 0)
    host = waiting()
    host.unwrap(ResponseAPDU.parse(REPLY))
    with pytest.raises(ChannelError):
        host.unwrap(ResponseAPDU.parse(REPLY))


def test_the_hosts_own_command_is_no_reply() -> None:
    host = messaging(Cipher.AES)
    raw = host.protect(0x00, 0xB0, 0, 0, b"x", 256)
    with pytest.raises(ChannelError, match=ALTERED):
        host.unwrap(ResponseAPDU(raw[5:-1], 0x9000))
