"""Which sheet of a workbook is the list."""

from collections.abc import Sequence
from zipfile import ZipFile

from .fault_codes import FaultCode
from .list_faults import Wrong, printable
from .sheet_form import has_values
from .workbook_file import Sheet, WorkbookRefused

_MOST_NAMED = 10
_EMPTY = Wrong(
    FaultCode.EMPTY_FILE,
    "no sheet that is shown has a value",
    "write a row of titles, and a row for each resident; for a hidden sheet give --sheet NAME",
)


def chosen(archive: ZipFile, sheets: Sequence[Sheet], wanted: str | None) -> Sheet:
    """The sheet `wanted`, or without that the only one with content that the program shows.

    WorkbookRefused when there is none, or when there are several.
    """
    if wanted is not None:
        for sheet in sheets:
            if sheet.name == wanted:
                return sheet
        problem = f"the workbook has no sheet {printable(wanted)}"
        remedy = f"give one of its sheets with --sheet: {_names(sheets)}"
        raise WorkbookRefused(Wrong(FaultCode.WHICH_SHEET, problem, remedy))
    filled = [each for each in sheets if each.is_visible and has_values(archive, each.part)]
    if not filled:
        raise WorkbookRefused(_EMPTY)
    if len(filled) > 1:
        problem = f"{len(filled)} sheets have content: {_names(filled)}"
        remedy = f"say which is the list, for example --sheet {printable(filled[0].name)}"
        raise WorkbookRefused(Wrong(FaultCode.WHICH_SHEET, problem, remedy))
    return filled[0]


def _names(sheets: Sequence[Sheet]) -> str:
    names = [printable(sheet.name) for sheet in sheets]
    return ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
