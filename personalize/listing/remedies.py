"""What to write instead of a value that is written in another way than the card's."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date

from cardlib.layout import CodeTable

_FEW_CODES = 9
_YES = ("yes", "y", "true", "是", "有")
_NO = ("no", "n", "false", "否", "无", "没有")
_LABEL_ENDINGS = ("性", "族", "型")
"""What is often left out of a label: 男 for 男性, 汉 for 汉族, A for A型."""

_MIDNIGHT = r"(?:[ t]0?0:00(?::00)?)?"
_YEAR_FIRST = re.compile(
    r"(?P<y>\d{4})(?:(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})|年(?P<m2>\d{1,2})月(?P<d2>\d{1,2})日?)"
    + _MIDNIGHT
)
_DAY_NUMBER = re.compile(r"[1-7]\d{4}(?:\.\d+)?", re.ASCII)
"""Days since 1900 or 1904, as a spreadsheet stores a date: 29501 is in 1980."""

_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _MIDNIGHT)


def date_remedy(text: str) -> str:
    """How to write a date that is written in another way; what a date is if that is not clear.

    01.02.1990 is not clear: it may be in January or in February.
    """
    if days := set(_days(_plain(text))):
        if len(days) == 1:
            return f"a date is YYYYMMDD: write {days.pop().isoformat().replace('-', '')}"
        return "a date is YYYYMMDD: write the year, the month, then the day, such as 19801231"
    if _DAY_NUMBER.fullmatch(text):
        return (
            "a spreadsheet counted days: give the column the date format yyyymmdd there, and export"
            " again"
        )
    return "write a date that exists as YYYYMMDD, such as 19801231"


def _days(text: str) -> Iterator[date]:
    """Every day that the text may mean."""
    if re.fullmatch(r"\d{8}", text):
        numbers = [(text[:4], text[4:6], text[6:])]
    elif found := _YEAR_FIRST.fullmatch(text):
        numbers = [(found["y"], found["m"] or found["m2"], found["d"] or found["d2"])]
    elif last := _YEAR_LAST.fullmatch(text):
        numbers = [(last[4], last[3], last[1]), (last[4], last[1], last[3])]
    else:
        return
    for year, month, day in numbers:
        try:
            yield date(int(year), int(month), int(day))
        except ValueError:
            continue


def flag_remedy(text: str) -> str:
    """How to write yes or no."""
    given = _plain(text)
    if given in _YES:
        return "write 1 for yes"
    if given in _NO:
        return "write 0 if the answer is no; leave the value blank if it is not known"
    return "write 1 for yes, 0 for no; leave the value blank if it is not known"


def code_remedy(table: CodeTable, text: str) -> str:
    """Which code to write for a label, or for a code without its zeros; else all codes."""
    given = _plain(text)
    meant = [code for code, labels in table.codes.items() if _means(given, code, labels)]
    if meant:
        shown = unicodedata.normalize("NFKC", text)
        return "write " + ", or ".join(_code_for(table, code, shown) for code in meant)
    standard = "" if table.standard == "ours" else f" of {table.standard}"
    if len(table.codes) > _FEW_CODES:
        return f"write one of the {len(table.codes)} codes{standard} ({table.title_zh})"
    codes = ", ".join(f"{code} {labels[0]}" for code, labels in table.codes.items())
    return f"write a code{standard}: {codes}"


def label_hint(table: CodeTable, text: str) -> str:
    """What else can be done if it is a label of the table: a list may have labels throughout."""
    given = _plain(text)
    if given.isdigit() or not any(_means(given, *item) for item in table.codes.items()):
        return ""
    return ", or map all labels: --map FILE"


def _means(given: str, code: str, labels: tuple[str, str]) -> bool:
    if given.isdigit():
        return given.zfill(len(code)) == code or given.lstrip("0") == code
    english, chinese = map(_plain, labels)
    endings = (given + _plain(ending) for ending in _LABEL_ENDINGS)
    return given in (english, chinese) or chinese in endings


def _code_for(table: CodeTable, code: str, given: str) -> str:
    english, chinese = table.codes[code]
    return f"{code} for {english} ({chinese if given.isascii() else given})"


def _plain(text: str) -> str:
    """In one width and one case, with single blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
