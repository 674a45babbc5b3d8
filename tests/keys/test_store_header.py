"""The readable part of a store's file: whatever a file holds, it is read or refused by name."""

import hashlib
import json
from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import Cipher
from cardlib.keys.store.store_header import (
    DamagedStore,
    NewerStore,
    PairWrap,
    PassphraseWrap,
    StoreFile,
    StoreHeader,
    StoreVersion,
    decoded,
    encoded,
)

STORE = "5a" * 16


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


TIMES = st.none() | st.datetimes().map(lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}".zfill(20))
VALUES = st.dictionaries(st.text(max_size=9), exactly(3), max_size=3).map(MappingProxyType)


@st.composite
def versions(draw: st.DrawFn) -> tuple[StoreVersion, ...]:
    numbers = sorted(draw(st.sets(st.integers(1, 7), min_size=1)))
    return tuple(
        StoreVersion(n, draw(exactly(16)).hex(), draw(TIMES), draw(st.booleans()), draw(VALUES))
        for n in numbers
    )


@st.composite
def passphrases(draw: st.DrawFn) -> tuple[PassphraseWrap, ...]:
    numbers = {name: draw(st.integers(0, 2**20)) for name in "nrp"}
    kdf = MappingProxyType({"name": "scrypt", **numbers, "salt": draw(exactly(16)).hex()})
    return (PassphraseWrap(kdf, draw(exactly(12)), draw(exactly(48)), draw(exactly(16))),)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[PairWrap, ...]:
    name, key = st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True), exactly(32)
    people = sorted(draw(st.dictionaries(name, key, min_size=2, max_size=3)).items())
    if len({key for _, key in people}) < len(people):
        people = [(name, bytes((n,)) * 32) for n, (name, _) in enumerate(people, 1)]
    return tuple(
        PairWrap(STORE, (one, other), (key, other_key), draw(exactly(32)), draw(exactly(12)),
                 draw(exactly(48)), draw(exactly(16)))
        for n, (one, key) in enumerate(people) for other, other_key in people[n + 1 :]
    )  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> StoreFile:
    wraps = draw(st.one_of(passphrases(), pairs()))
    protocol, cipher = draw(st.sampled_from((1, 2))), draw(st.sampled_from(Cipher))
    header = StoreHeader(STORE, protocol, cipher, draw(TIMES), draw(versions()), wraps)
    return StoreFile(header, draw(exactly(12)), draw(st.binary(max_size=50)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def checksummed(members: dict[str, Any]) -> bytes:
    plain = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**members, "checksum": hashlib.sha256(plain).hexdigest()}).encode()


@given(files())
def test_what_is_encoded_comes_back(file: StoreFile) -> None:
    assert decoded(encoded(file), "it") == file


@given(st.binary(max_size=200))
def test_bytes_that_are_no_store_are_damaged(raw: bytes) -> None:
    try:
        decoded(raw, "it")
    except DamagedStore as error:
        assert str(error).startswith("it is ")
    else:
        raise AssertionError(raw)


@given(files(), st.data())
def test_a_member_of_any_kind_is_read_or_refused(file: StoreFile, data: st.DataObject) -> None:
    """With a right checksum: nothing but the two errors comes out, whatever a member holds."""
    members = json.loads(encoded(file))
    del members["checksum"]
    place: Any = members
    name = data.draw(st.sampled_from(sorted(members)))
    while isinstance(place[name], dict | list) and place[name] and data.draw(st.booleans()):
        place = place[name]
        inner = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        name = data.draw(st.sampled_from(inner))
    place[name] = data.draw(JSON)
    try:
        found = decoded(checksummed(members), "it")
    except (DamagedStore, NewerStore):
        return
    again = json.loads(encoded(found))
    del again["checksum"]
    assert again == members


@given(files(), st.text(max_size=8), JSON)
def test_a_member_more_is_refused(file: StoreFile, name: str, value: object) -> None:
    members = json.loads(encoded(file))
    del members["checksum"]
    if name in members:
        return
    try:
        decoded(checksummed({**members, name: value}), "it")
    except DamagedStore:
        return
    raise AssertionError(name)
