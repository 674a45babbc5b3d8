"""A list of residents: what is known of it as a whole, and its rows, which are read as needed.

The rows of a text are read from the disk each time that they are gone through, so that a large
list takes as little memory as a small one. Of a workbook they are kept; a Parquet file is kept
packed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from .code_map import CodeMap, MappedColumn, Mapper
from .list_defaults import DefaultsSurvey, FilledColumn, Filling, ListDefaults
from .list_faults import ListFault
from .list_rows import not_empty, read_sheet_rows, rows_of_lines
from .parquet_rows import rows_of_parquet
from .rounding import Rounded, RoundingSurvey
from .rows import Listing, Row
from .source import Source, read_source
from .text_survey import Encoding


class Rows(Protocol):
    """Rows that can be counted, and gone through again and again."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class ResidentList:
    """A list of residents: its rows, and the faults of its form.

    `name` is the file's name, `sha256` (hex) names its bytes, `sheet` is the sheet of a workbook.
    `mapped` is what a map of code values changed, `filled` what the defaults gave, `why_no_city`
    why the default city was not taken. `rounded` are the numbers that a spreadsheet rounded.
    """

    name: str
    sha256: str
    rows: Rows
    faults: tuple[ListFault, ...]
    mapped: tuple[MappedColumn, ...] = ()
    filled: tuple[FilledColumn, ...] = ()
    why_no_city: str = ""
    is_workbook: bool = False
    is_parquet: bool = False
    sheet: str = ""
    rounded: Rounded = field(default_factory=Rounded)


@dataclass(frozen=True, slots=True)
class _ChangedRows:
    """The rows of a file, with mapped values and defaults; `count` is how many there are."""

    given: Callable[[], Iterable[Row]]
    count: int
    code_map: CodeMap | None
    filling: Filling

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Row]:
        mapper = Mapper(self.code_map) if self.code_map else None
        for row in self.given():
            yield self.filling.of(mapper.of(row) if mapper else row)


def read_list(
    path: Path,
    encoding: Encoding = "utf-8",
    code_map: CodeMap | None = None,
    defaults: ListDefaults | None = None,
    sheet: str | None = None,
) -> ResidentList:
    """Read a list: CSV, JSON Lines, an Excel workbook or Parquet; OSError when that cannot be done.

    Of a workbook it is the only sheet with content, or the named `sheet`. With a map, the rows
    have the card's codes in the place of the list's own. Defaults are for columns that the list
    lacks. To go through the rows raises ListChanged when the file is not what it was.
    """
    source = read_source(path, encoding, packed=True)
    if source.faults:
        return ResidentList(path.name, source.sha256, (), source.faults)
    listing = Listing()
    given = _rows_of(source, listing, sheet)
    mapper = Mapper(code_map) if code_map else None
    rounding, lacking = RoundingSurvey(), DefaultsSurvey(defaults or ListDefaults({}))
    count = 0
    for row in given(listing):
        count += 1
        rounding.add(row)
        lacking.add(mapper.of(row) if mapper else row)
    faults = (*listing.faults, *(mapper.faults if mapper else ()))
    filling = lacking.found(faults)
    return ResidentList(
        path.name,
        source.sha256,
        _ChangedRows(lambda: given(Listing()), count, code_map, filling),
        filling.faults,
        mapped=mapper.columns if mapper else (),
        filled=filling.filled,
        why_no_city=filling.why_no_city,
        is_workbook=bool(source.workbook),
        is_parquet=bool(source.parquet),
        sheet=listing.sheet,
        rounded=rounding.found(),
    )


def _rows_of(
    source: Source, listing: Listing, sheet: str | None
) -> Callable[[Listing], Iterable[Row]]:
    """What gives the rows again and again. The faults go into the listing that it is given."""
    if source.workbook:
        read = read_sheet_rows(source.workbook, sheet)
        listing.faults, listing.sheet = read.faults, read.sheet
        return lambda _: read.rows
    if source.parquet:
        return lambda found: not_empty(rows_of_parquet(source.parquet, found), found)
    is_json = source.is_json
    ends: Literal["", "\n"] = "\n" if is_json else ""
    return lambda found: rows_of_lines(source.lines(ends), found, is_json=is_json)
