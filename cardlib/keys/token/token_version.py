"""One version of root keys in a token: its labels, its facts, and what checks them.

The keys are AES keys and one secret for HMAC, each under a label that names store, version, key
and import. A data object holds the facts: identity, protocol and check values. It is written last,
so keys without facts are the rest of an import that was interrupted.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from hmac import compare_digest
from types import MappingProxyType

from ...crypto import BLOCK_SIZE, BlockCipher, Cipher
from ...errors import DAMAGE, CardKeyError
from ...layout import KEY_BY_NAME
from ..roots import VERSIONS, public_test_roots
from .token_session import TokenSession

APPLICATION, RETIRED = "rhcard", "rhcard retired"
"""The data objects of facts, and those that say that a version makes no more cards."""
FORMAT = "rhcard token keys 1"
TRANSPORT, ISSUER, CVK, SECRET = "transport", "issuer", "cvk", "secret"
AES_NAMES = (*KEY_BY_NAME, TRANSPORT, ISSUER, CVK)
KEY_NAMES = (*AES_NAMES, SECRET)
CHECK_BLOCK = b"\x01" * BLOCK_SIZE
"""What an AES key encrypts for its check value (GPC Amendment D 4.1.6)."""
_CHECK_SIZE = 3
_LABEL = re.compile(r"rhcard/[a-z0-9-]+/v[1-7]/[A-Za-z0-9_]+/[0-9a-f]{8}")
_TEXTS = ("store", "batch", "identity", "created")


@dataclass(frozen=True, slots=True)
class TokenVersion:
    """The facts of one version of root keys in a token. No fact is secret."""

    store: str
    number: int
    batch: str
    """8 hex digits that name the import or generation in which the keys were made."""
    protocol: int
    identity: str
    created: str
    is_test: bool
    check_values: Mapping[str, str]
    shared: Mapping[str, str]
    """The labels of keys that belong to an earlier version too: the transport root, as a rule."""

    def label(self, name: str) -> str:
        """The label of one key in the token."""
        return self.shared.get(name) or key_label(self.store, self.number, name, self.batch)

    def derived(self, session: TokenSession, info: bytes) -> bytes:
        """Derive 32 bytes inside the token from the secret: HKDF-Expand (RFC 5869 2.3)."""
        return session.hmac(self.label(SECRET), info + b"\x01")

    def to_json(self) -> bytes:
        """Encode the facts as canonical JSON."""
        facts = {each.name: getattr(self, each.name) for each in fields(self)}
        facts |= {"format": FORMAT, "check_values": dict(self.check_values)}
        facts["shared"] = dict(self.shared)
        return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode("ascii")


def key_label(store: str, number: int, name: str, batch: str) -> str:
    """The label of a key: `rhcard/STORE/v1/NAME/0123abcd`."""
    return f"{facts_label(store, number)}/{name}/{batch}"


def facts_label(store: str, number: int) -> str:
    """The label of the data object with the facts of a version: `rhcard/STORE/v1`."""
    return f"rhcard/{store}/v{number}"


def from_json(raw: bytes) -> TokenVersion:
    """Decode facts. Raises CardKeyError when something is missing or not valid."""
    try:
        entry = json.loads(raw)
        if entry.pop("format") != FORMAT or entry["check_values"].keys() != set(KEY_NAMES):
            raise ValueError
        for value in entry["check_values"].values():
            if len(bytes.fromhex(value)) != _CHECK_SIZE:
                raise ValueError
        for name in ("check_values", "shared"):
            entry[name] = MappingProxyType({str(k): str(v) for k, v in entry[name].items()})
        if not all(isinstance(entry[name], str) for name in _TEXTS):
            raise ValueError
        version = TokenVersion(**entry)
        if not isinstance(version.is_test, bool):
            raise ValueError
        if version.protocol not in (1, 2) or version.number not in VERSIONS:
            raise ValueError
        return version
    except DAMAGE:
        raise CardKeyError("the facts of root keys in the token are damaged") from None


def found_versions(session: TokenSession, store: str | None = None) -> tuple[TokenVersion, ...]:
    """Return the versions in a token, of one store or of all, by store and number.

    Raises CardKeyError when facts are damaged, or two versions have one number.
    """
    found = [from_json(raw) for _, raw in session.data(APPLICATION)]
    chosen = sorted(
        (each for each in found if store in (None, each.store)),
        key=lambda each: (each.store, each.number),
    )
    places = [(each.store, each.number) for each in chosen]
    if len(set(places)) != len(places):
        raise CardKeyError(
            f"token {session.label} holds one version of a key store twice: remove the wrong one"
        )
    return tuple(chosen)


def retired_identities(session: TokenSession) -> frozenset[str]:
    """Return the identities of the versions in a token that make no more cards."""
    return frozenset(raw.decode("ascii", "replace") for _, raw in session.data(RETIRED))


def leftovers(session: TokenSession) -> tuple[str, ...]:
    """Return the labels of our keys that belong to no version: an import was interrupted."""
    known = {each.label(name) for each in found_versions(session) for name in KEY_NAMES}
    return tuple(
        label for label in session.key_labels() if _LABEL.fullmatch(label) and label not in known
    )


def check_blocks(session: TokenSession, version: TokenVersion) -> Mapping[str, bytes]:
    """Encrypt the check block with every AES key of a version, inside the token."""
    return {name: session.encrypt(version.label(name), CHECK_BLOCK) for name in AES_NAMES}


def check_values(session: TokenSession, version: TokenVersion) -> Mapping[str, str]:
    """Calculate the check values of a version anew, 6 hex digits each.

    That of the secret is the start of 32 bytes that are derived from it. CKA_CHECK_VALUE is never
    asked: it is over the zero block, which is not allowed for keys that make CMACs.
    """
    values = {name: block[:_CHECK_SIZE] for name, block in check_blocks(session, version).items()}
    values[SECRET] = version.derived(session, b"check value")[:_CHECK_SIZE]
    return {name: value.hex().upper() for name, value in values.items()}


def differences(session: TokenSession, version: TokenVersion) -> tuple[str, ...]:
    """Return the names of the keys whose check value in the token is not the one of the facts."""
    now = check_values(session, version)
    return tuple(
        name
        for name in KEY_NAMES
        if not compare_digest(now[name].encode(), version.check_values[name].encode())
    )


def holds_test_keys(session: TokenSession, version: TokenVersion) -> bool:
    """Whether a key of a version in the token is one of the published test keys."""
    return not _published_blocks().isdisjoint(check_blocks(session, version).values())


def is_published(block: bytes) -> bool:
    """Whether a key is one of the published test keys; `block` is its encrypted `CHECK_BLOCK`."""
    return block in _published_blocks()


@cache
def _published_blocks() -> frozenset[bytes]:
    return frozenset(
        BlockCipher(Cipher.AES, root).encrypt_ecb(CHECK_BLOCK)
        for protocol in (1, 2)
        for number in VERSIONS
        for public in [public_test_roots(protocol, Cipher.AES, number)]
        for root in (*public.card.values(), public.transport, public.issuer, public.cvk)
    )


def identity_of_new(session: TokenSession, version: TokenVersion) -> str:
    """Return the identity of roots that were made in the token, 32 hex digits."""
    content = hashlib.sha256(version.to_json()).digest()
    return version.derived(session, b"identity" + content).hex()[:32]
