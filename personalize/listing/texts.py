"""Texts by column in little memory, for all residents of a list are kept until the last is checked.

A dict for each of them would take four times as much.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping
from functools import lru_cache
from typing import final

_MOST_SHARED = 1 << 12


@final
class Texts(Mapping[str, str]):
    """Texts by column, "" where there is none. Its repr shows no personal data.

    Those with the same columns share one table of them, and equal texts are one object.
    """

    __slots__ = ("_places", "_texts")

    def __init__(self, values: Mapping[str, str]) -> None:
        """Keep the texts of `values`, in its order."""
        self._places = _places(tuple(values))
        self._texts = tuple(map(_shared.__getitem__, values.values()))

    def __getitem__(self, column: str) -> str:
        return self._texts[self._places[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._texts)

    def keys(self) -> KeysView[str]:
        """The columns."""
        return self._places.keys()

    def items(self) -> ItemsView[str, str]:
        """The columns with their texts; made as a dict, which is quicker than one by one."""
        return dict(zip(self._places, self._texts, strict=True)).items()


@lru_cache(maxsize=1 << 8)
def _places(columns: tuple[str, ...]) -> dict[str, int]:
    return {column: place for place, column in enumerate(columns)}


class _Shared(dict[str, str]):
    """Gives one object for equal texts. It forgets all when it is full: a code soon comes again."""

    def __missing__(self, text: str) -> str:
        if len(self) >= _MOST_SHARED:
            self.clear()
        self[text] = text
        return text


_shared = _Shared()
