"""What can go wrong with a card, as data: a script says which fault, when, and at which bit.

A fault is written `kind:option=value:...`. APDUs, memory writes and protected messages are
counted from 1 for as long as one `FaultyCard` lives; a SPAN is `5`, `5..9`, or `5..` for ever.

    cut:write=N[:before|after]    the supply fails at the N-th memory write, recovery included
    cut:apdu=N[:before|after]     or at the N-th APDU; before it, unless told otherwise
    lost:apdu=SPAN                the command is carried out, its reply never arrives
    delay:apdu=SPAN:ms=N          the reply comes N ms late
    truncate:apdu=SPAN[:bytes=N]  of the reply only the first N bytes arrive
    flip:apdu=SPAN[:bit=N]        bit N of the reply arrives changed, 0 being its very first
    mac:command=SPAN              the MAC of the N-th protected command is wrong
    mac:reply=SPAN                the MAC of the N-th reply that carries one is wrong
    remove:apdu=N[:before|after]  the card is pulled out
    memory:page=N:offset=N:bit=N[:crc=kept|broken]  a bit of the image changed by itself
    worn:write=SPAN               these memory writes fail
    worn:page=SPAN                these pages can be programmed no more
    stuck:counter=NAME            a try counter never moves: pin, a key's name, or keys-VV
    random:seed=N:rate=R[:apdus=N][:kinds=A+B]      what `random_faults` draws

Numbers are decimal, or hexadecimal after 0x. A bit or length that is left out is chosen by the
seed of the `FaultyCard`. Blank lines and what follows a # are nothing.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

from ...errors import FormatError
from ...layout import KEY_BY_NAME
from ..chip.memory import PAGE_SIZE

PIN_COUNTER = "pin"
KEY_SET_COUNTER = "keys-"
"""Before a key set's version, two hex digits, the name of its try counter: keys-01."""


class Moment(StrEnum):
    """On which side of its event a fault strikes."""

    BEFORE = "before"
    AFTER = "after"


class Crc(StrEnum):
    """Whether a page that changed by itself still agrees with its checksum in the image."""

    KEPT = "kept"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Span:
    """The counts from `first` to `last`, both of them in it; without end if `last` is None."""

    first: int
    last: int | None

    def __contains__(self, count: int) -> bool:
        return self.first <= count and (self.last is None or count <= self.last)

    def __str__(self) -> str:
        if self.first == self.last:
            return str(self.first)
        return f"{self.first}..{'' if self.last is None else self.last}"


class _Written:
    """A fault; `str` writes it as `parse_fault` reads it."""

    __slots__ = ()

    def __str__(self) -> str:
        kind = next(name for name, form in _FORMS.items() if form.fault is type(self))
        values = {name: getattr(self, name) for name in _FORMS[kind].options}
        given = [f"{name}={value}" for name, value in values.items() if value is not None]
        return ":".join([kind, *(text.removeprefix("moment=") for text in given)])


@dataclass(frozen=True, slots=True)
class Cut(_Written):
    """The supply fails, at one memory write or at one APDU."""

    write: int | None = None
    apdu: int | None = None
    moment: Moment = Moment.BEFORE

    def __post_init__(self) -> None:
        _one_of(write=self.write, apdu=self.apdu)


@dataclass(frozen=True, slots=True)
class LostReply(_Written):
    """The card does what it is told, and nobody hears of it."""

    apdu: Span


@dataclass(frozen=True, slots=True)
class DelayedReply(_Written):
    """The reply comes `ms` milliseconds late."""

    apdu: Span
    ms: int


@dataclass(frozen=True, slots=True)
class TruncatedReply(_Written):
    """Only the first bytes of the reply arrive."""

    apdu: Span
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FlippedReply(_Written):
    """One bit of the reply arrives changed; its status bytes are not spared."""

    apdu: Span
    bit: int | None = None


@dataclass(frozen=True, slots=True)
class WrongMac(_Written):
    """The MAC is wrong, in protected commands or in replies that carry one."""

    command: Span | None = None
    reply: Span | None = None

    def __post_init__(self) -> None:
        _one_of(command=self.command, reply=self.reply)


