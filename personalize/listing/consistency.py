"""Checks the values of one resident: each for itself, then against each other.

One wrong value is one fault, at the column that has to be changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from cardlib.layout import Kind

from .columns import COLUMN_BY_NAME, ENTRIES, ORDER, field_of
from .fault_codes import FaultCode
from .holders import spelling_remedy
from .identity_number import SEXES, birth_date_in, sex_in
from .list_faults import ListFault, Wrong
from .rounding import ROUNDED, Rounded
from .rows import IDENTITY_NUMBERS, REQUIRED, Row
from .rules import check_value, text_of
from .texts import Texts

RESIDENT_CARD = "01"
"""The document type whose number is the resident identity number."""

_IDENTITY_CHAIN = (*IDENTITY_NUMBERS, "card_number")
"""Each may repeat one before it. A fault is reported at the first that holds the value."""

_LINK_NEEDS = {
    "allergen": "allergy",
    "vaccine": "immunization",
    "hospital_organization_code": "hospital link",
    "hospital_patient_number": "hospital link",
    "bank_code": "bank link",
    "account_masked": "bank link",
}

_DATES = tuple(c for c in COLUMN_BY_NAME if field_of(COLUMN_BY_NAME[c]).kind is Kind.DATE)
_EXPIRIES = ("expiry_date", "bank_link_expiry_date")
_LIFE_DATES = tuple(c for c in _DATES if c != "birth_date" and c not in _EXPIRIES)
"""What happened to the resident: not before the birth."""

_FIRST_DAY = "19000101"
_NO_END = "99991231"
"""What systems write for "does not expire"."""

_LONGEST_VALIDITY = 100
_WHICH_DATE = "find out which date is right"
_NOT_ROUNDED = Rounded()


@dataclass(frozen=True, slots=True)
class Resident:
    """One resident's values by column, as they will read back from the card; "" if blank."""

    line: int
    values: Mapping[str, str] = field(repr=False)


Validated = tuple[Resident, tuple[ListFault, ...]]
"""A resident and the faults of its row. Only without faults may it become a card."""


