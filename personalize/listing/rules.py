"""Checks one value for itself: its coding, its code table, and no account number in clear."""

from dataclasses import dataclass
from functools import lru_cache

from cardlib.errors import FormatError
from cardlib.layout import FieldSpec, Kind, code_table, decode, encode, gb18030
from cardlib.layout.characters import unfit_in

from .columns import COLUMN_BY_NAME, PHOTO_COLUMN, field_of
from .fault_codes import FaultCode
from .holders import unseen_in
from .identity_number import identity_problem
from .list_faults import Wrong
from .lookalikes import first_look_alike
from .misreading import misread
from .remedies import code_remedy, date_remedy, flag_remedy, label_hint
from .spreadsheet import damage_in
from .text_survey import undecoded_byte

BLANKS = " \u00a0\u3000"
_MASKS = "*xX•●＊"
_MOST_ACCOUNT_DIGITS = 10
_LONGEST = 10_000
_REMEDIES = {
    Kind.DIGITS: "write digits only",
    Kind.AID: "write 5 to 16 bytes in hexadecimal, such as A000000333010101",
}
_TOO_LONG = "make it shorter: a letter takes 1 byte, a Chinese character 2, a rare one 4"
_TOO_LONG_NAME = (
    "a name is never cut by guess: write the short form that the person's identity document or"
    " the health authority gives; if there is none, leave the resident out of this list and ask it"
)
_NO_FILE_NAME = ("control character", "half a character: lone surrogate")
_UNFIT = {
    "control character": FaultCode.CONTROL_CHARACTER,
    "format character": FaultCode.INVISIBLE_CHARACTER,
    "half a character: lone surrogate": FaultCode.HALF_CHARACTER,
    "noncharacter": FaultCode.NONCHARACTER,
    "private-use character": FaultCode.PRIVATE_CHARACTER,
    "replacement character": FaultCode.LOST_CHARACTER,
    "unassigned code point": FaultCode.UNASSIGNED_CHARACTER,
}
_REFUSED = {
    Kind.DATE: FaultCode.INVALID_DATE,
    Kind.FLAG: FaultCode.INVALID_FLAG,
    Kind.DIGITS: FaultCode.NOT_DIGITS,
    Kind.AID: FaultCode.INVALID_AID,
}
"""What a value is that the codec of its kind refuses. Text has been checked before."""

_EXACT_DIGITS = {"city_code": 6}
_IDENTITY = "resident_id_number"
_HEXADECIMAL = frozenset(name for name in COLUMN_BY_NAME
                         if field_of(COLUMN_BY_NAME[name]).kind is Kind.AID)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """A value as it will read back, or why it cannot be stored and what to do."""

    text: str
    wrong: Wrong | None = None

    @property
    def problem(self) -> str:
        """Why it cannot be stored; "" if it can."""
        return self.wrong.problem if self.wrong else ""

    @property
    def remedy(self) -> str:
        """What to do; "" if it can be stored."""
        return self.wrong.remedy if self.wrong else ""


def text_of(column: str, given: str) -> str:
    """A good value as it will read back from the card: `check_value` says whether it is good."""
    text = given.strip(BLANKS)
    if column == _IDENTITY:
        return text.upper()
    return bytes.fromhex(text).hex().upper() if column in _HEXADECIMAL else text


@lru_cache(maxsize=1 << 13)
def check_value(column: str, given: str) -> Checked:
    """Check one column's text for itself. A blank value is good, and its text is "".

    Blanks around a value are removed; identity numbers and hexadecimal become capitals.
    """
    text = given.strip(BLANKS)
    if not text:
        return Checked("")
    if column == PHOTO_COLUMN:
        return Checked(text, unreadable(text, is_path=True))
    if wrong := unreadable(text):
        return Checked(text, wrong)
    if damage := damage_in(column, text) or misread(text):
        return Checked(text, damage)
    return _check_kind(column, text)


def _check_kind(column: str, text: str) -> Checked:
    """Check what the field of a column needs: its number, its code table, its coding."""
    field = field_of(COLUMN_BY_NAME[column])
    if column == _IDENTITY:
        text = text_of(column, text)
        if wrong := identity_problem(text):
            return Checked(text, wrong)
    if column == "bank_account_masked" and _is_account_in_clear(text):
        remedy = "write * for all digits but the first six and the last four: 622202******0005"
        return _refused(text, FaultCode.UNMASKED_ACCOUNT, "unmasked account number", remedy)
    if field.kind is Kind.CODE:
        return _check_code(field, text)
    if field.coding == "ans" and (found_one := first_look_alike(column, text)):
        return _refused(text, FaultCode.LOOK_ALIKE, found_one.problem, found_one.remedy)
    return _check_length(column, field, text) or _check_coding(column, field, text)


