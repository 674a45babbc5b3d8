"""How the three SCP03 keys of a chip come from one root: schemes as templates, one row each.

A template is a function and its input, a word a part: `CMAC(counter4 label 00 chip bits4)`.
docs/reference/diversification.md explains the words.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import modes

from ..crypto import BLOCK_SIZE, BlockCipher, Cipher
from ..errors import CardKeyError, FormatError
from ..facts import ChipSerial
from .static_keys import SoftwareScp03Keys

DATA_SIZE = 10
"""Key diversification data in the reply to INITIALIZE UPDATE (Amendment D 7.1.1), bytes."""
_LONGEST_INPUT = 255


class StaticKey(IntEnum):
    """One of the three keys, by its number in the templates of card makers."""

    ENC = 1
    MAC = 2
    DEK = 3


class Function(StrEnum):
    """What makes a key from the root and the input."""

    CMAC = "CMAC"
    """AES-CMAC in counter mode, one a block of the key (SP 800-108r1 4.1)."""
    AES = "AES"
    """AES in ECB. The input is as long as the key."""
    DES3 = "DES3"
    """Triple DES in ECB, for schemes that are older than SCP03. The input has 16 bytes."""


class Inputs(NamedTuple):
    """What the words of a template are filled from."""

    chip: bytes
    data: bytes
    key: StaticKey
    counter: int
    bits: int


class Part(NamedTuple):
    """One part of an input: the word in the template, and its bytes."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a template: how many bytes it gives, and which."""

    text: str
    size: int
    fill: Callable[[Inputs], bytes]


_Made = tuple[int, Callable[[Inputs], bytes]]


def _literal(match: re.Match[str]) -> _Made:
    value = bytes.fromhex(match[0])
    return len(value), lambda _: value


def _data(match: re.Match[str]) -> _Made:
    first = int(match["first"] or 0)
    last = int(match["last"] or match["first"] or DATA_SIZE - 1)
    if not first <= last < DATA_SIZE:
        raise FormatError(f"{match[0]}: the data has bytes 0 to {DATA_SIZE - 1}")
    return last + 1 - first, lambda inputs: inputs.data[first : last + 1]


def _counter(match: re.Match[str]) -> _Made:
    size = int(match["size"])
    return size, lambda inputs: inputs.counter.to_bytes(size, "big")


def _bits(match: re.Match[str]) -> _Made:
    size = int(match["size"])
    return size, lambda inputs: inputs.bits.to_bytes(size, "big")


