"""docs/reference/register.md: the tables of what changes a card, and of the database.

python -m tests.docs.register_page --write
"""

from collections.abc import Iterable

from personalize.register.schema import metadata
from personalize.register.states import TRANSITIONS, Act, ChipState

from .generated import REFERENCE, write

PAGE = REFERENCE / "register.md"


def _transitions() -> str:
    lines = [
        "| act | the card before | the card after | the chip before | the chip after |",
        "| --- | --- | --- | --- | --- |",
    ]
    for act, step in TRANSITIONS.items():
        after = f"{step.after}; a new attempt is prepared" if step.again else step.after.value
        lines.append(
            f"| {act} | {_words(step.before)} | {after} | {_chips(step.chip_before)} |"
            f" {step.chip_after} |"
        )
    return "\n".join(lines) + "\n"


def _others() -> str:
    return ", ".join(f"`{act}`" for act in Act if act not in TRANSITIONS) + "\n"


def _tables() -> str:
    lines = ["| table | columns; those in bold are its key |", "| --- | --- |"]
    for table in metadata.sorted_tables:
        names = [f"**{each.name}**" if each.primary_key else each.name for each in table.columns]
        lines.append(f"| `{table.name}` | {', '.join(names)} |")
    return "\n".join(lines) + "\n"


def _words(states: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, states)))


def _chips(states: Iterable[ChipState | None]) -> str:
    return _words("not known yet" if each is None else each for each in states)


PARTS = {"transitions": _transitions, "other acts": _others, "tables": _tables}

if __name__ == "__main__":
    for name, part in PARTS.items():
        write(PAGE, name, part)