@dataclass(frozen=True, slots=True)
class Removal(_Written):
    """The card is pulled out at one APDU."""

    apdu: int
    moment: Moment = Moment.BEFORE


@dataclass(frozen=True, slots=True)
class MemoryFlip(_Written):
    """A bit of the memory, 7 the highest of its byte, changed while there was no power."""

    page: int
    offset: int
    bit: int
    crc: Crc = Crc.KEPT

    def __post_init__(self) -> None:
        if self.offset >= PAGE_SIZE or self.bit > 7:
            raise FormatError(f"a page has the bytes 0 to {PAGE_SIZE - 1}, a byte the bits 0 to 7")


@dataclass(frozen=True, slots=True)
class WornMemory(_Written):
    """Some memory writes fail, or all of some pages: the card answers 6581."""

    write: Span | None = None
    page: Span | None = None

    def __post_init__(self) -> None:
        _one_of(write=self.write, page=self.page)


@dataclass(frozen=True, slots=True)
class StuckCounter(_Written):
    """A try counter keeps its value, and the card does not notice: it never blocks."""

    counter: str

    def __post_init__(self) -> None:
        versions = [f"{KEY_SET_COUNTER}{version:02X}" for version in range(1, 0x100)]
        if self.counter not in (PIN_COUNTER, *KEY_BY_NAME, *versions):
            raise FormatError(f"no try counter {self.counter}: pin, a key's name, or keys-01")


Fault: TypeAlias = (
    Cut
    | LostReply
    | DelayedReply
    | TruncatedReply
    | FlippedReply
    | WrongMac
    | Removal
    | MemoryFlip
    | WornMemory
    | StuckCounter
)


def _one_of(**options: object) -> None:
    if sum(value is not None for value in options.values()) != 1:
        raise FormatError(f"needs one of {' and '.join(options)}")


def parse_fault(text: str) -> Fault:
    """Read one fault as this module's docstring writes it; FormatError says what is wrong."""
    kind, *parts = text.strip().split(":")
    try:
        form = _FORMS.get(kind)
        if form is None:
            raise FormatError(f"no such fault; there are {', '.join((*_FORMS, _RANDOM))}")
        fault: Fault = form.fault(**_options(parts, form.options, form.required))
        return fault
    except FormatError as error:
        raise FormatError(f"fault {text.strip()!r}: {error}") from None


def parse_faults(texts: Iterable[str]) -> tuple[Fault, ...]:
    """Read a script, a fault a line; a `random` line becomes the faults it stands for."""
    found: list[Fault] = []
    for line in texts:
        text = line.partition("#")[0].strip()
        if text.split(":")[0] == _RANDOM:
            found += _parse_random(text)
        elif text:
            found.append(parse_fault(text))
    return tuple(found)


def random_faults(
    seed: int, kinds: Sequence[str] = (), rate: float = 0.01, apdus: int = 1000
) -> tuple[Fault, ...]:
    """Draw a script: at each of the first `apdus` APDUs a fault with probability `rate`.

    `kinds` are among RANDOM_KINDS, all of them if none is given. FormatError for others, or for a
    rate that is not 0 to 1. One seed draws one script, which `str` writes line by line.
    """
    kinds = kinds or tuple(RANDOM_KINDS)
    if unknown := [kind for kind in kinds if kind not in RANDOM_KINDS]:
        raise FormatError(f"{unknown[0]} is not drawn; {', '.join(RANDOM_KINDS)} are")
    if not 0 <= rate <= 1:
        raise FormatError(f"a rate is from 0 to 1, not {rate}")
    drawing = random.Random(seed)
    struck = [number for number in range(1, apdus + 1) if drawing.random() < rate]
    return tuple(RANDOM_KINDS[drawing.choice(kinds)](drawing, number) for number in struck)


def _moments(drawing: random.Random) -> Moment:
    return drawing.choice(list(Moment))


