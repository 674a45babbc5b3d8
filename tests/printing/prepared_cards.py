"""Prepared cards with texts as a test needs them."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from personalize.listing.columns import COLUMN_BY_NAME
from personalize.preparation.groupings import lay_out
from personalize.preparation.prepared import PreparedCard
from tests.cards.bureau import new_batch

_KEPT = ("card_number", "issuer_name", "address_1")


@cache
def sample_cards(count: int = 10) -> tuple[PreparedCard, ...]:
    """The first residents of the sample, prepared; the fifth has no photo."""
    with TemporaryDirectory() as folder:
        return tuple(new_batch(Path(folder), count).cards())


def card_of(**values: str) -> PreparedCard:
    """The first card of the sample with other texts, and without a photo."""
    first = sample_cards()[0]
    columns = {name: first.value(name) for name in ("name", *_KEPT)}
    assert set(values) <= set(COLUMN_BY_NAME)
    return replace(first, groupings=lay_out(columns | values, {}, None))
