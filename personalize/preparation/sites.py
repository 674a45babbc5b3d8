"""Which records of a new batch are for which site: by the offers that sites have signed."""

import re
from collections.abc import Iterable
from pathlib import Path

from cardlib.errors import FormatError, file_error
from cardlib.issuance.offers import offer_from_json
from cardlib.keys.issuer import Share, SiteOffer
from cardlib.pki import SignatureRefused
from cardlib.pki.signed_data import opened as opened_signed
from cardlib.regular_file import read_regular

from .batch_signature import Trust
from .batch_writing import OWN_SITE
from .manifest import BatchError

_LARGEST_OFFER = 64 * 1024
_SHARE = re.compile(r"(.+):([0-9]{1,10})-([0-9]{1,10})", re.DOTALL)


def read_offer(path: Path, trust: Trust) -> SiteOffer:
    """Read the offer of a site. BatchError when it is damaged, or signed by somebody unknown."""
    try:
        signed = opened_signed(read_regular(path, _LARGEST_OFFER))
        trust.check(signed)
        return offer_from_json(signed.content)
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    except (SignatureRefused, FormatError) as error:
        raise BatchError(f"{path} is not taken as the offer of a site: {error}") from None


def parse_share(text: str) -> tuple[Path, int, int]:
    """Read OFFER:FIRST-LAST. Raises FormatError when it is written in another way."""
    found = _SHARE.fullmatch(text)
    if found is None:
        raise FormatError(
            f"{text!r} is not OFFER:FIRST-LAST: write the file of the offer and its records, as in"
            " north.offer:1-500"
        )
    return Path(found[1]), int(found[2]), int(found[3])


def shares_of(wanted: Iterable[tuple[SiteOffer, int, int]], count: int) -> list[Share]:
    """Return the shares of a batch: those of the offers, and our own for all records between.

    BatchError when two offers have the same record, or a record is not in the batch.
    """
    shares: list[Share] = []
    end = 0
    for offer, first, last in sorted(wanted, key=lambda each: each[1:]):
        if not end < first <= last <= count:
            why = f"the batch has 1 to {count}" if last > count or first > last else "twice"
            raise BatchError(
                f"records {first} to {last} cannot be those of site {offer.site}: {why}. Each"
                " record is for one site"
            )
        if first > end + 1:
            shares.append(Share(OWN_SITE, end + 1, first - 1))
        shares.append(Share(offer.site, first, last, offer))
        end = last
    if end < count:
        shares.append(Share(OWN_SITE, end + 1, count))
    return shares
