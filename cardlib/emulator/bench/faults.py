"""Faults for a software card: a script says which fault happens, when, and at which bit.

A fault is written `kind:option=value:...`. APDUs, memory writes and protected messages are
counted from 1 for each `FaultyCard`. A SPAN is `5`, `5..9`, or `5..` (from 5 on).

    cut:write=N[:before|after]    power fails at the N-th memory write (recovery writes count too)
    cut:apdu=N[:before|after]     power fails at the N-th APDU; before it, unless given
    lost:apdu=SPAN                the command is executed, but its reply never arrives
    delay:apdu=SPAN:ms=N          the reply arrives N ms late
    truncate:apdu=SPAN[:bytes=N]  only the first N bytes of the reply arrive
    flip:apdu=SPAN[:bit=N]        bit N of the reply is changed; 0 is the first bit
    mac:command=SPAN              the MAC of the N-th protected command is wrong
    mac:reply=SPAN                the MAC of the N-th reply that carries one is wrong
    remove:apdu=N[:before|after]  the card is pulled out
    memory:page=N:offset=N:bit=N[:crc=kept|broken]  one bit of the memory is changed
    worn:write=SPAN               these memory writes fail
    worn:page=SPAN                writes to these pages fail
    stuck:counter=NAME            a try counter never changes: pin, a key's name, or keys-VV
    random:seed=N:rate=R[:apdus=N][:kinds=A+B]      the faults that `random_faults` chooses

Numbers are decimal, or hexadecimal after 0x. A bit or length that is left out is chosen at random,
by the seed of the `FaultyCard`. Blank lines and text after a # are ignored.
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
"""The name of a key set's try counter is this and its version in two hex digits: keys-01."""


class Moment(StrEnum):
    """Whether a fault happens before or after its event."""

    BEFORE = "before"
    AFTER = "after"


class Crc(StrEnum):
    """Whether the checksum in the image file is corrected after a bit was changed."""

    KEPT = "kept"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Span:
    """The counts from `first` to `last`, both included; no end if `last` is None."""

    first: int
    last: int | None

    def __contains__(self, count: int) -> bool:
        return self.first <= count and (self.last is None or count <= self.last)

    def __str__(self) -> str:
        if self.first == self.last:
            return str(self.first)
        return f"{self.first}..{'' if self.last is None else self.last}"


class _Written:
    """A fault. `str` writes it as `parse_fault` reads it."""

    __slots__ = ()

    def __str__(self) -> str:
        kind = next(name for name, form in _FORMS.items() if form.fault is type(self))
        values = {name: getattr(self, name) for name in _FORMS[kind].options}
        given = [f"{name}={value}" for name, value in values.items() if value is not None]
        return ":".join([kind, *(text.removeprefix("moment=") for text in given)])


@dataclass(frozen=True, slots=True)
class Cut(_Written):
    """Power fails at one memory write or at one APDU."""

    write: int | None = None
    apdu: int | None = None
    moment: Moment = Moment.BEFORE

    def __post_init__(self) -> None:
        _one_of(write=self.write, apdu=self.apdu)


@dataclass(frozen=True, slots=True)
class LostReply(_Written):
    """The command is executed, but its reply never arrives."""

    apdu: Span


@dataclass(frozen=True, slots=True)
class DelayedReply(_Written):
    """The reply arrives `ms` milliseconds late."""

    apdu: Span
    ms: int


@dataclass(frozen=True, slots=True)
class TruncatedReply(_Written):
    """Only the first bytes of the reply arrive."""

    apdu: Span
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FlippedReply(_Written):
    """One bit of the reply is changed; this can be a bit of its status word."""

    apdu: Span
    bit: int | None = None


@dataclass(frozen=True, slots=True)
class WrongMac(_Written):
    """The MAC of protected commands, or of protected replies, is wrong."""

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
    """One bit of the memory was changed while the card had no power; 7 is the highest bit."""

    page: int
    offset: int
    bit: int
    crc: Crc = Crc.KEPT

    def __post_init__(self) -> None:
        if self.offset >= PAGE_SIZE or self.bit > 7:
            raise FormatError(f"offset must be 0 to {PAGE_SIZE - 1}, bit must be 0 to 7")


@dataclass(frozen=True, slots=True)
class WornMemory(_Written):
    """Some memory writes, or all writes to some pages, fail: the card answers 6581."""

    write: Span | None = None
    page: Span | None = None

    def __post_init__(self) -> None:
        _one_of(write=self.write, page=self.page)


@dataclass(frozen=True, slots=True)
class StuckCounter(_Written):
    """A try counter keeps its value without being noticed, so it never blocks."""

    counter: str

    def __post_init__(self) -> None:
        versions = [f"{KEY_SET_COUNTER}{version:02X}" for version in range(1, 0x100)]
        if self.counter not in (PIN_COUNTER, *KEY_BY_NAME, *versions):
            raise FormatError(
                f"no try counter {self.counter}: write pin, a key's name, or keys- and a version"
            )


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
        raise FormatError(f"give exactly one of {' and '.join(options)}")


def parse_fault(text: str) -> Fault:
    """Parse one fault, written as in this module's docstring.

    Raises FormatError, which says what is wrong, when it is not valid.
    """
    kind, *parts = text.strip().split(":")
    try:
        form = _FORMS.get(kind)
        if form is None:
            raise FormatError(f"no such fault. Possible: {', '.join((*_FORMS, _RANDOM))}")
        fault: Fault = form.fault(**_options(parts, form.options, form.required))
        return fault
    except FormatError as error:
        raise FormatError(f"fault {text.strip()!r}: {error}") from None


def parse_faults(texts: Iterable[str]) -> tuple[Fault, ...]:
    """Parse a script with one fault on each line; a `random` line becomes several faults."""
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
    """Choose faults at random: one at each of the first `apdus` APDUs with probability `rate`.

    `kinds` are some of RANDOM_KINDS; none means all. The same seed gives the same faults. Raises
    FormatError when a kind is unknown, or the rate is not 0 to 1.
    """
    kinds = kinds or tuple(RANDOM_KINDS)
    if unknown := [kind for kind in kinds if kind not in RANDOM_KINDS]:
        raise FormatError(f"no kind {unknown[0]}. Possible: {', '.join(RANDOM_KINDS)}")
    if not 0 <= rate <= 1:
        raise FormatError(f"rate must be 0 to 1, not {rate}")
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
"""The kinds that `random_faults` chooses, for the n-th APDU, message or memory write."""


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
    raise FormatError("counts begin at 1, not 0")


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
    raise FormatError(f"crc must be {' or '.join(Crc)}, not {text!r}")


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
    """How one kind of fault is written: its class, and its options in order."""

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
    """Parse a fault's options by name; `before` and `after` are the option moment."""
    found: dict[str, Any] = {}
    for part in parts:
        name, _, text = part.partition("=")
        if part in list(Moment):
            name, text = "moment", part
        if name not in options or (name == "moment" and part not in list(Moment)):
            known = [option for option in options if option != "moment"]
            raise FormatError(f"no option {part!r}. Possible: {', '.join(known)}")
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
