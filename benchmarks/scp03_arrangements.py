"""SCP03 messages by everybody: our host, yubikit, and bare `cryptography` as fast as it goes."""

from collections.abc import Callable
from functools import partial

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import ScpProcessor, SmartCardConnection, SmartCardProtocol
from yubikit.core.smartcard.scp import Scp03KeyParams, ScpState, StaticKeys

from cardlib.apdu import ResponseAPDU
from cardlib.keys.static_keys import (
    CARD_CRYPTOGRAM,
    S_ENC,
    S_MAC,
    S_RMAC,
    SoftwareScp03Keys,
    derive,
)
from cardlib.messaging.scp03 import Scp03Host

ENC, MAC, DEK = (bytes(range(start, start + 16)) for start in (0x00, 0x10, 0x20))
HOST_CHALLENGE, CARD_CHALLENGE = bytes(range(0x40, 0x48)), bytes(range(0x50, 0x58))
CONTEXT = HOST_CHALLENGE + CARD_CHALLENGE
LEVEL, VERSION = 0x33, 1
HEADER = (0x80, 0xE2, 0x88, 0x00)

Call = Callable[[], object]


def keys() -> SoftwareScp03Keys:
    """The static keys of every arrangement."""
    return SoftwareScp03Keys(VERSION, ENC, MAC, DEK)


def initialize_update_reply() -> bytes:
    """What a card with these keys answers to the fixed host challenge, without status word."""
    cryptogram = derive(keys().session_key(S_MAC, CONTEXT), CARD_CRYPTOGRAM, CONTEXT, 64)
    return bytes(10) + bytes((VERSION, 3, 0x70)) + CARD_CHALLENGE + cryptogram + b"\0\0\1"


def opened_host() -> Scp03Host:
    """Our host in an open session at level 33."""
    host = Scp03Host(keys(), LEVEL, VERSION, HOST_CHALLENGE)
    host.initialize_update()
    host.external_authenticate(ResponseAPDU(initialize_update_reply(), 0x9000))
    host.opened(ResponseAPDU(b"", 0x9000))
    return host


def _yubikit_state() -> tuple[ScpState, bytes]:
    reply = initialize_update_reply()
    parameters = Scp03KeyParams(keys=StaticKeys(ENC, MAC, DEK))
    return ScpState.scp03_init(lambda *_: reply, parameters, host_challenge=HOST_CHALLENGE)


class _Silent(SmartCardConnection):
    """A card that takes every command, already bytes, and answers 9000."""

    @property
    def transport(self) -> TRANSPORT:
        """USB."""
        return TRANSPORT.USB

    def close(self) -> None:
        """Nothing to let go of."""

    def connection(self) -> None:
        """No connection below this one."""

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        """Answer 9000."""
        return b"", 0x9000


def _yubikit_processor() -> tuple[ScpProcessor, bytes]:
    """The chain of processors that yubikit itself puts together, and the host cryptogram."""
    state, cryptogram = _yubikit_state()
    base, formatter = SmartCardProtocol(_Silent())._build_base_processor()
    return ScpProcessor(base, formatter, state), cryptogram


def our_wrap(data: bytes) -> Call:
    """Our host, from a command's fields to its bytes."""
    return partial(opened_host().protect, *HEADER, data)


def yubikit_wrap(data: bytes) -> Call:
    """The peer, from a command's fields to the bytes that its connection is given."""
    processor, _ = _yubikit_processor()
    return partial(processor.send_apdu, *HEADER, data, 0)


def bare_wrap(data: bytes) -> Call:
    """One CBC context for the session, never finalized, and copies of one CMAC; no checks."""
    s_enc, s_mac = (_session_key(constant) for constant in (S_ENC, S_MAC))
    encrypt = Cipher(algorithms.AES(s_enc), modes.CBC(bytes(16))).encryptor().update
    template = CMAC(algorithms.AES(s_mac))
    padded = data + b"\x80" + bytes(-(len(data) + 1) % 16)
    header = bytes((0x84, *HEADER[1:], len(padded) + 8))
    counter, last, chain = 0, 0, bytes(16)

    def wrap() -> bytes:
        nonlocal counter, last, chain
        counter += 1
        sealed = encrypt((counter ^ last).to_bytes(16, "big") + padded)
        last = int.from_bytes(sealed[-16:], "big")
        body = header + sealed[16:]
        mac = template.copy()
        mac.update(chain + body)
        chain = mac.finalize()
        return body + chain[:8]

    return wrap


def _session_key(constant: int) -> bytes:
    static = ENC if constant == S_ENC else MAC
    mac = CMAC(algorithms.AES(static))
    mac.update(bytes(11) + bytes((constant, 0, 0, 128, 1)) + CONTEXT)
    return mac.finalize()


def _reply(chain: bytes, data: bytes) -> bytes:
    """The protected reply to the first command of a session, as the specification builds it."""
    s_enc, s_rmac = algorithms.AES(_session_key(S_ENC)), algorithms.AES(_session_key(S_RMAC))
    icv = Cipher(s_enc, modes.ECB()).encryptor().update(b"\x80" + bytes(14) + b"\1")
    padded = data + b"\x80" + bytes(-(len(data) + 1) % 16)
    sealed = Cipher(s_enc, modes.CBC(icv)).encryptor().update(padded)
    mac = CMAC(s_rmac)
    mac.update(chain + sealed + b"\x90\0")
    return sealed + mac.finalize()[:8]


def our_unwrap(data: bytes) -> Call:
    """Our host on one reply again and again: the MAC chain and counter stand still."""
    host = opened_host()
    host.protect(*HEADER)
    reply = _reply(host._chain, data)
    unprotect = host.unprotect

    def unwrap() -> bytes:
        host._answered = 0
        return unprotect(reply, 0x9000)

    assert unwrap() == data
    return unwrap


def yubikit_unwrap(data: bytes) -> Call:
    """Yubikit on one reply again and again."""
    state, _ = _yubikit_state()
    state.encrypt(b"")
    state.mac(b"")
    reply = _yubikit_reply(state._mac_chain, data)

    def unwrap() -> bytes:
        return state.decrypt(state.unmac(reply, 0x9000))

    assert unwrap() == data
    return unwrap


_yubikit_reply = _reply


def our_set_up() -> Call:
    """Our host from the static keys to a checked card and the bytes of EXTERNAL AUTHENTICATE."""
    static, reply = keys(), ResponseAPDU(initialize_update_reply(), 0x9000)
    done = ResponseAPDU(b"", 0x9000)

    def set_up() -> bytes:
        host = Scp03Host(static, LEVEL, VERSION, HOST_CHALLENGE)
        host.initialize_update()
        command = bytes(host.external_authenticate(reply))
        host.opened(done)
        return command

    return set_up


def yubikit_set_up() -> Call:
    """The peer to the same point: EXTERNAL AUTHENTICATE sent and answered."""

    def set_up() -> object:
        processor, cryptogram = _yubikit_processor()
        return processor.send_apdu(0x84, 0x82, LEVEL, 0, cryptogram, 0, encrypt=False)

    return set_up
