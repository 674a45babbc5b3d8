"""Stations as processes: each makes cards in a folder of its own until nothing is left to do."""

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cardlib.errors import CardError
from personalize.preparation.batch import Batch
from personalize.production.bookkeeping import Bureau
from personalize.production.issue import issue
from personalize.production.job import opened_job
from personalize.production.station import FolderFeed
from tests.cards.bureau import issuer, store
from tests.programs.child import forked


@dataclass(frozen=True)
class Floor:
    """The bureau's floor: one batch, one register, and a folder of cards for each station."""

    batch: Path
    where: str
    root: Path
    lease: int

    def bureau(self, station: str) -> Bureau:
        """The register as a station uses it."""
        return Bureau(self.where, station, self.root / "stations", lambda _: issuer(), self.lease)

    def cards(self, station: str) -> Path:
        """The folder of a station's cards."""
        return self.root / station


def work(floor: Floor, station: str, *, rest: bool = False) -> None:
    """Make cards until no card waits. With `rest`, end with an error if one was not finished."""
    batch, feed = Batch.open(floor.batch, issuer()), FolderFeed(floor.cards(station), store())
    bureau = floor.bureau(station)
    with opened_job(batch, issuer(), feed, test_keys=False, bureau=bureau) as job:
        problems = [result for result in issue(job) if result.problem]
    if rest and problems:
        raise AssertionError(problems)


@dataclass
class Station:
    """One station. It is begun again when it was killed, unless it is dead for good."""

    floor: Floor
    name: str
    process: int = 0
    kills: int = field(default=0)
    is_stopped: bool = False

    def begin(self) -> None:
        """Begin to work. A database that is away for long ends the process, which is no fault."""
        sys.stdout.flush()
        self.process = forked(self._work)

    def _work(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with suppress(CardError):
            work(self.floor, self.name)

    @property
    def is_running(self) -> bool:
        """Whether the process is there; it is waited for when it has ended."""
        if self.process and os.waitpid(self.process, os.WNOHANG)[0]:
            self.process = 0
        return bool(self.process)

    def kill(self) -> None:
        """End it as by a power cut."""
        if self.is_running:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            self.process, self.is_stopped = 0, False
            self.kills += 1

    def stop(self) -> None:
        """Let it sleep."""
        if self.is_running:
            os.kill(self.process, signal.SIGSTOP)
            self.is_stopped = True

    def go_on(self) -> None:
        """Wake it up."""
        if self.is_stopped and self.is_running:
            os.kill(self.process, signal.SIGCONT)
        self.is_stopped = False

    def end(self, within: float = 60.0) -> None:
        """Wait until it has nothing more to do."""
        self.go_on()
        until = time.monotonic() + within
        while self.is_running:
            assert time.monotonic() < until, f"station {self.name} does not end"
            time.sleep(0.02)
