"""The command as a whole: help, version, exit codes, and one clear line for every failure."""

import errno
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import personalize
from cardlib.emulator import CardImageError
from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    FormatError,
    StatusWordError,
    StorageError,
    TransportError,
)
from personalize.cli import COMMANDS, main
from personalize.cli.exits import Exit
from personalize.cli.failures import Stopped, explain
from personalize.cli.output import printable
from personalize.cli.signals import Signalled
from personalize.preparation.batch import BatchError
from personalize.register.conflict import JournalConflict
from tests import ROOT
from tests.programs.rhcard import ran, rhcard


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        sub = command.get_command(context, name)
        assert sub is not None
        found += leaves(sub, (*path, name))
    return found


LEAVES = leaves(main)


def test_the_version_is_that_of_the_package() -> None:
    assert rhcard("--version").out == f"rhcard, version {personalize.__version__}\n"
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'path = "personalize/__init__.py"' in pyproject
    assert not re.search(r"^version\s*=", pyproject, re.MULTILINE)


def test_the_version_imports_nothing_but_click() -> None:
    """What start-up must not pay for; the time itself is measured by benchmarks/startup.py."""
    code = (
        "import sys; from personalize.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {
        "rich",
        "cryptography",
        "smartcard",
        "asn1crypto",
        "PIL",
        "stdnum",
        "sqlite3",
        "cardlib",
    }
    assert not heavy & set(re.findall(r"'(\w+)'", done.stdout))
    assert "importlib.metadata" not in done.stdout


def test_help_lists_every_command_and_exit_code() -> None:
    text = rhcard("--help").out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(f"{code:5d}  {code.words}" in text for code in Exit)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_help_json_and_no_passphrase_argument(words: tuple[str, ...]) -> None:
    text = rhcard(*words, "--help").out
    assert "--json" in text
    options = set(re.findall(r"--[a-z-]+", text))
    assert not {o for o in options if "passphrase" in o or "pin" in o} - {
        "--passphrase-file", "--new-passphrase-file", "--pin-file", "--operator-passphrase-file",
        "--sam-pin-file",
    }  # fmt: skip


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_a_usage_fault_is_2_in_words_and_in_json(words: tuple[str, ...]) -> None:
    done = rhcard(*words, "--no-such-option")
    assert (done.code, done.out) == (2, "")
    assert "--no-such-option" in done.err
    done = rhcard(*words, "--json", "--no-such-option")
    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert "--no-such-option" in done.json["error"]


def test_every_error_has_one_form(tmp_path: Path) -> None:
    usage = rhcard("issue", "--no-such-option")
    assert usage.err.splitlines() == [
        "rhcard: No such option '--no-such-option'.", "See: rhcard issue --help",
    ]  # fmt: skip
    other = rhcard("read", tmp_path / "none.card")
    assert other.err == f"rhcard: {tmp_path / 'none.card'}: there is no such card\n"


@pytest.mark.parametrize("option", ["--out", "--photo"])
def test_what_exists_is_never_overwritten_and_that_is_2_everywhere(
    tmp_path: Path, option: str
) -> None:
    """Before anything else is done: no passphrase is asked for, no list is checked."""
    there = tmp_path / "there"
    there.write_text("mine", "utf-8")
    source = tmp_path / "list.csv"
    source.write_text("no list", "utf-8")
    commands: dict[str, tuple[tuple[object, ...], ...]] = {
        "--out": (("keys", "new"), ("prepare", source), ("emulator", "new")),
        "--photo": (("read", tmp_path / "none.card"),),
    }
    for words in commands[option]:
        done = rhcard(*words, option, there, passphrase=None)
        assert done.code == 2, words
        assert f"{there} exists already and is not overwritten" in done.err
    assert there.read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("wrong"), 2),
        (click.Abort(), 130),
        (Signalled(signal.SIGTERM), 143),
        (Signalled(signal.SIGHUP), 129),
        (KeyboardInterrupt(), 130),
        (Stopped("3 of 50"), 130),
        (FormatError("no CSV"), 3),
        (BatchError("batch.json: damaged"), 3),
        (TransportError("no reader"), 4),
        (CardImageError("no card image"), 4),
        (StatusWordError("SELECT", 0x6A82), 5),
        (ChannelError("not genuine"), 5),
        (JournalConflict("at work"), 8),
        (CardKeyError("wrong passphrase"), 9),
        (CardError("not a health card"), 5),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "x/y"), 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 11),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 11),
        (OSError(errno.ENOSPC, "No space left on device"), 11),
        (OSError(errno.EIO, "Input/output error"), 11),
        (StorageError(errno.ENOSPC, "No space left on device", "pins.sealed"), 11),
        (ZeroDivisionError("secret of a resident"), 1),
    ],
)
def test_every_kind_of_failure_has_its_exit_code(error: BaseException, code: int) -> None:
    failure = explain(error)
    assert failure.exit == code
    assert failure.message
    assert "secret of a resident" not in failure.message


def test_what_nobody_foresaw_is_one_line_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a resident's name")

    monkeypatch.setattr("personalize.sample.sample_batch.fresh_folder", broken)
    done = rhcard("demo")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "ZeroDivisionError at test_main.py" in done.err
    assert "resident's" not in done.err


def test_ctrl_c_is_130_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("personalize.sample.sample_batch.fresh_folder", interrupted)
    done = rhcard("demo", "--json")
    assert (done.code, done.json["exit_code"]) == (130, 130)
    assert "stopped" in done.json["error"]


def test_control_characters_never_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\x9bc\u202ed") == "a\\x1b[31mb\\x9bc\\u202ed"
    assert printable("王䶮·Ж") == "王䶮·Ж"


def test_a_value_cannot_begin_a_line_that_looks_like_ours(tmp_path: Path) -> None:
    done = rhcard("prepare", tmp_path / "list\n50 of 50 verified")
    assert "\n50 of 50" not in done.err and "list\\n50 of 50 verified" in done.err
    bad = tmp_path / "bad.csv"
    bad.write_text('name,"sex\n50 of 50 verified"\n王\r\n50 of 50 verified,1\n', "utf-8")
    done = rhcard("prepare", bad)
    assert done.code == 3 and "\n50 of 50" not in done.out + done.err


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "gb18030"])
def test_output_is_whole_in_any_locale(tmp_path: Path, encoding: str) -> None:
    """JSON is UTF-8 or ASCII in all of them (RFC 8259, 8.1); a table shows what can be shown."""
    bad = tmp_path / "名单.csv"
    bad.write_text("name,什么\n王䶮,1\n", "utf-8")
    locale = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = ran("prepare", "--json", bad, env=locale)
    assert (done.code, done.json["faults"][0]["field"]) == (3, "什么")
    assert ran("prepare", bad, env=locale).code == 3


@pytest.mark.parametrize(("words", "reader"), [("--help", "head -1"), ("apdu list", "true")])
def test_a_reader_that_leaves_early_is_no_fault(words: str, reader: str) -> None:
    ours = f"{shlex.quote(sys.executable)} -c 'from personalize.cli import main; main()'"
    process = subprocess.Popen(
        f"{ours} {words} | {reader}",
        shell=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = process.communicate(timeout=30)
    assert (out.startswith("Usage: rhcard") or reader == "true", err) == (True, "")