_WORDS: tuple[tuple[str, Callable[[re.Match[str]], _Made]], ...] = (
    (r"(?:[0-9A-Fa-f]{2})+", _literal),
    (r"chip", lambda _: (8, lambda inputs: inputs.chip)),
    (r"data(?:\[(?P<first>\d)(?:\.\.(?P<last>\d))?\])?", _data),
    (r"number", lambda _: (1, lambda inputs: bytes((inputs.key,)))),
    (r"label", lambda _: (3, lambda inputs: inputs.key.name.encode("ascii"))),
    (r"counter(?P<size>[14])", _counter),
    (r"bits(?P<size>[24])", _bits),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scheme:
    """A template that was read: its text, function and words."""

    text: str
    function: Function
    words: tuple[Word, ...]

    @property
    def size(self) -> int:
        """The bytes of the input."""
        return sum(word.size for word in self.words)

    def uses(self, word: str) -> bool:
        """Whether a word is in the template: "data" also for a part of the data."""
        return any(each.text.startswith(word) for each in self.words)

    def parts(self, inputs: Inputs) -> tuple[Part, ...]:
        """Fill the words."""
        return tuple(Part(word.text, word.fill(inputs)) for word in self.words)


def read_template(text: str) -> Scheme:
    """Read a template, or the name of one in `TEMPLATES`.

    Raises FormatError when a word is unknown, the length does not fit the function, or all chips
    or all three keys would be equal.
    """
    named = TEMPLATES.get(text)
    whole = named.text if named else " ".join(text.split())
    match = re.fullmatch(r"(?P<function>[A-Z0-9]+)\((?P<words>[^()]*)\)", whole)
    if not match or match["function"] not in tuple(Function):
        raise FormatError(
            f"{text!r} is not a template: write one of {', '.join(TEMPLATES)}, or"
            f" {', '.join(Function)} with its input in brackets, as in {TEMPLATES['rhcard'].text}"
        )
    scheme = Scheme(whole, Function(match["function"]), tuple(map(_word, match["words"].split())))
    _check(scheme)
    return scheme


def _word(text: str) -> Word:
    for pattern, make in _WORDS:
        if match := re.fullmatch(pattern, text):
            return Word(text, *make(match))
    raise FormatError(
        f"{text!r} is not a word of a template: use hex digits in pairs, chip, data, data[4..9],"
        " number, label, counter1, counter4, bits2, bits4"
    )


def _check(scheme: Scheme) -> None:
    counters = sum(word.text.startswith("counter") for word in scheme.words)
    if not scheme.uses("chip") and not scheme.uses("data"):
        raise FormatError(f"{scheme.text}: all chips would have the same keys. Add chip or data")
    if not scheme.uses("number") and not scheme.uses("label"):
        raise FormatError(f"{scheme.text}: the three keys would be equal. Add number or label")
    if scheme.function is Function.CMAC:
        if counters != 1 or scheme.size > _LONGEST_INPUT:
            raise FormatError(
                f"{scheme.text}: CMAC needs one counter, and {_LONGEST_INPUT} bytes at most"
            )
        return
    if counters or scheme.uses("bits"):
        raise FormatError(f"{scheme.text}: counter and bits are for CMAC only")
    sizes = (16,) if scheme.function is Function.DES3 else (16, 32)
    if scheme.size not in sizes:
        fit = " or ".join(map(str, sizes))
        raise FormatError(
            f"{scheme.text}: the input has {scheme.size} bytes; {scheme.function} needs {fit}"
        )


def inputs_of(
    scheme: Scheme, size: int, chip: ChipSerial, data: bytes, key: StaticKey
) -> tuple[tuple[Part, ...], ...]:
    """Return the inputs of a key of `size` bytes: one, or with CMAC one a block of the key.

    Raises CardKeyError when the data does not have 10 bytes.
    """
    if len(data) != DATA_SIZE:
        raise CardKeyError(f"key diversification data has {DATA_SIZE} bytes, not {len(data)}")
    blocks = -(-size // BLOCK_SIZE) if scheme.function is Function.CMAC else 1
    each = (Inputs(chip, data, key, 1 + block, 8 * size) for block in range(blocks))
    return tuple(scheme.parts(inputs) for inputs in each)


def joined(parts: tuple[Part, ...]) -> bytes:
    """Return the bytes of an input."""
    return b"".join(part.value for part in parts)


def data_of(chip: ChipSerial) -> bytes:
    """Return the key diversification data of our cards: chip8 ‖ 00 00 (card specification 6)."""
    return chip + bytes(DATA_SIZE - len(chip))


def diversified(
    scheme: Scheme, root: bytes, chip: ChipSerial, data: bytes | None = None
) -> tuple[bytes, bytes, bytes]:
    """Derive Key-ENC, Key-MAC and Key-DEK of a chip in clear, for `diversified_keys` and tests.

    `data` is from the card's reply to INITIALIZE UPDATE, 10 bytes. Without it, it is what our
    cards answer. Keys have the length of the root, under DES3 16 bytes. Raises CardKeyError when
    the root does not fit the function.
    """
    size = key_size(scheme, root)
    data = data_of(chip) if data is None else data
    enc, mac, dek = (
        b"".join(
            _apply(scheme.function, root, joined(parts))
            for parts in inputs_of(scheme, size, chip, data, key)
        )[:size]
        for key in StaticKey
    )
    return enc, mac, dek


def diversified_keys(
    scheme: Scheme, key_version: int, root: bytes, chip: ChipSerial, data: bytes | None = None
) -> SoftwareScp03Keys:
    """Return a chip's SCP03 keys by a scheme, such as those of another maker's blank card.

    Raises CardKeyError as `diversified` does, and when the version is not 01 to FF.
    """
    return SoftwareScp03Keys(key_version, *diversified(scheme, root, chip, data), chip)


def key_size(scheme: Scheme, root: bytes) -> int:
    """Return the bytes of each key. Raises CardKeyError when the root does not fit the scheme."""
    if scheme.function is Function.CMAC:
        sizes: tuple[int, ...] = (16, 24, 32)
    elif scheme.function is Function.AES:
        sizes = (scheme.size,)
    else:
        sizes = (16, 24)
    if len(root) not in sizes:
        fit = " or ".join(map(str, sizes))
        raise CardKeyError(f"{scheme.text} needs a root of {fit} bytes, not {len(root)}")
    return scheme.size if scheme.function is Function.DES3 else len(root)


def _apply(function: Function, root: bytes, block: bytes) -> bytes:
    if function is Function.CMAC:
        return BlockCipher(Cipher.AES, root).cmac(block)
    if function is Function.AES:
        return BlockCipher(Cipher.AES, root).encrypt_ecb(block)
    return des3(root, block)


def des3(key: bytes, blocks: bytes) -> bytes:
    """Encrypt whole 8-byte blocks by triple DES, each by itself (SP 800-67). Key: 16 or 24."""
    three = key if len(key) == 24 else key + key[:8]
    return _Cipher(TripleDES(three), modes.ECB()).encryptor().update(blocks)


@dataclass(frozen=True, slots=True)
class Template:
    """One published scheme: its text, and where it is from."""

    text: str
    source: str


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "rhcard": Template(
            "CMAC(counter4 label 00 chip bits4)",
            "card specification 6: SP 800-108r1 4.1",
        ),
        "kdf3": Template(
            "CMAC(counter1 000000 number 00 data)",
            "GlobalPlatformPro, template kdf3",
        ),
        "emv": Template(
            "DES3(data[4..9] F0 number data[4..9] 0F number)",
            "EMV Card Personalization Specification 1.1, keys from the KMC; GlobalPlatformPro, emv",
        ),
        "visa2": Template(
            "DES3(data[0..1] data[4..7] F0 number data[0..1] data[4..7] 0F number)",
            "GlobalPlatformPro, template visa2",
        ),
        "visa": Template(
            "DES3(data[0..3] data[8..9] F0 number data[0..3] data[8..9] 0F number)",
            "GlobalPlatformPro, template visa",
        ),
    }
)
"""The known schemes by name. A card maker's own can be written as text."""
