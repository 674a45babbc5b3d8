"""Commands that a card may take, for the state it is in; and ways to spoil them."""

from collections.abc import Callable
from random import Random

from cardlib.apdu import CommandAPDU
from cardlib.commands import COMMANDS
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import PIN
from cardlib.emulator.filesystem.tree import PROFILE, ElementaryFile, Node
from cardlib.emulator.sessions.logical_channel import LogicalChannel
from cardlib.layout import KEYS, Structure
from cardlib.tlv import ber, dgi
from tests.attacks.fuzz.cards import fcp, unit

AIDS = ("F052484301", "A000000151000000", "F05248430A", "F0524843", "A0000001510000", "")
INSTRUCTIONS = tuple(sorted({spec.ins for spec in COMMANDS}))
CLASSES = (0x00, 0x00, 0x00, 0x80, 0x84, 0x04, 0x0C, 0x10, 0x90, 0x94, 0x1C, 0x8C, 0x40, 0x20)
_LENGTHS = (0, 1, 2, 3, 4, 6, 8, 16, 17, 40, 100, 223, 224, 255)
_LES = (None, 256, 256, 1, 2, 8, 16, 223, 224, 255)
_DATA_OBJECTS = (0x0045, 0x0066, 0x00C1, 0x00E0, 0x9F7F, 0x0042, 0x5F50, 0x7F21, 0x0080)
_DESCRIPTORS = ("0121", "0141", "0161", "0101", "0221001004", "0421002003", "0621000805", "3821",
                "0221000000", "04217FFFFE", "01", "0221", "05210010", "1F21")  # fmt: skip

Made = CommandAPDU


def nodes(card: SoftwareCard) -> list[Node]:
    """Every file of the profile, and the created ones."""
    return [*PROFILE.values(), *(n for files in card.created.values() for n in files.values())]


def path_of(node: Node) -> bytes:
    """The path of identifiers from the MF, without it."""
    found, at = b"", node
    while at.parent:
        found, at = at.fid.to_bytes(2, "big") + found, at.parent
    return found


