"""What a SAM is loaded with and what it says about itself, as numbers (card specification 3).

Ours: the published commands of a SAM do not say how it gets its keys.
"""

from collections.abc import Mapping
from types import MappingProxyType

from .model import KEYS, KeySpec

AUTHENTICATE, MESSAGING = 7, 8
"""The usages in the low five bits of P1: authenticate; encrypt and MAC."""

DGI_SAM_KEYS = 0x8200
"""82pp holds one root key; pp is its P2 in the SAM's commands (version << 5 | key id).

spec (1) ‖ cipher (1) ‖ AES-CBC(static Key-DEK, IV 0, root16) ‖ KCV3: 21 bytes.
"""

DGI_SAM_USE = 0x9020
"""Limit of authentications (4 bytes) ‖ PIN form (1) ‖ meaning of version 0 (1)."""

NO_LIMIT = 0xFFFFFFFF
"""The limit of a SAM that makes any number of authentications."""

PIN_FORMS: Mapping[str, int] = MappingProxyType({"ASCII": 1, "BCD": 2})
"""Codes for the values of the profile's setting `sam_pin`."""

MEANINGS_OF_0: Mapping[str, int] = MappingProxyType({"newest": 1, "last authenticated": 2})
"""Codes for the values of the profile's setting `sam_version_0`."""

TAG_KEY_SETS = 0xC4
"""In the FCI's A5: for each key set spec (1) ‖ cipher (1) ‖ version (1) ‖ key ids (4).

Bit n of the key ids is set if the SAM holds the key with SAM key id n.
"""

TAG_USES_LEFT = 0xC5
"""In the FCI's A5: the authentications that are left, 4 bytes; FFFFFFFF without a limit."""

KEY_BY_SAM_ID: Mapping[int, KeySpec] = MappingProxyType({key.sam_key_id: key for key in KEYS})
"""The keys by their SAM key id."""

AUTHENTICATING_IN_2_0 = frozenset(
    key.name for key in KEYS if key.role in ("RK", "UK", "LK", "BK", "PUK")
)
"""The keys that EXTERNAL AUTHENTICATE takes on a card of specification 2.0."""