RANDOM_KINDS: Mapping[str, Callable[[random.Random, int], Fault]] = MappingProxyType({
    "cut": lambda drawing, n: Cut(apdu=n, moment=_moments(drawing)),
    "lost": lambda drawing, n: LostReply(Span(n, n)),
    "delay": lambda drawing, n: DelayedReply(Span(n, n), drawing.randint(1, 20)),
    "truncate": lambda drawing, n: TruncatedReply(Span(n, n)),
    "flip": lambda drawing, n: FlippedReply(Span(n, n)),
    "mac": lambda drawing, n: (
        WrongMac(Span(n, n)) if drawing.random() < 0.5 else WrongMac(None, Span(n, n))
    ),
    "remove": lambda drawing, n: Removal(n, _moments(drawing)),
    "worn": lambda drawing, n: WornMemory(Span(n, n)),
})  # fmt: skip
"""The kinds that `random_faults` draws, each for the n-th APDU, message or memory write."""


# --- the grammar ----------------------------------------------------------------------


def _number(text: str) -> int:
    digits = text.removeprefix("0x")
    try:
        if not digits.isalnum():
            raise ValueError
        return int(digits, 10 if digits == text else 16)
    except ValueError:
        raise FormatError(f"{text!r} is not a number") from None


def _count(text: str) -> int:
    if number := _number(text):
        return number
    raise FormatError("counts begin at 1")


def _range(text: str, number: Callable[[str], int]) -> Span:
    first, dots, last = text.partition("..")
    span = Span(number(first), number(last if dots else first) if last or not dots else None)
    if span.last is not None and span.last < span.first:
        raise FormatError(f"{text} ends before it begins")
    return span


def _span(text: str) -> Span:
    return _range(text, _count)


def _pages(text: str) -> Span:
    return _range(text, _number)


def _crc(text: str) -> Crc:
    if text in list(Crc):
        return Crc(text)
    raise FormatError(f"crc is {' or '.join(Crc)}, not {text!r}")


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FormatError(f"{text!r} is not a number from 0 to 1") from None


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(text.split("+"))


_Options = Mapping[str, Callable[[str], object]]


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of fault is written: the value it makes, and its options in order."""

    fault: Any
    options: _Options

    @property
    def required(self) -> list[str]:
        return [item.name for item in fields(self.fault) if item.default is MISSING]


_FORMS = MappingProxyType({
    "cut": _Form(Cut, {"write": _count, "apdu": _count, "moment": Moment}),
    "lost": _Form(LostReply, {"apdu": _span}),
    "delay": _Form(DelayedReply, {"apdu": _span, "ms": _number}),
    "truncate": _Form(TruncatedReply, {"apdu": _span, "bytes": _number}),
    "flip": _Form(FlippedReply, {"apdu": _span, "bit": _number}),
    "mac": _Form(WrongMac, {"command": _span, "reply": _span}),
    "remove": _Form(Removal, {"apdu": _count, "moment": Moment}),
    "memory": _Form(MemoryFlip, {"page": _number, "offset": _number, "bit": _number, "crc": _crc}),
    "worn": _Form(WornMemory, {"write": _span, "page": _pages}),
    "stuck": _Form(StuckCounter, {"counter": str}),
})  # fmt: skip
_RANDOM = "random"
_RANDOM_OPTIONS: _Options = MappingProxyType(
    {"seed": _number, "rate": _rate, "apdus": _count, "kinds": _kinds}
)


def _options(parts: Iterable[str], options: _Options, required: Iterable[str]) -> dict[str, Any]:
    """The values of a fault's options by name; `before` and `after` are the option moment."""
    found: dict[str, Any] = {}
    for part in parts:
        name, _, text = part.partition("=")
        if part in list(Moment):
            name, text = "moment", part
        if name not in options or (name == "moment" and part not in list(Moment)):
            known = [option for option in options if option != "moment"]
            raise FormatError(f"no option {part!r}; it takes {', '.join(known)}")
        if name in found:
            raise FormatError(f"{name} is given twice")
        found[name] = options[name](text)
    if missing := [name for name in required if name not in found]:
        raise FormatError(f"needs {' and '.join(missing)}")
    return found


def _parse_random(text: str) -> tuple[Fault, ...]:
    try:
        options = _options(text.split(":")[1:], _RANDOM_OPTIONS, ("seed", "rate"))
        return random_faults(**options)
    except FormatError as error:
        raise FormatError(f"fault {text!r}: {error}") from None
