"""Rows from a Parquet file: the same rows as from CSV. Only columns of text are text.

The file is checked before anything in it is unpacked: rows, row groups, columns, and the size of
every page. Texts stay in dictionaries, so that a long one that comes again and again is kept once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from cardlib.errors import CardError, FormatError

from .csv_form import no_title, too_many
from .extras import ExtraMissing
from .fault_codes import FaultCode
from .headers import Headers
from .list_faults import Wrong
from .parquet_pages import page_sizes
from .rows import Listing, Row, header_names, lacking
from .source import DIVIDE, MOST_LINES
from .texts import Texts

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_MOST_UNPACKED = 512 << 20
_MOST_GROUPS, _MOST_LEAVES = 10_000, 1_000
_MOST_STRING, _MOST_ITEMS, _DEEPEST = 16 << 20, 20_000_000, 32
_AT_A_TIME = 500
_END = b"PAR1"

_DAMAGED = Wrong(
    FaultCode.DAMAGED_PARQUET,
    "the Parquet file is damaged or cut, or has a form that is not read",
    "write it again with the program that it comes from, or save the list as CSV, encoding UTF-8",
)
_ENCRYPTED = Wrong(
    FaultCode.NOT_A_LIST,
    "an encrypted Parquet file",
    "write it without encryption, or save the list as CSV, encoding UTF-8",
)
_TOO_LARGE = Wrong(
    FaultCode.FILE_TOO_LARGE,
    f"the Parquet file is too large when it is unpacked: {_MOST_UNPACKED >> 20} MiB are the most",
    DIVIDE,
)


class _Refused(CardError):
    """A Parquet file that is not read as a list; `wrong` says why, and what to do."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(wrong.problem)
        self.wrong = wrong


def rows_of_parquet(raw: bytes, listing: Listing) -> Iterator[Row]:
    """Each row of a Parquet file; what cannot be read is a fault of the listing.

    The line of a row is its number, from 1. ExtraMissing without pyarrow.
    """
    try:
        with _refused_if_damaged():
            file = _opened(raw)
            titles = list(map(str, file.schema_arrow.names))
            if found := too_many(titles):
                raise _Refused(found)
            names, headers = header_names(listing, 1, titles)
            known = _text_columns(file, listing, names, headers)
            yield from _rows(file, names, known, headers)
    except _Refused as refused:
        listing.fault(1, "", "", refused.wrong)


@contextmanager
def _refused_if_damaged() -> Iterator[None]:
    """Raise _Refused for whatever pyarrow, and reading the headers of pages, raise inside."""
    try:
        import pyarrow
    except ImportError:
        raise ExtraMissing("a list in Parquet", "pyarrow", "parquet") from None
    try:
        yield
    except _Refused:
        raise
    except (FormatError, pyarrow.ArrowException, OSError, ValueError, TypeError, LookupError,
            ArithmeticError, RuntimeError, MemoryError):  # fmt: skip
        raise _Refused(_DAMAGED) from None


def _opened(raw: bytes) -> "ParquetFile":
    import pyarrow
    from pyarrow.parquet import ParquetFile

    if raw.startswith(b"PARE") or raw.endswith(b"PARE"):
        raise _Refused(_ENCRYPTED)
    if not raw.endswith(_END):
        raise _Refused(_DAMAGED)
    limits = {
        "thrift_string_size_limit": _MOST_STRING,
        "thrift_container_size_limit": _MOST_ITEMS,
        "page_checksum_verification": True,
    }
    file = ParquetFile(pyarrow.BufferReader(raw), pre_buffer=False, **limits)
    about = file.metadata
    if about.num_rows > MOST_LINES:
        problem = f"too many rows: {about.num_rows:,}, and {MOST_LINES:,} are the most"
        raise _Refused(Wrong(FaultCode.TOO_MANY_LINES, problem, DIVIDE))
    if about.num_row_groups > _MOST_GROUPS or about.num_columns > _MOST_LEAVES:
        raise _Refused(_TOO_LARGE)
    _check_sizes(raw, about)
    is_text = [str(field.name) for field in file.schema_arrow if _is_text(field.type)]
    return ParquetFile(
        pyarrow.BufferReader(raw), pre_buffer=False, read_dictionary=is_text, **limits
    )


