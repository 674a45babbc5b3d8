"""All ways to write a secret down, and a search that finds each of them in what a program left."""

import base64
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

_WINDOW = 8
"""So many bytes are looked up for each place; then the whole spelling is compared."""
_BETWEEN = re.compile(rb"[\s:,'\"_-]|0x|\\x", re.IGNORECASE)
_BLANKS = re.compile(rb"\s+")


def _inside(encoded: bytes, shift: int, bits: int, size: int) -> bytes:
    """The characters of a base64 or base32 text that depend on the secret alone."""
    return encoded[-(-shift * 8 // bits) : (shift + size) * 8 // bits]


def texts(secret: bytes) -> Iterator[bytes]:
    """The secret as a text whose case counts: base64 at each place of a longer one, and a repr."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            yield _inside(encode(bytes(shift) + secret), shift, 6, len(secret))
    yield repr(secret)[2:-1].encode("ascii")
    yield json.dumps(secret.decode("latin-1"))[1:-1].encode("ascii")


def capitals(secret: bytes) -> Iterator[bytes]:
    """The secret as a text in which case, blanks and signs between do not count."""
    yield secret.hex().upper().encode()
    for shift in range(5):
        yield _inside(base64.b32encode(bytes(shift) + secret), shift, 5, len(secret))


def numbers(secret: bytes) -> bytes:
    """The secret as a list of the numbers of its bytes."""
    return ",".join(map(str, secret)).encode()


def halves(secrets: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Each secret, and the first and last half of a long one: half a key is too much, too."""
    for name, secret in secrets.items():
        yield name, secret
        if len(secret) >= 2 * _WINDOW:
            yield name, secret[: len(secret) // 2]
            yield name, secret[len(secret) // 2 :]


class Search:
    """Looks for secrets of 8 bytes and more, and for words such as PINs, all in one go."""

    def __init__(self, secrets: Mapping[str, bytes], words: Mapping[str, str]) -> None:
        """Take secrets, and words that are looked for as whole words, by name."""
        every = list(halves(secrets))
        assert all(len(secret) >= _WINDOW for _, secret in every)
        assert all(len(set(secret)) > 2 for _, secret in every), "chance would find it"
        self._raw = _index((name, secret) for name, secret in every)
        self._texts = _index((name, each) for name, secret in every for each in texts(secret))
        self._capitals = _index((name, each) for name, secret in every for each in capitals(secret))
        self._numbers = _index((name, numbers(secret)) for name, secret in every)
        self._words = [(name, each) for name, word in words.items() for each in _word(word)]

    def found(self, data: bytes) -> set[str]:
        """The names of all secrets and words that are in the data, in any spelling."""
        without = _BLANKS.sub(b"", data)
        streams = (
            (data, self._raw),
            (without, self._texts),
            (_BETWEEN.sub(b"", data).upper(), self._capitals),
            (without, self._numbers),
        )
        found = {name for stream, index in streams for name in _hits(stream, index)}
        return found | {name for name, word in self._words if _is_word(data, word)}


def _word(word: str) -> Iterator[bytes]:
    yield word.encode()
    yield json.dumps(word)[1:-1].encode("ascii")
    yield word.encode().hex().encode()
    yield word.encode().hex().upper().encode()
    yield base64.b64encode(word.encode()).rstrip(b"=")


def _is_word(data: bytes, word: bytes) -> bool:
    """Whether the word is there, and not as a part of a longer one."""
    return word in data and bool(re.search(rb"(?<![\w])%s(?![\w])" % re.escape(word), data))


Index = Mapping[int, list[tuple[str, bytes]]]


def _index(spelled: Iterable[tuple[str, bytes]]) -> Index:
    """All spellings by their first 8 bytes as a number."""
    found: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
    for name, each in spelled:
        found[int.from_bytes(each[:_WINDOW], sys.byteorder)].append((name, each))
    return found


def _hits(data: bytes, index: Index) -> Iterator[str]:
    starts = index.keys()
    for shift in range(_WINDOW):
        whole = data[shift : len(data) - (len(data) - shift) % _WINDOW]
        for start in set(starts).intersection(memoryview(whole).cast("Q")):
            yield from (name for name, each in index[start] if each in data)
