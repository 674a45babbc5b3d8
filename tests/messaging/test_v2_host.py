"""The version-2 host against the reference: what it sends, what it takes, and what ends it."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import BlockCipher, Cipher
from cardlib.errors import CardKeyError, ChannelError, FormatError, StatusWordError, TransportError
from cardlib.keys import CardKeys
from cardlib.keys.mutual import SoftwareAuthentication
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import KEY_BY_NAME
from cardlib.messaging import v2
from cardlib.messaging.iso import SecureMessaging, cmac_suite, protected_length
from cardlib.messaging.v2 import V2Channel, V2Host, binding
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


def card_key(e: str, levels: int = 2) -> bytes:
    """The specification's words: root, region, chip."""
    parent = ref.diversify(e, ROOT, REGION) if levels == 2 else ROOT
    return ref.diversify(e, parent, CHIP)


def card_keys(cipher: Cipher, *names: str) -> CardKeys:
    roots = dict.fromkeys(names or (NAME,), ROOT)
    return SoftwareKeySet(roots, 2, cipher, VERSION).for_card(CHIP, REGION)


class Randoms:
    """RND.IFD, then K.IFD, of fixed bytes."""

    def __init__(self) -> None:
        self.left = [RND_IFD, K_IFD]

    def __call__(self, size: int) -> bytes:
        value = self.left.pop(0)
        assert len(value) == size
        return value


def c1(cipher: Cipher) -> bytes:
    """What a 2.0 card's FCI says: spec, cipher, key version."""
    return bytes((0x20, {Cipher.SM4: 1, Cipher.AES: 2}[cipher], VERSION))


def b_of(cipher: Cipher) -> bytes:
    return ref.binding(H("DF02"), KEY.reference, c1(cipher))


def attempt(cipher: Cipher) -> SoftwareAuthentication:
    return SoftwareAuthentication(cipher, card_key(cipher.name), RND_IC, b_of(cipher), Randoms())


def messaging(cipher: Cipher) -> SecureMessaging:
    enc, mac = (BlockCipher(cipher, key) for key in SESSION)
    return SecureMessaging(cmac_suite(enc, mac))


class Peer:
    """A card made of the reference's functions: it authenticates, and then answers as told."""

    def __init__(
        self, cipher: Cipher, answer: Callable[[bytes], tuple[bytes, int]] = lambda _: (b"", 0x9000)
    ) -> None:
        self.e, self.answer = cipher.name, answer
        self.b = b_of(cipher)
        self.keys: tuple[bytes, bytes] | None = None
        self.ssc = self.made = self.refuses = 0
        self.rnd_ic = b""
        self.seen: list[bytes] = []
        self.plain: list[bytes] = []
        self.tamper: Callable[[bytes], bytes] = lambda reply: reply

    def transmit(self, raw: bytes) -> bytes:
        self.seen.append(raw)
        return self.tamper(self._reply(raw))

    def _reply(self, raw: bytes) -> bytes:
        if self.keys is None:
            data, sw = self._command(raw)
            return data + sw.to_bytes(2, "big")
        if raw[0] & 0x10:
            self.chain += raw[5 : 5 + raw[4]]
            return b"\x90\x00"
        keys, ins = self.keys, raw[1]
        self.ssc += 2
        data, sw = self._command(self._opened(raw))
        ssc, self.ssc = self.ssc, (0 if self.keys is not keys else self.ssc)
        return ref.reply(self.e, keys, ssc, ins, data, sw)

    chain = b""

    def _opened(self, raw: bytes) -> bytes:
        """The plain command, checked by protecting it again."""
        assert self.keys is not None and raw[0] & 0x0C == 0x0C
        start = 7 if raw[4] == 0 and len(raw) > 7 else 5
        body = self.chain + raw[start : -2 if start == 7 else -1]
        self.chain = b""
        data = le = b""
        objects = body[:-10]
        ssc, header = self.ssc - 1, raw[:4]
        if objects and objects[0] in (0x85, 0x87):
            size = {0x81: 3, 0x82: 4}.get(objects[1], 2)
            length = int.from_bytes(objects[2:size], "big") if size > 2 else objects[1]
            value = objects[size : size + length]
            value = value if raw[1] & 1 else value[1:]
            iv = ref.ecb(self.e, self.keys[0], ref.counter(ssc))
            data = ref.unpadded(ref.cbc_back(self.e, self.keys[0], iv, value))
            objects = objects[size + length :]
        if objects:
            assert objects[0] == 0x97
            le = objects[2:]
        assert ref.command(self.e, self.keys, ssc, header, data, le) == body
        plain = bytes((raw[0] & 0xF3,)) + raw[1:4]
        plain += (bytes((len(data),)) if len(data) < 256 else b"") + data if data else b""
        self.plain.append(plain + le)
        return plain + le

    def _command(self, plain: bytes) -> tuple[bytes, int]:
        if plain[1] == 0x84:
            self.made += 1
            self.rnd_ic = bytes((self.made,)) * 8
            return self.rnd_ic, 0x9000
        if plain[1] == 0x82 and self.refuses:
            return b"", self.refuses
        if plain[1] == 0x82:
            return self._authenticate(plain[5:45]), 0x9000
        return self.answer(plain)

    def _authenticate(self, data: bytes) -> bytes:
        key = card_key(self.e)
        randoms = ref.from_cryptogram(self.e, key, b"\1", self.b, data)
        rnd_ifd, rnd_ic, k_ifd = randoms[:8], randoms[8:16], randoms[16:]
        assert rnd_ic == self.rnd_ic
        p = ref.chaining(self.e, self.keys[1]) if self.keys else bytes(16)
        self.keys = ref.session_keys(self.e, k_ifd, K_IC, rnd_ifd, rnd_ic, self.b, p)
        return ref.cryptogram(self.e, key, b"\2", self.b, rnd_ic + rnd_ifd + K_IC)


