"""The SCP03 host: recorded sessions, a plain reference, and everything that ends a session."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.errors import CardKeyError, ChannelError, FormatError, TransportError
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.messaging import scp03
from cardlib.messaging.scp03 import Scp03Host
from cardlib.messaging.scp03_channel import Scp03Channel
from tests.oracles.scp03 import ReferenceCard, cmac
from tests.vectors import load

H = bytes.fromhex
OK = ResponseAPDU(b"", 0x9000)
SESSIONS = load("scp03")["sessions"]
LEVELS = (0x01, 0x03, 0x11, 0x13, 0x33)
ALTERED = r"^the reply is not what the card sent$"


def static_key(name: str, length: int) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:length]


def make_keys(length: int = 16, version: int = 1) -> SoftwareScp03Keys:
    return SoftwareScp03Keys(version, *(static_key(n, length) for n in ("enc", "mac", "dek")))


def make_card(length: int = 16, i: int = 0x70, **options: Any) -> ReferenceCard:
    return ReferenceCard(static_key("enc", length), static_key("mac", length), i, **options)


def start(card: ReferenceCard, level: int, length: int = 16) -> tuple[Scp03Host, CommandAPDU]:
    """A host that has checked the card's cryptogram, and its EXTERNAL AUTHENTICATE."""
    host = Scp03Host(make_keys(length, card.key_version), level, s16=bool(card.i & 1))
    challenge = host.initialize_update().data
    return host, host.external_authenticate(ResponseAPDU(card.initialize_update(challenge), 0x9000))


def opened(level: int, length: int = 16, i: int = 0x70) -> tuple[Scp03Host, ReferenceCard]:
    card = make_card(length, i)
    host, command = start(card, level, length)
    assert bytes(command) == card.external_authenticate(level)
    host.opened(OK)
    return host, card


