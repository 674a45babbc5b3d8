"""Decode the security attributes of a file to create (ISO/IEC 7816-4 9.3)."""

from ...errors import FormatError
from ...tlv import Tlv, iter_ber
from .tree import ALWAYS, KEY_BIT, NEVER_RULE, Directory, Rule

AUTHENTICATING_ROLES = ("RK", "UK", "LK", "BK")
_READ, _UPDATE, _WRITE = 0x01, 0x02, 0x04
_ERASE_INSTRUCTIONS = (0x0C, 0x0D, 0x0E, 0x0F)
_NEVER, _ALWAYS, _AUTHENTICATION, _AND = 0x97, 0x90, 0xA4, 0xAF
_PIN_USAGE = 0x08
_ACCESS_MODES = range(0x80, 0x90)

Rules = tuple[Rule, Rule, Rule]
"""The rules for READ and SEARCH; for WRITE, APPEND and UPDATE; for ERASE."""


def rules(directory: Directory, compact: bytes | None, expanded: bytes | None) -> Rules:
    """Decode the rules of a file in `directory`; without attributes everything is allowed.

    Raises FormatError when the attributes are not valid.
    """
    if expanded is not None:
        return _from_expanded(directory, expanded)
    return _from_compact(compact) if compact is not None else (ALWAYS, ALWAYS, ALWAYS)


def _from_compact(raw: bytes) -> Rules:
    modes, conditions = raw[:1], list(raw[1:])
    if not modes or modes[0] & 0x80 or modes[0].bit_count() != len(conditions):
        raise FormatError("8C needs one security condition byte for each access mode bit")
    found = {}
    for bit in (0x40, 0x20, 0x10, 0x08, _WRITE, _UPDATE, _READ):
        if modes[0] & bit:
            condition = conditions.pop(0)
            if condition not in (0x00, 0xFF):
                raise FormatError("8C can only say always (00) or never (FF): put keys into AB")
            found[bit] = NEVER_RULE if condition else ALWAYS
    update = found.get(_UPDATE, NEVER_RULE)
    if found.get(_WRITE, update) != update:
        raise FormatError("8C: WRITE and UPDATE must have the same rule on this card")
    return found.get(_READ, NEVER_RULE), update, update


def _from_expanded(directory: Directory, raw: bytes) -> Rules:
    found: dict[str, Rule] = {}
    objects = list(iter_ber(raw))
    while objects:
        mode = objects.pop(0)
        conditions = []
        while objects and objects[0].tag not in _ACCESS_MODES:
            conditions.append(objects.pop(0))
        if not conditions:
            raise FormatError("AB: an access mode has no security condition")
        rule = _rule(directory, conditions)
        for operation in _operations(mode):
            found.setdefault(operation, rule)
    read = found.get("read", NEVER_RULE)
    update = found.get("update", NEVER_RULE)
    return read, update, found.get("erase", update)


def _operations(mode: Tlv) -> list[str]:
    if mode.tag == 0x80 and len(mode.value) == 1:
        bits = mode.value[0]
        return ["read"] * bool(bits & _READ) + ["update"] * bool(bits & (_UPDATE | _WRITE))
    if mode.tag == 0x84 and mode.value and all(i in _ERASE_INSTRUCTIONS for i in mode.value):
        return ["erase"]
    raise FormatError("AB: use access mode 80, or 84 with the erase instructions")


def _rule(directory: Directory, conditions: list[Tlv]) -> Rule:
    if len(conditions) == 1 and conditions[0].tag == _AND:
        conditions = list(iter_ber(conditions[0].value))
    elif len(conditions) > 1:
        raise FormatError("AB: put several conditions into AF")
    rule = ALWAYS
    for condition in conditions:
        if condition.tag == _NEVER:
            return NEVER_RULE
        if condition.tag == _AUTHENTICATION:
            rule = _with_authentication(directory, rule, condition.value)
        elif condition.tag != _ALWAYS:
            raise FormatError(f"AB: security condition {condition.tag:02X} is not supported")
    return rule


def _with_authentication(directory: Directory, rule: Rule, crt: bytes) -> Rule:
    found = {tlv.tag: tlv.value for tlv in iter_ber(crt)}
    reference, usage = found.get(0x83, b""), found.get(0x95, b"\x80")
    if usage == bytes((_PIN_USAGE,)) and reference == b"\0":
        return Rule(rule.rights, True, False, rule.key)
    key = directory.key(reference[0], AUTHENTICATING_ROLES) if len(reference) == 1 else None
    if key is None:
        raise FormatError("AB: A4 does not name an authentication key of this directory")
    return Rule(rule.rights | KEY_BIT[key.name], rule.pin, False, key)
