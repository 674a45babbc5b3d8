"""Runs what the pages show: commands behind `$`, and Python, in one folder for each page.

The commands of rhcard run in this process, with key stores that open quickly; anything else runs
in bash. The folder stands for a checkout: the package `personalize` with its sample is in it.
"""

import contextlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner

from personalize.cli import main
from tests.programs.rhcard import IMPORT_MAIN

from .pages import ROOT

MAKE_DEMO = "rhcard demo"
"""What `make demo` does when everything is set up; test_readme.py compares it with the Makefile."""

_LIMIT = 60
"""Seconds that a command line may take."""

_SHELL_CHARACTERS = set("|<>;&`*")


@dataclass
class Shell:
    """A folder, an environment and the last exit code."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    last_code: int = 0
    names: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep the files of stations here, and not in the home folder."""
        self.environment.setdefault("XDG_STATE_HOME", str(self.folder / "state"))

    def run(self, command: str) -> str:
        """Run one command line; return what it prints, stdout and stderr as they come."""
        if command == "echo $?":
            return f"{self.last_code}\n"
        if command.startswith("export "):
            name, value = shlex.split(command)[1].split("=", 1)
            self.environment[name] = value
            return ""
        if command == "make demo":
            command = MAKE_DEMO
        words = shlex.split(command)
        with_token = "SOFTHSM2_CONF" in self.environment  # SoftHSM reads it once a process
        if words[0] == "rhcard" and not with_token and not _SHELL_CHARACTERS & set(command):
            return self._rhcard(words[1:])
        return self._bash(command)

    def python(self, source: str, name: str) -> str:
        """Run a block of Python with the names of the page's earlier blocks."""
        printed = io.StringIO()
        with self._here(), contextlib.redirect_stdout(printed):
            exec(compile(source, name, "exec"), self.names)
        return printed.getvalue()

    def _rhcard(self, words: list[str]) -> str:
        with self._here():
            result = CliRunner(env=self.environment).invoke(main, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.last_code = result.exit_code
        return result.output

    def started(self, command: str, stdin: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        """Start one command line in bash, as a process of its own; stderr comes with stdout."""
        tools = self.folder.parent / f"{self.folder.name} tools"
        if not tools.exists():
            _write_launchers(tools)
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env={
                **os.environ,
                **self.environment,
                "PATH": f"{tools}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
            },
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _bash(self, command: str) -> str:
        with self.started(command, subprocess.DEVNULL) as process:
            try:
                printed, _ = process.communicate(timeout=_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        self.last_code = process.returncode
        return printed

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        with contextlib.chdir(self.folder):
            yield


def _write_launchers(folder: Path) -> None:
    """`rhcard` and `python` as they are in an environment with the package installed."""
    folder.mkdir()
    for name, words in {
        "rhcard": [sys.executable, "-c", f"{IMPORT_MAIN}main()"],
        "python": [sys.executable],
    }.items():
        launcher = folder / name
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        launcher.chmod(0o755)


def checkout(folder: Path) -> Path:
    """A folder with the sample in the place where a checkout has it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "personalize").symlink_to(ROOT / "personalize")
    (folder / "apdu_scripts").symlink_to(ROOT / "apdu_scripts")
    return folder
