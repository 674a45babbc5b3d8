"""The memory of a station after an issue holds none of the keys that the agent holds."""

import os
import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from cardlib.emulator import SoftwareCard
from cardlib.facts import ChipSerial
from cardlib.keys.store import KeyStore
from personalize.cli.exits import Exit
from personalize.sample.sample_batch import SAMPLE
from tests.cards.bureau import sample_rows
from tests.custody.agents import agent_folder, policy, start, store_bytes
from tests.custody.cards_elsewhere import card_server
from tests.custody.secret_values import found_in, keys_of, roots_of
from tests.programs.other_user import PREPARATION, STATION, begin_as_user
from tests.programs.rhcard import spawned


def memory_of(pid: int) -> bytes:
    """All memory of a process that can be read and written."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match and "[v" not in line:
                memory.seek(int(match[1], 16))
                with suppress(OSError):
                    found.append(memory.read(int(match[2], 16) - int(match[1], 16)))
    return b"".join(found)


_AS_USER = """
import importlib, os, signal, sys
from tests.programs.other_user import become
uid, module = int(sys.argv.pop(1)), sys.argv.pop(1)
become(uid)
try:
    importlib.import_module(module).main()
finally:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGSTOP)
"""
"""Runs a program as another user, and stops before it ends: its memory is as it was."""


def _stopped(uid: int, module: str, *words: object, **env: str) -> tuple[bytes, str]:
    """Run `main` of a module as another user; its memory before it ends, and what it said."""
    process = spawned(uid, module, *words, env=env, program=_AS_USER)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    try:
        memory = memory_of(process.pid)
        os.kill(process.pid, signal.SIGCONT)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == Exit.GOOD, out + said
    return memory, out + said


def _given_to(uid: int, folder: Path) -> None:
    for place in (folder, *folder.rglob("*")):
        os.chown(place, uid, -1)


def test_no_key_is_in_the_memory_of_a_station_after_an_issue() -> None:
    """The same search finds them in the memory of the agent, so it would find them here."""
    roots = store_bytes(False)[1]
    chip = ChipSerial(b"chip0001")
    secrets = roots_of(roots) | keys_of(roots, chip, b"99000000")
    rules = policy(f'["{chip}"]')
    rules = re.sub(r"\[callers.root\]\nuid = .*\nrole = .*\n", "", rules)
    with agent_folder(rules, test_keys=False) as folder:
        agent = start(folder)
        try:
            begin_as_user(STATION, agent.unlock)()
            work = folder / "work"
            work.mkdir()
            source = sample_rows(work, 1)
            photos = shutil.copytree(SAMPLE.parent / "photos", work / "photos").parent
            _given_to(PREPARATION, work)
            words = ("prepare", source, "--photos", photos)
            prepared, _ = _stopped(
                PREPARATION, "personalize.cli", *words, "--out", work / "batch",
                RHCARD_AGENT=str(agent.socket), RHCARD_PASSPHRASE="",
            )  # fmt: skip
            _given_to(STATION, work)
            card = SoftwareCard.blank(chip, KeyStore(roots).blank_keys(chip))
            with card_server(folder / "cards", [card]):
                station = "tests.custody.cards_elsewhere"
                places = (agent.socket, work / "batch", folder / "cards", 1)
                issued, said = _stopped(STATION, station, *places)
            assert said == "1 active \n"
            assert found_in(prepared, secrets) == set()
            assert found_in(issued, secrets) == set()
            assert bytes(chip) in issued
            in_agent = found_in(memory_of(agent.process.pid), secrets)
            assert in_agent >= {"transport root", "issuer root", "batch sealing key"}, in_agent
            assert any(name.startswith("issuer ENC of") for name in in_agent), in_agent
        finally:
            agent.process.kill()
            agent.process.communicate()