def opened(cipher: Cipher = Cipher.AES, **options: bool) -> tuple[V2Channel, Peer]:
    peer = Peer(cipher)
    channel = V2Channel(peer.transmit, c1(cipher), **options)
    assert channel.authenticate(card_keys(cipher), KEY).sw == 0x9000
    peer.seen.clear()
    return channel, peer


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


def waiting(ins: int = 0xB0) -> SecureMessaging:
    host = messaging(Cipher.AES)
    host.protect(0x00, ins, 0, 0, le=256)
    return host


def refused(reply: bytes, ins: int = 0xB0) -> str:
    """The one error that every alteration gives; the session is over after it."""
    host = waiting(ins)
    with pytest.raises(ChannelError) as error:
        host.unwrap(ResponseAPDU.parse(reply))
    assert not host.is_open
    with pytest.raises(ChannelError, match="over"):
        host.protect(0x00, 0xB0, 0, 0)
    with pytest.raises(ChannelError):
        host.unwrap(ResponseAPDU.parse(REPLY))
    return str(error.value)


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


# --- the channel ----------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
def test_a_session_begins_plain_and_goes_on_protected(cipher: Cipher) -> None:
    peer = Peer(cipher, lambda plain: (b"data", 0x9000))
    channel = V2Channel(peer.transmit, c1(cipher))
    assert not channel.is_protected and channel.reply_room == 256
    assert channel.send(CommandAPDU(0x00, 0xB2, 1, 4, le=256)).data == b"data"
    assert peer.seen == [H("00B2010400")]
    channel.authenticate(card_keys(cipher), KEY)
    assert channel.is_protected and channel.reply_room == 223 and channel.command_room == 239
    for sent in peer.seen[1:]:
        assert sent[0] == 0x00
    assert channel.send(CommandAPDU(0x00, 0xB2, 1, 5, le=256)) == ResponseAPDU(b"data", 0x9000)
    assert peer.seen[-1][:5] == H("0CB201050D") and peer.seen[-1][5:8] == H("970100")
    assert peer.plain == [H("00B2010500")]


@pytest.mark.parametrize("cipher", Cipher)
def test_further_authentications_go_under_the_old_keys_and_chain_the_new(cipher: Cipher) -> None:
    peer = Peer(cipher)
    channel = V2Channel(peer.transmit, c1(cipher))
    used = []
    for _ in range(4):
        channel.authenticate(card_keys(cipher), KEY)
        channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=1))
        assert peer.keys is not None and peer.ssc == 2
        used.append(peer.keys)
    assert len(set(used)) == 4
    assert all(sent[0] == 0x0C for sent in peer.seen[2:])
    assert [plain[1] for plain in peer.plain] == [0xB0] + 3 * [0x84, 0x82, 0xB0]


def test_a_refused_first_authentication_leaves_the_card_in_clear() -> None:
    replies = iter([RND_IC + b"\x90\x00", b"\x63\xce", b"\x90\x00"])
    channel = V2Channel(lambda _: next(replies), c1(Cipher.SM4))
    assert channel.authenticate(card_keys(Cipher.SM4), KEY).sw == 0x63CE
    assert not channel.is_over
    assert channel.send(CommandAPDU(0x00, 0xA4, 0, 0x0C)).sw == 0x9000


