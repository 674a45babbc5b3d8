"""What a command shows: bars on a terminal only, tables as long as their data, lines to paste."""

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from personalize.cli.exits import Exit
from personalize.cli.output import print_table
from personalize.sample.sample_batch import SAMPLE
from tests import ROOT
from tests.programs.rhcard import IMPORT_MAIN, key_file, prepare, ran, residents, rhcard


def on_a_terminal(*words: object) -> str:
    """Run it with a terminal as stderr; return what is shown there."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", f"{IMPORT_MAIN}main()", *map(str, words)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # the last program has closed its end
        pass
    os.close(master)
    process.communicate(timeout=30)
    return shown.decode()


def test_a_terminal_shows_how_far_it_is_and_how_fast(tmp_path: Path) -> None:
    source = residents(tmp_path, 3)
    shown = on_a_terminal("prepare", source, "--photos", SAMPLE.parent)
    assert "Checking" in shown and "3/3" in shown and "a minute" in shown


def test_a_log_holds_no_bar(tmp_path: Path) -> None:
    done = ran("prepare", residents(tmp_path, 3), "--photos", SAMPLE.parent)
    assert "has no errors" in done.err
    assert "Checking" not in done.err and "\x1b" not in done.err and len(done.err.splitlines()) == 2


def test_a_table_without_a_terminal_is_in_columns_also_in_chinese(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("title", ("name", "n"), [("王小明", "1"), ("Li", "2")])
    assert capsys.readouterr().out.splitlines() == [
        "title", "", "  name     n", " ────────────", "  王小明   1", "  Li       2", "",
    ]  # fmt: skip


def test_a_long_value_is_whole_in_one_line_and_makes_no_other_line_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "".join(f"{number:07d} " for number in range(12_500))
    rows = [("1", "short", "a"), ("2", long, "b"), *((str(n), "x", "c") for n in range(3, 1003))]
    print_table("title", ("line", "value", "problem"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[5] == f"  2      {long}   b"
    assert [line for line in lines if len(line) > 120] == [lines[5]]
    assert sum(map(len, lines)) < len(long) + 100 * len(rows)


def test_a_list_with_a_long_value_is_told_in_lines_as_long_as_their_data(tmp_path: Path) -> None:
    source = residents(tmp_path, 3)
    source.write_text(source.read_text("utf-8") + "x" * 100_000 + "\n", "utf-8")
    done = ran("prepare", source, "--photos", SAMPLE.parent)
    assert done.code == Exit.BAD_INPUT
    assert len(done.out) + len(done.err) < 300_000


@pytest.mark.parametrize(
    "name", ["two words", "Li's", 'a "quoted" name', "-dash", "--cards", "$x;#"]
)
def test_the_next_command_works_when_it_is_pasted(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = key_file(tmp_path)
    prepare(tmp_path, keys, 1, name="batch")
    (tmp_path / "batch").rename(tmp_path / name)
    (tmp_path / name / "keys").symlink_to(keys)
    here = f"./{name}"
    monkeypatch.chdir(tmp_path)
    issued = rhcard(
        "issue", here, "--cards", f"{here}/cards", "--make-blanks", "--keys", f"{here}/keys"
    )
    assert issued.code == Exit.GOOD, issued.err
    (line,) = [line for line in issued.err.splitlines() if line.startswith("Next: ")]
    words = shlex.split(line.removeprefix("Next: "))
    assert words[1] == "verify"
    verified = rhcard(*words[1:])
    assert (verified.code, verified.out) == (Exit.GOOD, "1 of 1 verified\n")


def test_a_table_on_a_terminal_is_folded_to_its_width_and_styled() -> None:
    code = (
        "from personalize.cli.output import Styled, print_table;"
        "print_table('title', ('field', 'value'), [('a', Styled('\\x1b[2J' + 'x' * 50, 'red'))])"
    )
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "40"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=slave, env=environment, check=True
    )
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert "\x1b[1mtitle" in shown and "\x1b[31m" in shown
    assert "\x1b[2J" not in shown and "\\x1b[2J" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, plain)) <= 40
    assert "".join(line[9:].strip() for line in plain).count("x") == 51
