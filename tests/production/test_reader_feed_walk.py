"""Issuing by hand, with anything in any order: everybody gets one card."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.emulator import SoftwareCard
from cardlib.exchange import Connection
from tests.cards.fed_readers import FedReader
from tests.production.fed_batches import (
    WRONG,
    Robot,
    assert_everybody_has_one_card,
    at,
    blank,
    copied,
    feed,
    issue_in,
)

WALK_SECONDS = 120.0
"""Longer than a walk ever takes."""
KINDS = ("blank", "begun", *sorted(WRONG.keys() - {"another batch"}))


@dataclass(frozen=True)
class Step:
    """One card into one reader; after so many commands something happens to it."""

    reader: int
    kind: str
    after: int
    event: str


steps = st.builds(
    Step,
    st.integers(0, 1),
    st.sampled_from(KINDS),
    st.integers(1, 200),
    st.sampled_from(["nothing", "pulled", "unplugged"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(steps, max_size=6))
def test_nobody_gets_two_cards_and_nobody_is_lost_whatever_comes_and_goes(
    pristine: Path, script: list[Step]
) -> None:
    with TemporaryDirectory() as folder:
        batch = copied(pristine, Path(folder))
        readers = [FedReader("left"), FedReader("right")]
        made: list[SoftwareCard] = []
        wrong: list[Connection] = []

        def card_for(kind: str) -> Connection:
            if kind == "begun" and made:
                return made[-1]
            if kind in WRONG:
                wrong.append(WRONG[kind][0](Path(folder)))
                return wrong[-1]
            made.append(blank())
            return made[-1]

        def robot(reader: FedReader, mine: list[Step]) -> Robot:
            def run(ended: threading.Event) -> None:
                for step in mine:
                    play(reader, step, card_for(step.kind), ended, readers)
                until = time.monotonic() + WALK_SECONDS
                while not ended.is_set():
                    assert time.monotonic() < until, [each.lines for each in readers]
                    # A blank of other keys that was pulled out is freed when it comes again.
                    for card in [*made, *wrong, card_for("blank")]:
                        feed(reader, card, ended, readers)

            return run

        robots = [
            robot(reader, [step for step in script if step.reader == number])
            for number, reader in enumerate(readers)
        ]
        results = issue_in(batch, readers, *robots)
        assert [(r.number, r.problem) for r in results] == [(1, ""), (2, ""), (3, "")]
        assert_everybody_has_one_card(batch, made)


def play(
    reader: FedReader,
    step: Step,
    card: Connection,
    ended: threading.Event,
    among: Sequence[FedReader],
) -> None:
    def unplugged() -> bool:
        reader.unplug()
        return False

    events = {"nothing": lambda: False, "pulled": lambda: True, "unplugged": unplugged}
    reader.cut = at(step.after, events[step.event])
    feed(reader, card, ended, among)
    reader.cut = lambda: False
    reader.plug_in()
