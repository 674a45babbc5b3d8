"""An agent that is killed at any step of a change of the keys: no half change, no lost receipt."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cardlib import unfinished
from cardlib.errors import CardKeyError
from cardlib.keys.store.store_file import read_header
from personalize.custody.register import write_register
from tests.custody.agents import folder_in_memory
from tests.custody.hosts import Host, again, host
from tests.custody.people import person, register
from tests.custody.test_ceremony_verbs import ANN, BOB, entered
from tests.programs.child import in_child

DAN = person("dan")

STEPS = ("open", "rename", "replace", "unlink", "fsync", "fdatasync")


def rotate(agent: Host, version: int = 3) -> Callable[[], object]:
    about = {"transport": False, "version": version}
    signed = agent.signed("rotate", about, ANN, BOB)
    return lambda: agent.call("rotate", **signed)


def retire(agent: Host) -> Callable[[], object]:
    signed = agent.signed("retire", {"version": 1}, ANN, BOB)
    return lambda: agent.call("retire", **signed)


def bring_in(agent: Host) -> Callable[[], object]:
    handle, about = entered(agent)
    signed = agent.signed("import", about, ANN, BOB)
    return lambda: agent.call("ceremony-import", ceremony=handle, **signed)


def exchange(agent: Host) -> Callable[[], object]:
    after = {each.name: each.key.operator.fingerprint for each in (ANN, BOB, DAN)}
    about = {"before": ["ann", "bob"], "custodians": after}
    signed = agent.signed("exchange-custodians", about, ANN, BOB)
    return lambda: agent.call("exchange-custodians", **signed)


Change = Callable[[Host], Callable[[], object]]
CHANGES: dict[str, Change] = {
    "import": bring_in,
    "rotate": rotate,
    "retire": retire,
    "exchange-custodians": exchange,
}
"""Each is signed first; what is returned has the agent make the change."""


@pytest.fixture(scope="module")
def bureau() -> Iterator[Path]:
    with folder_in_memory() as folder:
        with host(folder, [ANN, BOB]) as agent:
            agent.unlock(ANN, BOB)
            rotate(agent, 2)()
            write_register(folder / "operators.json", register([ANN, BOB, DAN]))
        yield folder


def state_of(folder: Path) -> tuple[tuple[object, ...], list[str]]:
    """The versions of the keys and who opens them, and the receipts."""
    header = read_header(folder / "store" / "keys.json")
    receipts = os.listdir(folder / "state" / "receipts")
    versions = [(each.version, each.retired) for each in header.versions]
    return (*versions, header.custodians), sorted(receipts)


def killed_at(step: int, folder: Path, change: Change) -> bool:
    """Do the change in a child that ends before this step; whether it came so far."""
    left = iter(range(step))

    def cut(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **more)

        return call

    def work() -> None:
        register = folder / "operators.json"
        with again(folder, register) as agent, pytest.MonkeyPatch.context() as patch:
            agent.unlock(ANN, BOB)
            make = change(agent)
            for name in STEPS:
                patch.setattr(os, name, cut(getattr(os, name)))
            make()
            os._exit(0)

    ended = in_child(work)
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_kill_at_any_step_leaves_the_keys_and_the_receipts_as_before_or_after(
    bureau: Path, change: Change
) -> None:
    before, finished, step, cut = state_of(bureau), 0, 0, True
    while cut:
        with folder_in_memory() as place:
            folder = Path(shutil.copytree(bureau, place / "copy"))
            cut = killed_at(step, folder, change)
            with again(folder, folder / "operators.json") as agent:
                agent.unlock(ANN, BOB)
                after = state_of(folder)
                finished += b"receipt 2 was finished" in agent.service.log.path.read_bytes()
                assert (after[0] != before[0]) == (after[1] == [*before[1], "0002.json"])
                assert (after[0] == before[0]) == (after[1] == before[1])
                assert not [each for each in os.listdir(folder / "store") if "unfinished" in each]
                if "dan" in read_header(agent.store).custodians:
                    agent.call("lock")
                    agent.unlock(DAN, ANN)
                if after != before:
                    assert agent.call("receipt", number=2)["lines"]
        step += 1
    assert after != before and step > 15
    assert finished


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def fails_after_the_store_is_new(patch: pytest.MonkeyPatch) -> None:
    real, left = unfinished.sync_folder, [1]

    def synced(folder: Path) -> None:
        if not left:
            full()
        left.pop()
        real(folder)

    patch.setattr(unfinished, "sync_folder", synced)


def fails_at_the_name_of_the_receipt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("personalize.custody.receipts.os.rename", full)


@pytest.mark.parametrize("fails", [fails_after_the_store_is_new, fails_at_the_name_of_the_receipt])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_disk_that_fails_after_the_change_locks_the_agent_and_the_next_unlock_finishes_it(
    bureau: Path, change: Change, fails: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with folder_in_memory() as place:
        folder = Path(shutil.copytree(bureau, place / "copy"))
        before = state_of(folder)
        with again(folder, folder / "operators.json") as agent:
            agent.unlock(ANN, BOB)
            make = change(agent)
            with monkeypatch.context() as patch:
                fails(patch)
                with pytest.raises(CardKeyError, match="No space left on device"):
                    make()
            assert agent.call("status")["locked"]
            agent.unlock(ANN, BOB)
            after = state_of(folder)
            assert after[0] != before[0] and after[1] == [*before[1], "0002.json"]
            assert agent.call("receipt", number=2)["lines"]