def _check_sizes(raw: bytes, about: Any) -> None:
    """Raise _Refused when the file is too large unpacked, or a page larger than was said."""
    unpacked = rows = 0
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        rows += group.num_rows
        for place in range(group.num_columns if group.num_rows else 0):
            column = group.column(place)
            starts = [column.data_page_offset, column.dictionary_page_offset]
            start = min(each for each in starts if each is not None)
            for page in page_sizes(raw, start, column.total_compressed_size):
                unpacked += page.unpacked
            if max(unpacked, column.total_uncompressed_size) > _MOST_UNPACKED:
                raise _Refused(_TOO_LARGE)
    if rows != about.num_rows:
        raise _Refused(_DAMAGED)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(is_one(kind) for is_one in texts)


def _text_columns(
    file: "ParquetFile", listing: Listing, names: Sequence[str | None], headers: Headers
) -> frozenset[str]:
    """Our columns that are text; of every other one, its first value is a fault."""
    known: set[str] = set()
    for place, (field, name) in enumerate(zip(file.schema_arrow, names, strict=True)):
        if name and _is_text(field.type):
            known.add(name)
        elif name or not field.name.strip():
            first = _first_value(file, field.name)
            if first and name:
                wrong = _not_text(str(field.type).partition("<")[0], first)
                listing.fault(first, name, "", wrong, headers.of(name))
            elif first:
                listing.fault(1, "", "", no_title(place, first))
    return frozenset(known)


def _not_text(kind: str, row: int) -> Wrong:
    problem = f"the column is {kind}, not text; row {row} is the first with a value"
    remedy = (
        "write the column as text (string) from the source: numbers lose zeros and digits, and the"
        " card stores text"
    )
    return Wrong(FaultCode.WRONG_COLUMN_TYPE, problem, remedy)


def _first_value(file: "ParquetFile", title: str) -> int:
    """The row, from 1, of the first value of a column; 0 if it has none."""
    at = 0
    for batch in file.iter_batches(_AT_A_TIME, columns=[title], use_threads=False):
        column = batch.column(0)
        if column.null_count < len(column):
            first: int = column.is_valid().to_pylist().index(True)
            return at + 1 + first
        at += len(column)
    return 0


def _rows(
    file: "ParquetFile",
    names: Sequence[str | None],
    known: frozenset[str],
    headers: Headers,
) -> Iterator[Row]:
    """The rows with a value."""
    ours = {name: title for name, title in headers.own.items() if name in known}
    columns = [name for name in names if name]
    absent = lacking(headers.own.keys()) | headers.own.keys() - known
    numbers = count(1)
    read = file.iter_batches(_AT_A_TIME, columns=[*ours.values()], use_threads=False)
    for batch in read if ours else ():
        texts = {name: _texts(_column(batch, title)) for name, title in ours.items()}
        blank = [""] * batch.num_rows
        for cells in zip(*(texts.get(name, blank) for name in columns), strict=True):
            line = next(numbers)
            if any(cell.strip() for cell in cells):
                values = Texts(dict(zip(columns, cells, strict=True)))
                yield Row(line, values, absent, headers)
    if ours and next(numbers) != file.metadata.num_rows + 1:
        raise _Refused(_DAMAGED)


def _column(batch: Any, title: str) -> Any:
    """The first column of a title."""
    return batch.column(batch.schema.get_all_field_indices(title)[0])


def _texts(column: Any) -> list[str]:
    """The texts of a column of a batch, "" for null. Those that are equal are one object.

    A byte that is no UTF-8 becomes U+DC80..U+DCFF, as in other lists.
    """
    import pyarrow

    indices = column.indices.to_pylist()
    used = sorted({index for index in indices if index is not None})
    taken = column.dictionary.take(pyarrow.array(used, pyarrow.int64())).cast(pyarrow.binary())
    found = {None: ""} | {
        index: (raw or b"").decode("utf-8", "surrogateescape")
        for index, raw in zip(used, taken.to_pylist(), strict=True)
    }
    return [found[index] for index in indices]
