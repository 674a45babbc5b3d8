"""How many holder hashes a caller may have in a minute: with more, it could find out numbers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cardlib.errors import KeysUnavailable

from .policy import Caller

_MINUTE = 60.0


@dataclass(slots=True)
class HashLimit:
    """Counts holder hashes by caller, in the minute that began with its first one."""

    now: Callable[[], float] = time.monotonic
    _counted: dict[str, tuple[float, int]] = field(default_factory=dict)

    def take(self, caller: Caller, count: int) -> None:
        """Count hashes. Raises KeysUnavailable when the caller had all of this minute."""
        began, so_far = self._counted.get(caller.name, (self.now(), 0))
        if self.now() - began >= _MINUTE:
            began, so_far = self.now(), 0
        if so_far + count > caller.hashes_a_minute:
            raise KeysUnavailable(
                f"{caller.name} may not have more holder hashes in this minute: it had {so_far}."
                " The limit is hashes_a_minute in the agent's policy"
            )
        self._counted[caller.name] = began, so_far + count
