"""Compare what a file's FCI announces with the layout: its structure and its access rules.

The rules are in expanded format (ISO/IEC 7816-4:2020 9.3.3; card specification 1).
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from ..errors import FormatError
from ..layout import FILE_BY_PATH, KEY_BY_NAME, FileSpec, Structure
from ..layout.model import NEVER
from ..tlv import Tlv, find_ber, iter_ber
from .findings import Finding

_NOTHING, _FREE, _GIVEN, _KEY, _PIN, _AND = "nothing", "given", "free", "key", "PIN", " and "
_CONTROL_PARAMETERS = 0x6F
_SIZE, _DESCRIPTOR, _IDENTIFIER, _LIFE_CYCLE, _RULES, _COMPACT = 0x80, 0x82, 0x83, 0x8A, 0xAB, 0x8C
_ACTIVATED = "05"
_STRUCTURES = {
    Structure.TRANSPARENT: "01",
    Structure.LINEAR_FIXED: "02",
    Structure.LINEAR_VARIABLE_TLV: "05",
    Structure.CYCLIC: "06",
}
"""The file descriptor byte of an EF (ISO/IEC 7816-4:2020 7.4.5)."""
_MODES = range(0x80, 0x90)
_BY_BITS, _BY_INSTRUCTION = 0x80, 0x84
_BITS = {
    0x40: "DELETE", 0x20: "TERMINATE", 0x10: "ACTIVATE", 0x08: "DEACTIVATE",
    0x04: "APPEND", 0x02: "UPDATE", 0x01: "READ",
}  # fmt: skip
"""Access mode bits of an EF, the highest first (ISO/IEC 7816-4:2020 table 29)."""
_ERASE_RECORD, _ERASE_BINARY = 0x0C, 0x0E
_ALL_OF, _AUTHENTICATION = 0xAF, 0xA4
_CONDITIONS = {0x90: _FREE, 0x97: NEVER}
_COMPACT_CONDITIONS = {0x00: _FREE, 0xFF: NEVER}
_REFERENCES = {b"\x80": _KEY, b"\x08": _PIN}
"""The usage qualifier (95) of an authentication template: what its reference (83) is."""


def announced(path: str, fci: bytes) -> list[Finding]:
    """Return one finding for each thing that a file's FCI says otherwise than the layout."""
    return [
        Finding(path, 0, "", f"its FCI announces another {name}", expected, found)
        for name, expected, found in _differences(path, fci)
    ]


@lru_cache(maxsize=256)
def _differences(path: str, fci: bytes) -> tuple[tuple[str, str, str], ...]:
    """Return name, expected and found. Cards of one kind have the same FCIs: they are kept."""
    try:
        said = _said(fci)
    except (FormatError, ValueError, IndexError):
        return (("form", "control parameters by ISO/IEC 7816-4 7.4", fci.hex().upper()),)
    expected = _expected(FILE_BY_PATH[path])
    return tuple(
        (name, expected.get(name, _NOTHING), said.get(name, _NOTHING))
        for name in expected | said
        if expected.get(name) != said.get(name)
    )


def _expected(file: FileSpec) -> dict[str, str]:
    records = 0 if file.structure is Structure.TRANSPARENT else file.records
    erase = _ERASE_RECORD if records else _ERASE_BINARY
    update = _rule(file.update_key, pin=file.holder_present)
    needs_key = {file.read_key, file.update_key, file.erase_key} - {"", NEVER}
    return {
        "size": str(file.size),
        "structure": _STRUCTURES[file.structure],
        "number of records": str(records),
        "longest record": str(max(file.record_lengths) if records else 0),
        "file identifier": f"{file.fid:04X}",
        "life cycle status": _ACTIVATED,
        "rule for READ": _rule(file.read_key),
        "rule for UPDATE": update,
        "rule for APPEND": update,
        f"rule for INS {erase:02X}": _rule(file.erase_key),
        "compact format": _NOTHING if needs_key else _GIVEN,
    }


def _rule(key: str, *, pin: bool = False) -> str:
    """One rule in words. A key is named by its reference: an FCI knows no other name."""
    if key in ("", NEVER):
        return key or _FREE
    return f"{_KEY} {KEY_BY_NAME[key].reference:02X}" + (f"{_AND}{_PIN} 00" if pin else "")


def _said(fci: bytes) -> dict[str, str]:
    parameters = find_ber(fci, _CONTROL_PARAMETERS)
    if parameters is None:
        raise FormatError("no FCI template")
    objects = {each.tag: each.value for each in iter_ber(parameters)}
    descriptor = objects.get(_DESCRIPTOR, b"\0")
    said = {
        "size": str(int.from_bytes(objects.get(_SIZE, b""), "big")),
        "structure": descriptor[:1].hex().upper(),
        "number of records": str(int.from_bytes(descriptor[4:], "big")),
        "longest record": str(int.from_bytes(descriptor[2:4], "big")),
        "file identifier": objects.get(_IDENTIFIER, b"").hex().upper(),
        "life cycle status": objects.get(_LIFE_CYCLE, b"").hex().upper(),
        "compact format": _GIVEN if _COMPACT in objects else _NOTHING,
    }
    for operation, rule in _rules(list(iter_ber(objects.get(_RULES, b"")))):
        name = f"rule for {operation}"
        said[name] = f"{said[name]}, and again {rule}" if name in said else rule
    for operation, rule in _compact_rules(objects.get(_COMPACT, b"\0")):
        name = f"rule for {operation}"
        if rule != said.get(name):
            said[name] = f"{said.get(name, _NOTHING)}, but in compact format {rule}"
    return said


def _rules(objects: list[Tlv]) -> Iterator[tuple[str, str]]:
    """Yield operation and rule: each access mode is followed by its security conditions."""
    starts = [n for n, each in enumerate(objects) if each.tag in _MODES]
    if objects and starts[:1] != [0]:
        raise FormatError("the access rules do not begin with an access mode")
    for start, end in pairwise([*starts, len(objects)]):
        rule = _AND.join(map(_condition, objects[start + 1 : end]))
        for operation in _operations(objects[start]):
            yield operation, rule


def _operations(mode: Tlv) -> list[str]:
    if mode.tag == _BY_BITS:
        (bits,) = mode.value
        return [f"bit {bits:02X}"] if bits & 0x80 else [_BITS[bit] for bit in _BITS if bits & bit]
    if mode.tag == _BY_INSTRUCTION:
        return [f"INS {instruction:02X}" for instruction in mode.value]
    return [f"access mode {mode.tag:02X}"]


def _condition(condition: Tlv) -> str:
    if condition.tag == _ALL_OF:
        return _AND.join(map(_condition, iter_ber(condition.value)))
    if condition.tag == _AUTHENTICATION:
        objects = [(each.tag, each.value) for each in iter_ber(condition.value)]
        for known, name in _REFERENCES.items():
            if objects == [(0x83, objects[0][1]), (0x95, known)]:
                return f"{name} {objects[0][1].hex().upper()}"
    elif not condition.value and condition.tag in _CONDITIONS:
        return _CONDITIONS[condition.tag]
    return f"condition {condition.tag:02X} {condition.value.hex().upper()}"


def _compact_rules(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield operation and rule: a condition byte for each access mode bit, the highest first."""
    operations = _operations(Tlv(_BY_BITS, raw[:1]))
    for operation, condition in zip(operations, raw[1:], strict=True):
        yield operation, _COMPACT_CONDITIONS.get(condition, f"condition {condition:02X}")
