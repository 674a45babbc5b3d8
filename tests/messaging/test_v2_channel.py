"""The host's channel of version 2: when a session begins and ends, and what is never sent."""

from collections.abc import Callable

import pytest

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import Cipher
from cardlib.errors import ChannelError, FormatError, StatusWordError, TransportError
from cardlib.layout import KEY_BY_NAME
from cardlib.messaging.v2 import V2Channel, V2Host
from tests.messaging.v2_peer import attempt, b_of, c1, card_key, card_keys
from tests.oracles import v2 as ref

H = bytes.fromhex
RND_IC, RND_IFD = H("A1B2C3D4E5F60718"), H("0123456789ABCDEF")
K_IFD, K_IC = bytes(range(0x40, 0x50)), bytes(range(0x90, 0xA0))
NAME = "RK1_DF02"
KEY = KEY_BY_NAME[NAME]
SESSION = (bytes(range(16)), bytes(range(16, 32)))


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