class _Problem(NamedTuple):
    """What is wrong with one column's value."""

    column: str
    wrong: Wrong


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a row while its values are compared. `faulty` are the columns with a fault.

    `issued` is the date of issue, YYYYMMDD.
    """

    row: Row
    values: Mapping[str, str]
    faulty: Set[str]
    issued: str

    def sound(self, *columns: str) -> bool:
        """Whether these columns all have values without a fault."""
        return self.values.keys() >= set(columns) and self.faulty.isdisjoint(columns)

    def named(self, column: str) -> str:
        """What the list calls a column."""
        return self.row.headers.named(column)


_Rule = Callable[[_Known], Iterator[_Problem]]


def validate(row: Row, issue_date: date, rounded: Rounded = _NOT_ROUNDED) -> Validated:
    """Check a row's values, each for itself and then together.

    The row's `faulty` columns have been reported, and are not reported again. `rounded` are the
    numbers that a spreadsheet rounded, known from the whole list.
    """
    values, problems = _each_for_itself(row, rounded)
    known = _Known(row, values, problems.keys(), compact(issue_date))
    for rule in _RULES:
        for found in rule(known):
            if found.column not in row.faulty:
                problems.setdefault(found.column, found)
    faults = one_a_column(row.fault(*problem) for problem in problems.values())
    kept = Texts({column: values.get(column, "") for column in row.values})
    return Resident(row.line, kept), faults


def resident_of(row: Row) -> Resident:
    """The resident of a row in which `validate` found no fault, without looking for faults."""
    values = {column: text_of(column, given) for column, given in row.values.items()}
    for column, base in _repeated(values):
        values[column] = values[base]
    return Resident(row.line, Texts(values))


def one_a_column(faults: Iterable[ListFault]) -> tuple[ListFault, ...]:
    """The first fault of each column, in the order of the columns."""
    first: dict[str, ListFault] = {}
    for fault in faults:
        first.setdefault(fault.field, fault)
    return tuple(first[column] for column in sorted(first, key=ORDER.__getitem__))


def compact(day: date) -> str:
    """A date as the card writes it: YYYYMMDD."""
    return day.isoformat().replace("-", "")


def _each_for_itself(row: Row, rounded: Rounded) -> tuple[dict[str, str], dict[str, _Problem]]:
    """Check each value alone: the values as they will read back, and what is wrong with them.

    A number that repeats another one takes its spelling, and a fault is reported only there.
    """
    values: dict[str, str] = {}
    problems: dict[str, _Problem] = {}
    for column, given in row.values.items():
        if column in row.faulty:
            continue
        checked = check_value(column, given)
        if checked.text:
            values[column] = checked.text
        if rounded.holds(column, checked.text):
            problems[column] = _Problem(column, ROUNDED)
        elif checked.wrong:
            problems[column] = _Problem(column, checked.wrong)
    for column, base in _repeated(values):
        values[column] = values[base]
        if base in problems:
            problems.pop(column, None)
    return values, problems


def _repeated(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """The numbers of the holder that repeat one before them: (column, the one before)."""
    upper = {column: values.get(column, "").upper() for column in _IDENTITY_CHAIN}
    return [
        (column, base)
        for place, column in enumerate(_IDENTITY_CHAIN)
        for base in _IDENTITY_CHAIN[:place]
        if upper[base] and upper[base] == upper[column]
    ]


def _problem(code: FaultCode, column: str, problem: str, remedy: str) -> _Problem:
    return _Problem(column, Wrong(code, problem, remedy))


def _required(column: str, remedy: str) -> _Problem:
    return _problem(FaultCode.MISSING_VALUE, column, "required, but blank", remedy)


def _check_required(known: _Known) -> Iterator[_Problem]:
    values = known.values
    for column in REQUIRED:
        if not values.get(column):
            what = column.replace("_", " ")
            yield _required(column, f"write the {what}: every card needs it")
    if values.get("document_number"):
        if not values.get("document_type"):
            yield _required("document_type", "write the code of the document's type")
    elif not values.get("resident_id_number"):
        either = " or ".join(map(known.named, IDENTITY_NUMBERS))
        yield _required("document_number", f"every resident needs a number: write {either}")
    elif values.get("document_type", RESIDENT_CARD) != RESIDENT_CARD:
        remedy = f"write the number of the document, or leave {known.named('document_type')} blank"
        yield _required("document_number", remedy)


def _check_spelling(known: _Known) -> Iterator[_Problem]:
    """A passport's number has ASCII capitals and digits only; a family book's may be any text."""
    values = known.values
    if not known.sound("document_type", "document_number"):
        return
    if values["document_number"] == values.get("resident_id_number"):
        return
    remedy = spelling_remedy(values["document_type"], values["document_number"])
    if remedy:
        problem = "not only capital letters and digits"
        yield _problem(FaultCode.DOCUMENT_SPELLING, "document_number", problem, remedy)


def _check_document(known: _Known) -> Iterator[_Problem]:
    """The number of a resident identity card is the resident identity number."""
    values = known.values
    if values.get("document_type") != RESIDENT_CARD or not known.sound("document_number"):
        return
    if not values.get("resident_id_number"):
        remedy = "the document is a resident identity card: write its number here too"
        yield _required("resident_id_number", remedy)
    elif (
        known.sound("resident_id_number")
        and values["document_number"] != values["resident_id_number"]
    ):
        remedy = "on a resident identity card both are one number: find out which is right"
        yield _disagrees(FaultCode.DIFFERENT_NUMBERS, known, "document_number", remedy)


def _check_card_number(known: _Known) -> Iterator[_Problem]:
    values = known.values
    bases = [base for base in IDENTITY_NUMBERS if values.get(base)]
    if not known.sound("card_number", *bases) or not bases:
        return
    if known.row.faulty.isdisjoint(_IDENTITY_CHAIN) and values["card_number"] not in [
        values[base] for base in bases
    ]:
        problem = "neither the identity number nor the document number"
        remedy = f"write the number of {known.named(bases[0])} here"
        yield _problem(FaultCode.DIFFERENT_NUMBERS, "card_number", problem, remedy)


def _check_person(known: _Known) -> Iterator[_Problem]:
    """An identity number holds a birth date and a sex."""
    if not known.sound("resident_id_number"):
        return
    number, values = known.values["resident_id_number"], known.values
    if known.sound("birth_date") and values["birth_date"] != birth_date_in(number):
        remedy = f"the identity number says {birth_date_in(number)}: find out which is right"
        yield _disagrees(FaultCode.DIFFERS_FROM_IDENTITY, known, "birth_date", remedy)
    sex = sex_in(number)
    if known.sound("sex") and values["sex"] in SEXES and values["sex"] != sex:
        remedy = f"the identity number says {sex} ({SEXES[sex]}): find out which is right"
        yield _disagrees(FaultCode.DIFFERS_FROM_IDENTITY, known, "sex", remedy)


def _disagrees(code: FaultCode, known: _Known, column: str, remedy: str) -> _Problem:
    problem = f"disagrees with {known.named('resident_id_number')}"
    return _problem(code, column, problem, remedy)


def _check_entries(known: _Known) -> Iterator[_Problem]:
    """An entry of a repeated record, and the bank link, need what they are about."""
    for columns in ENTRIES:
        if known.values.keys().isdisjoint(columns):
            continue
        for column in columns:
            what = _LINK_NEEDS.get(COLUMN_BY_NAME[column].field)
            if what and not known.values.get(column):
                remedy = f"write it, or leave all columns of this {what} blank"
                yield _required(column, remedy)


def _check_reason(known: _Known) -> Iterator[_Problem]:
    """No date is before 1900; only an expiry is after the issue, by 100 years at most."""
    issued = known.issued
    last = f"{int(issued[:4]) + _LONGEST_VALIDITY}{issued[4:]}"
    for column in _DATES:
        if not known.sound(column):
            continue
        given = known.values[column]
        if given < _FIRST_DAY:
            remedy = "no such date can be right: correct the year"
            yield _problem(FaultCode.TOO_EARLY, column, "before 1900", remedy)
        elif column not in _EXPIRIES:
            yield from _not_after(known, column, issued)
        elif last < given != _NO_END:
            problem = f"more than {_LONGEST_VALIDITY} years after issue"
            remedy = f"correct the year; leave it blank, or write {_NO_END}, if there is no end"
            yield _problem(FaultCode.TOO_LATE, column, problem, remedy)


def _check_expiry(known: _Known) -> Iterator[_Problem]:
    return _not_before(known, "expiry_date", "issue", known.issued)


def _check_bank_dates(known: _Known) -> Iterator[_Problem]:
    if known.sound("bank_link_date"):
        linked = known.values["bank_link_date"]
        yield from _not_before(known, "bank_link_expiry_date", "link date", linked)


def _check_life(known: _Known) -> Iterator[_Problem]:
    if known.sound("birth_date"):
        born = known.values["birth_date"]
        for column in _LIFE_DATES:
            yield from _not_before(known, column, "birth", born)


def _not_before(known: _Known, column: str, what: str, other: str) -> Iterator[_Problem]:
    if known.sound(column) and known.values[column] < other:
        problem = f"before {what}, which is on {other}"
        yield _problem(FaultCode.TOO_EARLY, column, problem, _WHICH_DATE)


def _not_after(known: _Known, column: str, issued: str) -> Iterator[_Problem]:
    if known.sound(column) and known.values[column] > issued:
        problem = f"after issue, which is on {issued}"
        yield _problem(FaultCode.TOO_LATE, column, problem, _WHICH_DATE)


_RULES: tuple[_Rule, ...] = (
    _check_required,
    _check_spelling,
    _check_document,
    _check_card_number,
    _check_person,
    _check_entries,
    _check_reason,
    _check_expiry,
    _check_bank_dates,
    _check_life,
)
