"""A device, a pipe, a folder or a file of some GB in the place of a file: one line, never a hang.

Each command has little memory, and has to end by itself.
"""

import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cardlib.errors import FileRefused, FormatError
from cardlib.regular_file import open_regular, read_regular
from cardlib.script.language import read_script
from cardlib.transport.player import Player
from personalize.cli.exits import Exit
from personalize.listing.source import MOST_BYTES, read_source
from personalize.sample.sample_batch import SAMPLE
from tests.programs.rhcard import (
    IMPORT_MAIN,
    PASSPHRASE,
    Ran,
    key_file,
    prepare,
    ran,
    residents,
    rhcard,
)

GIB = 1 << 30


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 * GIB)


STRANGE = [device, pipe, folder, sparse]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch with its keys, cards, journal and PINs, a list and a script."""
    place = tmp_path_factory.mktemp("whole")
    keys = key_file(place)
    batch = prepare(place, keys, 2)
    assert rhcard("issue", batch, "--cards", place / "cards", "--make-blanks").code == 0
    shutil.copy(next((place / "cards").glob("*.card")), place / "one.card")
    shutil.copy(residents(place, 2), place / "list.csv")
    (place / "passphrase").write_text(PASSPHRASE + "\n")
    (place / "one.scriptor").write_text("reset\n")
    return place


KEYS = ("--keys", "{}/keys.json")
CARDS = ("{}/batch", "--cards", "{}/cards", *KEYS)
COMMANDS: dict[str, tuple[tuple[str, ...], set[Exit]]] = {
    "list.csv": (("prepare", "{}/list.csv"), {Exit.USAGE, Exit.BAD_INPUT}),
    "keys.json": (("verify", *CARDS), {Exit.KEY_PROBLEM}),
    "passphrase": (("verify", *CARDS, "--passphrase-file", "{}/passphrase"), {Exit.KEY_PROBLEM}),
    "batch/manifest.cms": (("verify", *CARDS), {Exit.BAD_INPUT}),
    "batch/records.bin": (("verify", *CARDS), {Exit.BAD_INPUT}),
    "batch/holders.bin": (("verify", *CARDS), {Exit.BAD_INPUT}),
    "batch/journal.sqlite": (("issue", *CARDS), {Exit.JOURNAL_CONFLICT}),
    "batch/journal.sqlite-journal": (("issue", *CARDS), {Exit.JOURNAL_CONFLICT}),
    "batch/journal.sqlite-wal": (("pins", "{}/batch", *KEYS), {Exit.JOURNAL_CONFLICT}),
    "batch/pins.sealed": (("pins", "{}/batch", *KEYS), {Exit.FINISHED_WITH_FAILURES}),
    "one.card": (("read", "{}/one.card"), {Exit.NO_CARD}),
    "one.scriptor": (
        ("apdu", "run", "{}/one.scriptor", "--card", "{}/one.card"),
        {Exit.USAGE, Exit.BAD_INPUT},
    ),
}
"""The command that reads each file, and how it ends; {} is the folder."""


LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({GIB}, {GIB}))
{IMPORT_MAIN}main()
"""
"""With 1 GiB of address space: reading the 8 GiB would end in a MemoryError."""


