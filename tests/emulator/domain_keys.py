"""Keys for the issuer security domain, and putting them there."""

from cardlib.emulator import SoftwareCard
from tests.oracles.scp03 import Keys, Terminal, encrypt, kcv

H = bytes.fromhex
CHIP = H("0102030405060708")
TRANSPORT: Keys = (b"e" * 16, b"m" * 16, b"d" * 16)
ISSUER: Keys = (b"E" * 16, b"M" * 16, b"D" * 16)


def send(card: SoftwareCard, command: str) -> str:
    return card.transmit(H(command)).hex()


def key_field(dek: bytes, key: bytes, with_length: bool = True) -> bytes:
    encrypted = encrypt(dek, bytes(16), key + bytes(-len(key) % 16))
    value = (bytes((len(key),)) if with_length else b"") + encrypted
    return b"\x88" + bytes((len(value),)) + value + b"\x03" + kcv(key)


def put_key(
    terminal: Terminal, keys: Keys, version: int = 1, replaces: int = 0xFF, tail: bytes = b""
) -> str:
    fields = b"".join(key_field(terminal.host.keys[2], key) for key in keys)
    data = bytes((version,)) + fields + tail
    return terminal.send(f"80D8{replaces:02X}81{len(data):02X}{data.hex()}00")


def versions(card: SoftwareCard) -> list[int]:
    return list(card.state.key_sets)
