"""Episodes of fuzzing, the record of one that went wrong, and its replay."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from traceback import format_exc

from cardlib.emulator import LifeCycle
from tests.attacks.fuzz.cards import KINDS
from tests.attacks.fuzz.oracle import Problem, Watched
from tests.attacks.fuzz.terminal import Terminal

CORPUS = Path(__file__).parents[1] / "fuzz_corpus"
EPISODE = 250
WEIGHTS = [1 if kind.life_cycle > LifeCycle.ACTIVE else 5 for kind in KINDS.values()]


@dataclass(frozen=True, slots=True)
class Finding:
    """What it takes to see a problem again: kind of card, its seed, and the history.

    `last` is the answer that is right, for the last APDU; "" where any will do.
    """

    problem: str
    card: str
    seed: int
    history: tuple[str, ...]
    last: str = ""

    @classmethod
    def read(cls, path: Path) -> "Finding":
        """A finding from the corpus."""
        entry = json.loads(path.read_text(encoding="utf-8"))
        return cls(**entry | {"history": tuple(entry["history"])})

    def write(self, path: Path) -> None:
        """Add it to the corpus."""
        entry = {name: getattr(self, name) for name in self.__slots__}
        path.write_text(json.dumps(entry, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class Found(Exception):
    """A run ended with a finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.problem} ({finding.card}, {len(finding.history)} steps)")
        self.finding = finding


def run(apdus: int, seed: int) -> Iterator[int]:
    """Fuzz one card after the other; yields how many APDUs were sent so far. Found, or an end."""
    rng, kinds, sent = Random(seed), list(KINDS), 0
    while sent < apdus:
        episode = Watched(rng.choices(kinds, WEIGHTS)[0], rng.randrange(2**32))
        terminal = Terminal(episode, Random(rng.randrange(2**32)))
        try:
            while episode.apdus < EPISODE:
                terminal.step()
            episode.check_whole()
        except Problem as problem:
            raise Found(_finding(episode, str(problem))) from None
        except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
            raise Found(_finding(episode, format_exc(limit=-4))) from None
        sent += episode.apdus
        yield sent


def _finding(episode: Watched, problem: str) -> Finding:
    return Finding(problem, episode.kind, episode.seed, tuple(episode.history))


def replay(finding: Finding) -> None:
    """Do again what a finding says; Problem, or what the card raised, if it is still so."""
    watched, reply = Watched(finding.card, finding.seed), b""
    for entry in finding.history:
        reply = watched.tell(entry)
    watched.check_whole()
    if finding.last and reply.hex().upper() != finding.last:
        raise Problem(f"the last answer is {reply.hex().upper()}")


def shrunk(finding: Finding) -> Finding:
    """The finding with as little history as it takes to go wrong in the same way."""
    kind = _outcome(finding)
    step = len(finding.history) // 2
    while kind and step:
        start = 0
        while start < len(finding.history):
            shorter = finding.history[:start] + finding.history[start + step :]
            if _outcome(candidate := replace(finding, history=shorter)) == kind:
                finding = candidate
            else:
                start += step
        step //= 2
    return finding


def _outcome(finding: Finding) -> str:
    try:
        replay(finding)
    except Problem as problem:
        return str(problem)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what was found
        return type(error).__name__
    return ""
