"""A page fails at every memory write of a card's life: the command is not done."""

from collections.abc import Callable

import pytest

from cardlib.emulator import FaultyCard, SoftwareCard
from cardlib.emulator.bench.faults import Span, WornMemory
from cardlib.emulator.chip.memory import Memory
from tests.emulator.life_of_a_card import ENDS, LIFE, is_between, kept, lived, second_version

H = bytes.fromhex


Session = Callable[[FaultyCard], None]
SESSIONS = (*LIFE, *ENDS, second_version)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.__name__)
def test_a_page_that_fails_at_any_write_leaves_the_command_not_done(session: Session) -> None:
    one = lived(session)
    for write in range(1, one.writes + 1):
        card = Failing(SoftwareCard(Memory(dict(one.start))), [WornMemory(Span(write, write))])
        with pytest.raises(_FailedError):
            session(card)
        old, command = one.states[card.apdus - 1], one.commands[card.apdus - 1]
        for _ in range(2):
            found = kept(card.card.memory.pages)
            assert found == old or is_between(found, old, command), (write, command.hex())
            card.reset()


class _FailedError(Exception):
    """The session ends here."""


class Failing(FaultyCard):
    """A card that ends the session at the command that its memory failed."""

    def transmit(self, command: bytes) -> bytes:
        reply = super().transmit(command)
        if self.happened:
            plain = reply[-2:]
            assert plain == H("6581")
            raise _FailedError
        return reply
