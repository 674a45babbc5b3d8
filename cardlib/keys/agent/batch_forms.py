"""The verbs of the key agent for batches: the members of each request and of its reply.

No member is the key of a batch, of a record or of a site, but for what is sealed or enveloped.
"""

from collections.abc import Mapping

from .agent_members import BATCH, HANDLE, NAME, RECORD_NUMBER, WHOSE, one
from .agent_wire import (
    Form,
    Members,
    choice,
    flag,
    list_of,
    number,
    octets,
    optional,
    table_of,
    text,
)

MOST_HASHES = 1000
MOST_RANGES = 64
"""The most numbers of one `holder-hashes`, and the most ranges of one batch."""

_LARGE = 1 << 18
_COUNT = number(0, (1 << 32) - 1)
_OF_BATCH: Members = {**WHOSE, "batch": BATCH, "count": _COUNT}
_OLD_BATCH: Members = {**_OF_BATCH, "sealed_key": octets(28, 1024)}
_SITE: Members = {"site": NAME, "first": RECORD_NUMBER, "last": RECORD_NUMBER}
_SHARE: Members = {**_SITE, "key_id": optional(octets(16)), "public": optional(octets(65))}
_RANGE: Members = {
    **_SITE, "key_id": octets(16), "key": octets(64, _LARGE), "sealed_site_key": octets(0, 256),
}  # fmt: skip
_SEALING: Members = {
    "sealing": HANDLE,
    "kept": octets(28, _LARGE),
    "ranges": list_of(table_of(_RANGE), MOST_RANGES),
}
_PIN: Members = {
    **WHOSE, "batch": BATCH, "number": _COUNT, "attempt": _COUNT, "chip": octets(0, 8),
    "use": choice(("file", "mailer", "claim")),
}  # fmt: skip


OF_BATCHES: Mapping[str, Form] = {
    "security-codes": Form(
        "Calculate the security codes of cards by their card numbers",
        {**WHOSE, "card_numbers": list_of(text(64), MOST_HASHES), "issue_date": text(8)},
        one("codes", list_of(text(3), MOST_HASHES)),
    ),
    "holder-hashes": Form(
        "Calculate the holder hash of each number",
        {**WHOSE, "numbers": list_of(text(256, 0), MOST_HASHES)},
        one("hashes", list_of(octets(32), MOST_HASHES)),
    ),
    "preparation-certificate": Form(
        "Give the certificate of those who prepare batches with these keys",
        WHOSE,
        one("certificate", octets(64, 4096)),
    ),
    "new-batch": Form(
        "Begin a batch, whose records can be sealed on this connection, each once",
        {**_OF_BATCH, "shares": list_of(table_of(_SHARE), MOST_RANGES)},
        _SEALING,
    ),
    "continue-batch": Form(
        "Begin a batch again that was cut and not signed; the same records give the same bytes",
        {**_OF_BATCH, "kept": octets(28, _LARGE)},
        _SEALING,
    ),
    "seal-record": Form(
        "Seal the next record of a batch that was begun on this connection",
        {"sealing": HANDLE, "number": RECORD_NUMBER, "record": octets(1, _LARGE)},
        one("sealed", octets(16, _LARGE + 16)),
    ),
    "sign-batch": Form(
        "Sign the manifest of a batch, after its last record; for a batch only one is ever signed",
        {"sealing": HANDLE, "manifest": octets(1, _LARGE)},
        one("signed", octets(64, _LARGE + 8192)),
    ),
    "unseal-record": Form(
        "Open one record of a batch; `range` is the one that it is in",
        {
            **_OF_BATCH,
            "range": table_of(_RANGE),
            "transferred": flag(),
            "number": RECORD_NUMBER,
            "sealed": octets(16, _LARGE + 16),
        },
        one("record", octets(0, _LARGE)),
    ),
    "offer-site-key": Form(
        "Make a key pair for one batch that is not prepared yet, and sign the offer of it",
        {**WHOSE, "site": NAME},
        one("signed", octets(64, 8192)),
    ),
    "transfer-records": Form(
        "Give records away to another site: envelop their keys for it, and sign that",
        {
            **_OF_BATCH,
            "range": table_of(_RANGE),
            "transferred": flag(),
            "to": table_of({**_SITE, "key_id": octets(16), "public": octets(65)}),
        },
        one("signed", octets(64, _LARGE)),
    ),
    "purge-batch": Form(
        "Destroy the site's keys of a batch, for ever: no copy of it can be opened any more",
        {"batch": BATCH, "key_ids": list_of(octets(16), 2 * MOST_RANGES)},
        one("keys", _COUNT),
    ),
    "check-old-header": Form(
        "Check the header of a batch of format 2",
        {**_OLD_BATCH, "header": octets(1, _LARGE), "seal": octets(16)},
        {},
    ),
    "unseal-old-record": Form(
        "Open one record of a batch of format 2",
        {**_OLD_BATCH, "number": RECORD_NUMBER, "sealed": octets(16, _LARGE + 16)},
        one("record", octets(0, _LARGE)),
    ),
    "seal-pin": Form(
        "Seal the PIN of a record", {**_PIN, "pin": text(6)}, one("sealed", octets(1, 256))
    ),
    "unseal-pin": Form(
        "Open the PIN of a record", {**_PIN, "sealed": octets(0, 256)}, one("pin", text(6))
    ),
}