@contextmanager
def little_memory_and_time() -> Iterator[None]:
    """The same for this process, which gets a GiB more than it has, and half a minute."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB, before[1]))
    handler = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def too_long(*_: object) -> None:
    raise AssertionError("the command does not end")


def run(*words: object) -> Ran:
    with little_memory_and_time():
        return rhcard(*words)


def test_what_takes_too_much_memory_or_time_is_noticed(tmp_path: Path) -> None:
    sparse(tmp_path / "file")
    with pytest.raises(MemoryError), little_memory_and_time():
        (tmp_path / "file").read_bytes()
    with pytest.raises(AssertionError, match="does not end"), little_memory_and_time():
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        signal.pause()


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_strange_file_is_told_in_one_line(
    name: str, strange: Callable[[Path], None], whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, place := tmp_path / "there")
    (place / name).unlink(missing_ok=True)
    strange(place / name)
    words, exits = COMMANDS[name]
    words = tuple(word.format(place) for word in words)
    # SQLite opens its files by itself, and would not be disturbed by a signal.
    done = ran(*words, program=LIMITED) if ".sqlite" in name else run(*words)
    assert done.code in exits, (done.out, done.err)
    assert Path(name).name in done.err
    assert "memory" not in done.err.lower()


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_photo_is_a_fault_of_the_list(
    strange: Callable[[Path], None], tmp_path: Path
) -> None:
    lines = residents(tmp_path, 1).read_text("utf-8").splitlines()
    header, row = lines[0].split(","), lines[1].split(",")
    row[header.index("photo_file")] = "strange.jpg"
    source = tmp_path / "list.csv"
    source.write_text("\n".join([lines[0], ",".join(row)]), "utf-8")
    strange(tmp_path / "strange.jpg")
    done = run("prepare", source, "--json")
    (fault,) = done.json["faults"]
    wanted = "photo-path" if strange is device else "no-photo"
    assert (done.code, fault["field"]) == (Exit.BAD_INPUT, "photo_file")
    assert fault["code"] == ("photo-too-large" if strange is sparse else wanted)


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_file_is_refused_by_the_library_too(
    strange: Callable[[Path], None], tmp_path: Path
) -> None:
    strange(tmp_path / "file")
    with pytest.raises(FileRefused):
        read_regular(tmp_path / "file", 1000)
    with pytest.raises((FileRefused, FormatError)):
        read_script(tmp_path / "file")
    with pytest.raises(FileRefused):
        Player.open(tmp_path / "file")


def test_a_file_of_just_the_bound_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert read_regular(tmp_path / "file", 10) == b"x" * 10
    with pytest.raises(FileRefused, match="too large: 9 bytes are the most"):
        read_regular(tmp_path / "file", 9)


def test_a_link_is_followed_unless_the_caller_forbids_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 1) == b"x"
    with pytest.raises(FileRefused, match="symbolic link"):
        open_regular(tmp_path / "link", os.O_RDONLY | os.O_NOFOLLOW)


def test_the_bound_of_a_list_is_told_in_the_list_as_a_fault(tmp_path: Path) -> None:
    with (tmp_path / "list.csv").open("wb") as file:
        file.truncate(MOST_BYTES)
    (fault,) = read_source(tmp_path / "list.csv", "utf-8").faults
    assert fault.code != "file-too-large"


def test_a_list_from_a_pipe_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """<(iconv …): the list is bound to its batch by its SHA-256, so it must be a file."""
    reading, writing = os.pipe()
    os.write(writing, SAMPLE.read_bytes()[:1000])
    os.close(writing)
    done = ran("prepare", f"/dev/fd/{reading}", pass_fds=(reading,))
    os.close(reading)
    assert (done.code, "a pipe, not a regular file" in done.err) == (Exit.USAGE, True)


def test_the_passphrase_may_come_from_a_pipe_of_the_shell(whole: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, PASSPHRASE.encode() + b"\n")
    os.close(writing)
    words = ("verify", whole / "batch", "--cards", whole / "cards", "--passphrase-file")
    done = ran(*words, f"/dev/fd/{reading}", pass_fds=(reading,))
    os.close(reading)
    assert done.code == Exit.GOOD, done.err


def test_reading_a_list_takes_a_bounded_multiple_of_its_size(tmp_path: Path) -> None:
    """Many small values are the most that a list can ask for: docs/reference/input.md says 30."""
    size = 8 << 20
    (tmp_path / "list.json").write_bytes(b'{"a":[' + b"[]," * (size // 3) + b"1]}")
    program = (
        "import resource, sys; from pathlib import Path;"
        "from personalize.preparation.prepare import read_list;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024;"
        "before = peak(); read_list(Path(sys.argv[1])); print(peak() - before)"
    )
    taken = ran(tmp_path / "list.json", program=program).out
    assert int(taken) < 30 * size


def test_a_trace_into_a_pipe_that_nobody_reads_does_not_wait(whole: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trace")
    words = ("emulator", "run", whole / "one.card", "--trace", tmp_path / "trace")
    done = ran(*words)
    assert (done.code, str(tmp_path / "trace") in done.err) == (Exit.ENVIRONMENT, True)
