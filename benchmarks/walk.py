"""How far one resident and one command travel through the house: `python -m benchmarks.walk`.

The program runs. Each time that work passes from one room into another by a way that it did not
take before, that is a stay; a stay in a room that was entered before is a return. So a list of
fifty residents walks no further than one, and the figures are the same in every run. The
vocabulary is what rooms speak with, and not a room to go to: bytes, files, status words, facts,
commands, the exchange with who observes it, ciphers, the layout. The command line and the inside of
the card belong to no resident. What runs while a module is imported is no work.

The resident goes from a list with one line to a verified card, by `rhcard prepare`, `issue` and
`verify`. A room is a folder of the house, or a module that stands by itself. The command is a READ
RECORD of the emergency data in a version-2 session, from the card object through the software card
and back; there each module counts as a room.
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

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore

from .report import Bar, report

ROOT = Path(__file__).resolve().parent.parent
BEFORE = {
    "resident": {"rooms": 27, "stays": 53, "returns": 26},
    "command": {"rooms": 12, "stays": 14, "returns": 2},
}
"""What the house measured before it was re-cut (commit 985b096), by this program."""
VOCABULARY = tuple(
    f"cardlib/{name}"
    for name in ("errors.py", "regular_file.py", "unfinished.py", "status.py", "tlv.py", "apdu.py",
                 "facts.py", "commands.py", "exchange.py", "transport/meter.py", "timing.py",
                 "crypto/", "layout/")
)  # fmt: skip
NOT_THE_RESIDENTS = ("personalize/cli/", "cardlib/emulator/")


def by_folder(path: str) -> str:
    """The room of a module: its folder, or itself where it stands in the package alone."""
    parts = path.split("/")
    return "/".join(parts[:-1]) if len(parts) > 2 else path


def by_module(path: str) -> str:
    """Each module is a room."""
    return path


@dataclass
class Walk:
    """The ways between rooms that were taken, in order."""

    ways: dict[tuple[str, str], None] = field(default_factory=dict)

    def figures(self) -> dict[str, int]:
        """How many rooms, stays and returns."""
        stays, rooms = len(self.ways), len({room for _, room in self.ways})
        return {"rooms": rooms, "stays": stays, "returns": stays - rooms}


@contextmanager
def walked(room_of_path: Callable[[str], str], leave_out: tuple[str, ...] = ()) -> Iterator[Walk]:
    """Note every way that Python code of this repository takes, until the block ends."""
    walk, stack = Walk(), list[str | None]()
    known: dict[str, str] = {}

    def room_of(path: str) -> str:
        if path not in known:
            inside = path.startswith(str(ROOT)) and "/.venv/" not in path
            name = str(Path(path).relative_to(ROOT)) if inside else ""
            ours = name.startswith(("cardlib/", "personalize/"))
            skipped = name.startswith((*VOCABULARY, *leave_out))
            known[path] = room_of_path(name) if ours and not skipped else ""
        return known[path]

    def saw(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            before = stack[-1] if stack else ""
            imports = before is None or frame.f_code.co_name == "<module>"
            room = None if imports else room_of(frame.f_code.co_filename) or before
            if room != before and room is not None:
                walk.ways.setdefault((before or "", room))
            stack.append(room)
        elif event == "return" and stack:
            stack.pop()

    sys.setprofile(saw)
    try:
        yield walk
    finally:
        sys.setprofile(None)


def resident() -> Walk:
    """From a list with one resident to a verified card."""
    from cardlib.keys.store import passphrase
    from personalize.cli import main as rhcard

    sample = next(iter(sorted((ROOT / "personalize").rglob("residents.csv"))))
    quick = mock.patch.dict(passphrase.SCRYPT, n=2**10)
    with tempfile.TemporaryDirectory() as name, quick:
        folder = Path(name)
        lines = sample.read_text("utf-8").splitlines()
        (folder / "residents.csv").write_text(f"{lines[0]}\n{lines[5]}\n", "utf-8")
        (folder / "photos").symlink_to(sample.parent / "photos")

        def run(*words: object) -> None:
            env = {"RHCARD_PASSPHRASE": "a walk of one resident"}
            done = CliRunner().invoke(rhcard, [str(word) for word in words], env=env)
            if done.exit_code:
                raise AssertionError(done.output)

        keys, batch, cards = folder / "keys.json", folder / "batch", folder / "cards"
        run("keys", "new", "--out", keys)
        with walked(by_folder, NOT_THE_RESIDENTS) as walk:
            day = "2026-11-23"
            run("prepare", folder / "residents.csv", "--keys", keys, "--out", batch,
                "--issue-date", day)  # fmt: skip
            run("issue", batch, "--cards", cards, "--make-blanks")
            run("verify", batch, "--cards", cards)
    return walk


def command() -> Walk:
    """One READ RECORD in a session, from the card object through the software card and back."""
    from cardlib.emulator import personalized_card

    roots = public_test_roots(2)
    card = ResidentHealthCard(personalized_card(roots), KeyStore(roots).terminal_keys)
    card.authenticate("RK1_DF02")
    card.read("DDF1/DF02/EF05")
    with walked(by_module) as walk:
        card.send(CommandAPDU(0x00, 0xB2, 0x01, 0x05, le=256), "READ RECORD")
    return walk


def main() -> int:
    """Walk, and say the figures and whether the resident returns less than half as often."""
    walks: dict[str, Callable[[], Walk]] = {"resident": resident, "command": command}
    figures: dict[str, float] = {}
    found = {name: walk().figures() for name, walk in walks.items()}
    for name, counted in found.items():
        figures |= {f"{name}, {what}": number for what, number in counted.items()}
        figures |= {f"{name}, {what} before": number for what, number in BEFORE[name].items()}
    now, then = found["resident"], BEFORE["resident"]
    bars = [
        Bar.at_most("resident, returns / before", now["returns"] / then["returns"], 0.5),
        Bar.at_most("resident, rooms / before", now["rooms"] / then["rooms"], 1),
        Bar.at_most("command, returns", found["command"]["returns"], BEFORE["command"]["returns"]),
    ]
    return report(figures, bars, as_json="--json" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
