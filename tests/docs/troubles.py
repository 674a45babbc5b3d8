"""docs/how-to/troubleshooting.md: the messages of rhcard, each as a real fault makes it print it.

The faults are a table, troubles.toml: how each is made, what it means, what to do. A test makes
every fault, compares what is printed with the page, does what the page says, and sees that the
command then works.

    python -m tests.docs.troubles --write                     put today's messages into the page
    python -m tests.docs.troubles --write --without-pcscd     but those of readers
    python -m tests.docs.troubles --write TITLE …             only these
"""

import os
import re
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from personalize.cli.exits import Exit
from tests import DATA, QUICK_SCRYPT_N
from tests.programs.pcscd import Pcscd, running_pcscd

from .console import Examples
from .generated import with_part
from .pages import ROOT
from .reader_scenes import Scene, play
from .shell import Shell, checkout

PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"
SHOWN_FOLDER = "/srv/bureau"
_PASSPHRASE = "correct horse battery staple"
EXITS = {int(code): code for code in Exit}
_GROUPS = "agent|apdu|card-profile|config|emulator|journal|keys|operator|sam"
"""The commands of rhcard that have commands of their own."""
_SECTION = re.compile(r"^### (?P<title>.+?)\n\n```text\n(?P<shown>.*?)^```$", re.M | re.S)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A fault: how it is made, which command it stops and with which code, and the remedy.

    `fault` and `cure` are command lines. `under` stands before the command and is not shown.
    `also` are commands that end with the same error and code. After the cure, `again` works.
    A trouble with a `scene` is one of readers, and so is what is done again, in `scene_again`.
    """

    group: str
    title: str
    run: str
    code: Exit
    means: str
    do: str
    start: str
    fault: str = ""
    under: str = ""
    also: tuple[str, ...] = ()
    cure: str = ""
    again: str = ""
    varies: tuple[str, ...] = ()
    scene: Scene | None = None
    scene_again: Scene | None = None

    @property
    def is_cured(self) -> bool:
        """Whether the remedy is carried out by the test."""
        return bool(self.cure or self.again)

    @property
    def commands(self) -> list[str]:
        """The commands that end with this error, as `rhcard verify` or `rhcard apdu run`."""
        found = (re.match(rf"rhcard(?: (?:{_GROUPS}))? \w+", command) for command in self.lines)
        return list(dict.fromkeys(match[0] for match in found if match))

    @property
    def lines(self) -> tuple[str, ...]:
        """The command lines that end with this error."""
        return (self.run, *self.also)

    def section(self, shown: str) -> str:
        """What the page says of it."""
        commands = ", ".join(f"`{command}`" for command in self.commands)
        return (
            f"### {self.title}\n\n```text\n{shown}```\n\n"
            f"{commands}: exit code {int(self.code)}. {self.means}\n\n**What to do.** {self.do}\n"
        )


def _trouble(fields: Mapping[str, Any], group: str) -> Trouble:
    lists = {name: tuple(fields.get(name, ())) for name in ("also", "varies")}
    scenes = {name: _scene(fields[name]) for name in ("scene", "scene_again") if name in fields}
    known = {"code": EXITS[fields["code"]], "group": group}
    return Trouble(**{**fields, **lists, **scenes, **known})


def _scene(fields: Mapping[str, Any]) -> Scene:
    lists = {name: tuple(fields.get(name, ())) for name in ("cards", "feeds")}
    return Scene(**{**fields, **lists})


_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
GROUPS: Mapping[str, str] = {group["title"]: group["intro"] for group in _TABLE["group"]}
TROUBLES = [_trouble(t, group["title"]) for group in _TABLE["group"] for t in group["trouble"]]


class Workplace:
    """A folder in which one fault after the other is made, from the stages of the table.

    A batch remembers where its key store was, so all stages are made at the same place.
    """

    def __init__(self, parent: Path) -> None:
        self._stages, self.folder = parent / "stages", parent / "bureau"

    def at(self, name: str) -> Shell:
        """A shell in the folder, as it is at a stage such as `issued`."""
        saved, stage = self._stages / name, _TABLE["start"][name]
        if not saved.exists():
            shell = self.at(stage["after"]) if "after" in stage else self._new()
            for file, text in stage.get("files", {}).items():
                (self.folder / file).write_text(text, encoding="utf-8")
            _run_all(shell, stage.get("commands", ""))
            shutil.copytree(self.folder, saved, symlinks=True)
        shutil.rmtree(self.folder)
        shutil.copytree(saved, self.folder, symlinks=True)
        return _shell(self.folder)

    def _new(self) -> Shell:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        (checkout(self.folder) / "cases").symlink_to(DATA / "cases")
        return _shell(self.folder)

    def shown(self, printed: str) -> str:
        """What a command printed, with an example's folder in the place of ours."""
        lines = printed.replace(str(self.folder.resolve()), SHOWN_FOLDER).strip("\n").splitlines()
        return "\n".join(line.rstrip() for line in lines) + "\n"


