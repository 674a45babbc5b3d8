"""Encode and decode one field: ans (GB 18030), cn (packed BCD), b (card specification 2)."""

import re
from datetime import date, datetime
from functools import lru_cache

from ..errors import FormatError
from . import gb18030
from .card_profile import RHCARD, CardProfile
from .characters import first_unfit
from .codes import code_table
from .field_value import State
from .model import FieldSpec, Kind

Decoded = tuple[State, str | bytes | None, str]
"""State, value, and for `corrupt` the reason."""

_LENGTH_PREFIXED = (Kind.PHOTO, Kind.DER)
_DATE_DIGITS = {Kind.DATE: 8, Kind.DATETIME: 14}
_NUMBER = {Kind.AMOUNT: re.compile(r"\d+(\.\d+)?"), Kind.COUNT: re.compile(r"\d+")}
_ONE_DIGIT = {
    Kind.FLAG: (1, "neither 01 (yes) nor 00 (no)"),
    Kind.MARK: (0, "neither 00 (valid) nor FF (empty)"),
    Kind.CODE: (9, "not a one-digit code"),
}
_MIN_AID = 5
"""The fewest bytes of an AID (ISO/IEC 7816-5)."""
_CN_TEXT = re.compile("[0-9.]+")
_JPEG_START, _JPEG_END, _FILL = b"\xff\xd8", b"\xff\xd9", b"\0 \xff"
"""SOI and EOI of a JPEG (ITU-T T.81 B.1.1.3), and what a field may be filled up with."""


def encode(field: FieldSpec, value: str | bytes, profile: CardProfile = RHCARD) -> bytes:
    """Encode a value to the full length of its field. A value that does not fit is never cut.

    `ans` fields take text, `cn` fields digits, one-digit `b` fields the digit, other `b` fields
    bytes or hex. `profile` says how a one-digit code is written in a `cn` field. Raises
    FormatError, which says why the value cannot be stored; a code that a closed code table does
    not have cannot be stored either.
    """
    if not field.table:
        return _ENCODERS[field.coding](field, value)
    raw = _encode_code(field, value)
    if field.one_digit and profile.one_digit_code == "0n" and raw[0] & 0x0F == 0x0F:
        return bytes((raw[0] >> 4,))
    return raw


@lru_cache(maxsize=1 << 12)
def _encode_code(field: FieldSpec, code: str | bytes) -> bytes:
    """Encode a code of a code table; those that are right are kept, for a table has few."""
    raw = _ENCODERS[field.coding](field, code)
    if problem := _code_problem(field, code):
        raise FormatError(problem)
    return raw


def decode(field: FieldSpec, raw: bytes) -> Decoded:
    """Decode a field's bytes to state, value and reason. It never raises, whatever `raw` is."""
    if len(raw) != field.length:
        return _corrupt(f"{len(raw)} bytes, but the field has {field.length}")
    if raw.count(0xFF) == len(raw):
        return State.UNWRITTEN, None, ""
    decoded = _DECODERS[field.coding](field, raw)
    if field.table and decoded[0] is State.VALUE:
        problem = _code_problem(field, decoded[1])
        return _corrupt(problem) if problem else decoded
    return decoded


def _code_problem(field: FieldSpec, code: str | bytes | None) -> str | None:
    """Say why a code is not valid: the field's table is closed and does not have it."""
    table = code_table(field.table)
    if isinstance(code, str) and table.lacks(code):
        return f"{table.title_en} has no code {code}"
    return None


def _corrupt(why: str) -> Decoded:
    return State.CORRUPT, None, why


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):
        raise FormatError("this field takes text, not bytes")
    return value


def _encode_ans(field: FieldSpec, value: str | bytes) -> bytes:
    text = _text(value)
    if unfit := first_unfit(text):
        raise FormatError(f"{unfit.problem}: {unfit.remedy}")
    if problem := _ascii_problem(field, text):
        raise FormatError(problem)
    raw = gb18030.encode(text)
    if len(raw) > field.length:
        raise FormatError(f"too long: {len(raw)} bytes in GB 18030, {field.length} fit")
    if not text.strip(" ") or text.endswith(" "):
        raise FormatError("the text is blank or ends in a blank: remove the blanks")
    return raw.ljust(field.length, b"\0")


def _ascii_problem(field: FieldSpec, text: str) -> str | None:
    """Say why the text cannot be stored, if the field takes ASCII only."""
    if text.isascii() or field.kind is not Kind.ASCII:
        return None
    return f"not ASCII: {next(char for char in text if not char.isascii())}"


def _decode_ans(field: FieldSpec, raw: bytes) -> Decoded:
    stripped = raw.rstrip(b"\0 ")
    if not stripped:
        return State.EMPTY, None, ""
    try:
        text = gb18030.decode(stripped)
    except UnicodeDecodeError as error:
        if stripped.endswith(b"\xff"):
            start = len(stripped.rstrip(b"\xff"))
            return _corrupt(f"FF from byte {start} on: not written to its end, or padded with FF")
        return _corrupt(f"not GB 18030 at byte {error.start}")
    if unfit := first_unfit(text):
        return _corrupt(unfit.problem)
    if problem := _ascii_problem(field, text):
        return _corrupt(problem)
    return State.VALUE, text, ""


def _encode_cn(field: FieldSpec, value: str | bytes) -> bytes:
    text = _text(value)
    if problem := _cn_problem(field, text):
        raise FormatError(problem)
    if len(text) > 2 * field.length:
        raise FormatError(f"too long: {len(text)} digits, {2 * field.length} fit")
    if field.one_digit and len(text) == 2 and text[0] == "0":
        raise FormatError(f"a one-digit code has no zero before it: write {text[1]}")
    return bytes.fromhex(text.replace(".", "A").ljust(2 * field.length, "F"))


