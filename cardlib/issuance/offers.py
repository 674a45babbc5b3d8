"""Offers: a site's public key for one batch, which the site has signed."""

import json
from uuid import UUID

from ..errors import DAMAGE, FormatError
from ..keys.issuer import SiteOffer
from ..pki.p256 import public_key

FORMAT = "rhcard site offer 1"


def offer_to_json(offer: SiteOffer) -> bytes:
    """Encode an offer as canonical JSON, to be signed."""
    members = {
        "format": FORMAT,
        "site": offer.site,
        "key_id": str(offer.key_id),
        "public": offer.public.hex(),
    }
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")


def offer_from_json(raw: bytes) -> SiteOffer:
    """Read an offer. Raises FormatError when it is none."""
    try:
        members = json.loads(raw)
        public = bytes.fromhex(members["public"])
        public_key(public)
        found = SiteOffer(str(members["site"]), UUID(members["key_id"]), public)
        if offer_to_json(found) == raw and 0 < len(found.site) <= 64:
            return found
    except DAMAGE:
        pass
    raise FormatError(f"it is no offer of the format {FORMAT!r}")
