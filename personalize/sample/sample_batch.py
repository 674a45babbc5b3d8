"""The batch of the demonstration: fifty made-up residents, with a key store of their own."""

import os
import secrets
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from cardlib.errors import FormatError
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH
from cardlib.layout.load import decoded

from ..listing.photos import PhotoShop
from ..preparation.batch import Batch
from ..preparation.prepare import all_faults, make_all, read_list, validate_all
from ..preparation.prepared import PreparedCard
from ..preparation.seal import seal

SAMPLE = Path(__file__).parent / "residents.csv"
ISSUE_DATE = date(2026, 11, 23)
"""It is fixed, so that the dates in the sample are before it, whatever the clock says."""

KEYS, PASSPHRASE, BATCH, CARDS = "keys.json", "passphrase.txt", "batch", "cards"
TEMPORARY = ".rhcard-demo-"
"""The folder of the keys until the end begins with it: a killed run leaves all in one place."""

_CLINICAL, _ALLERGIES = "DDF1/DF02/EF05", "DDF1/DF02/EF07"


def fresh_folder(wanted: Path) -> Path:
    """Make the folder; if it exists, the first of wanted-2, wanted-3 … that does not."""
    number, folder = 1, wanted
    while True:
        try:
            folder.mkdir(mode=0o700)
            return folder
        except FileExistsError:
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")


def was_stopped(folder: Path) -> bool:
    """Whether the folder holds a demonstration that was killed: its own keys are still aside."""
    return any(path.name.startswith(TEMPORARY) for path in folder.iterdir())


def prepare_sample(folder: Path, temporary: Path, passphrase: str) -> tuple[Batch, KeyStore]:
    """Make a key store in a temporary folder, and with it the batch of the sample in `folder`.

    The batch expects the store at `folder`/keys.json, where `keep_keys` puts it.
    """
    sample, photos = read_list(SAMPLE), PhotoShop(SAMPLE.parent)
    residents = list(validate_all(sample, photos, ISSUE_DATE))
    for fault in all_faults(sample, residents):
        raise FormatError(f"{SAMPLE} line {fault.line}, {fault.field}: {fault.problem}")
    store = KeyStore.create(temporary / KEYS, passphrase)
    issuer = LocalIssuer(store)
    cards = make_all(residents, photos, issuer, ISSUE_DATE)
    seal(folder / BATCH, sample, cards, issuer, keys=folder / KEYS, issue_date=ISSUE_DATE)
    return Batch.open(folder / BATCH, issuer), store


def new_passphrase() -> str:
    """A random passphrase, 32 characters."""
    return secrets.token_urlsafe(24)


def keep_keys(folder: Path, temporary: Path, passphrase: str) -> None:
    """Put keys and passphrase into the folder of the demonstration, to try the cards with."""
    _write(folder / KEYS, (temporary / KEYS).read_bytes())
    _write(folder / PASSPHRASE, passphrase.encode() + b"\n")


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def most_telling(cards: Iterable[PreparedCard]) -> int:
    """The number of the card that shows an emergency room most, in most of the states."""
    return max(cards, key=_told).number


def _told(card: PreparedCard) -> tuple[int, int, int, int]:
    records = dict(card.groupings)
    fields = {
        value.field.name: value.text
        for value in decoded(FILE_BY_PATH[_CLINICAL], records)
        if value.text
    }
    flags = list(fields.values())
    return (
        int(bool(decoded(FILE_BY_PATH[_ALLERGIES], records))),
        int("other_medical_alert" in fields),
        flags.count("1"),
        -len(fields),
    )
