"""Merkle trees as in certificate transparency (RFC 9162 2.1): one root stands for many entries.

The hash of a leaf is SHA-256(00 ‖ entry), that of a node SHA-256(01 ‖ left ‖ right).
"""

import hashlib
from collections.abc import Iterator, Sequence

from ..errors import FormatError

HASH_LENGTH = 32


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry, 32 bytes (RFC 9162 2.1.1)."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two children, 32 bytes (RFC 9162 2.1.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


class MerkleRoot:
    """The root of a tree whose leaves come one by one. It keeps one hash a level."""

    def __init__(self) -> None:
        self.size = 0
        self._whole: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Merkle tree of {self.size} leaves>"

    def add(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        self.size += 1
        size, node = self.size, leaf
        while size % 2 == 0:
            node, size = node_hash(self._whole.pop(), node), size // 2
        self._whole.append(node)

    @property
    def value(self) -> bytes:
        """The root of the leaves so far, 32 bytes; of none it is SHA-256 of nothing."""
        if not self._whole:
            return hashlib.sha256().digest()
        *rest, node = self._whole
        for left in reversed(rest):
            node = node_hash(left, node)
        return node


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over the hashes of leaves, 32 bytes (RFC 9162 2.1.1)."""
    tree = MerkleRoot()
    for leaf in leaves:
        tree.add(leaf)
    return tree.value


def range_proof(leaves: Sequence[bytes], first: int, end: int) -> tuple[bytes, ...]:
    """Prove that the leaves from index `first` up to `end`, which is not in it, are in the tree.

    The proof is the roots of the largest subtrees outside, from left to right. For one leaf these
    are the hashes of its inclusion proof (RFC 9162 2.1.3) in another order.
    """
    _check(len(leaves), first, end)
    return tuple(root_of(leaves[start:stop]) for start, stop in outside(len(leaves), first, end))


def outside(size: int, first: int, end: int) -> tuple[tuple[int, int], ...]:
    """Return the subtrees, by first index and end, whose roots are the proof of a range."""
    _check(size, first, end)
    return tuple(_outside(0, size, first, end))


def root_of_range(size: int, first: int, part: Sequence[bytes], proof: Sequence[bytes]) -> bytes:
    """Return the root of a tree of `size` leaves, of which `part` begins at index `first`.

    Raises FormatError when the proof has too few or too many hashes, or the part does not fit.
    """
    _check(size, first, first + len(part))
    left = iter(proof)
    root = _from_part(size, 0, first, part, left)
    if next(left, None) is not None:
        raise FormatError("the proof has more hashes than the tree needs")
    return root


def _check(size: int, first: int, end: int) -> None:
    if not 0 <= first < end <= size:
        raise FormatError(f"there are no leaves {first} to {end} in a tree of {size}")


def _outside(start: int, stop: int, first: int, end: int) -> Iterator[tuple[int, int]]:
    if stop <= first or start >= end:
        yield start, stop
    elif not (first <= start and stop <= end):
        middle = start + _split(stop - start)
        yield from _outside(start, middle, first, end)
        yield from _outside(middle, stop, first, end)


def _from_part(
    size: int, start: int, first: int, part: Sequence[bytes], proof: Iterator[bytes]
) -> bytes:
    stop, end = start + size, first + len(part)
    if stop <= first or start >= end:
        node = next(proof, None)
        if node is None or len(node) != HASH_LENGTH:
            raise FormatError("the proof lacks a hash that the tree needs")
        return node
    if first <= start and stop <= end:
        return root_of(part[start - first : stop - first])
    half = _split(size)
    left = _from_part(half, start, first, part, proof)
    return node_hash(left, _from_part(size - half, start + half, first, part, proof))


def _split(size: int) -> int:
    """The largest power of two that is smaller than a size above 1 (RFC 9162 2.1.1)."""
    return 1 << (size - 1).bit_length() - 1