def _select(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    p2, le = rng.choice((0x00, 0x04, 0x08, 0x0C, 0x0C, 0x0C)), rng.choice((None, 256))
    kind = rng.random()
    if kind < 0.35 or (kind < 0.85 and card.options.selection == "file identifier"):
        nearby = [*channel.directory.children, *card.created.get(channel.directory, {})]
        fid = rng.choice([*nearby, 0x3F00, 0xDDF1, 0xDF02, 0xDF03])
        return Made(0, 0xA4, rng.choice((0, 0, 0, 1, 2)), p2, fid.to_bytes(2, "big"), le)
    if kind < 0.85:
        return Made(0, 0xA4, 0x08, p2, path_of(rng.choice(nodes(card))), le)
    if kind < 0.95:
        return Made(0, 0xA4, 0x04, p2, bytes.fromhex(rng.choice(AIDS)), le)
    return Made(0, 0xA4, rng.randrange(16), p2, rng.randbytes(rng.randrange(5)), le)


def _offset(rng: Random, file: ElementaryFile | None) -> int:
    size = file.size if file else 64
    return rng.choice((0, 0, 0, 1, max(size - 1, 0), size, rng.randrange(size + 1), 0x7FFF))


def _odd(rng: Random, offset: int, data: bytes = b"") -> bytes:
    objects = ber(0x54, offset.to_bytes(rng.choice((2, 2, 2, 3)), "big"))
    return objects + (ber(rng.choice((0x53, 0x73)), data) if data else b"")


def _read_binary(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    offset, le = _offset(rng, channel.file), rng.choice(_LES)
    if rng.random() < 0.3:
        return Made(0, 0xB1, 0, 0, _odd(rng, offset), le)
    return Made(0, 0xB0, offset >> 8, offset & 0xFF, b"", le)


def _record_number(rng: Random, file: ElementaryFile | None) -> int:
    slots = file.slots if file else 3
    return rng.choice((1, 1, rng.randrange(slots + 2) & 0xFF, slots & 0xFF, 0, 0xFF))


def _read_record(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    number, le = _record_number(rng, channel.file), rng.choice(_LES)
    if rng.random() < 0.2:
        return Made(0, 0xB3, number, 4, _odd(rng, rng.randrange(20)), le)
    return Made(0, 0xB2, number, rng.choice((4, 4, 4, 5, 5, 0, 1)), b"", le)


def _search(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    known = unit(channel.file.path) if channel.file else b"\xff"
    wanted = rng.choice((rng.randbytes(rng.choice((1, 2))), known[:1], known[4:7], b"\xff\xff"))
    if rng.random() < 0.5:
        return Made(0, 0xA2, _record_number(rng, channel.file), rng.choice((4, 5)), wanted, 256)
    if rng.random() < 0.5:
        return Made(0, 0xA1, 0, 0, _odd(rng, _offset(rng, channel.file), wanted), 256)
    return Made(0, 0xA0, 0, 0, wanted, 256)


def _change_binary(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    offset, data = _offset(rng, channel.file), rng.randbytes(rng.choice((1, 4, 16, 100, 238)))
    ins = rng.choice((0xD6, 0xD6, 0xD0, 0x0E))
    if ins == 0x0E and rng.random() < 0.7:
        data = rng.randbytes(rng.randrange(3))
    if rng.random() < 0.3:
        return Made(0, ins | 1, 0, 0, _odd(rng, offset, data))
    return Made(0, ins, offset >> 8, offset & 0xFF, data)


def _record(rng: Random, file: ElementaryFile | None, number: int) -> bytes:
    """A record of the file's form, mostly."""
    if file is None or not file.slots or rng.random() < 0.1:
        return rng.randbytes(rng.choice(_LENGTHS))
    slot = min(max(number - 1, 0), file.slots - 1)
    length = file.lengths[slot]
    if file.variable:
        length = rng.randint(1, length)
    return (file.prefixes[slot] + rng.randbytes(min(length, 240)))[:240]


def _change_record(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    file = channel.file
    number = _record_number(rng, file)
    kind = rng.random()
    if kind < 0.35:
        return Made(0, 0xDC, number, 4, _record(rng, file, number))
    if kind < 0.6:
        append = rng.random() < 0.5
        return Made(0, 0xE2 if append else 0xDC, 0, 0 if append else 3, _record(rng, file, 1))
    if kind < 0.7:
        return Made(0, 0xDD, number, 4, _odd(rng, rng.randrange(20), rng.randbytes(3)))
    ins = rng.choice((0xD2, 0xD2, 0x0C))
    data = b"" if rng.random() < 0.7 else _record(rng, file, number)
    return Made(rng.choice((0x00, 0x80)), ins, number, 4, data)


def _pin(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    pin, other = PIN.encode("ascii"), b"%06d" % rng.randrange(10**6)
    data = rng.choice((b"", pin, pin, other, rng.randbytes(6), pin[:5]))
    if rng.random() < 0.7:
        return Made(0, 0x20, 0, 0, data)
    if rng.random() < 0.5:
        return Made(0, 0x24, 0, rng.choice((0, 0, 1)), rng.choice((pin, other)) + pin)
    return Made(rng.choice((0, 0x80)), rng.choice((0x2C, 0x24)), rng.randrange(4), 0, data)


def _security(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    key = rng.choice(KEYS)
    return rng.choice((
        Made(0, 0x84, 0, 0, b"", 8),
        Made(0, 0x84, 0, 0, b"", rng.choice(_LES)),
        Made(0, 0x88, 0, 0, rng.randbytes(16) + b"\1", 8),
        Made(0, 0x82, 0, key.reference, rng.randbytes(rng.choice((16, 40))) + b"\1"[:1], 40),
        Made(0x80, 0x2C, 0, key.sam_key_id),
        Made(0x80, 0x50, rng.choice((0, 1, 0xFF, 2)), 0, rng.randbytes(rng.choice((8, 16))), 256),
        Made(0x84, 0x82, rng.choice((1, 3, 0x33)), 0, rng.randbytes(16)),
    ))  # fmt: skip


def _domain(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    tag = rng.choice(_DATA_OBJECTS)
    key = b"\x88\x11\x10" + rng.randbytes(16) + b"\x03" + rng.randbytes(3)
    grouping = dgi(rng.choice((0x0101, 0x0801, 0x8001, 0x9010, 0x0B01)), rng.randbytes(30))
    return rng.choice((
        Made(rng.choice((0, 0x80)), 0xCA, tag >> 8, tag & 0xFF, b"", 256),
        Made(0, 0xDA, tag >> 8, tag & 0xFF, rng.randbytes(rng.choice(_LENGTHS))),
        Made(0x80, 0xF2, rng.choice((0x80, 0x40, 0x20)), rng.choice((0, 2)), b"\x4f\0", 256),
        Made(0x80, 0xD8, rng.choice((0, 1, 0xFF)), 0x81, b"\2" + 3 * key, 256),
        Made(0x80, 0xE4, 0, rng.randrange(2), b"\xd2\1" + rng.choice((b"\1", b"\2", b"\xff"))),
        Made(0x80, 0xE2, rng.choice((8, 0x88)), rng.randrange(2), grouping),
        Made(0, 0xC0, 0, 0, b"", rng.choice(_LES)),
    ))  # fmt: skip


def _manage_files(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    if rng.random() < 0.4:
        fid, size = rng.choice((0x0C01, 0x0C0A, 0x0C0B, 0x0C0C)), rng.choice((0, 1, 64, 600))
        name = rng.choice(("", "", "F05248430B"))
        return Made(0, 0xE0, 0, 0, fcp(fid, rng.choice(_DESCRIPTORS), size, name=name))
    nearby = [n.fid for n in (*channel.directory.children.values(), channel.directory)]
    nearby += card.created.get(channel.directory, {})
    data = b"" if rng.random() < 0.3 else rng.choice(nearby).to_bytes(2, "big")
    return Made(0, rng.choice((0x04, 0x44, 0x44, 0xE4, 0xE8, 0xE6)), 0, 0, data)


def _channels(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    number, le = rng.choice((0, 0, 1, 2, 3, 4)), rng.choice((1, None, 256))
    return Made(0, 0x70, rng.choice((0x00, 0x00, 0x80)), number, b"", le)


def _final(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    """What blocks, activates or ends things."""
    return rng.choice((
        Made(0x80, 0x44, 0, 0), Made(0, 0x1E, 0, 0), Made(0, 0x18, 0, 0), Made(0, 0x16, 0, 0),
        Made(0x80, 0x1E, 0, 0), Made(0x80, 0x18, 0, 0), Made(0x80, 0xF0, 0x80, 0x7F),
        Made(0, 0xFE, 0, 0) if rng.random() < 0.1 else Made(0x80, 0x18, 0, 0),
    ))  # fmt: skip


_RULES: tuple[tuple[Callable[[Random, SoftwareCard, LogicalChannel], Made], int], ...] = (
    (_select, 24), (_read_binary, 12), (_read_record, 14), (_search, 5), (_change_binary, 8),
    (_change_record, 10), (_pin, 3), (_security, 6), (_domain, 6), (_manage_files, 6),
    (_channels, 3), (_final, 1),
)  # fmt: skip


def made(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    """A command of the grammar, in class 00 or 80, for the channel's state."""
    rule = rng.choices([rule for rule, _ in _RULES], [weight for _, weight in _RULES])[0]
    if rule in (_read_binary, _change_binary, _read_record, _change_record) and channel.file:
        binary = channel.file.structure is Structure.TRANSPARENT
        pair = (_read_binary, _read_record), (_change_binary, _change_record)
        if rng.random() < 0.9:
            rule = pair[rule in pair[1]][not binary]
    return rule(rng, card, channel)


def select(node: Node) -> Made:
    """SELECT by path, asking for nothing."""
    path = path_of(node)
    return Made(0, 0xA4, 0x08 if path else 0x00, 0x0C, path)


def select_by_identifier(node: Node) -> Made:
    """SELECT by file identifier, as field code does; the MF's or the current DF's child."""
    return Made(0, 0xA4, 0x00, 0x00, node.fid.to_bytes(2, "big"))


def read(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    """What reads the current file."""
    if rng.random() < 0.1:
        return _search(rng, card, channel)
    binary = channel.file is not None and not channel.file.slots
    return (_read_binary if binary else _read_record)(rng, card, channel)


def change(rng: Random, card: SoftwareCard, channel: LogicalChannel) -> Made:
    """What changes the current file, or blocks something."""
    if rng.random() < 0.05:
        return Made(rng.choice((0, 0x80)), rng.choice((0x1E, 0x18, 0x16)), 0, 0)
    binary = channel.file is not None and not channel.file.slots
    return (_change_binary if binary else _change_record)(rng, card, channel)


def noise(rng: Random) -> bytes:
    """Bytes without sense, or with a header that has some."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.choice((0, 1, 3, 4, 5, 6, 7, 20, 261, rng.randrange(600))))
    head = bytes((rng.choice(CLASSES), rng.choice(INSTRUCTIONS), rng.randrange(256),
                  rng.choice((0, 0, 4, rng.randrange(256)))))  # fmt: skip
    body = rng.randbytes(rng.choice(_LENGTHS))
    extended = b"\0" + len(body).to_bytes(2, "big") + body + rng.choice((b"", b"\0\0"))
    return head + rng.choice((
        b"", b"\0", bytes((len(body),)) + body, bytes((len(body),)) + body + b"\0", extended, body
    ))  # fmt: skip


def spoiled(rng: Random, raw: bytes) -> bytes:
    """A command with something wrong with it."""
    if len(raw) < 4:
        return rng.randbytes(5)
    at = rng.randrange(len(raw))
    return rng.choice((
        lambda: raw[:at] + bytes((raw[at] ^ 1 << rng.randrange(8),)) + raw[at + 1 :],
        lambda: raw[:at],
        lambda: raw + rng.randbytes(rng.choice((1, 1, 2, 16))),
        lambda: bytes((raw[0] ^ rng.choice((0x01, 0x03, 0x04, 0x0C, 0x10, 0x80)),)) + raw[1:],
        lambda: raw[:1] + bytes((raw[1] ^ 1,)) + raw[2:],
        lambda: raw[:2] + rng.randbytes(2) + raw[4:],
        lambda: raw[:4] + b"\0" + len(raw[5:]).to_bytes(2, "big") + raw[5:],
    ))()  # fmt: skip
