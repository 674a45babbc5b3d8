"""An agent that is killed at any step of a change of the keys: no half change, no lost receipt."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cardlib.keys.store.store_file import read_header
from tests.custody.agents import folder_in_memory
from tests.custody.hosts import Host, again, host
from tests.custody.test_ceremony_verbs import ANN, BOB, entered
from tests.programs.child import in_child

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


Change = Callable[[Host], Callable[[], object]]
CHANGES: dict[str, Change] = {"import": bring_in, "rotate": rotate, "retire": retire}
"""Each is signed first; what is returned has the agent make the change."""


@pytest.fixture(scope="module")
def bureau() -> Iterator[Path]:
    with folder_in_memory() as folder:
        with host(folder, [ANN, BOB]) as agent:
            agent.unlock(ANN, BOB)
            rotate(agent, 2)()
        yield folder


def state_of(folder: Path) -> tuple[list[tuple[int, bool]], list[str]]:
    """The versions of the keys, and the receipts."""
    versions = read_header(folder / "store" / "keys.json").versions
    receipts = os.listdir(folder / "state" / "receipts")
    return [(each.version, each.retired) for each in versions], sorted(receipts)


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
                if after != before:
                    assert agent.call("receipt", number=2)["lines"]
        step += 1
    assert after != before and step > 15
    assert finished
