"""Encode what SELECT answers: FCI, FCP and FMD (ISO/IEC 7816-4:2020 7.4.1 to 7.4.3, 9.3)."""

from functools import lru_cache

from ...layout import Structure
from ...tlv import ber, concatenate
from ..filesystem.tree import Directory, ElementaryFile, Rule
from ..sessions.card_interface import Card
from .access import has_name, update_rule

FCI, FCP, FMD = 0x6F, 0x62, 0x64
_DESCRIPTOR = {
    Structure.TRANSPARENT: 0x01,
    Structure.LINEAR_FIXED: 0x02,
    Structure.LINEAR_VARIABLE_TLV: 0x05,
    Structure.CYCLIC: 0x06,
}
_DIRECTORY_DESCRIPTOR = 0x38
_DATA_CODING = 0x21
_READ, _UPDATE, _WRITE = 0x01, 0x02, 0x04
"""Access mode bits for EFs (ISO/IEC 7816-4 table 29)."""
_ERASE_RECORD, _ERASE_BINARY = 0x0C, 0x0E
_INSTRUCTION_ONLY = 0x84
_NEVER, _ALWAYS = 0x97, 0x90


def template(card: Card, node: Directory | ElementaryFile, tag: int) -> bytes:
    """Encode the FCI, FCP or FMD of a file; `tag` is the template's."""
    if isinstance(node, Directory) and node.aid:
        return ber(tag, _application(card, node, tag))
    return ber(tag, b"" if tag == FMD else parameters(card, node))


def _application(card: Card, node: Directory, tag: int) -> bytes:
    spec, cipher, version, region = card.state.profile
    proprietary = ber(0xC1, bytes((spec, cipher, version))) + ber(0xC2, region)
    management = _name(card, node) + ber(0xA5, proprietary)
    return parameters(card, node) if tag == FCP else management


def parameters(card: Card, node: Directory | ElementaryFile) -> bytes:
    """Encode the control parameters of a file, without the template around them."""
    state = ber(0x8A, bytes((card.memory.byte(node.state_address),)))
    fid = ber(0x83, node.fid.to_bytes(2, "big"))
    if isinstance(node, Directory):
        descriptor = ber(0x82, bytes((_DIRECTORY_DESCRIPTOR, _DATA_CODING)))
        return descriptor + fid + _name(card, node) + state
    size = ber(0x80, node.size.to_bytes(2, "big"))
    descriptor = bytes((_DESCRIPTOR[node.structure], _DATA_CODING))
    if node.slots:
        longest = max(map(sum, zip(map(len, node.prefixes), node.lengths, strict=True)))
        descriptor += longest.to_bytes(2, "big") + bytes((node.slots,))
    return (
        size
        + ber(0x82, descriptor)
        + fid
        + state
        + security_attributes(node, update_rule(card, node))
    )


def _name(card: Card, node: Directory) -> bytes:
    return ber(0x84, node.aid) if has_name(card, node) else b""


@lru_cache(maxsize=64)
def security_attributes(file: ElementaryFile, update: Rule) -> bytes:
    """Encode the access rules in expanded format (AB), and in compact (8C) if that is exact."""
    erase = _ERASE_BINARY if file.structure is Structure.TRANSPARENT else _ERASE_RECORD
    expanded = ber(0xAB, concatenate([
        (_INSTRUCTION_ONLY, bytes((erase,))), *_conditions(file.erase),
        (0x80, bytes((_READ,))), *_conditions(file.read),
        (0x80, bytes((_UPDATE | _WRITE,))), *_conditions(update),
    ]))  # fmt: skip
    return expanded + _compact(file, update)


def _conditions(rule: Rule) -> list[tuple[int, bytes]]:
    if rule.never:
        return [(_NEVER, b"")]
    found = []
    if rule.key:
        found.append((0xA4, ber(0x83, bytes((rule.key.reference,))) + ber(0x95, b"\x80")))
    if rule.pin:
        found.append((0xA4, ber(0x83, b"\0") + ber(0x95, b"\x08")))
    if len(found) > 1:
        return [(0xAF, concatenate(found))]
    return found or [(_ALWAYS, b"")]


def _compact(file: ElementaryFile, update: Rule) -> bytes:
    """Encode the compact format. It is exact only if every rule is always or never."""
    rules = (update, update, file.read)
    if any(rule.rights or rule.pin for rule in (*rules, file.erase)) or not file.erase.never:
        return b""
    codes = bytes(0xFF if rule.never else 0x00 for rule in rules)
    return ber(0x8C, bytes((_WRITE | _UPDATE | _READ,)) + codes)