def test_a_refused_further_authentication_ends_the_session() -> None:
    channel, peer = opened()
    peer.refuses = 0x63CE
    assert channel.authenticate(card_keys(Cipher.AES), KEY).sw == 0x63CE
    assert channel.is_over and not channel.is_protected
    with pytest.raises(ChannelError, match="reset the card"):
        channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=1))


@pytest.mark.parametrize("answer", ["", "00" * 40, "00" * 39])
def test_a_forged_first_answer_ends_everything(answer: str) -> None:
    replies = iter([RND_IC + b"\x90\x00", H(answer) + b"\x90\x00"])
    channel = V2Channel(lambda _: next(replies), c1(Cipher.SM4))
    with pytest.raises(ChannelError, match="cryptogram is wrong"):
        channel.authenticate(card_keys(Cipher.SM4), KEY)
    assert channel.is_over and not channel.is_protected
    with pytest.raises(ChannelError, match="reset the card"):
        channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=1))


@pytest.mark.parametrize("challenge", ["9000", "00" * 7 + "9000", "00" * 9 + "9000"])
def test_a_challenge_of_another_length_is_refused(challenge: str) -> None:
    with pytest.raises(ChannelError, match="challenge"):
        V2Channel(lambda _: H(challenge), c1(Cipher.SM4)).authenticate(card_keys(Cipher.SM4), KEY)
    with pytest.raises(StatusWordError, match="GET CHALLENGE"):
        V2Channel(lambda _: H("6D00"), c1(Cipher.SM4)).authenticate(card_keys(Cipher.SM4), KEY)


def test_the_cryptogram_is_not_sent_again_for_6c() -> None:
    sent: list[bytes] = []

    def transmit(raw: bytes) -> bytes:
        sent.append(raw)
        return RND_IC + b"\x90\x00" if raw[1] == 0x84 else b"\x6c\x28"

    assert V2Channel(transmit, c1(Cipher.SM4)).authenticate(card_keys(Cipher.SM4), KEY).sw == 0x6C28
    assert [raw[1] for raw in sent] == [0x84, 0x82]


def test_protected_replies_may_come_by_get_response() -> None:
    channel, peer = opened()
    peer.answer = lambda _: (bytes(range(100)), 0x9000)
    kept = status = b""

    def in_pieces(raw: bytes) -> bytes:
        nonlocal kept, status
        if raw[1] == 0xC0:
            part, kept = kept[: raw[4]], kept[raw[4] :]
            return part + (bytes((0x61, min(len(kept), 255))) if kept else status)
        reply = peer.transmit(raw)
        kept, status = reply[:-2], reply[-2:]
        return bytes((0x61, 40))

    channel._transmit = in_pieces
    assert channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=100)).data == bytes(range(100))


def test_a_failed_transport_ends_the_session_for_what_was_done_is_not_known() -> None:
    channel, _ = opened()

    def torn(_: bytes) -> bytes:
        raise TransportError("card pulled out")

    channel._transmit = torn
    with pytest.raises(TransportError):
        channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=1))
    assert channel.is_over
    with pytest.raises(ChannelError):
        channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=1))


def test_nothing_is_changed_outside_a_session() -> None:
    sent: list[bytes] = []

    def transmit(raw: bytes) -> bytes:
        sent.append(raw)
        return b"\x90\x00"

    channel = V2Channel(transmit, c1(Cipher.SM4))
    with pytest.raises(ChannelError, match="authenticate first"):
        channel.change(CommandAPDU(0x00, 0xD6, 0, 0, b"x"), card_keys(Cipher.SM4), "STK_DF02")
    assert not sent


CHANGES = [
    "000E000000", "0004000000", "0044000000", "001E000000", "00180000", "00160000", "000C010400",
    "00DC010401AA", "00E2000001AA", "00D2010401AA", "00D6000001AA", "00DA010001AA", "00E0000001AA",
    "00E4000000", "00E6000000", "00FE000000", "80E2800001AA", "80D8000001AA", "80E4000001AA",
    "00A2010401AA", "002C0300", "802C0001", "80240000",
]  # fmt: skip
ASKS = [
    "00A4040C02DDF1", "00B0000000", "00B2010400", "00CA006600", "80CA006600", "0084000008",
    "0088000001AA00", "8050300001AA00", "00700000", "00FF000000",
]  # fmt: skip
"""Free reads, GET DATA, 88 and SCP03 may be in clear (card specification 5); FF is unknown."""


@pytest.mark.parametrize("raw", CHANGES)
def test_no_change_and_no_personal_data_leaves_the_host_in_clear(raw: str) -> None:
    sent: list[bytes] = []

    def transmit(command: bytes) -> bytes:
        sent.append(command)
        return b"\x90\x00"

    channel = V2Channel(transmit, c1(Cipher.SM4))
    with pytest.raises(ChannelError, match="never sent in clear"):
        channel.send(CommandAPDU.parse(H(raw)))
    assert not sent


