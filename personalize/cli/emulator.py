"""rhcard emulator: software cards as files, and in the virtual readers of pcscd."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .emulator_show import show
from .options import json_option, keys_option, open_store, passphrase_option
from .output import print_json, print_line, say

if TYPE_CHECKING:
    import threading

    from cardlib.emulator import Fault, SoftwareCard
    from cardlib.emulator.bench.virtual_reader import VirtualReader
    from cardlib.exchange import Connection

_CHIP_BYTES = 8
_FIRST_PORT = 35963
_LAST_PORT = 65535
_LOOK_TIME = 0.5


@click.group(name="emulator")
def command() -> None:
    """Software cards: make blank ones, and let any PC/SC program use them."""


command.add_command(show)


@command.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CARD",
    help="The new card's file; with --count the folder for the cards, each named by its chip.",
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="Make N cards.")
@keys_option
@click.option(
    "--extended-length", is_flag=True, help="The cards take commands of more than 255 bytes."
)
@passphrase_option
@json_option
def new(
    out: Path,
    *,
    count: int | None,
    keys: Path | None,
    extended_length: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make blank cards with random chip serials, as their maker would deliver them.

    Their transport keys are those of --keys FILE, else the public test keys.
    """
    from cardlib.emulator import CardOptions, SoftwareCard

    if count is None and out.exists():
        raise click.UsageError(f"{out} exists and is not overwritten: choose another --out CARD")
    transport_keys = _transport_keys(keys, passphrase_file)
    if count is not None:
        out.mkdir(parents=True, exist_ok=True)
    made = []
    for _ in range(count or 1):
        chip = secrets.token_bytes(_CHIP_BYTES)
        name = chip.hex().upper()
        path = out if count is None else out / f"{name}.card"
        options = CardOptions(extended_length=extended_length)
        card = SoftwareCard.blank(chip, transport_keys(chip), options=options)
        card.save(path)
        card.close()
        made.append({"file": str(path), "chip": name})
    if as_json:
        print_json({"cards": made, "test_keys": keys is None, "exit_code": 0})
        return
    for each in made:
        print_line(f"{each['file']}  {each['chip']}")
    if keys is None:
        say("Their transport keys are public: for trials only.")


def _transport_keys(
    keys: Path | None, passphrase_file: Path | None
) -> Callable[[bytes], tuple[bytes, bytes, bytes]]:
    if keys is not None:
        return open_store(keys, passphrase_file).blank_keys
    from cardlib.keys.roots import public_test_roots
    from cardlib.keys.store import KeyStore

    return KeyStore(public_test_roots()).blank_keys


@command.command()
@click.argument(
    "cards",
    nargs=-1,
    required=True,
    metavar="CARD...",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
)
@click.option(
    "--port",
    type=click.IntRange(1, _LAST_PORT),
    default=_FIRST_PORT,
    show_default=True,
    help="Port of the first card's slot; each further card takes the next.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT",
    help='What shall go wrong, as "lost:apdu=9" or "cut:write=3"; may be given again.',
)
@click.option("--seed", type=int, default=0, show_default=True, help="Chance, for the faults.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append a JSON line for each command; for a single card.",
)
@json_option
def run(
    cards: tuple[Path, ...],
    *,
    port: int,
    faults: tuple[str, ...],
    seed: int,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Put cards into the slots of pcscd's virtual reader until Ctrl-C or SIGTERM.

    Every change of a card goes to its file at once. pcscd may be started, stopped and started
    again meanwhile: the cards come back.
    """
    if trace and len(cards) > 1:
        raise click.UsageError("--trace is for a single card")
    if port + len(cards) - 1 > _LAST_PORT:
        raise click.UsageError(f"there are no {len(cards)} ports from {port} on")
    script = _faults(faults)
    with ExitStack() as stack:
        stop = stack.enter_context(_told_to_stop())
        opened = [stack.enter_context(_opened(path)) for path in cards]
        if trace:
            stack.enter_context(_traced(opened[0], trace))
        if as_json:
            _print_slots(cards, opened, port)
        readers = []
        for number, (path, card) in enumerate(zip(cards, opened, strict=True)):
            reader = stack.enter_context(_reader(path, port + number))
            reader.insert(_with_faults(card, script, seed))
            readers.append(reader)
        _watch(readers, stop)
    say("stopped; the cards are saved")


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
    """An event that Ctrl-C and SIGTERM set, in place of what they do otherwise."""
    import signal
    import threading

    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _opened(path: Path) -> "Iterator[SoftwareCard]":
    from cardlib.emulator import SoftwareCard

    card = SoftwareCard.open(path)
    try:
        yield card
    finally:
        card.close()


@contextmanager
def _traced(card: "SoftwareCard", path: Path) -> Iterator[None]:
    from cardlib.emulator import Trace

    with path.open("a", encoding="utf-8", buffering=1) as lines:
        card.observers = (Trace(card, lines),)
        yield
        card.observers = ()


def _with_faults(card: "SoftwareCard", script: "tuple[Fault, ...]", seed: int) -> "Connection":
    if not script:
        return card
    from cardlib.emulator import FaultyCard

    return FaultyCard(card, script, seed)


def _reader(path: Path, port: int) -> "VirtualReader":
    from cardlib.emulator.bench.virtual_reader import VirtualReader

    return VirtualReader(port, report=lambda state: say(f"{path}, port {port}: {state}"))


def _print_slots(cards: Sequence[Path], opened: "Sequence[SoftwareCard]", port: int) -> None:
    slots = [
        {"file": str(path), "chip": card.chip.hex().upper(), "port": port + number}
        for number, (path, card) in enumerate(zip(cards, opened, strict=True))
    ]
    print_json({"cards": slots, "exit_code": 0})


def _watch(readers: "Sequence[VirtualReader]", stop: "threading.Event") -> None:
    """Wait for the end: to be told, or a card that can go on no more."""
    while not stop.wait(_LOOK_TIME):
        for reader in readers:
            if reader.failure:
                raise reader.failure
