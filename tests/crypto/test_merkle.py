"""Merkle trees as in certificate transparency (RFC 9162 2.1), with its reference values.

The roots and paths are those of the test of the reference implementation, google/certificate-
transparency, cpp/merkletree/merkle_tree_test.cc.
"""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto.merkle import (
    MerkleRoot,
    leaf_hash,
    node_hash,
    range_proof,
    root_of,
    root_of_range,
)
from cardlib.errors import FormatError

ENTRIES = [
    bytes.fromhex(each)
    for each in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATH_OF_0 = {
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
}
PATH_OF_5 = {
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
}
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


@pytest.mark.parametrize("size", range(9))
def test_the_root_is_that_of_certificate_transparency(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "path"), [(0, PATH_OF_0), (5, PATH_OF_5)])
def test_the_proof_of_one_leaf_is_its_audit_path(index: int, path: set[str]) -> None:
    proof = range_proof(LEAVES, index, index + 1)
    assert {node.hex() for node in proof} == path and len(proof) == 3
    assert root_of_range(8, index, [LEAVES[index]], proof).hex() == ROOTS[8]


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


@given(st.integers(0, 200), st.data())
def test_every_range_of_every_tree_is_proven_by_its_proof_and_no_other(
    size: int, data: st.DataObject
) -> None:
    leaves = [leaf_hash(bytes((n,))) for n in range(size)]
    tree = MerkleRoot()
    for leaf in leaves:
        tree.add(leaf)
    assert (tree.size, tree.value) == (size, by_definition(leaves))
    if not size:
        return
    first = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(first + 1, size))
    proof, part = range_proof(leaves, first, end), leaves[first:end]
    assert root_of_range(size, first, part, proof) == tree.value
    swapped = [leaf_hash(b"another"), *part[1:]]
    assert root_of_range(size, first, swapped, proof) != tree.value
    if proof:
        with pytest.raises(FormatError, match="lacks"):
            root_of_range(size, first, part, proof[:-1])
    with pytest.raises(FormatError, match="more hashes"):
        root_of_range(size, first, part, [*proof, bytes(32)])


@pytest.mark.parametrize(("first", "end"), [(0, 0), (-1, 1), (2, 1), (3, 9)])
def test_a_range_that_is_not_in_the_tree_is_refused(first: int, end: int) -> None:
    with pytest.raises(FormatError):
        range_proof(LEAVES, first, end)


def test_a_leaf_is_no_node() -> None:
    """00 and 01 before what is hashed: a node's bytes as an entry give another hash."""
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])
