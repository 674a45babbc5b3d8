"""A pcscd of the test run, with the virtual reader of vsmartcard-vpcd: a fixture for a module.

One pcscd fits on a machine, so runs of the tests on one machine take turns. It is started by us
and not by systemd, in the foreground and without debug output, which would slow it down.
"""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from cardlib.emulator.bench import virtual_reader
from cardlib.emulator.bench.virtual_reader import FIRST_PORT
from cardlib.errors import TransportError
from cardlib.transport.pcsc import list_readers

RUN = Path("/run/pcscd")
SOCKET = RUN / "pcscd.comm"
SLOTS = ("Virtual PCD 00 00", "Virtual PCD 00 01")
"""The two slots of Debian's virtual reader, at FIRST_PORT and the port after it."""
FOUR_SLOTS = (*SLOTS, "Virtual PCD B 00 00", "Virtual PCD B 00 01")
"""Four slots, at FIRST_PORT and the ports after it: those of the driver, and those of a copy."""
_DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
_TURN = "\0rhcard tests use pcscd"
_TURN_TIME = 240.0
_QUICK_POLLS = Path(__file__).with_name("quick_polls.c")
_QUICK_AWAY_TIME = 0.1
_START_TIME = 20.0


class CannotStart(Exception):
    """This machine cannot have a pcscd of ours; the words say why."""


