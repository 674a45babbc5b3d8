"""Put root keys into a token: given ones, or random ones that are made inside it.

All keys are there before the facts are written, so an interrupted import is no version of keys.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from ...crypto import BlockCipher, Cipher, key_check_value
from ...errors import CardKeyError
from ...layout import KEY_BY_NAME
from ..roots import SECRET_SALT, TEST_TRANSPORT_ROOT, VERSIONS, Roots
from ..roots import check_values as values_of
from .pkcs11 import (
    AES_CMAC,
    AES_ECB,
    AES_ECB_DERIVE,
    AES_KEY_GEN,
    HMAC_SHA256,
    SECRET_KEY_GEN,
    SP800_108_COUNTER_KDF,
    KeyTemplate,
)  # fmt: skip
from .token_change import TokenDraft
from .token_session import TokenSession
from .token_version import (
    CHECK_BLOCK,
    CVK,
    ISSUER,
    KEY_NAMES,
    SECRET,
    TRANSPORT,
    TokenVersion,
    check_values,
    facts_label,
    found_versions,
    identity_of_new,
    is_published,
    leftovers,
)  # fmt: skip

NEEDED: Mapping[int, str] = {
    AES_ECB: "CKM_AES_ECB",
    AES_CMAC: "CKM_AES_CMAC",
    HMAC_SHA256: "CKM_SHA256_HMAC",
}
"""The mechanisms that root keys in a token need, by their numbers (PKCS#11 2.40)."""
NEEDED_TO_MAKE: Mapping[int, str] = {
    AES_KEY_GEN: "CKM_AES_KEY_GEN",
    SECRET_KEY_GEN: "CKM_GENERIC_SECRET_KEY_GEN",
}
"""The mechanisms that making keys inside a token needs besides."""
NO_SM4 = (
    "PKCS#11 has no mechanism for SM4, so SM4 roots cannot be kept in a token. Use a key store"
    " file for SM4, or AES roots (--cipher aes)"
)
PUBLIC_TRANSPORT = (
    "the transport root is the published test key, and the other roots are not: whoever records a"
    " card's PUT KEY would learn its keys. Nothing was written"
)
TWO_KINDS = "published test keys and keys of your own are never in one key store"
_STORE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,15}")
_TWO_LEVELS = {name for name, key in KEY_BY_NAME.items() if key.levels == 2}


@dataclass(frozen=True, slots=True)
class MadeInToken:
    """What was put into a token, and how many keys of an earlier interrupted try were removed."""

    version: TokenVersion
    removed: int


def template(name: str, label: str, mechanisms: frozenset[int]) -> KeyTemplate:
    """Return what a root key of this name may do in a token: no more than it is used for.

    It may derive keys inside the token where the token offers that.
    """
    if name == SECRET:
        return KeyTemplate(label, sign=True, is_aes=False)
    of_chips = name in (TRANSPORT, ISSUER)
    derive = of_chips and SP800_108_COUNTER_KDF in mechanisms
    derive = derive or (name in _TWO_LEVELS and AES_ECB_DERIVE in mechanisms)
    return KeyTemplate(label, encrypt=True, sign=of_chips, derive=derive)


def import_roots(session: TokenSession, store: str, roots: Roots) -> MadeInToken:
    """Put given roots into a token, all of them or none. Raises CardKeyError as `given_draft`."""
    return _kept(given_draft(session, store, roots))


def generate_roots(
    session: TokenSession,
    store: str,
    protocol: int = 2,
    number: int = 1,
    *,
    transport: bytes | None = None,
) -> MadeInToken:
    """Make random AES roots inside a token, all of them or none. Nobody ever has their bytes.

    The transport root is `transport`, 16 bytes, if it is given; else that of the version before,
    if there is one, because blank cards in stock have its keys; else a new one. Raises
    CardKeyError as `given_draft` does.
    """
    keeps = transport is None
    made = random_draft(
        session, store, protocol, number, keeps_transport=keeps, transport=transport
    )
    return _kept(made)


def _kept(draft: TokenDraft) -> MadeInToken:
    with draft:
        draft.keep()
        return MadeInToken(draft.version, draft.removed)


def given_draft(session: TokenSession, store: str, roots: Roots) -> TokenDraft:
    """Put given roots into a token, as a draft.

    Raises CardKeyError when they are for SM4, the transport root alone is published, they do not
    fit the versions that are there, or the token offers too little or has no room. `store` is a
    name of 1 to 16 characters: a-z, 0-9 and -.
    """
    require(session.mechanisms, roots.cipher)
    if roots.is_mixed:
        raise CardKeyError(PUBLIC_TRANSPORT)
    facts = _new_facts(session, store, roots.version, roots.protocol, is_test=roots.is_test)
    values = {
        **roots.card, TRANSPORT: roots.transport, ISSUER: roots.issuer, CVK: roots.cvk,
        SECRET: hmac.digest(SECRET_SALT, roots.secret, hashlib.sha256),
    }  # fmt: skip

    def identity(version: TokenVersion) -> str:
        for name, value in values_of(roots).items():
            _check_arrived(session, version, name, value)
        return roots.identity

    def put(name: str, asked: KeyTemplate) -> None:
        session.import_key(asked, values[name])

    return _drafted(session, facts, put, identity)