def _cn_problem(field: FieldSpec, text: str) -> str | None:
    """Say why the text is not a value of this cn field, if it is not."""
    if not _CN_TEXT.fullmatch(text):
        return "not a number: digits only"
    if field.kind in _DATE_DIGITS:
        return _date_problem(field.kind, text)
    pattern = _NUMBER.get(field.kind)
    if pattern and not pattern.fullmatch(text):
        return "not a number"
    return None if pattern or "." not in text else "a decimal point is not allowed here"


def _date_problem(kind: Kind, text: str) -> str | None:
    expected = _DATE_DIGITS[kind]
    if len(text) != expected or "." in text:
        return f"{expected} digits are needed"
    try:
        if kind is Kind.DATE:
            date.fromisoformat(text)
        else:
            datetime.strptime(text, "%Y%m%d%H%M%S")
    except ValueError:
        return f"no such date: {text}"
    return None


def _decode_cn(field: FieldSpec, raw: bytes) -> Decoded:
    digits = raw.hex().upper().rstrip("F")
    text = digits.replace("A", ".")
    if text and not _CN_TEXT.fullmatch(text):
        bad = next(char for char in digits if char not in "0123456789A")
        return _corrupt(f"nibble {bad} in packed BCD")
    if field.one_digit and len(text) == 2:
        text = text.removeprefix("0")
    if problem := _cn_problem(field, text):
        return _corrupt(problem)
    return State.VALUE, text, ""


def _encode_b(field: FieldSpec, value: str | bytes) -> bytes:
    if field.kind is Kind.FLAG:
        if value not in ("0", "1"):
            raise FormatError("a flag is 1 for yes or 0 for no")
        return b"\1" if value == "1" else b"\0"
    if field.kind is Kind.MARK:
        if value != "0":
            raise FormatError("a mark is 0 (valid), or left out")
        return b"\0"
    if field.kind is Kind.CODE:
        text = _text(value)
        if not (text.isascii() and text.isdigit() and len(text) == 1):
            raise FormatError("write a one-digit code")
        return bytes((int(text),))
    return _encode_binary(field, value)


def _encode_binary(field: FieldSpec, value: str | bytes) -> bytes:
    try:
        raw = bytes.fromhex(value) if isinstance(value, str) else value
    except ValueError:
        raise FormatError("not hexadecimal: write two hex digits for each byte") from None
    if field.kind in _LENGTH_PREFIXED:
        if not 0 < len(raw) <= field.length - 2:
            raise FormatError(f"{len(raw)} bytes, but 1 to {field.length - 2} fit")
        if _begins_as_jpeg(field, raw) and not raw.endswith(_JPEG_END):
            raise FormatError("this JPEG is cut off or goes on after its end: it must end in FFD9")
        return (len(raw).to_bytes(2, "big") + raw).ljust(field.length, b"\xff")
    if field.kind is Kind.AID:
        if not _MIN_AID <= len(raw) <= field.length:
            raise FormatError(f"an AID has {_MIN_AID} to 16 bytes, not {len(raw)}")
        if raw.endswith(b"\xff"):
            raise FormatError("an AID must not end in FF: FF is the padding of this field")
        return raw.ljust(field.length, b"\xff")
    if len(raw) != field.length:
        raise FormatError(f"{len(raw)} bytes, but the field needs exactly {field.length}")
    if raw.count(0xFF) == len(raw):
        raise FormatError("a value of only FF would be read as unwritten")
    return raw


def _decode_b(field: FieldSpec, raw: bytes) -> Decoded:
    if field.kind in _ONE_DIGIT:
        highest, meaning = _ONE_DIGIT[field.kind]
        if raw[0] > highest:
            return _corrupt(f"{raw[0]:02X} is {meaning}")
        negative = field.kind is Kind.FLAG and not raw[0]
        return State.NEGATIVE if negative else State.VALUE, str(raw[0]), ""
    if field.kind in _LENGTH_PREFIXED:
        length = int.from_bytes(raw[:2], "big")
        if not 0 < length <= field.length - 2:
            return _corrupt(f"length {length}, but 1 to {field.length - 2} is possible")
        return _counted(field, raw[2 : 2 + length])
    if field.kind is Kind.AID:
        raw = raw.rstrip(b"\xff")
        if len(raw) < _MIN_AID:
            return _corrupt(f"AID of {len(raw)} bytes, but it needs at least {_MIN_AID}")
    return State.VALUE, raw, ""


def _counted(field: FieldSpec, content: bytes) -> Decoded:
    """Decode what has a length before it. A JPEG must end there too, or in what fills it up."""
    if not _begins_as_jpeg(field, content):
        return State.VALUE, content, ""
    picture = content.rstrip(_FILL)
    if picture.endswith(_JPEG_END):
        return State.VALUE, picture, ""
    return _corrupt(
        f"a JPEG that does not end (FFD9) after {len(content)} bytes, as its length says"
    )


def _begins_as_jpeg(field: FieldSpec, content: bytes) -> bool:
    return field.kind is Kind.PHOTO and _JPEG_START.startswith(content[:2])


_ENCODERS = {"ans": _encode_ans, "cn": _encode_cn, "b": _encode_b}
_DECODERS = {"ans": _decode_ans, "cn": _decode_cn, "b": _decode_b}
