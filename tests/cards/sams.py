"""Software SAMs for tests, loaded by the bureau's own code, and the APDUs of a terminal."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType

from cardlib.crypto import Cipher
from cardlib.emulator.chip.memory import Memory
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.facts import Pin
from cardlib.keys.roots import Roots, public_test_roots
from cardlib.keys.sam.sam_groupings import SamPlan
from cardlib.keys.store import KeyStore
from cardlib.layout import KEY_BY_NAME
from cardlib.layout.sam_roles import SAM_ROLES
from personalize.production.sam_issue import load_sam

H = bytes.fromhex
CHIP = H("53414D0000000001")
PIN = Pin("135790")
ALL_ROLES = tuple(SAM_ROLES)
REGION, CARD_CHIP, CHALLENGE = b"99000000", H("5248430000000001"), H("0102030405060708")


@cache
def roots_of(protocol: int = 1, cipher: Cipher = Cipher.SM4, version: int = 1) -> Roots:
    """Test roots of a version; those of version 1 are the public ones."""
    public = public_test_roots(protocol, cipher)
    if version == 1:
        return public
    card = {
        name: hashlib.sha256(f"version {version}".encode() + root).digest()[:16]
        for name, root in public.card.items()
    }
    return replace(public, version=version, card=MappingProxyType(card))


@cache
def _pages(plan: SamPlan, kinds: tuple[tuple[int, Cipher, int], ...]) -> dict[int, bytes]:
    stores = [KeyStore(roots_of(*kind)) for kind in kinds]
    sam = SoftwareSam.blank(CHIP, stores[0].blank_keys(CHIP))
    load_sam(sam, stores, plan)
    return sam.memory.pages


def sam_of(
    *kinds: tuple[int, Cipher, int],
    roles: Sequence[str] = ALL_ROLES,
    limit: int | None = None,
    pin: str = PIN,
    pin_form: str = "ASCII",
    meaning_of_0: str = "newest",
) -> SoftwareSam:
    """A loaded SAM with key sets of these protocols, ciphers and versions; one of each at first."""
    plan = SamPlan(tuple(roles), Pin(pin), limit, pin_form, meaning_of_0)
    return SoftwareSam(Memory(dict(_pages(plan, kinds or ((1, Cipher.SM4, 1),)))))


def blank_sam() -> SoftwareSam:
    return SoftwareSam.blank(CHIP, KeyStore(public_test_roots(1)).blank_keys(CHIP))


def ask(sam: SoftwareSam, command: str | bytes) -> tuple[bytes, int]:
    """Send a command; fetch what waits. Data and status word."""
    raw = H(command) if isinstance(command, str) else command
    response = sam.transmit(raw)
    if response[-2] == 0x61:
        response = sam.transmit(b"\x00\xc0\x00\x00" + response[-1:])
    return response[:-2], int.from_bytes(response[-2:], "big")


def sw(sam: SoftwareSam, command: str | bytes) -> int:
    return ask(sam, command)[1]


def opened(sam: SoftwareSam, pin: bytes = PIN.digits) -> SoftwareSam:
    """The SAM with DF01 selected and its PIN verified."""
    assert sw(sam, "00A4000002DF01") == 0x9000
    assert sw(sam, b"\x00\x20\x00\x00" + bytes((len(pin),)) + pin) == 0x9000
    return sam


def factors(name: str) -> bytes:
    return CARD_CHIP + (REGION if KEY_BY_NAME[name].levels == 2 else b"")


def command(ins: int, p1: int, p2: int, data: bytes) -> bytes:
    return bytes((0x80, ins, p1, p2, len(data))) + data


def diversify(name: str, version: int = 1, challenge: bytes = CHALLENGE) -> bytes:
    """80 DE for the process key of a card key."""
    key = KEY_BY_NAME[name]
    return command(0xDE, key.sam_usage, version << 5 | key.sam_key_id, factors(name) + challenge)


def binding(name: str, cipher: Cipher, version: int) -> bytes:
    key = KEY_BY_NAME[name]
    home = key.df_path.rsplit("/", 1)[-1]
    directory = H("3F00") if home == "MF" else H(home)
    return directory + bytes((key.reference, 0x20, {"SM4": 1, "AES": 2}[cipher.name], version))


def authenticate(
    name: str, cipher: Cipher = Cipher.SM4, version: int = 1, *, b: bytes | None = None
) -> bytes:
    """80 EA for a card key."""
    key = KEY_BY_NAME[name]
    data = factors(name) + CHALLENGE + (binding(name, cipher, version) if b is None else b)
    return command(0xEA, key.levels << 5 | 7, version << 5 | key.sam_key_id, data)


ENCRYPT_CHALLENGE = command(0xFA, 0x00, 0x00, CHALLENGE + bytes(8))
"""What an authentication of version 1 asks for."""
