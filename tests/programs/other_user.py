"""Work as another user of our group, in a child process.

The child may read every file, as root may: a checkout, and Python itself, can be where no other
user may look. It may write and connect only where that user may.
"""

import ctypes
import os
from collections.abc import Callable
from typing import TypeVar

from tests.programs.child import begin_in_child

T = TypeVar("T")
STATION, PREPARATION, TERMINAL, STRANGER = 60_001, 60_002, 60_003, 60_009
"""User ids that no user of this machine has."""

_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_READ_SEARCH = 1 << 2


def become(uid: int) -> None:
    """Be this user from now on, in no group but our own; go on reading every file (see above).

    Linux: prctl(2), capset(2). Where root itself may not (some containers), files that only root
    can read stay closed.
    """
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    kept = (ctypes.c_uint32 * 6)(_CAP_DAC_READ_SEARCH, _CAP_DAC_READ_SEARCH)
    os.setgroups([])
    library.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    library.capset(header, kept)


def begin_as_user(uid: int, work: Callable[[], T]) -> Callable[[], T]:
    """Begin work as another user; the result is that of `begin_in_child`."""

    def as_that_user() -> T:
        become(uid)
        return work()

    return begin_in_child(as_that_user)


def as_user(uid: int, work: Callable[[], T]) -> T:
    """Do work as another user; give its result or raise its error."""
    return begin_as_user(uid, work)()