@pytest.mark.parametrize("raw", ASKS)
def test_what_only_asks_may_be_in_clear(raw: str) -> None:
    channel = V2Channel(lambda _: b"\x90\x00", c1(Cipher.SM4))
    assert channel.send(CommandAPDU.parse(H(raw))).ok


@pytest.mark.parametrize("ins", [0x20, 0x24, 0x2C])
def test_a_pin_is_not_sent_in_clear_and_asking_for_its_tries_is(ins: int) -> None:
    sent: list[bytes] = []

    def transmit(raw: bytes) -> bytes:
        sent.append(raw)
        return b"\x63\xc3"

    channel = V2Channel(transmit, c1(Cipher.SM4))
    with pytest.raises(ChannelError, match="never sent in clear"):
        channel.send(CommandAPDU(0x00, ins, 0, 0, b"135790"))
    assert not sent
    assert channel.send(CommandAPDU(0x00, ins, 0, 0)).sw == 0x63C3


def test_closing_ends_a_session_and_only_a_session() -> None:
    channel, _ = opened()
    channel.close()
    assert channel.is_over and repr(channel) == "<version 2 over>"
    plain = V2Channel(lambda _: b"\x90\x00", c1(Cipher.SM4))
    plain.close()
    assert not plain.is_over and repr(plain) == "<version 2 plain>"


def test_long_commands_are_chained_where_the_atr_says_so() -> None:
    channel, peer = opened(chaining=True)
    data = bytes(range(256)) * 3
    assert channel.send(CommandAPDU(0x00, 0xD6, 0, 0, data, 256)).ok
    assert [raw[0] for raw in peer.seen] == [0x1C, 0x1C, 0x1C, 0x0C]
    assert all(len(raw) <= 261 for raw in peer.seen)
    assert peer.plain[-1] == H("00D60000") + data + b"\0"
    with pytest.raises(FormatError, match="ATR"):
        channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=257))


def test_a_chain_that_is_refused_midway_ends_the_session() -> None:
    channel, peer = opened(chaining=True)
    peer.tamper = lambda _: b"\x68\x84"
    with pytest.raises(ChannelError, match="segment of a chain was refused: 6884"):
        channel.send(CommandAPDU(0x00, 0xD6, 0, 0, bytes(300)))
    assert channel.is_over and len(peer.seen) == 1


def test_long_commands_go_out_extended_where_the_atr_says_so() -> None:
    channel, peer = opened(extended=True, chaining=True)
    assert channel.reply_room == channel.command_room == 65503
    peer.answer = lambda _: (bytes(3000), 0x9000)
    response = channel.send(CommandAPDU(0x00, 0xB0, 0, 0, le=channel.reply_room))
    assert len(response.data) == 3000
    assert peer.seen[-1][:7] == H("0CB0000000000E")
    assert channel.send(CommandAPDU(0x00, 0xD6, 0, 0, bytes(channel.command_room))).ok
    assert [raw[0] for raw in peer.seen] == [0x0C, 0x0C]


@pytest.mark.parametrize("command", [
    CommandAPDU(0x00, 0xD6, 0, 0, bytes(240)), CommandAPDU(0x00, 0xB0, 0, 0, le=257),
])  # fmt: skip
def test_what_the_card_cannot_take_is_not_sent(command: CommandAPDU) -> None:
    channel, peer = opened()
    assert channel.command_room == 239
    with pytest.raises(FormatError, match="ATR"):
        channel.send(command)
    assert not peer.seen and channel.is_protected


def test_what_was_asked_for_in_extended_form_goes_in_the_short_form_if_it_must() -> None:
    channel, peer = opened()
    assert channel.send(CommandAPDU(0x00, 0xA4, 0, 0, b"x", 1, True)).ok
    assert peer.plain[-1] == H("00A400000178") + b"\1"
    assert 0 < peer.seen[-1][4] == len(peer.seen[-1]) - 6


def test_a_host_whose_further_answer_is_wrong_is_over() -> None:
    host = V2Host()
    e, b = "AES", b_of(Cipher.AES)
    good = ref.cryptogram(e, card_key(e), b"\2", b, RND_IC + RND_IFD + K_IC)
    host.authenticated(attempt(Cipher.AES), good)
    assert host.messaging is not None and host.messaging.is_open
    assert SESSION[0].hex() not in repr(host.messaging)
    with pytest.raises(ChannelError):
        host.authenticated(attempt(Cipher.AES), bytes(40))
    assert not host.messaging.is_open
