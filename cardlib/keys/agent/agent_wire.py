"""What the key agent and its callers say to each other: frames of JSON over a Unix socket.

A frame is length (4 bytes, big endian) ‖ JSON in UTF-8, 1 MiB at most. Bytes are hex text. A
request is {"verb": …} and the verb's members, a reply {"ok": {…}} or {"error": {"kind": …,
"message": …}}. `agent_verbs` says which members each verb has.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import (
    DAMAGE,
    CardError,
    CardKeyError,
    ChannelError,
    FormatError,
    KeysUnavailable,
    StatusWordError,
    StorageError,
    TransportError,
)

LARGEST_FRAME = 1 << 20
_LENGTH = 4

Document = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class MemberKind:
    """The type of a member. `words` names it in messages and documents.

    `decode` takes what the JSON says and raises ValueError when it is something else.
    """

    words: str
    decode: Callable[[object], Any]
    optional: bool = False


Members = Mapping[str, MemberKind]
"""The members that a request or a reply has, by name."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a verb does, in one line; the members that it takes, and those of its reply."""

    does: str
    takes: Members
    returns: Members


def octets(least: int, most: int | None = None) -> MemberKind:
    """Return the type of bytes as hex text: `least` of them, or up to `most`."""
    longest = least if most is None else most
    count = f"{least}" if longest == least else f"{least} to {longest}"

    def decode(value: object) -> bytes:
        digits: str = _exactly(str, value)
        raw = bytes.fromhex(digits)
        if not least <= len(raw) <= longest or len(digits) != 2 * len(raw):
            raise ValueError
        return raw

    return MemberKind(f"{count} bytes as hex text", decode)


def number(least: int, most: int) -> MemberKind:
    """Return the type of a whole number from `least` to `most`."""

    def decode(value: object) -> int:
        found: int = _exactly(int, value)
        if not least <= found <= most:
            raise ValueError
        return found

    return MemberKind(f"number, {least} to {most}", decode)


def text(most: int, least: int = 1, *, unicode: bool = True) -> MemberKind:
    """Return the type of a text of `least` to `most` characters.

    Without `unicode` it may be any that Python has, as a passphrase that is not UTF-8.
    """

    def decode(value: object) -> str:
        found: str = _exactly(str, value)
        if not least <= len(found) <= most:
            raise ValueError
        if unicode:
            found.encode("utf-8")
        return found

    return MemberKind(f"text, {least} to {most} characters", decode)


def choice(names: Iterable[str]) -> MemberKind:
    """Return the type of one of certain texts."""
    known = tuple(names)

    def decode(value: object) -> str:
        found: str = _exactly(str, value)
        if found not in known:
            raise ValueError
        return found

    return MemberKind(" or ".join(known) if len(known) < 5 else f"{known[0]}, {known[1]} …", decode)


def flag() -> MemberKind:
    """Return the type of true or false."""
    return MemberKind("true or false", lambda value: _exactly(bool, value))


def list_of(kind: MemberKind, most: int) -> MemberKind:
    """Return the type of a list of up to `most` values."""

    def decode(value: object) -> list[Any]:
        found: list[object] = _exactly(list, value)
        if len(found) > most:
            raise ValueError
        return [kind.decode(each) for each in found]

    return MemberKind(f"list of up to {most}: {kind.words}", decode)


def pair(first: MemberKind, second: MemberKind) -> MemberKind:
    """Return the type of a list of two values."""

    def decode(value: object) -> tuple[Any, Any]:
        one, two = _exactly(list, value)
        return first.decode(one), second.decode(two)

    return MemberKind(f"[{first.words}, {second.words}]", decode)


def table_of(members: Members) -> MemberKind:
    """Return the type of an object with certain members."""
    return MemberKind("{" + ", ".join(members) + "}", lambda value: _decoded(members, value, ""))


def optional(kind: MemberKind) -> MemberKind:
    """Return the type of a member that may be left out; it is None then."""
    return MemberKind(f"{kind.words}, or nothing", kind.decode, optional=True)


def decoded(members: Members, document: object, what: str) -> Document:
    """Decode the members of a request or a reply; `what` names it in messages.

    Raises FormatError when a member is missing, unknown or of another type.
    """
    try:
        return _decoded(members, document, f"{what}: ")
    except FormatError:
        raise
    except DAMAGE:
        raise FormatError(f"{what}: its members must be {', '.join(members) or 'none'}") from None


