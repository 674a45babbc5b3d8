"""Test-run rules that hold for every test."""

import gc
import os
import signal
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import pytest

from tests import QUICK_SCRYPT_N

pytest_plugins = [
    "tests.programs.pcscd",
    "tests.programs.softhsm",
    "tests.programs.nss_token",
    "tests.programs.postgres",
]

OWN_SETTINGS = (
    "RHCARD_CONFIG",
    "RHCARD_KEYS",
    "RHCARD_AGENT",
    "RHCARD_PROFILE",
    "RHCARD_DATABASE",
    "RHCARD_STATION",
)
IN_CI = os.environ.get("CI") == "true"
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 2_000_000_000  # bytes; one run of all tests has used 300 MB at most


def pytest_configure() -> None:
    """Take Ctrl-C also in the background of a shell, which has it ignored; time no example.

    No test sees the configuration of whoever runs it. Temporary files are in memory if there is
    room: rhcard waits for the disk after every step, and that was half of the time of a run.
    """
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    for name in [each for each in os.environ if each in OWN_SETTINGS]:
        del os.environ[name]
    os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile("busy machine", deadline=None)
    hypothesis.settings.load_profile("busy machine")


def pytest_report_header() -> str:
    """Say before the run what this machine cannot do."""
    from tests.programs.pcscd import missing  # once pytest has made its assertions tell more

    reason = missing()
    then = "fail" if IN_CI else "are skipped"
    return f"pcscd: {reason}; the tests that use it {then}" if reason else "pcscd: can be started"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A process a core, and one more: the one that runs the tests with pcscd mostly waits."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes, each runs whole modules, and one runs all that needs pcscd, first.

    One pcscd fits on a machine, and what a module's tests share is made once.
    """
    if not config.pluginmanager.has_plugin("xdist"):
        return
    items.sort(key=_needs_pcscd, reverse=True)
    for item in items:
        group = "pcscd" if _needs_pcscd(item) else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes thousands of objects that stay: the garbage collector need not look at them.

    Without this, `gc.collect` in a test takes half a second.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Stop where pytest-xdist does not see the groups: tests with pcscd would wait for others."""
    if node.config.option.dist == "loadgroup" and not all("@" in name for name in ids):
        pytest.exit("pytest-xdist sees no groups in this pytest: make setup-test", returncode=4)


def _needs_pcscd(item: pytest.Item) -> bool:
    return any(name.startswith("pcscd") for name in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def quick_scrypt() -> Generator[None]:
    """Test stores are not worth a second of scrypt for every command."""
    from cardlib.keys.store import passphrase

    with mock.patch.dict(passphrase.SCRYPT, n=QUICK_SCRYPT_N):
        yield


@pytest.fixture(scope="session", autouse=True)
def own_stations(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """The stations' own files are in a folder of this run, and not in the home folder."""
    folder = str(tmp_path_factory.mktemp("state"))
    with mock.patch.dict(os.environ, XDG_STATE_HOME=folder):
        yield


def _has_room() -> bool:
    try:
        there = os.statvfs(MEMORY)
    except OSError:
        return False
    room = there.f_bavail * there.f_frsize
    return os.access(MEMORY, os.W_OK) and not there.f_flag & os.ST_NOEXEC and room > ENOUGH_MEMORY


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be skipped: a test that is not run proves nothing."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Neither may a whole module be, by `importorskip`."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI may skip nothing: {report.longrepr}"
