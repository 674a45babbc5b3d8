"""A change of the keys in a token that stops in the middle: the keys of before or after it, never
half, and a receipt for what was made. A token fails at any step; the agent is killed at any step.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cardlib.errors import CardKeyError
from cardlib.keys.token.token_session import TokenSession
from cardlib.keys.token.token_version import KEY_NAMES, found_versions, leftovers
from personalize.custody.component import SET, SET_SIZE
from tests.custody.agents import folder_in_memory
from tests.custody.hosts import Host
from tests.custody.token_hosts import (
    Saved,
    receipts_of,
    saved,
    session_of,
    signed_import,
    signed_retirement,
    signed_rotation,
    token_host,
    unlock,
)
from tests.programs.child import in_child
from tests.programs.softhsm import SoftHsm

VALUE = bytes(range(1, 251)) * 2 + bytes(range(60, 60 + SET_SIZE - 500))
Change = Callable[[Host], Callable[[], object]]
CHANGES: dict[str, Change] = {
    "import of a set": lambda agent: signed_import(agent, SET, VALUE),
    "import of a key": lambda agent: signed_import(agent, "issuer", VALUE[:16]),
    "rotate": lambda agent: signed_rotation(agent, 3),
    "retire": lambda agent: signed_retirement(agent, 1),
}
"""Each is signed first; what is returned has the agent make the change."""
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
SESSION = "cardlib.keys.token.token_session.TokenSession"


@pytest.fixture(scope="module")
def bureau(softhsm: SoftHsm) -> Iterator[Saved]:
    with saved(softhsm) as made:
        yield made


@pytest.fixture
def agent(bureau: Saved, tmp_path: Path) -> Iterator[Host]:
    """An agent with two versions, so that one can be retired, and one receipt."""
    register = bureau.put_back(tmp_path)
    with token_host(tmp_path, register, bureau.source) as made:
        unlock(made)
        yield made


State = tuple[list[tuple[int, bool]], list[int]]


def state_of(agent: Host) -> State:
    """The versions and whether each is retired; the receipts."""
    found = [(each["version"], each["retired"]) for each in agent.call("versions")["versions"]]
    return sorted(found), receipts_of(agent)


BEFORE: State = ([(1, False), (2, False)], [1])


def rest(bureau: Saved) -> int:
    """How many keys of no version are in the token."""
    return len(leftovers(session_of(bureau.source)))


# --- the token fails ----------------------------------------------------------------------

FAILURES = [
    ("import of a set", "import_key", 1), ("import of a set", "import_key", 34),
    ("import of a set", "hmac", 1), ("import of a set", "put_data", 1),
    ("import of a key", "encrypt", 1), ("import of a key", "import_key", 1),
    ("import of a key", "put_data", 1), ("rotate", "generate_key", 1),
    ("rotate", "generate_key", 33), ("rotate", "encrypt", 1), ("rotate", "put_data", 1),
    ("retire", "encrypt", 1), ("retire", "put_data", 1),
]  # fmt: skip


def gone(*_: object, **__: object) -> None:
    raise CardKeyError("the token was removed")


@pytest.mark.parametrize(("change", "step", "number"), FAILURES)
def test_a_token_that_fails_up_to_the_last_step_is_as_before(
    agent: Host, bureau: Saved, change: str, step: str, number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    make, real, left = CHANGES[change](agent), getattr(TokenSession, step), [number]

    def failing(*given: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            gone()
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(TokenSession, step, failing)
        with pytest.raises(CardKeyError, match="the token was removed"):
            make()
    assert state_of(agent) == BEFORE
    assert rest(bureau) == 0
    assert agent.service.receipts.finish(lambda _: True) == []


@every_change
def test_an_error_after_the_last_step_was_done_is_no_error(
    agent: Host, bureau: Saved, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = change(agent)
    with monkeypatch.context() as patch:
        fails_after_it(patch)
        make()
    after = state_of(agent)
    assert after[0] != BEFORE[0] and after[1] == [1, 2]
    assert rest(bureau) == 0


@every_change
@pytest.mark.parametrize("was_done", [True, False], ids=["it was done", "it was not done"])
def test_when_the_token_does_not_say_the_agent_locks_and_the_next_unlock_decides(
    agent: Host, bureau: Saved, change: Change, was_done: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    make = change(agent)
    with monkeypatch.context() as patch:
        if was_done:
            fails_after_it(patch, silent=True)
        else:
            fails_before_it(patch)
        with pytest.raises(CardKeyError, match="Whether the change was made is seen when"):
            make()
    assert agent.call("status")["locked"] and receipts_of(agent) == [1]
    unlock(agent)
    after = state_of(agent)
    assert (after[0] != BEFORE[0], after[1]) == ((True, [1, 2]) if was_done else (False, [1]))
    if was_done:
        assert agent.call("receipt", number=2)["lines"]
        assert rest(bureau) == 0


def fails_after_it(patch: pytest.MonkeyPatch, *, silent: bool = False) -> None:
    """Write the data object, and then fail; with `silent` the token answers nothing after that."""
    real = TokenSession.put_data

    def put(*given: object) -> None:
        real(*given)  # type: ignore[arg-type]
        if silent:
            patch.setattr(f"{SESSION}.data", gone)
        gone()

    patch.setattr(TokenSession, "put_data", put)


def fails_before_it(patch: pytest.MonkeyPatch) -> None:
    """Write no data object, and answer nothing after that."""

    def put(*_: object) -> None:
        patch.setattr(f"{SESSION}.data", gone)
        gone()

    patch.setattr(f"{SESSION}.put_data", put)


def test_the_rest_of_an_interrupted_rotation_goes_with_the_next_one_and_is_logged(
    agent: Host, bureau: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = signed_rotation(agent, 3)
    with monkeypatch.context() as patch:
        fails_before_it(patch)
        with pytest.raises(CardKeyError):
            make()
    assert rest(bureau) == len(KEY_NAMES) - 1
    unlock(agent)
    signed_rotation(agent, 3)()
    assert rest(bureau) == 0
    assert [each.number for each in found_versions(session_of(bureau.source))] == [1, 2, 3]
    assert b"33 keys of an interrupted try were removed" in agent.service.log.path.read_bytes()


# --- the agent is killed ------------------------------------------------------------------

FILES = ("rename", "replace", "fsync", "fdatasync")
TOKEN = ("generate_key", "import_key", "put_data", "remove")
KILLED = {name: CHANGES[name] for name in ("rotate", "retire")}
"""A change that makes keys and one that makes none; the others are made by the same last step."""
_EVERY = 16
"""Of the keys that are made one after the other, a kill comes before each sixteenth."""


def killed_at(step: int, folder: Path, bureau: Saved, change: Change) -> bool:
    """Do the change in a child that ends before this step; whether it came so far."""
    left, keys = iter(range(step)), iter(range(1000))

    def cut(real: Callable[..., Any], is_key: bool) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            counts = not is_key or next(keys) % _EVERY == 1
            if counts and next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **more)

        return call

    def work() -> None:
        register = folder / "operators.json"
        with (
            token_host(folder, register, bureau.source) as agent,
            pytest.MonkeyPatch.context() as patch,
        ):
            unlock(agent)
            make = change(agent)
            for place, names in ((os, FILES), (TokenSession, TOKEN)):
                for name in names:
                    is_key = name in ("generate_key", "import_key")
                    patch.setattr(place, name, cut(getattr(place, name), is_key))
            make()
            os._exit(0)

    ended = in_child(work)
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


@pytest.mark.parametrize("change", KILLED.values(), ids=KILLED.keys())
def test_a_kill_at_any_step_leaves_the_keys_and_the_receipts_as_before_or_after(
    bureau: Saved, change: Change
) -> None:
    step, finished, cut, after = 0, 0, True, BEFORE
    while cut:
        with folder_in_memory() as folder:
            register = bureau.put_back(folder)
            cut = killed_at(step, folder, bureau, change)
            bureau.softhsm.begin_again()
            with token_host(folder, register, bureau.source) as agent:
                unlock(agent)
                after = state_of(agent)
                finished += b"receipt 2 was finished" in agent.service.log.path.read_bytes()
                assert (after[0] != BEFORE[0]) == (after[1] == [1, 2])
                assert after[0] != BEFORE[0] or after[1] == [1]
                assert len(os.listdir(agent.service.receipts.folder)) == len(after[1])
                if after[0] != BEFORE[0]:
                    assert agent.call("receipt", number=2)["lines"]
                    assert rest(bureau) == 0
        step += 1
    assert after != BEFORE and step > 5
    assert finished
