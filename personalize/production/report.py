"""What a run reports at its end: the result of each card, and the figures of the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cardlib.checks.findings import NOTHING_LEFT_OUT, Finding, LeftOut
from cardlib.facts import ChipSerial
from cardlib.transport.meter import Figures

from ..register.states import CardState
from .job import CardResult


@dataclass(frozen=True, slots=True)
class Verified:
    """The verification of one card of a batch; `findings` is empty when the card is good."""

    number: int
    line: int
    chip: ChipSerial | None
    findings: tuple[Finding, ...]
    figures: Figures
    left_out: LeftOut = NOTHING_LEFT_OUT


@dataclass(frozen=True, slots=True)
class Throughput:
    """How many cards a run made, and the time and data they took; all zero if it made none."""

    cards: int
    seconds: float
    figures: Figures

    @property
    def cards_a_minute(self) -> float:
        """How many cards a minute the run made."""
        return 60 * self.cards / self.seconds if self.seconds else 0.0

    @property
    def commands_a_card(self) -> float:
        """How many commands were sent for each card."""
        return self.figures.commands / self.cards if self.cards else 0.0

    @property
    def bytes_a_card(self) -> float:
        """How many bytes of commands and responses went to and from each card."""
        return self.figures.bytes_both_ways / self.cards if self.cards else 0.0

    @property
    def card_seconds(self) -> float:
        """How many seconds a real card would take for its commands, by the timing model."""
        return self.figures.card_ms / 1000 / self.cards if self.cards else 0.0

    def as_dict(self) -> dict[str, float]:
        """The figures as JSON members."""
        return {
            "cards_made": self.cards,
            "seconds": round(self.seconds, 3),
            "cards_a_minute": round(self.cards_a_minute, 1),
            "commands_a_card": round(self.commands_a_card, 1),
            "bytes_a_card": round(self.bytes_a_card),
            "real_card_seconds": round(self.card_seconds, 2),
        }

    def in_words(self, *, software: bool = True) -> str:
        """One line for a person, about software cards or about cards in readers."""
        if not software:
            return (
                f"{self.seconds / self.cards:.1f} s a card in its reader"
                f" ({self.commands_a_card:,.0f} APDUs, {self.bytes_a_card:,.0f} bytes a card)."
            )
        return (
            f"{self.cards_a_minute:,.0f} cards a minute: software cards on this computer. A real"
            f" card takes about {self.card_seconds:.1f} s ({self.commands_a_card:,.0f} APDUs,"
            f" {self.bytes_a_card:,.0f} bytes a card)."
        )


def throughput(results: Sequence[CardResult]) -> Throughput:
    """The figures of the cards that this run finished."""
    made = [each for each in results if not each.was_active and each.state is CardState.ACTIVE]
    return Throughput(
        len(made),
        sum(each.seconds for each in made),
        sum((each.figures for each in made), Figures()),
    )


def left_out_in_words(checks: Sequence[LeftOut]) -> str:
    """What the standard check left out, in one line for a person; "" if nothing."""
    partial = [each for each in checks if each != NOTHING_LEFT_OUT]
    if not partial:
        return ""
    if missing := max((each.keys_not_held for each in partial), key=len):
        return (
            f"Left out: keys that the SAM does not hold ({', '.join(missing)}) were not tried."
            " Files that need one of them were not read."
        )
    files = max(len({gap.path for gap in each.not_read}) for each in partial)
    closed = max(len(each.not_tried) for each in partial)
    cards = f"{len(partial)} card{'' if len(partial) == 1 else 's'}"
    return (
        f"Left out on {cards}: a blank part of {files} files was not read, and {closed} files were"
        " not tried without keys (their access rules were compared). `rhcard verify --full` does"
        " both."
    )


def lines_in_words(results: Sequence[CardResult]) -> str:
    """The lines of the list whose residents have no card, in one line for a person; "" if none."""
    lines = sorted(each.line for each in results if each.chip is None)
    runs: list[tuple[int, int]] = []
    for line in lines:
        if runs and runs[-1][1] == line - 1:
            runs[-1] = (runs[-1][0], line)
        else:
            runs.append((line, line))
    if not runs:
        return ""
    named = ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in runs)
    return f"No card yet: line{'' if len(lines) == 1 else 's'} {named} of the list."


def chip_name(chip: ChipSerial | None) -> str:
    """A chip serial as 16 hex digits; "" for None."""
    return str(chip) if chip else ""


def result_as_dict(result: CardResult) -> dict[str, Any]:
    """The result for one card, as a JSON object."""
    return {
        "number": result.number,
        "line": result.line,
        "chip": chip_name(result.chip) or None,
        "state": result.state.value,
        "problem": result.problem,
        **result.left_out.as_dict(),
        "commands": result.figures.commands,
        "sent": result.figures.sent,
        "received": result.figures.received,
        "seconds": round(result.seconds, 4),
        "real_card_seconds": round(result.figures.card_ms / 1000, 3),
    }


def verified_as_dict(verified: Verified) -> dict[str, Any]:
    """The verification of one card, as a JSON object."""
    return {
        "number": verified.number,
        "line": verified.line,
        "chip": chip_name(verified.chip) or None,
        "verified": not verified.findings,
        "findings": [finding.as_dict() for finding in verified.findings],
        **verified.left_out.as_dict(),
        "commands": verified.figures.commands,
        "real_card_seconds": round(verified.figures.card_ms / 1000, 3),
    }