def _decoded(members: Members, document: object, what: str) -> Document:
    given: dict[str, object] = _exactly(dict, document)
    if unknown := given.keys() - members.keys():
        raise FormatError(f"{what}it has a member {min(unknown)[:40]!r}, which is not known")
    found: Document = {}
    for name, kind in members.items():
        value = given.get(name)
        if value is None:
            if not kind.optional:
                raise FormatError(f"{what}the member {name!r} is missing: give {kind.words}")
            found[name] = None
            continue
        try:
            found[name] = kind.decode(value)
        except DAMAGE:
            raise FormatError(f"{what}the member {name!r} must be {kind.words}") from None
    return found


def _exactly(kind: type, value: object) -> Any:
    """The value, if it is of this type and no other: True is no number."""
    if type(value) is not kind:
        raise ValueError
    return value


def plain(value: object) -> object:
    """Return a value as JSON has it: bytes as hex text."""
    match value:
        case bytes() | bytearray():
            return value.hex()
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    return value


def to_frame(document: Mapping[str, object]) -> bytes:
    """Encode a request or a reply. Raises FormatError when it is over 1 MiB."""
    raw = json.dumps(plain(document), separators=(",", ":")).encode("ascii")
    if len(raw) > LARGEST_FRAME:
        raise FormatError(f"the message has {len(raw)} bytes; {LARGEST_FRAME} are the most")
    return len(raw).to_bytes(_LENGTH, "big") + raw


def from_frame(raw: bytes) -> Document:
    """Decode the JSON of a frame. Raises FormatError when it is no JSON object."""
    try:
        found = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_no_double, parse_constant=_no_constant
        )
    except DAMAGE:
        raise FormatError("the message is not JSON, or names a member twice") from None
    if not isinstance(found, dict):
        raise FormatError("the message must be a JSON object")
    return found


def read_frame(receive: Callable[[int], bytes]) -> bytes | None:
    """Read the JSON of one frame; None when the other side has ended the connection.

    `receive` gives up to that many bytes, and none at the end. Raises FormatError when the frame
    is cut off or too large: no other frame can be found after it.
    """
    head = _read(receive, _LENGTH)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if len(head) < _LENGTH or size > LARGEST_FRAME:
        raise FormatError(f"a message has a length (4 bytes) and {LARGEST_FRAME} bytes at most")
    raw = _read(receive, size)
    if len(raw) < size:
        raise FormatError("the message is cut off")
    return raw


def _read(receive: Callable[[int], bytes], size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (part := receive(size - len(found))):
        found += part
    return bytes(found)


def _no_double(pairs: list[tuple[str, object]]) -> Document:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_: str) -> object:
    raise ValueError


# --- errors ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How a class of errors travels: its attributes by name, and what makes it again of them."""

    kind: type[CardError]
    members: Members
    make: Callable[..., CardError]


_MESSAGE: Members = {}
_SHORT = text(4000)


def by_message(kind: type[CardError]) -> ErrorForm:
    """Return the form of a class that is made of its message alone."""
    return ErrorForm(kind, _MESSAGE, kind)


ERRORS: tuple[ErrorForm, ...] = (
    by_message(CardError),
    by_message(FormatError),
    by_message(TransportError),
    by_message(ChannelError),
    by_message(CardKeyError),
    by_message(KeysUnavailable),
    ErrorForm(
        StatusWordError,
        {"command": _SHORT, "sw": number(0, 0xFFFF), "explanation": optional(_SHORT)},
        lambda command, sw, explanation: StatusWordError(command, sw, explanation or ""),
    ),
    ErrorForm(
        StorageError,
        {"errno": optional(number(0, 1 << 16)), "strerror": optional(_SHORT)},
        StorageError,
    ),
)
"""The errors that can come from the agent. A subclass travels as the nearest of these."""


def error_document(error: CardError, forms: Iterable[ErrorForm] = ERRORS) -> Document:
    """Return the value of "error" in a reply."""
    by_class = {form.kind: form for form in forms}
    form = next(by_class[kind] for kind in type(error).__mro__ if kind in by_class)
    attributes = {name: getattr(error, name) or None for name in form.members}
    return {"kind": form.kind.__name__, "message": str(error) or form.kind.__name__, **attributes}


def error_of(document: object, forms: Iterable[ErrorForm] = ERRORS) -> CardError:
    """Return the error that a reply names. One of an unknown kind is a CardKeyError."""
    by_name = {form.kind.__name__: form for form in forms}
    try:
        rest: Document = dict(_exactly(dict, document))
        kind, message = str(rest.pop("kind")), str(rest.pop("message"))
        form = by_name.get(kind)
        if form is None:
            return CardKeyError(f"the key agent: {message}")
        values = decoded(form.members, rest, kind)
    except DAMAGE:
        return CardKeyError("the key agent's answer is not valid: is it of this version?")
    return form.make(*values.values()) if values else form.make(message)
