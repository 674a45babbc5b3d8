"""What is in the readers, and what people and other programs do, while a command of a page runs."""

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.exchange import Connection
from cardlib.transport.pcsc import find_reader, open_reader
from tests.cards.wrong_cards import Disturbed, Foreign
from tests.programs.pcscd import SLOTS, Pcscd, wait_until

from .shell import Shell

_FOREIGN = "foreign"
_LIMIT = 60


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What stands and happens at two readers. Cards are named by their files, with `*`.

    `cards` are in the readers when the command starts, one in each. `feeds` are put into the first
    reader one after the other, the first before the command starts; when no card is left, Enter
    ends the run. `foreign` is a card of another kind. `happens`, which is `pulled out` or one of
    `_TO_PCSCD`, comes before the first card answers its command of number `at`. `others`, one of
    `_OTHERS`, is what another program does meanwhile.
    """

    cards: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    happens: str = ""
    at: int = 0
    others: str = ""

    @property
    def calm(self) -> "Scene":
        """The same without what disturbs the command."""
        return replace(self, happens="", at=0, others="")


_TO_PCSCD: Mapping[str, Callable[[Pcscd], None]] = MappingProxyType(
    {"pcscd is restarted": Pcscd.restart}
)


@contextlib.contextmanager
def _nobody(_: Pcscd) -> Iterator[None]:
    yield


@contextlib.contextmanager
def _has_it_exclusively(_: Pcscd) -> Iterator[None]:
    with open_reader(0, exclusive=True):
        yield


@contextlib.contextmanager
def _has_it_first(_: Pcscd) -> Iterator[None]:
    with open_reader(0) as connection, connection.transaction():
        yield


_OTHERS = MappingProxyType(
    {
        "": _nobody,
        "has it exclusively": _has_it_exclusively,
        "has it first": _has_it_first,
        "unplugs all readers": Pcscd.without_readers,
    }
)


def play(scene: Scene, shell: Shell, command: str, daemon: Pcscd) -> str:
    """Run a command in a scene; return what it prints. `shell.last_code` is its exit code."""
    with _Desk(scene, shell.folder, daemon) as desk, ExitStack() as others:
        desk.prepare()
        others.enter_context(_OTHERS[scene.others](daemon))
        with shell.started(command) as process:
            guard = threading.Timer(_LIMIT, process.kill)
            guard.start()
            printed = "".join(_followed(process, desk, others))
            guard.cancel()
    shell.last_code = process.returncode
    return printed


def _followed(process: "subprocess.Popen[str]", desk: "_Desk", others: ExitStack) -> Iterator[str]:
    """What the command prints, line by line; everybody does what the lines ask for."""
    assert process.stdin and process.stdout
    desk.disturb(process)
    for line in process.stdout:
        yield line
        if line.startswith("Waiting for another program"):
            others.close()
        if "Take the card out" in line and not desk.leaves_it_in(line):
            desk.take_out()
        if ": insert " in line and desk.is_free and not desk.feed():
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("\n")
                process.stdin.flush()


class _Desk:
    """The two readers of a scene, and the cards that are for them."""

    def __init__(self, scene: Scene, folder: Path, daemon: Pcscd) -> None:
        self.slots = [VirtualReader(FIRST_PORT), VirtualReader(FIRST_PORT + 1)]
        self._scene, self._folder, self._daemon = scene, folder, daemon
        self._reached, self._go_on = threading.Event(), threading.Event()
        self._opened, self._feeds = ExitStack(), self._cards(scene.feeds)
        self.is_free = True

    def __enter__(self) -> "_Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        for slot in self.slots:
            slot.remove()
        self._opened.close()
        wait_until(lambda: not any(find_reader(name).atr for name in SLOTS), 10)

    def prepare(self) -> None:
        """Put those cards into the readers that are there when the command starts."""
        for number, card in enumerate(self._cards(self._scene.cards)):
            self._put(number, card)
        self.feed()

    def feed(self) -> bool:
        """Put the next card into the first reader; False when none is left."""
        card = next(self._feeds, None)
        if card is not None:
            self.is_free = False
            self._put(0, card)
        return card is not None

    def leaves_it_in(self, line: str) -> bool:
        """Whether the card stays in the reader though the line asks to take it out."""
        return self._scene.happens in _TO_PCSCD and "is not finished" in line

    def take_out(self) -> None:
        """Take the card out of the first reader."""
        self.slots[0].remove()
        self.is_free = True

    def disturb(self, process: "subprocess.Popen[str]") -> None:
        """Do to pcscd what happens. The command stands still: it finds everything done."""
        if happens := _TO_PCSCD.get(self._scene.happens):
            assert self._reached.wait(_LIMIT)
            process.send_signal(signal.SIGSTOP)
            happens(self._daemon)
            process.send_signal(signal.SIGCONT)
            self._go_on.set()

    def _put(self, number: int, card: Connection) -> None:
        self.slots[number].insert(card)
        wait_until(lambda: find_reader(SLOTS[number]).atr == card.atr, 10)

    def _cards(self, patterns: tuple[str, ...]) -> Iterator[Connection]:
        """The cards of some files; something happens to the first."""
        disturbed = bool(self._scene.happens)
        for pattern in patterns:
            for card in self._of_files(pattern):
                yield Disturbed(card, self._scene.at, self._happen) if disturbed else card
                disturbed = False

    def _of_files(self, pattern: str) -> Iterator[Connection]:
        if pattern == _FOREIGN:
            yield Foreign()
            return
        paths = sorted(self._folder.glob(pattern))
        assert paths, f"no card fits {pattern}"
        for path in paths:
            card = SoftwareCard.open(path)
            self._opened.callback(card.close)
            yield card

    def _happen(self) -> None:
        """In the card's thread: pull the card out, or wait until pcscd was dealt with."""
        if self._scene.happens in _TO_PCSCD:
            self._reached.set()
            assert self._go_on.wait(_LIMIT)
        else:
            threading.Thread(target=self.slots[0].remove).start()