# --- recorded and reference sessions --------------------------------------------------


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session["id"])
def test_every_message_of_the_recorded_sessions_is_reproduced(session: dict[str, Any]) -> None:
    first = H(session["initialize_update"])
    version, challenge = first[2], first[5:13]
    keys = SoftwareScp03Keys(version, *(H(session[f"key_{n}"]) for n in ("enc", "mac", "dek")))
    host = Scp03Host(keys, int(session["security_level"], 16), version, challenge)
    assert bytes(host.initialize_update()) == first
    answer = ResponseAPDU(H(session["initialize_update_response"]), 0x9000)
    command = host.external_authenticate(answer)
    assert bytes(command).hex() == session["external_authenticate"]
    host.opened(OK)
    for exchange in session["exchanges"]:
        wrapped = host.wrap(CommandAPDU.parse(H(exchange["command"])))
        assert bytes(wrapped).hex() == exchange["wrapped"]
        if "response_data" in exchange:
            reply = host.unwrap(ResponseAPDU(H(exchange["response_data"]), 0x9000))
            assert reply.data.hex() == exchange["response_plain"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("i", [0x70, 0x71, 0x60, 0x61])
@pytest.mark.parametrize("length", [16, 24, 32])
def test_sessions_agree_with_the_reference(length: int, i: int, level: int) -> None:
    host, card = opened(level, length, i)
    for number, size in enumerate((0, 1, 15, 16, 17, host.capacity, 0, 8)):
        data = bytes(range(size))
        wrapped = host.wrap(CommandAPDU(0x80, 0xE2, number, 0x00, data, le=256))
        assert bytes(wrapped) == card.session.command(
            bytes((0x80, 0xE2, number, 0x00)), data, b"\0"
        )
        reply = card.session.reply(data[::-1], 0x9000)
        assert host.unwrap(ResponseAPDU(reply, 0x9000)).data == data[::-1]


messages = st.lists(
    st.tuples(st.binary(max_size=239), st.binary(max_size=200), st.booleans()), max_size=12
)


@settings(max_examples=25, deadline=None)
@given(level=st.sampled_from(LEVELS), exchanges=messages)
def test_any_chain_of_messages_agrees_with_the_reference(
    level: int, exchanges: list[tuple[bytes, bytes, bool]]
) -> None:
    host, card = opened(level)
    for command, reply, answered in exchanges:
        ours = host.protect(0x80, 0xE2, 0x00, 0x00, command)
        assert ours == card.session.command(H("80E20000"), command)
        if answered:
            sealed = card.session.reply(reply, 0x9000)
            assert host.unprotect(sealed, 0x9000) == reply


@pytest.mark.parametrize("size", [0, 1, 239, 240, 255, 256, 5000, 65000])
def test_extended_length_is_protected(size: int) -> None:
    host, card = opened(0x33)
    data = bytes(size)
    command = CommandAPDU(0x80, 0xE2, 0x00, 0x00, data, le=65536, extended=True)
    wrapped = bytes(host.wrap(command))
    assert wrapped == card.session.command(H("80E20000"), data, b"\0\0", extended=True)
    reply = card.session.reply(bytes(1000), 0x9000)
    assert host.unwrap(ResponseAPDU(reply, 0x9000)).data == bytes(1000)


def test_the_logical_channel_is_not_part_of_what_is_macced() -> None:
    host, card = opened(0x01)
    expected = card.session.command(H("80E20000"), b"data")
    assert host.protect(0x83, 0xE2, 0, 0, b"data") == b"\x87" + expected[1:]


@pytest.mark.parametrize(("level", "i", "capacity"), [
    (0x01, 0x70, 247), (0x03, 0x70, 239), (0x33, 0x70, 239), (0x01, 0x71, 239), (0x33, 0x71, 223),
])  # fmt: skip
def test_the_capacity_is_what_fits_a_short_command(level: int, i: int, capacity: int) -> None:
    host, _ = opened(level, i=i)
    assert host.capacity == capacity
    assert len(host.protect(0x80, 0xE2, 0, 0, bytes(capacity))) <= 260
    with pytest.raises(FormatError, match=str(capacity)):
        host.protect(0x80, 0xE2, 0, 0, bytes(capacity + 1))


def test_le_is_widened_by_what_protection_adds() -> None:
    for level, plain, wide in ((0x01, 16, 16), (0x13, 16, 24), (0x33, 16, 40), (0x33, 250, 0)):
        host, _ = opened(level)
        assert host.protect(0x80, 0xCA, 0, 0, le=plain)[-1] == wide


# --- opening a session ----------------------------------------------------------------


def test_the_host_challenge_is_random() -> None:
    challenges = {Scp03Host(make_keys(), 0x33).initialize_update().data for _ in range(50)}
    assert len(challenges) == 50 and {len(c) for c in challenges} == {8}
    assert len(Scp03Host(make_keys(), 0x33, s16=True).initialize_update().data) == 16


def test_version_and_identifier_choose_the_keys() -> None:
    command = Scp03Host(make_keys(), 0x33, 0x31, key_identifier=0x02).initialize_update()
    assert bytes(command)[:4] == H("80503102")


def test_a_wrong_card_cryptogram_says_version_and_keys_tried() -> None:
    card = make_card(diversification=H("00010203040506070000"))
    card.mac = static_key("another", 16)
    with pytest.raises(ChannelError) as error:
        start(card, 0x33)
    text = str(error.value)
    assert "wrong card cryptogram" in text and "version 01" in text and "i=70" in text
    assert "00010203040506070000" in text
    assert all(kcv.hex().upper() in text for kcv in make_keys().key_check_values)
    assert static_key("mac", 16).hex() not in text.lower()


def test_another_key_version_is_told_apart() -> None:
    card = make_card(key_version=0xFF)
    host = Scp03Host(make_keys(), 0x33)
    answer = ResponseAPDU(card.initialize_update(host.initialize_update().data), 0x9000)
    with pytest.raises(ChannelError, match=r"key version FF.*keys version 01"):
        host.external_authenticate(answer)
    with pytest.raises(ChannelError, match="dead"):
        host.external_authenticate(answer)


@pytest.mark.parametrize("sw", [0x6300, 0x6982, 0x6983])
def test_a_refused_external_authenticate_is_not_a_session(sw: int) -> None:
    host, _ = start(make_card(), 0x33)
    with pytest.raises(ChannelError, match=f"{sw:04X}.*key version 01"):
        host.opened(ResponseAPDU(b"", sw))
    assert not host.is_open
    with pytest.raises(ChannelError):
        host.protect(0x80, 0xE2, 0, 0, b"data")


def test_a_refused_initialize_update_is_said() -> None:
    host = Scp03Host(make_keys(), 0x33, 0xFF)
    host.initialize_update()
    with pytest.raises(ChannelError, match="key version FF: 6A88"):
        host.external_authenticate(ResponseAPDU(b"", 0x6A88))


@pytest.mark.parametrize(("i", "level", "lacks"), [
    (0x10, 0x11, "R-MAC"), (0x10, 0x33, "R-MAC"), (0x30, 0x33, "R-ENC"),
])  # fmt: skip
def test_a_level_the_card_cannot_do_is_refused(i: int, level: int, lacks: str) -> None:
    with pytest.raises(ChannelError, match=f"needs {lacks}"):
        start(make_card(i=i), level)


@pytest.mark.parametrize("damage", [
    lambda data: data[:20], lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"",
    lambda data: data[:11] + b"\x02" + data[12:], lambda data: data[:12] + b"\x71" + data[13:],
])  # fmt: skip
def test_a_malformed_initialize_update_reply_is_refused(
    damage: Callable[[bytes], bytes],
) -> None:
    host = Scp03Host(make_keys(), 0x33)
    reply = make_card().initialize_update(host.initialize_update().data)
    with pytest.raises(ChannelError):
        host.external_authenticate(ResponseAPDU(damage(reply), 0x9000))


def test_levels_and_challenges_outside_the_standard_are_refused() -> None:
    for level in (0x00, 0x02, 0x10, 0x23, 0x30):
        with pytest.raises(ChannelError):
            Scp03Host(make_keys(), level)
    with pytest.raises(ChannelError):
        Scp03Host(make_keys(), 0x33, host_challenge=bytes(7))


def test_commands_before_the_session_is_open_do_not_go_out() -> None:
    host = Scp03Host(make_keys(), 0x33)
    with pytest.raises(ChannelError, match="new"):
        host.wrap(CommandAPDU(0x80, 0xF2, 0x20, 0x02))
    with pytest.raises(ChannelError, match="dead"):
        host.initialize_update()


# --- what a session refuses, and that it is dead afterwards ---------------------------


def dead(host: Scp03Host) -> bool:
    with pytest.raises(ChannelError):
        host.protect(0x80, 0xE2, 0, 0)
    return not host.is_open


@pytest.mark.parametrize("level", [0x11, 0x13, 0x33])
@pytest.mark.parametrize("sw", [0x9000, 0x6282, 0x63C2])
def test_a_reply_whose_mac_was_stripped_is_refused(level: int, sw: int) -> None:
    for data in (b"", b"plain"):
        host, _ = opened(level)
        host.protect(0x80, 0xCA, 0, 0)
        with pytest.raises(ChannelError):
            host.unprotect(data, sw)
        assert dead(host)


@pytest.mark.parametrize("level", [0x11, 0x13, 0x33])
def test_a_mac_only_reply_is_valid(level: int) -> None:
    host, card = opened(level)
    card.session.command(H("80E20000"), b"data")
    host.protect(0x80, 0xE2, 0, 0, b"data")
    assert host.unprotect(card.session.reply(b"", 0x9000), 0x9000) == b""
    assert host.is_open


@pytest.mark.parametrize("sw", [0x6282, 0x63C2, 0x6200])
def test_a_warning_carries_its_mac(sw: int) -> None:
    host, card = opened(0x33)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    reply = host.unwrap(ResponseAPDU(card.session.reply(b"data", sw), sw))
    assert (reply.data, reply.sw) == (b"data", sw)


@pytest.mark.parametrize("sw", [0x6A88, 0x6985, 0x6F00, 0x6C10])
def test_an_error_comes_without_a_mac_and_the_session_goes_on(sw: int) -> None:
    host, card = opened(0x33)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    assert host.unwrap(ResponseAPDU(b"", sw)) == ResponseAPDU(b"", sw)
    assert host.protect(0x80, 0xE2, 0, 0, b"x") == card.session.command(H("80E20000"), b"x")


@pytest.mark.parametrize("sw", [0x6A88, 0x6105, 0x6100])
def test_data_without_a_mac_is_never_believed(sw: int) -> None:
    host, _ = opened(0x33)
    host.protect(0x80, 0xCA, 0, 0)
    with pytest.raises(ChannelError):
        host.unprotect(b"data", sw)
    assert dead(host)


def test_a_bare_61xx_is_not_taken_for_success() -> None:
    host, _ = opened(0x33)
    host.protect(0x80, 0xCA, 0, 0)
    with pytest.raises(ChannelError):
        host.unprotect(b"", 0x6110)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), level=st.sampled_from([0x11, 0x13, 0x33]))
