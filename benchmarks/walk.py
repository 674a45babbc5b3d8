"""How far one resident and one command travel through the house: `python -m benchmarks.walk`.

A room is a module. The program runs, and each time that work passes from one room into another by
another door (the function that is called), that is a stay; a stay in a room that was entered
before is a return. Passing through the same door again counts nothing, so a list of residents
walks no further than one. The figures are counts, not times: they are the same in every run.

The resident goes from a list with one line to a verified card, through `rhcard prepare`, `issue`
and `verify`; the command line itself and the inside of the card are left out. The command is a
READ RECORD of the emergency data in a version-2 session, from the card object to the answer.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from click.testing import CliRunner

from cardlib.card import ResidentHealthCard
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore

from .report import Bar, report

ROOT = Path(__file__).resolve().parent.parent
BEFORE = {"resident": {"rooms": 0, "stays": 0, "returns": 0},
          "command": {"rooms": 0, "stays": 0, "returns": 0}}  # fmt: skip
"""What the house measured before it was re-cut (commit 985b096), by this program."""


@dataclass
class Walk:
    """The rooms that were entered, and through which doors, in order."""

    rooms: dict[str, None] = field(default_factory=dict)
    doors: dict[tuple[str, str, str], None] = field(default_factory=dict)

    def enter(self, before: str, room: str, function: str) -> None:
        self.rooms.setdefault(room)
        self.doors.setdefault((before, room, function))

    def figures(self) -> dict[str, int]:
        stays, rooms = len(self.doors), len(self.rooms)
        return {"rooms": rooms, "stays": stays, "returns": stays - rooms}


@contextmanager
def walked(*, leave_out: tuple[str, ...] = ()) -> Iterator[Walk]:
    """Note every room that Python code of this repository enters, until the block ends."""
    walk, rooms = Walk(), list[str]()
    names: dict[str, str] = {}

    def room_of(path: str) -> str:
        if path not in names:
            inside = path.startswith(str(ROOT)) and "/.venv/" not in path
            room = str(Path(path).relative_to(ROOT)) if inside else ""
            ours = room.startswith(("cardlib/", "personalize/"))
            names[path] = room if ours and not room.startswith(leave_out) else ""
        return names[path]

    def saw(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            room = room_of(frame.f_code.co_filename) or (rooms[-1] if rooms else "")
            before = rooms[-1] if rooms else ""
            if room != before and frame.f_code.co_name != "<module>":
                walk.enter(before, room, frame.f_code.co_qualname)
            rooms.append(room)
        elif event == "return" and rooms:
            rooms.pop()

    sys.setprofile(saw)
    try:
        yield walk
    finally:
        sys.setprofile(None)


def resident() -> Walk:
    """From a list with one resident to a verified card."""
    from cardlib.keys import store as store_module
    from personalize.cli import main as rhcard

    sample = next(iter(sorted((ROOT / "personalize").rglob("residents.csv"))))
    quick = mock.patch.object(store_module, "SCRYPT", {"n": 2**10, "r": 8, "p": 1})
    with tempfile.TemporaryDirectory() as name, quick:
        folder = Path(name)
        lines = sample.read_text("utf-8").splitlines()
        (folder / "residents.csv").write_text(f"{lines[0]}\n{lines[5]}\n", "utf-8")
        (folder / "photos").symlink_to(sample.parent / "photos")

        def run(*words: object) -> None:
            env = {"RHCARD_PASSPHRASE": "walk"}
            done = CliRunner().invoke(rhcard, [str(word) for word in words], env=env)
            if done.exit_code:
                raise AssertionError(done.output)

        keys, batch, cards = folder / "keys.json", folder / "batch", folder / "cards"
        run("keys", "new", "--out", keys)
        left_out = ("personalize/cli/", "personalize/output", "cardlib/emulator/")
        with walked(leave_out=left_out) as walk:
            day = "2026-11-23"
            run("prepare", folder / "residents.csv", "--keys", keys, "--out", batch,
                "--issue-date", day)  # fmt: skip
            run("issue", batch, "--cards", cards)
            run("verify", batch, "--cards", cards)
    return walk


def command() -> Walk:
    """One READ RECORD in a session, from the card object through the card and back."""
    from cardlib.emulator import personalized_card

    roots = public_test_roots(2)
    card = ResidentHealthCard(personalized_card(roots), KeyStore(roots).terminal_keys)
    card.authenticate("RK1_DF02")
    card.read("DDF1/DF02/EF05")
    with walked() as walk:
        card.read("DDF1/DF02/EF05")
    return walk


def main() -> int:
    """Walk, and say the figures and whether the returns are fewer than half of before."""
    walks: dict[str, Callable[[], Walk]] = {"resident": resident, "command": command}
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    for name, walk in walks.items():
        found = walk().figures()
        figures |= {f"{name}, {what}": number for what, number in found.items()}
        figures |= {f"{name}, {what} before": n for what, n in BEFORE[name].items()}
    return report(figures, bars, as_json="--json" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
