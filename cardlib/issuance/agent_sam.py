"""A session with a SAM whose issuer's side is at the key agent."""

from collections.abc import Sequence

from ..apdu import CommandAPDU
from ..facts import ChipSerial
from ..keys.agent.agent_connection import AgentConnection
from ..keys.issuer import Scp03Set
from ..keys.sam.sam_groupings import SamPlan
from .agent_issuer import AgentHost


class AgentSamHost(AgentHost):
    """The issuer's side of one session with one SAM, at the key agent.

    `loading` is the handle that the agent gave for the statement of two custodians.
    """

    def __init__(
        self, connection: AgentConnection, loading: int, key_set: Scp03Set, chip: ChipSerial
    ) -> None:
        super().__init__(connection, b"", key_set, chip)
        self._loading = loading

    def initialize_update(self) -> CommandAPDU:
        """Return INITIALIZE UPDATE."""
        found = self._connection.call("sam-session", sam=self._loading, key_set=self._set)
        self._session = found["session"]
        return CommandAPDU.parse(found["command"])

    def replace_sam_keys(self) -> Sequence[CommandAPDU]:
        """Return PUT KEY: the issuer's keys of the chip take the place of its transport keys."""
        return self._commands("sam-replace-keys")

    def load_sam(self, plan: SamPlan) -> Sequence[CommandAPDU]:
        """Return STORE DATA of the SAM. Roles and limit are those that were signed."""
        return self._commands(
            "sam-load", pin=plan.pin, pin_form=plan.pin_form, meaning_of_0=plan.meaning_of_0
        )