def test_a_changed_reply_is_refused_with_one_error(data: st.DataObject, level: int) -> None:
    host, card = opened(level)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    reply = bytearray(card.session.reply(data.draw(st.binary(max_size=40)), 0x9000))
    position = data.draw(st.integers(0, 8 * len(reply) - 1))
    reply[position // 8] ^= 1 << position % 8
    with pytest.raises(ChannelError, match=ALTERED):
        host.unprotect(bytes(reply), 0x9000)
    assert dead(host)


@pytest.mark.parametrize("plain", [bytes(16), bytes(32), b"x" * 16])
def test_wrong_padding_and_wrong_mac_are_one_error(
    plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, card = opened(0x33)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    monkeypatch.setattr("tests.oracles.scp03.padded", lambda data: data)
    reply = card.session.reply(plain, 0x9000)
    with pytest.raises(ChannelError, match=ALTERED):
        host.unprotect(reply, 0x9000)


def test_a_part_of_a_block_is_not_decrypted() -> None:
    host, card = opened(0x33)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    card.session.level = 0x11
    with pytest.raises(ChannelError, match=ALTERED):
        host.unprotect(card.session.reply(b"x" * 15, 0x9000), 0x9000)


def test_the_mac_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return one == other

    monkeypatch.setattr(scp03, "compare_digest", compare_digest)
    host, card = opened(0x33)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    host.unprotect(card.session.reply(b"", 0x9000), 0x9000)
    assert compared == [8, 8]


def test_a_reply_is_taken_once_and_only_after_a_command() -> None:
    host, card = opened(0x33)
    with pytest.raises(ChannelError):
        host.unprotect(b"", 0x9000)
    host, card = opened(0x33)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    reply = card.session.reply(b"data", 0x9000)
    assert host.unprotect(reply, 0x9000) == b"data"
    with pytest.raises(ChannelError):
        host.unprotect(reply, 0x9000)


def test_a_reply_to_an_earlier_command_is_refused() -> None:
    host, card = opened(0x33)
    card.session.command(H("80CA0000"), b"")
    host.protect(0x80, 0xCA, 0, 0)
    reply = card.session.reply(b"data", 0x9000)
    host.protect(0x80, 0xCA, 0, 0)
    with pytest.raises(ChannelError):
        host.unprotect(reply, 0x9000)


@pytest.mark.parametrize("cla", [0x0C, 0x08, 0x40, 0xC0, 0x60, 0xA0, 0xFF])
def test_a_class_that_cannot_be_protected_ends_the_session(cla: int) -> None:
    host, _ = opened(0x33)
    with pytest.raises(ChannelError):
        host.protect(cla, 0xE2, 0, 0, b"data")
    assert dead(host)


@pytest.mark.parametrize("cla", [0x00, 0x80, 0x84, 0x03, 0x90])
def test_nothing_goes_out_unprotected(cla: int) -> None:
    host, _ = opened(0x01)
    wrapped = host.protect(cla, 0xE2, 0, 0)
    assert wrapped[0] & 0x04 and len(wrapped) == 5 + 8


def test_a_session_shows_no_key() -> None:
    host, card = opened(0x33)
    shown = repr(host) + repr(make_keys())
    for key in (card.enc, card.mac, card.session.enc, card.session.mac, card.session.rmac):
        assert key.hex() not in shown.lower()


# --- the channel over a transmit ------------------------------------------------------


class Peer:
    """A transmit that answers as the reference card; `script` holds plain replies to commands."""

    def __init__(self, script: list[tuple[bytes, int]]) -> None:
        self.card = make_card()
        self.script = script
        self.sent: list[bytes] = []
        self.left = b""

    def transmit(self, raw: bytes) -> bytes:
        self.sent.append(raw)
        command = CommandAPDU.parse(raw)
        if command.ins == 0x50:
            return self.card.initialize_update(command.data) + b"\x90\x00"
        if command.ins == 0x82:
            assert raw == self.card.external_authenticate(command.p1)
            return b"\x90\x00"
        if command.ins == 0xC0:
            return self.left
        data, sw = self.script.pop(0)
        if sw == 0:
            raise TransportError("card pulled out")
        self.card.session.counter += 1
        self.card.session.chain = self._chain(command)
        if sw >> 8 == 0x61:
            self.left = self.card.session.reply(data, 0x9000) + b"\x90\x00"
            return sw.to_bytes(2, "big")
        error = sw != 0x9000
        reply = b"" if error else self.card.session.reply(data, sw)
        return reply + sw.to_bytes(2, "big")

    def _chain(self, command: CommandAPDU) -> bytes:
        head = command.header + bytes((len(command.data),))
        return cmac(self.card.session.mac, self.card.session.chain + head + command.data[:-8])


def test_a_channel_sends_protected_and_gives_plain_replies() -> None:
    peer = Peer([(b"first", 0x9000), (b"", 0x6A88), (b"later", 0x6115)])
    channel = Scp03Channel.open(peer.transmit, make_keys(), 0x33)
    get = CommandAPDU(0x80, 0xCA, 0x00, 0x66, le=256)
    assert channel.send(get) == ResponseAPDU(b"first", 0x9000)
    assert channel.send(get) == ResponseAPDU(b"", 0x6A88)
    assert channel.send(get) == ResponseAPDU(b"later", 0x9000)
    assert peer.sent[-1][:2] == H("00C0")


def test_a_command_is_never_repeated_after_6cxx() -> None:
    peer = Peer([(b"", 0x6C10)])
    channel = Scp03Channel.open(peer.transmit, make_keys(), 0x33)
    assert channel.send(CommandAPDU(0x80, 0xCA, 0x00, 0x66, le=256)).sw == 0x6C10
    assert len(peer.sent) == 3


def test_a_failed_transport_ends_the_channel() -> None:
    peer = Peer([(b"", 0)])
    channel = Scp03Channel.open(peer.transmit, make_keys(), 0x33)
    with pytest.raises(TransportError):
        channel.send(CommandAPDU(0x80, 0xE2, 0, 0, b"data"))
    with pytest.raises(ChannelError):
        channel.send(CommandAPDU(0x80, 0xE2, 0, 0, b"data"))
    assert len(peer.sent) == 3


def test_keys_of_other_lengths_are_no_scp03_keys() -> None:
    for lengths in ((20, 20, 20), (16, 16, 24), (8, 8, 8)):
        with pytest.raises(CardKeyError):
            SoftwareScp03Keys(1, *(bytes(length) for length in lengths))
    with pytest.raises(CardKeyError):
        SoftwareScp03Keys(0, bytes(16), bytes(16), bytes(16))
