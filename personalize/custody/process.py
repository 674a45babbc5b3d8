"""What protects the key agent's process: no memory dump, no debugger of its own user, one agent."""

import ctypes
import grp
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cardlib.errors import CardKeyError, StorageError, file_error
from cardlib.unfinished import lock

from .policy import Policy, PolicyError

GROUP = "rhcard"
"""The group of those who may reach the socket, where there is such a group."""
_PR_SET_DUMPABLE, _PR_GET_DUMPABLE = 4, 3


def harden() -> None:
    """Let no other program of this user read the memory, and write no memory to a core file.

    Linux: PR_SET_DUMPABLE 0 and RLIMIT_CORE 0. Raises CardKeyError when the system refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(None, use_errno=True)
    done: int = library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if done != 0 or library.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise CardKeyError("this system does not protect the memory of the key agent (prctl)")


def check_user(policy: Policy, *, test_keys: bool) -> None:
    """Refuse to be the user of a caller, who could then read files and memory of the agent.

    A caller with two roles is refused too. Raises PolicyError; with `test_keys` both are allowed.
    """
    if test_keys:
        return
    for each in policy.callers.values():
        if len(each.roles) > 1:
            raise PolicyError(
                f"{policy.path}: callers.{each.name}.role is a list: write one role. Several are"
                " for trials with --test-keys only"
            )
    caller = policy.callers.get(os.geteuid())
    if caller is not None:
        raise PolicyError(
            f"{policy.path}: callers.{caller.name}.uid is that of the key agent itself. Run the"
            " agent as a user of its own (or with --test-keys, for a trial)"
        )


@contextmanager
def only_agent(state: Path) -> Iterator[None]:
    """Hold the state folder, made if needed (mode 0700); CardKeyError if another agent has it."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = state.stat()
    except OSError as error:
        raise file_error(StorageError, error, state) from None
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise CardKeyError(
            f"{state}: others may look into it. Run `chmod 700 {state}` as its owner"
        )
    with lock(state) as ours:
        if not ours:
            raise CardKeyError(f"another key agent uses {state}. Stop it first")
        yield


def socket_folder(folder: Path) -> int:
    """Make the folder of the socket, mode 0750, for the group rhcard; return its group's id.

    Where there is no such group, it is the group of this user. A folder that is there keeps its
    group. Raises CardKeyError when others may reach it.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o750, parents=True)
            folder.chmod(0o750)
            os.chown(folder, -1, _group())
        found = folder.stat()
        mode = stat.S_IMODE(found.st_mode)
    except OSError as error:
        raise file_error(StorageError, error, folder) from None
    if mode & 0o027:
        raise CardKeyError(
            f"{folder}: others than its group may reach the socket. Run `chmod 750 {folder}`"
        )
    return found.st_gid


def _group() -> int:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return os.getegid()
