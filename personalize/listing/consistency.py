"""What the values of one resident must be to one another; one fault where it all depends on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from .columns import BANK_LINK, COLUMN_BY_NAME, ENTRIES, ORDER
from .holders import spelling_remedy
from .identity_number import SEXES, birth_date_in, sex_in
from .list_faults import ListFault, mask_account, printable
from .rows import REQUIRED, Row
from .rules import check_value

RESIDENT_CARD = "01"
"""The document type whose number is the resident identity number."""

_IDENTITY_CHAIN = ("resident_id_number", "document_number", "card_number")
"""Each may repeat the one before it: a fault is told at the first that holds the value."""

_LINK_NEEDS = {
    "allergen": "an allergy",
    "vaccine": "an immunization",
    "hospital_organization_code": "a hospital link",
    "hospital_patient_number": "a hospital link",
    "bank_code": "a bank link",
    "account_masked": "a bank link",
}

_VACCINATION_DATES = tuple(c for c in COLUMN_BY_NAME if c.startswith("vaccination_date_"))


@dataclass(slots=True)
class Resident:
    """One row's values as they will read back, and its faults, one a column."""

    line: int
    values: dict[str, str] = field(default_factory=dict)
    problems: dict[str, ListFault] = field(default_factory=dict)
    reported: frozenset[str] = frozenset()

    def fault(self, column: str, problem: str, remedy: str, given: str | None = None) -> None:
        """Add a fault, unless the column has one."""
        if column in self.problems or column in self.reported:
            return
        value = self.values.get(column, "") if given is None else given
        if COLUMN_BY_NAME[column].path == BANK_LINK:
            value = mask_account(value)
        self.problems[column] = ListFault(self.line, column, printable(value), problem, remedy)

    def sound(self, *columns: str) -> bool:
        """Whether these columns all have values without a fault."""
        return all(self.values.get(c) and c not in self.problems for c in columns)

    @property
    def faults(self) -> list[ListFault]:
        """The faults in the order of the columns."""
        return [self.problems[column] for column in sorted(self.problems, key=ORDER.__getitem__)]


def check_row(row: Row, issue_date: date) -> Resident:
    """A resident's values, each for itself and then together; every fault is in the result."""
    resident = Resident(row.line, reported=row.faulty)
    for column, given in row.values.items():
        if column not in row.faulty:
            _take(resident, column, given)
    for rule in _RULES:
        rule(resident)
    _check_dates(resident, compact(issue_date))
    return resident


def compact(day: date) -> str:
    """A date as the card writes it: YYYYMMDD."""
    return day.isoformat().replace("-", "")


def _take(resident: Resident, column: str, given: str) -> None:
    checked = check_value(column, given)
    if checked.text:
        resident.values[column] = checked.text
    if checked.problem:
        resident.fault(column, checked.problem, checked.remedy)


def _require(resident: Resident) -> None:
    for column in REQUIRED:
        if not resident.values.get(column):
            resident.fault(column, "required", "no card is made without it: give a value")
    values = resident.values
    if values.get("document_number"):
        if not values.get("document_type"):
            resident.fault("document_type", "required", "give the code of the document's kind")
    elif not values.get("resident_id_number"):
        resident.fault("document_number", "required", "give it, or the resident identity number")
    elif values.get("document_type", RESIDENT_CARD) != RESIDENT_CARD:
        resident.fault("document_number", "required", "give the number of the document")


def _follow_the_identity_number(resident: Resident) -> None:
    """Fold the identity number's repetitions into it: same spelling, same fault."""
    values, problems = resident.values, resident.problems
    for place, column in enumerate(_IDENTITY_CHAIN):
        for base in _IDENTITY_CHAIN[:place]:
            text = values.get(base, "")
            if text and text.upper() == values.get(column, "").upper():
                values[column] = text
                if base in problems:
                    problems.pop(column, None)


def _check_spelling(resident: Resident) -> None:
    """A passport's number has ASCII capitals and digits only; a family book's may be any text."""
    if not resident.sound("document_type", "document_number"):
        return
    values = resident.values
    if values["document_number"] == values.get("resident_id_number"):
        return
    remedy = spelling_remedy(values["document_type"], values["document_number"])
    if remedy:
        problem = "not only capital letters and digits"
        resident.fault("document_number", problem, remedy)


def _check_document(resident: Resident) -> None:
    values = resident.values
    if values.get("document_type") != RESIDENT_CARD or not resident.sound("document_number"):
        return
    if not values.get("resident_id_number"):
        remedy = "the document is a resident identity card: give its number here too"
        resident.fault("resident_id_number", "required", remedy)
    elif resident.sound("resident_id_number") and _number_differs(resident, "document_number"):
        remedy = "the number of a resident identity card is the identity number"
        resident.fault("document_number", "disagrees with resident_id_number", remedy)


def _number_differs(resident: Resident, column: str) -> bool:
    return resident.values[column] != resident.values["resident_id_number"]


def _check_card_number(resident: Resident) -> None:
    bases = [base for base in _IDENTITY_CHAIN[:2] if resident.values.get(base)]
    if not resident.sound("card_number", *bases) or not bases:
        return
    if resident.reported & set(_IDENTITY_CHAIN):
        return
    if resident.values["card_number"] not in [resident.values[base] for base in bases]:
        problem = "neither the identity number nor the document number"
        resident.fault("card_number", problem, f"write the {bases[0]} here")


def _check_person(resident: Resident) -> None:
    if not resident.sound("resident_id_number"):
        return
    number, values = resident.values["resident_id_number"], resident.values
    disagrees = "disagrees with resident_id_number"
    if resident.sound("birth_date") and values["birth_date"] != birth_date_in(number):
        remedy = f"the identity number says {birth_date_in(number)}: find out which is right"
        resident.fault("birth_date", disagrees, remedy)
    if resident.sound("sex") and values["sex"] in SEXES and values["sex"] != sex_in(number):
        remedy = f"the identity number says {sex_in(number)} ({SEXES[sex_in(number)]})"
        resident.fault("sex", disagrees, f"{remedy}: find out which is right")


def _check_entries(resident: Resident) -> None:
    """An entry of a repeated record, and the bank link, need what they are about."""
    for columns in ENTRIES:
        if not any(resident.values.get(column) for column in columns):
            continue
        for column in columns:
            what = _LINK_NEEDS.get(COLUMN_BY_NAME[column].field)
            if what and not resident.values.get(column):
                resident.fault(column, "required", f"{what} is nothing without it")


def _check_dates(resident: Resident, issued: str) -> None:
    _in_order(resident, "birth_date", "after issue", lambda birth: birth <= issued, issued)
    _in_order(resident, "expiry_date", "before issue", lambda expiry: expiry >= issued, issued)
    if resident.sound("bank_link_date"):
        linked = resident.values["bank_link_date"]
        _in_order(
            resident, "bank_link_expiry_date", "before link date", lambda e: e >= linked, linked
        )
    if resident.sound("birth_date"):
        born = resident.values["birth_date"]
        for column in _VACCINATION_DATES:
            _in_order(resident, column, "before birth", lambda given: given >= born, born)


def _in_order(
    resident: Resident, column: str, problem: str, right: Callable[[str], bool], other: str
) -> None:
    if resident.sound(column) and not right(resident.values[column]):
        resident.fault(column, f"{problem}, which is on {other}", "find out which date is right")


_RULES: tuple[Callable[[Resident], None], ...] = (
    _follow_the_identity_number,
    _require,
    _check_spelling,
    _check_document,
    _check_card_number,
    _check_person,
    _check_entries,
)