class Pcscd:
    """The daemon: `start` returns when its slots are there, `stop` when they are gone."""

    def __init__(
        self,
        log: IO[bytes],
        slots: tuple[str, ...] = SLOTS,
        options: tuple[str, ...] = (),
        preload: Path | None = None,
    ) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log, self._slots, self._options = log, slots, options
        self._environment = ("env", f"LD_PRELOAD={preload}") if preload else ()

    def start(self) -> None:
        _clear_stale()
        for port in range(FIRST_PORT, FIRST_PORT + len(self._slots)):
            wait_until(partial(_is_free, port), _START_TIME, lambda: "a port of vpcd is in use")
        with_us = ("setpriv", "--pdeathsig", "TERM")
        command = [
            *_as_root(),
            *self._environment,
            *with_us,
            _program(),
            "--foreground",
            *_without_polkit(),
            *self._options,
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        wait_until(self._is_ready, _START_TIME, self._why_not)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            # The shell's own `kill`: the program is not on every machine.
            kill = ["sh", "-c", f"kill -{how.value} {process.pid}"]
            subprocess.run([*_as_root(), *kill], check=False, capture_output=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                break
        _clear_stale()

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextlib.contextmanager
    def without_readers(self) -> Iterator[None]:
        """Until the block ends, a pcscd runs that has no reader."""
        self.stop()
        with tempfile.TemporaryDirectory() as no_readers:
            other = Pcscd(self._log, (), ("--config", no_readers))
            try:
                other.start()
                yield
            finally:
                other.stop()
                self.start()

    def _is_ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(self._why_not())
        try:
            return set(self._slots) <= {reader.name for reader in list_readers()}
        except TransportError:
            return False

    def _why_not(self) -> str:
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")[-2000:]
        code = self._process.poll() if self._process else None
        return f"pcscd does not offer {' and '.join(self._slots)} (exit code {code}): {said}"


def wait_until(
    done: Callable[[], bool], timeout: float, complaint: Callable[[], str] = lambda: "too slow"
) -> None:
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            raise AssertionError(complaint())
        time.sleep(0.02)


def _is_free(port: int) -> bool:
    """Whether vpcd can listen there: the port may be the near end of somebody's connection."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
        except OSError:
            return False
    return True


def _find() -> str | None:
    return shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _program() -> str:
    found = _find()
    assert found, "pcscd is needed: apt-get install pcscd vsmartcard-vpcd"
    return found


@functools.cache
def _without_polkit() -> list[str]:
    """The switch of a pcscd that would ask polkit, which a container does not have."""
    switch = "--disable-polkit"
    told = subprocess.run([_program(), "--help"], check=False, capture_output=True, text=True)
    return [switch] if switch in told.stdout + told.stderr else []


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def missing() -> str:
    """Before a run: why it cannot have a pcscd; empty if it can, or if another run has one now."""
    with socket.socket(socket.AF_UNIX) as turn:
        try:
            turn.bind(_TURN)
        except OSError:
            return ""
        return _cannot_start()


def _cannot_start() -> str:
    """Why this machine cannot have a pcscd of ours, empty if it can."""
    if not _find():
        return "it is not installed: apt-get install pcscd vsmartcard-vpcd"
    sudo = [*_as_root(), "true"]
    if os.geteuid() and (not shutil.which("sudo") or subprocess.run(sudo, check=False).returncode):
        return "starting pcscd needs root, or sudo without a password"
    if running := _running():
        return f"pcscd runs already (process {running}): systemctl stop pcscd.socket pcscd"
    if _somebody_listens():
        return f"{SOCKET} is the system's own: systemctl stop pcscd.socket pcscd"
    return ""


def _running() -> int:
    """The process that wrote pcscd's pid file, 0 if it has ended or is no pcscd."""
    try:
        # The file may end in a NUL.
        pid = int((RUN / "pcscd.pid").read_text(encoding="ascii").split("\0")[0])
        name = Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return 0
    return pid if name == "pcscd" and state != "Z" else 0


def _somebody_listens() -> bool:
    """Whether a program waits at the socket: systemd does, before its pcscd has started."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(SOCKET))
        except PermissionError:
            return True
        except OSError:
            return False
    return True


def _clear_stale() -> None:
    """What a killed pcscd leaves behind makes the next one think that it runs still."""
    if not _running() and not _somebody_listens() and RUN.exists():
        names = [str(RUN / name) for name in ("pcscd.pid", SOCKET.name)]
        subprocess.run([*_as_root(), "rm", "-f", *names], check=False, capture_output=True)


@contextlib.contextmanager
def _our_turn() -> Iterator[None]:
    """Held by one test run of the machine at a time; the kernel gives it back if we die."""
    with socket.socket(socket.AF_UNIX) as turn:

        def taken() -> bool:
            try:
                turn.bind(_TURN)
            except OSError:
                return False
            return True

        wait_until(taken, _TURN_TIME, lambda: "another test run has kept pcscd for 4 minutes")
        yield


@contextlib.contextmanager
def running_pcscd(
    slots: tuple[str, ...] = SLOTS, options: tuple[str, ...] = (), preload: Path | None = None
) -> Iterator[Pcscd]:
    """A running pcscd with empty virtual readers, ours alone until the block ends."""
    with _our_turn():
        if reason := _cannot_start():
            raise CannotStart(reason)
        with tempfile.TemporaryFile() as log:
            daemon = Pcscd(log, slots, options, preload)
            try:
                daemon.start()
                yield daemon
            finally:
                daemon.stop()


def _four_slots(folder: Path) -> tuple[str, ...]:
    """The options of a pcscd with a second copy of the driver, as docs/how-to/use-vpcd.md says."""
    copy = folder / "libifdvpcd-b.so"
    shutil.copy(_DRIVER, copy)
    readers = (("Virtual PCD", _DRIVER, "0x8C7B"), ("Virtual PCD B", copy, "0x8C7D"))
    (folder / "readers").mkdir()
    (folder / "readers" / "vpcd").write_text(
        "\n".join(
            f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{port}\nLIBPATH {driver}\n'
            f"CHANNELID {port}\n"
            for name, driver, port in readers
        )
    )
    return "--config", str(folder / "readers")


@pytest.fixture(scope="module")
def pcscd_with_four_slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pcscd]:
    """The pcscd of a test module, with FOUR_SLOTS. A machine that cannot have one skips."""
    try:
        if not _DRIVER.exists():
            raise CannotStart(f"there is no {_DRIVER}: apt-get install vsmartcard-vpcd")
        options = _four_slots(tmp_path_factory.mktemp("pcscd"))
        with running_pcscd(FOUR_SLOTS, options) as daemon:
            yield daemon
    except CannotStart as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def quick_polls(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """What makes pcscd look at its readers ten times as often; None without a C compiler."""
    if not shutil.which("cc"):
        return None
    library = tmp_path_factory.mktemp("pcscd") / "quick_polls.so"
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(_QUICK_POLLS), "-ldl"]
    subprocess.run(command, check=True, timeout=_START_TIME)
    return library


@pytest.fixture(scope="module")
def pcscd(quick_polls: Path | None) -> Iterator[Pcscd]:
    """The pcscd of a test module, so that other runs wait for no more than that.

    It notices cards sooner than an installed one does. A machine that cannot have one skips what
    needs it.
    """
    try:
        with running_pcscd(preload=quick_polls) as daemon, pytest.MonkeyPatch.context() as patch:
            if quick_polls:
                patch.setattr(virtual_reader, "_AWAY_TIME", _QUICK_AWAY_TIME)
            yield daemon
    except CannotStart as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def pcscd_as_installed() -> Iterator[Pcscd]:
    """The same, with a pcscd that looks at its readers as often as it does everywhere."""
    try:
        with running_pcscd() as daemon:
            yield daemon
    except CannotStart as reason:
        pytest.skip(str(reason))
