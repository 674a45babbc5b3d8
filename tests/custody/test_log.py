"""The log: what is in it, and what is noticed when it or its head was changed, cut or lost."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cardlib.errors import KeysUnavailable, StorageError
from personalize.custody.log import FIRST_BEFORE, AgentLog, LogDamaged, open_log
from personalize.custody.service import open_files
from tests.custody.desks import Bench, bench


def filled(folder: Path, entries: int = 5) -> tuple[Path, Path]:
    log = open_log(folder / "agent.log", folder / "agent.head")
    for number in range(1, entries + 1):
        assert log.append({"verb": f"verb {number}"}) == number
    log.close()
    return folder / "agent.log", folder / "agent.head"


def reopened(folder: Path) -> AgentLog:
    log = open_log(folder / "agent.log", folder / "agent.head")
    log.close()
    return log


def test_each_entry_has_its_number_and_the_hash_of_the_line_before(tmp_path: Path) -> None:
    log, _ = filled(tmp_path)
    before = FIRST_BEFORE
    for number, line in enumerate(log.read_bytes().splitlines(), 1):
        entry = json.loads(line)
        assert (entry["number"], entry["before"]) == (number, before)
        before = hashlib.sha256(line).hexdigest()
    assert reopened(tmp_path).newest == before


def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path)
    log = open_log(tmp_path / "agent.log", tmp_path / "agent.head")
    assert log.append({"verb": "next"}) == 6
    log.close()
    assert reopened(tmp_path).number == 6


def _lines(change: Callable[[list[bytes]], object]) -> Callable[[Path, Path], object]:
    def act(log: Path, _: Path) -> None:
        lines = log.read_bytes().splitlines(keepends=True)
        change(lines)
        log.write_bytes(b"".join(lines))

    return act


def _swapped(lines: list[bytes]) -> None:
    lines[1], lines[2] = lines[2], lines[1]


def _altered(lines: list[bytes]) -> None:
    lines[2] = lines[2].replace(b"verb 3", b"verb 9")


def _newest_altered(lines: list[bytes]) -> None:
    lines[-1] = lines[-1].replace(b"verb 5", b"verb 9")


def _two_more(lines: list[bytes]) -> None:
    for number in (6, 7):
        before = hashlib.sha256(lines[-1][:-1]).hexdigest()
        lines.append(json.dumps({"number": number, "before": before}).encode() + b"\n")


def _torn(log: Path, head: Path) -> None:
    raw = head.read_bytes()
    head.write_bytes(raw.replace(b"0", b"1"))


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "an entry was changed": _lines(_altered),
    "the newest entry was changed": _lines(_newest_altered),
    "an entry is missing": _lines(lambda lines: lines.pop(2)),
    "two entries changed places": _lines(_swapped),
    "the end was cut off": _lines(lambda lines: lines.pop()),
    "it was cut to nothing": _lines(lambda lines: lines.clear()),
    "entries were added": _lines(_two_more),
    "the log is lost": lambda log, _: log.unlink(),
    "the head is lost": lambda _, head: head.unlink(),
    "the head is damaged": _torn,
    "the head is empty": lambda _, head: head.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_noticed_and_nothing_is_changed(
    tmp_path: Path, damage: Callable[[Path, Path], object]
) -> None:
    log, head = filled(tmp_path)
    damage(log, head)
    left = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with pytest.raises(LogDamaged, match="Keep both files, find out why, and move both away"):
        reopened(tmp_path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == left


def test_an_old_copy_of_log_and_head_is_known_by_the_jobs(tmp_path: Path) -> None:
    """Who puts both back hides what came after; the file of jobs knows how long the log was."""
    state = tmp_path / "state"
    with bench(state):
        pass
    shutil.copytree(state, tmp_path / "copy")
    with bench(state) as agent:
        whose = {"identity": bytes.fromhex(agent.service.vault.keys.identity)}
        agent.connection().call(
            "session", **whose, key_set="transport", chip=bytes.fromhex("5248430000000001")
        )
    for name in ("agent.log", "agent.head"):
        shutil.copy(tmp_path / "copy" / name, state / name)
    with pytest.raises(LogDamaged, match="was put back from a copy, or removed"):
        open_files(state, state / "agent.head")
    for name in ("agent.log", "agent.head"):
        (state / name).unlink()
    with pytest.raises(LogDamaged, match="was put back from a copy, or removed"):
        open_files(state, state / "agent.head")


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_cut_in_the_middle_of_an_entry_costs_that_entry_only(tmp_path: Path, kept: int) -> None:
    log, _ = filled(tmp_path)
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"number":6,"verb":"a verb that was never answered","before":'[:kept])
    assert reopened(tmp_path).number == 5
    assert log.read_bytes() == whole


def test_a_cut_between_log_and_head_loses_nothing(tmp_path: Path) -> None:
    log, head = filled(tmp_path)
    old = head.read_bytes()
    opened = open_log(log, head)
    opened.append({"verb": "the last"})
    opened.close()
    head.write_bytes(old)
    assert reopened(tmp_path).number == 6


def test_half_a_head_is_known_as_such(tmp_path: Path) -> None:
    _, head = filled(tmp_path)
    raw = bytearray(head.read_bytes())
    newest = raw.find(b"00000000000000000005")
    raw[newest + 25 : newest + 40] = b"x" * 15
    head.write_bytes(raw)
    assert reopened(tmp_path).number == 5


def test_an_entry_that_cannot_be_written_whole_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    import resource

    log, _ = filled(tmp_path)
    before = log.read_bytes()
    opened = open_log(log, tmp_path / "agent.head")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
    try:
        with pytest.raises(StorageError):
            opened.append({"verb": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.read_bytes() == before
    assert opened.append({"verb": "there is room again"}) == 6
    opened.close()
    assert reopened(tmp_path).number == 6


def test_a_log_that_is_a_link_is_refused(tmp_path: Path) -> None:
    log, head = filled(tmp_path)
    log.rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", log)
    with pytest.raises(StorageError):
        open_log(log, head)


def _session(agent: Bench, chip: bytes) -> None:
    whose = {"identity": bytes.fromhex(agent.service.vault.keys.identity)}
    agent.connection().call("session", **whose, key_set="transport", chip=chip)


CHIPS = frozenset((b"chip 001", b"chip 002", b"chip 003"))


def test_an_old_copy_of_the_jobs_is_known_by_the_log(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with bench(state, stock=CHIPS) as agent:
        _session(agent, b"chip 001")
        _session(agent, b"chip 002")
    shutil.copy(state / "jobs.sqlite", tmp_path / "old")
    with bench(state, stock=CHIPS) as agent:
        agent.connection().call("status")
        _session(agent, b"chip 003")
        agent.connection().call("status")
    newest = (state / "jobs.sqlite").read_bytes()
    shutil.copy(tmp_path / "old", state / "jobs.sqlite")
    with pytest.raises(LogDamaged, match="it was put back from a copy, or removed"):
        open_files(state, state / "agent.head")
    (state / "jobs.sqlite").unlink()
    with pytest.raises(LogDamaged, match="it was put back from a copy, or removed"):
        open_files(state, state / "agent.head")
    (state / "jobs.sqlite").write_bytes(newest)
    with bench(state, stock=CHIPS):
        pass


def test_a_kill_between_log_and_jobs_is_no_damage(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with bench(state, stock=CHIPS) as agent:
        _session(agent, b"chip 001")
        agent.connection().call("status")
    before = (state / "jobs.sqlite").read_bytes()
    with bench(state, stock=CHIPS) as agent:
        _session(agent, b"chip 002")
    (state / "jobs.sqlite").write_bytes(before)
    for _ in range(2):
        with bench(state, stock=CHIPS) as agent:
            agent.connection().call("status")


def test_jobs_that_could_not_be_stored_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    with bench(state, stock=CHIPS) as agent:
        _session(agent, b"chip 001")
        do = agent.service.jobs.do

        def full(statement: str, *values: object) -> sqlite3.Cursor:
            if statement == "COMMIT":
                raise StorageError(28, "No space left on device")
            return do(statement, *values)

        monkeypatch.setattr(agent.service.jobs, "do", full)
        with pytest.raises(KeysUnavailable, match="No space left on device"):
            _session(agent, b"chip 002")
        monkeypatch.undo()
        assert agent.service.jobs.cards_of("a-station") == 1
        agent.connection().call("status")
    with bench(state, stock=CHIPS) as agent:
        _session(agent, b"chip 002")