def _refused(text: str, code: FaultCode, problem: str, remedy: str) -> Checked:
    return Checked(text, Wrong(code, problem, remedy))


def unreadable(text: str, *, is_path: bool = False) -> Wrong | None:
    """Why no field can hold the text; the name of a file may have more characters."""
    if byte := undecoded_byte(text):
        remedy = "write the value again, and save the list as UTF-8"
        problem = f"not text in the list's encoding: byte {byte}"
        return Wrong(FaultCode.UNDECODED_BYTE, problem, remedy)
    for unfit in unfit_in(text):
        if not is_path or unfit.kind in _NO_FILE_NAME:
            return Wrong(_UNFIT[unfit.kind], unfit.problem, unfit.remedy)
    if not is_path and (unseen := unseen_in(text)):
        problem = f"invisible character U+{ord(unseen):04X}"
        remedy = "it cannot be seen: delete it, or type the value again"
        return Wrong(FaultCode.INVISIBLE_CHARACTER, problem, remedy)
    if len(text) > _LONGEST:
        problem = f"too long: {len(text)} characters"
        return Wrong(FaultCode.TOO_LONG, problem, "look for a missing quote or comma")
    return None


def _is_account_in_clear(text: str) -> bool:
    """Whether more than the first six and last four digits can be read, or nothing is masked."""
    digits = sum(char.isdigit() for char in text)
    return digits > _MOST_ACCOUNT_DIGITS or not any(char in _MASKS for char in text)


def _check_code(field: FieldSpec, text: str) -> Checked:
    table = code_table(field.table)
    if text in table.codes:
        return Checked(text)
    remedy = code_remedy(table, text) + label_hint(table, text)
    return _refused(text, FaultCode.INVALID_CODE, "not in code table", remedy)


def _check_length(column: str, field: FieldSpec, text: str) -> Checked | None:
    if field.coding == "ans" and (size := len(gb18030.encode(text))) > field.length:
        problem = f"too long in GB 18030: {size} bytes, {field.length} fit"
        remedy = _TOO_LONG_NAME if column == "name" else _TOO_LONG
        return _refused(text, FaultCode.TOO_LONG, problem, remedy)
    digits = _EXACT_DIGITS.get(column)
    if digits and len(text) != digits:
        problem = f"{digits} digits are needed, not {len(text)}"
        remedy = f"write all {digits} digits, leading zeros too"
        return _refused(text, FaultCode.WRONG_LENGTH, problem, remedy)
    return None


def _check_coding(column: str, field: FieldSpec, text: str) -> Checked:
    """Encode and decode the value: the card must give the very value that was put in."""
    try:
        raw = encode(field, text)
    except FormatError as error:
        return _refused(text, _code(field, text), _problem(field, error), _remedy(field, text))
    _, value, why = decode(field, raw)
    back = value.hex().upper() if isinstance(value, bytes) else value
    text = text_of(column, text)
    if back != text:
        problem = f"would not read back from the card: {why or 'it reads blank'}"
        return _refused(text, FaultCode.NOT_READ_BACK, problem, _remedy(field, text))
    return Checked(text)


def _code(field: FieldSpec, text: str) -> FaultCode:
    """The code of a value that the codec refuses: too many digits are not something else."""
    if field.kind is Kind.DIGITS and text.isdigit() and len(text) > 2 * field.length:
        return FaultCode.TOO_LONG
    return _REFUSED.get(field.kind, FaultCode.NOT_READ_BACK)


def _problem(field: FieldSpec, error: FormatError) -> str:
    """Why the codec refuses a value. Of a date only "no such date" says more than its form."""
    found = str(error)
    is_date = field.kind is Kind.DATE
    return "not a date as YYYYMMDD" if is_date and not found.startswith("no such") else found


def _remedy(field: FieldSpec, text: str) -> str:
    if field.kind is Kind.DATE:
        return date_remedy(text)
    if field.kind is Kind.FLAG:
        return flag_remedy(text)
    return _REMEDIES.get(field.kind, "write the value in another way")
