"""What components make of the roots of a store: the next version."""

from dataclasses import replace
from types import MappingProxyType

from cardlib.errors import CardKeyError
from cardlib.keys import KeyHolder, RootKeys
from cardlib.keys.roots import VERSIONS, Roots
from cardlib.keys.store.store_file import OpenStore

from .component import CARD_KEYS, SECRET, SET, joined, parts


def next_version(holder: KeyHolder) -> int:
    """Return the number of the next version. Raises CardKeyError after version 7."""
    version = max(holder.versions) + 1
    if version not in VERSIONS:
        raise CardKeyError("key version 7 is the last: make a new key store")
    return version


def imported(store: OpenStore, what: str, value: bytes) -> Roots:
    """Return the next version's roots: one key, or all, are what the components made.

    With one key, all others are those of the newest version. Raises CardKeyError when nothing would
    change.
    """
    version = next_version(store)
    if what == SET:
        return roots_of_set(store.newest, version, value)
    newest = store.roots(store.newest.key_version)
    roots = replace(_with(newest, what, value), version=version)
    if replace(roots, version=newest.version) == newest:
        raise CardKeyError(f"the key store has this {what} already: nothing was changed")
    return roots


def roots_of_set(newest: RootKeys, version: int, value: bytes) -> Roots:
    """Return the roots of a set for the cards of these keys. Raises CardKeyError as `Roots`."""
    found = parts(value)
    card = MappingProxyType({name: found[name] for name in CARD_KEYS})
    rest = (found[name] for name in ("transport", "issuer", "cvk", SECRET))
    return Roots(newest.spec.protocol, newest.cipher, version, card, *rest)


def _with(roots: Roots, what: str, value: bytes) -> Roots:
    if what in CARD_KEYS:
        return replace(roots, card=MappingProxyType({**roots.card, what: value}))
    if what == "transport":
        return replace(roots, transport=value)
    if what == "issuer":
        return replace(roots, issuer=value)
    return replace(roots, cvk=value)


def value_of(roots: Roots, what: str) -> bytes:
    """Return a key's root, or all of a version as a set's value, in clear: for export only."""
    single = {
        **roots.card,
        "transport": roots.transport,
        "issuer": roots.issuer,
        "cvk": roots.cvk,
    }
    return joined({**single, SECRET: roots.secret}) if what == SET else single[what]
