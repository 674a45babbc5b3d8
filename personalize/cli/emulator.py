"""rhcard emulator: software cards as files, and in the virtual readers of pcscd."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context
from .emulator_keys import keys
from .emulator_new import new
from .emulator_show import show
from .exits import Exit
from .options import json_option
from .output import command_line, say

if TYPE_CHECKING:
    import threading

    from cardlib.emulator import Fault, SoftwareCard
    from cardlib.emulator.bench.virtual_reader import VirtualReader
    from cardlib.emulator.sam_card.software_sam import SoftwareSam
    from cardlib.exchange import Connection

_FIRST_PORT = 35963
_LAST_PORT = 65535
_LOOK_TIME = 0.5


@click.group(name="emulator")
def command() -> None:
    """Make software cards, and put them into a virtual reader.

    \b
    Examples:
      rhcard emulator new --out blank.card
      rhcard emulator show blank.card
    """


for each in (new, show, keys):
    command.add_command(each)


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="CARD...")
@click.option(
    "--port",
    type=click.IntRange(1, _LAST_PORT),
    default=_FIRST_PORT,
    show_default=True,
    help="Port of the first card. Each further card takes the next port.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT",
    help="Inject a fault, for example lost:apdu=9 or cut:write=3. May be repeated.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed for faults that use chance.",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append a JSON line for each command to FILE. For one card only.",
)
@json_option
@click.pass_obj
def run(
    context: Context,
    names: tuple[str, ...],
    *,
    port: int,
    faults: tuple[str, ...],
    seed: int,
    trace: Path | None,
) -> int:
    """Put software cards into pcscd's virtual reader, and software SAMs.

    It says in which reader each card is: `rhcard readers` shows the same in another terminal.
    It runs until Ctrl-C, SIGTERM or SIGHUP. Every change of a card goes to its file at once. pcscd
    may be stopped and started again: the cards come back.

    \b
    Examples:
      rhcard emulator run CARD.card
      rhcard emulator run CARD.card MY.sam
      rhcard emulator run CARD.card --fault lost:apdu=9
    """
    from .cards import card_file

    cards = [card_file(name) for name in names]
    if trace and len(cards) > 1:
        raise click.UsageError("--trace is for one card only")
    if port + len(cards) - 1 > _LAST_PORT:
        raise click.UsageError(f"there are fewer than {len(cards)} ports from {port} on")
    script = _faults(faults)
    with ExitStack() as stack:
        stop = stack.enter_context(_told_to_stop())
        opened = [stack.enter_context(_powered(path)) for path in cards]
        _check_for_sams(opened, named=bool(trace or faults))
        if trace:
            stack.enter_context(_traced(opened[0], trace))
        if context.as_json:
            context.answer({"cards": _slots(cards, opened, port)})
        readers, arrived = [], dict[bytes, Path]()
        for number, (path, card) in enumerate(zip(cards, opened, strict=True)):
            reader = stack.enter_context(_reader(path, port + number, card.atr, arrived))
            reader.insert(_with_faults(card, script, seed))
            readers.append(reader)
        _watch(readers, stop, arrived)
    say("stopped; the cards are saved")
    return Exit.GOOD


@contextmanager
def _powered(path: Path) -> "Iterator[SoftwareCard | SoftwareSam]":
    """Give power to the card or SAM in a file; CardImageError when it holds neither."""
    from cardlib.emulator import CardImageError
    from cardlib.emulator.sam_card.open_chip import open_chip

    if not path.is_file():
        raise CardImageError(f"{path}: there is no such card")
    chip = open_chip(path)
    try:
        yield chip
    finally:
        chip.close()


def _check_for_sams(opened: "Sequence[SoftwareCard | SoftwareSam]", *, named: bool) -> None:
    """UsageError when a SAM would get faults or a trace, which could show its session keys."""
    from cardlib.emulator import SoftwareCard

    if named and not all(isinstance(each, SoftwareCard) for each in opened):
        raise click.UsageError("--fault and --trace are for cards only, not for a SAM")


def _faults(texts: Sequence[str]) -> "tuple[Fault, ...]":
    if not texts:
        return ()
    from cardlib.emulator import parse_faults
    from cardlib.errors import FormatError

    try:
        return parse_faults(texts)
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None


@contextmanager
def _told_to_stop() -> "Iterator[threading.Event]":
    """An event that a signal sets, in place of what it does otherwise."""
    import threading

    from .signals import handled

    stop = threading.Event()
    with handled(lambda *_: stop.set()):
        yield stop


@contextmanager
def _traced(card: "SoftwareCard | SoftwareSam", path: Path) -> Iterator[None]:
    from cardlib.emulator import Trace
    from cardlib.transport.recorder import private

    with open(path, "a", encoding="utf-8", buffering=1, opener=private) as lines:
        card.observers = (Trace(card, lines),)
        yield
        card.observers = ()


def _with_faults(
    card: "SoftwareCard | SoftwareSam", script: "tuple[Fault, ...]", seed: int
) -> "Connection":
    from cardlib.emulator import FaultyCard, SoftwareCard

    if not script or not isinstance(card, SoftwareCard):
        return card
    return FaultyCard(card, script, seed)


def _reader(path: Path, port: int, atr: bytes, arrived: dict[bytes, Path]) -> "VirtualReader":
    """A slot; when its card is in a reader, the card's ATR is put down in `arrived`."""
    from cardlib.emulator.bench.virtual_reader import INSERTED, VirtualReader

    def report(state: str) -> None:
        say(f"{path}, port {port}: {state}")
        if state == INSERTED:
            arrived[atr] = path

    return VirtualReader(port, report=report)


def _say_readers(arrived: dict[bytes, Path]) -> None:
    """Say once in which PC/SC reader each card is, as soon as pcscd shows it there."""
    from cardlib.errors import TransportError
    from cardlib.transport.pcsc import list_readers

    with suppress(TransportError):
        for reader in list_readers():
            if path := arrived.pop(reader.atr, None):
                say(f"{path} is in reader {reader}. To see what it is: {command_line('readers')}")


def _slots(
    cards: Sequence[Path], opened: "Sequence[SoftwareCard | SoftwareSam]", port: int
) -> list[dict[str, object]]:
    return [
        {"file": str(path), "chip": card.chip.hex().upper(), "port": port + number}
        for number, (path, card) in enumerate(zip(cards, opened, strict=True))
    ]


def _watch(
    readers: "Sequence[VirtualReader]", stop: "threading.Event", arrived: dict[bytes, Path]
) -> None:
    """Wait for the end: to be told, or a card that can go on no more."""
    while not stop.wait(_LOOK_TIME):
        if arrived:
            _say_readers(arrived)
        for reader in readers:
            if reader.failure:
                raise reader.failure