def _shell(folder: Path) -> Shell:
    return Shell(folder, {"RHCARD_PASSPHRASE": _PASSPHRASE})


def _run_all(shell: Shell, lines: str) -> None:
    for line in lines.strip().splitlines():
        shell.last_code = 0
        said = shell.run(line)
        assert shell.last_code == 0, f"{line}: {said}"


def provoked(trouble: Trouble, place: Workplace, pcscd: Pcscd | None = None) -> str:
    """Make the fault, run the command, and return what it prints; then carry the remedy out.

    A trouble with a scene needs `pcscd`, with both readers empty. A key agent that the fault
    started is ended.
    """
    try:
        return _provoked(trouble, place, pcscd)
    finally:
        for file in place.folder.glob("*.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(file.read_text("ascii")), signal.SIGKILL)


def _provoked(trouble: Trouble, place: Workplace, pcscd: Pcscd | None) -> str:
    shell = place.at(trouble.start)
    _run_all(shell, trouble.fault)
    failing = partial(_ran, shell, scene=trouble.scene, code=trouble.code, pcscd=pcscd)
    printed = failing(f"{trouble.under} {trouble.run}".strip())
    for command in trouble.also:
        also = failing(f"{trouble.under} {command}".strip())
        assert also.splitlines()[-1] == printed.splitlines()[-1], also
    if trouble.is_cured:
        _run_all(shell, trouble.cure)
        calm = trouble.scene_again or (trouble.scene and trouble.scene.calm)
        _ran(shell, trouble.again or trouble.run, scene=calm, pcscd=pcscd)
    return place.shown(printed)


def _ran(
    shell: Shell,
    command: str,
    *,
    scene: Scene | None,
    code: int = Exit.GOOD,
    pcscd: Pcscd | None,
) -> str:
    """Run a command in a scene, if there is one, and return what it prints. Check its code."""
    shell.last_code = 0
    if scene is None:
        printed = shell.run(command)
    else:
        assert pcscd is not None
        printed = play(scene, shell, command, pcscd)
    assert shell.last_code == code, f"{command}: {shell.last_code}\n{printed}"
    return printed


def shown_on(page: str) -> dict[str, str]:
    """The messages of the page, by title, in its order."""
    return {match["title"]: match["shown"] for match in _SECTION.finditer(page)}


def messages(shown: Mapping[str, str]) -> str:
    """The part of the page with the messages, group by group."""
    parts = []
    for group, intro in GROUPS.items():
        sections = [t.section(shown.get(t.title, "")) for t in TROUBLES if t.group == group]
        parts.append("\n".join([f"\n## {group}\n", f"{intro}\n", *sections]))
    return "".join(parts) + "\n"


def _messages() -> str:
    return messages(shown_on(PAGE.read_text("utf-8")))


def _by_code() -> str:
    rows = []
    for code in Exit:
        found = [f"[{t.title}](#{_anchor(t.title)})" for t in TROUBLES if t.code == code]
        if found:
            rows.append(f"| {int(code)} | {code.words} | {' · '.join(found)} |")
    return "\n".join(["| exit code | meaning | messages |", "| ---: | --- | --- |", *rows]) + "\n"


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


PARTS = {"messages by exit code": _by_code, "messages": _messages}


def write_all(troubles: Sequence[Trouble]) -> None:
    """Make every fault, and put what is printed into the page where it differs."""
    shown = shown_on(PAGE.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as parent, ExitStack() as stack:
        place = Workplace(Path(parent))
        stack.enter_context(
            mock.patch.dict("cardlib.keys.store.passphrase.SCRYPT", n=QUICK_SCRYPT_N)
        )
        needed = any(trouble.scene for trouble in troubles)
        pcscd = stack.enter_context(running_pcscd()) if needed else None
        for trouble in troubles:
            printed = provoked(trouble, place, pcscd)
            old, examples = shown.get(trouble.title, ""), Examples()
            if not examples.matches(old, printed, trouble.varies):
                shown[trouble.title] = examples.renewed(old, printed, trouble.varies)
                print(f"{trouble.title}: renewed")  # noqa: T201
    text = with_part(PAGE.read_text("utf-8"), "messages", messages(shown))
    PAGE.write_text(with_part(text, "messages by exit code", _by_code()), encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:2] == ["--write"]:
    wanted = [t for t in TROUBLES if t.scene is None or "--without-pcscd" not in sys.argv]
    write_all([t for t in wanted if t.title in sys.argv[2:]] or wanted)