def random_draft(
    session: TokenSession,
    store: str,
    protocol: int,
    number: int,
    *,
    keeps_transport: bool,
    transport: bytes | None = None,
) -> TokenDraft:
    """Make random AES roots inside a token, as a draft. Nobody ever has their bytes.

    With `keeps_transport` the transport root is that of the version before, which both versions
    then use, if there is one. Raises CardKeyError as `given_draft` does.
    """
    require(session.mechanisms, Cipher.AES, make=True)
    if transport == TEST_TRANSPORT_ROOT:
        raise CardKeyError(PUBLIC_TRANSPORT)
    facts = _new_facts(session, store, number, protocol, is_test=False)
    before = found_versions(session, store)
    if keeps_transport and before:
        shared = MappingProxyType({TRANSPORT: before[-1].label(TRANSPORT)})
        facts = replace(facts, shared=shared)

    def put(name: str, asked: KeyTemplate) -> None:
        if name == TRANSPORT and transport is not None:
            session.import_key(asked, transport)
        else:
            session.generate_key(asked)

    return _drafted(session, facts, put, lambda version: identity_of_new(session, version))


def one_key_draft(
    session: TokenSession, before: TokenVersion, number: int, name: str, value: bytes
) -> TokenDraft:
    """Put one AES root, 16 bytes, into a token, as a draft; all other roots are those of `before`.

    Both versions use those roots: nothing is taken out of the token for it. Raises CardKeyError
    when `before` has this root already, when only one of both is published, or as `given_draft`.
    """
    require(session.mechanisms, Cipher.AES)
    expected = BlockCipher(Cipher.AES, value).encrypt_ecb(CHECK_BLOCK)
    if hmac.compare_digest(session.encrypt(before.label(name), CHECK_BLOCK), expected):
        raise CardKeyError(f"the token has this {name} already: nothing was changed")
    if is_published(expected) != before.is_test:
        raise CardKeyError(TWO_KINDS)
    facts = _new_facts(session, before.store, number, before.protocol, is_test=before.is_test)
    labels = {each: before.label(each) for each in KEY_NAMES if each != name}
    facts = replace(facts, shared=MappingProxyType(labels))

    def identity(version: TokenVersion) -> str:
        _check_arrived(session, version, name, key_check_value(Cipher.AES, value))
        return identity_of_new(session, version)

    def put(_: str, asked: KeyTemplate) -> None:
        session.import_key(asked, value)

    return _drafted(session, facts, put, identity)


def _check_arrived(session: TokenSession, version: TokenVersion, name: str, value: bytes) -> None:
    if value.hex().upper() != version.check_values[name]:
        raise CardKeyError(f"token {session.label}: key {name} did not arrive as it is")


def require(mechanisms: frozenset[int], cipher: Cipher, *, make: bool = False) -> None:
    """Check that a token offers what root keys of a cipher need. Raises CardKeyError if not."""
    if cipher is not Cipher.AES:
        raise CardKeyError(NO_SM4)
    missing = missing_mechanisms(mechanisms, make=make)
    if missing:
        raise CardKeyError(
            f"the token does not offer {', '.join(missing)}: root keys cannot be kept in it"
        )


def missing_mechanisms(mechanisms: frozenset[int], *, make: bool) -> tuple[str, ...]:
    """Return the names of the mechanisms that AES roots need and the token does not offer."""
    needed = {**NEEDED, **(NEEDED_TO_MAKE if make else {})}
    return tuple(name for number, name in needed.items() if number not in mechanisms)


def remove_version(session: TokenSession, version: TokenVersion) -> int:
    """Remove a version's facts and then its keys; return the number of keys. It is final.

    A key that another version uses too stays.
    """
    facts = facts_label(version.store, version.number)
    others = {
        each.label(name)
        for each in found_versions(session)
        if each != version
        for name in KEY_NAMES
    }
    session.remove(frozenset({facts, f"{facts}/retired"}), data=True)
    return session.remove(frozenset(version.label(name) for name in KEY_NAMES) - others)


def remove_leftovers(session: TokenSession) -> int:
    """Remove the keys of interrupted imports; return how many there were."""
    found = frozenset(leftovers(session))
    return session.remove(found) if found else 0


def _new_facts(
    session: TokenSession, store: str, number: int, protocol: int, *, is_test: bool
) -> TokenVersion:
    if not _STORE_NAME.fullmatch(store):
        raise CardKeyError(
            f"{store!r} is no name for keys in a token: use 1 to 16 of a-z, 0-9 and -"
        )
    if protocol not in (1, 2) or number not in VERSIONS:
        raise CardKeyError("a key set must be for protocol 1 or 2 and have version 1 to 7")
    there = found_versions(session, store)
    if any(each.number >= number for each in there):
        raise CardKeyError(
            f"token {session.label} holds version {there[-1].number} of {store} already. A new"
            " version is higher, and none is replaced"
        )
    if any(each.protocol != protocol for each in there):
        raise CardKeyError("all versions of a key store have one protocol and one cipher")
    if any(each.is_test != is_test for each in there):
        raise CardKeyError(TWO_KINDS)
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    batch = secrets.token_hex(4)
    nothing: Mapping[str, str] = MappingProxyType({})
    return TokenVersion(
        store, number, batch, protocol, "", created, is_test, check_values=nothing, shared=nothing
    )


def _drafted(
    session: TokenSession,
    facts: TokenVersion,
    put: Callable[[str, KeyTemplate], None],
    identity: Callable[[TokenVersion], str],
) -> TokenDraft:
    begun = f"{facts_label(facts.store, facts.number)}/"
    old = frozenset(label for label in leftovers(session) if label.startswith(begun))
    made = TokenDraft(session, facts, session.remove(old) if old else 0)
    mechanisms = session.mechanisms
    with ExitStack() as undone:
        undone.enter_context(made)
        for name in KEY_NAMES:
            if name not in facts.shared:
                put(name, template(name, facts.label(name), mechanisms))
        values = MappingProxyType(dict(check_values(session, facts)))
        version = replace(facts, check_values=values)
        made.version = replace(version, identity=identity(version))
        undone.pop_all()
    return made
