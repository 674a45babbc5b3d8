"""The agent as a process: who reaches it, how much it takes, and how it ends."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from cardlib.errors import CardKeyError
from cardlib.keys.agent.agent_connection import AgentConnection
from cardlib.keys.agent.agent_wire import LARGEST_FRAME, from_frame, read_frame, to_frame
from personalize.cli.exits import Exit
from personalize.custody.process import harden
from personalize.custody.server import MOST_OF_ONE
from tests.custody.agents import AgentProcess, agent_folder, command, policy, running, start
from tests.custody.desks import public_keys
from tests.programs.child import forked
from tests.programs.other_user import PREPARATION, STATION, STRANGER, TERMINAL, as_user, become
from tests.programs.rhcard import PASSPHRASE, ran


@pytest.fixture(scope="module")
def agent() -> Iterator[AgentProcess]:
    with running() as made:
        yield made


def ask(path: Path, verb: str = "status", **members: object) -> dict[str, object]:
    return AgentConnection(path).call(verb, **members)


def test_the_socket_is_for_its_group_only(agent: AgentProcess) -> None:
    folder, there = agent.socket.parent.stat(), agent.socket.stat()
    assert stat.S_IMODE(folder.st_mode) == 0o750
    assert stat.S_IMODE(there.st_mode) == 0o660
    assert there.st_gid == folder.st_gid
    for name in ("agent.log", "agent.head", "jobs.sqlite"):
        assert stat.S_IMODE((agent.folder / "state" / name).stat().st_mode) == 0o600


def test_no_program_can_dump_its_memory(agent: AgentProcess) -> None:
    limits = Path(f"/proc/{agent.process.pid}/limits").read_text("ascii")
    assert "Max core file size        0                    0" in limits
    # A process that may be dumped belongs to its user in /proc, else to root (proc(5)).
    with agent_folder(policy()) as folder:
        folder.chmod(0o777)

        def stranger() -> None:
            become(STRANGER)
            harden()
            os.kill(os.getpid(), signal.SIGSTOP)

        child = forked(stranger)
        assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
        try:
            assert Path(f"/proc/{child}/mem").stat().st_uid == 0
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("uid", "name"), [(STATION, "station"), (PREPARATION, "preparation"), (TERMINAL, "terminal")]
)
def test_a_caller_is_known_by_its_user_id(agent: AgentProcess, uid: int, name: str) -> None:
    found = as_user(uid, lambda: ask(agent.socket))
    assert found["caller"] == name
    assert [each["name"] for each in found["callers"]] == [name]  # type: ignore[attr-defined]


@pytest.mark.parametrize("uid", [STRANGER, 65_534, 1])
def test_an_unknown_user_is_refused_and_logged(agent: AgentProcess, uid: int) -> None:
    for verb in ("status", "lock", "versions"):
        with pytest.raises(CardKeyError, match=f"user id {uid} is not in the key agent's policy"):
            as_user(uid, partial(ask, agent.socket, verb))
    last = json.loads(agent.log.read_bytes().splitlines()[-1])
    assert (last["uid"], last["verb"]) == (uid, "")
    assert "not in the key agent's policy" in last["result"]
    assert not agent.connection().call("status")["locked"]


def test_a_role_has_its_verbs_only(agent: AgentProcess) -> None:
    whose = {"identity": bytes.fromhex(public_keys().identity)}
    hashes = {**whose, "numbers": ["1"]}
    assert as_user(PREPARATION, lambda: ask(agent.socket, "holder-hashes", **hashes))
    with pytest.raises(CardKeyError, match="terminal may not use holder-hashes"):
        as_user(TERMINAL, lambda: ask(agent.socket, "holder-hashes", **hashes))
    chip = {**whose, "key_set": "transport", "chip": bytes(8)}
    assert as_user(STATION, lambda: ask(agent.socket, "session", **chip))
    for uid in (PREPARATION, TERMINAL):
        with pytest.raises(CardKeyError, match="may not use session"):
            as_user(uid, lambda: ask(agent.socket, "session", **chip))


def raw(agent: AgentProcess) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(20)
    made.connect(os.fspath(agent.socket))
    return made


def test_a_caller_has_so_many_connections_and_no_more(agent: AgentProcess) -> None:
    opened = [raw(agent) for _ in range(MOST_OF_ONE + 1)]
    try:
        opened[0].sendall(to_frame({"verb": "status"}))
        first, last = (read_frame(each.recv) or b"" for each in (opened[0], opened[-1]))
        assert "ok" in from_frame(first)
        assert "as many callers as it takes" in from_frame(last)["error"]["message"]
        with pytest.raises(CardKeyError, match="as many callers as it takes"):
            ask(agent.socket)
        assert as_user(STATION, lambda: ask(agent.socket))
    finally:
        for each in opened:
            each.close()


def test_a_message_that_is_too_long_ends_its_connection_only(agent: AgentProcess) -> None:
    with raw(agent) as made:
        made.sendall((LARGEST_FRAME + 1).to_bytes(4, "big") + b"{}")
        found = read_frame(made.recv)
        assert found is not None
        assert "bytes at most" in from_frame(found)["error"]["message"]
        with suppress(ConnectionResetError):
            assert made.recv(1) == b""
    assert agent.connection().call("status")


def test_half_a_message_keeps_nobody_else_waiting(agent: AgentProcess) -> None:
    with raw(agent) as made:
        made.sendall(b"\0\0\0\x20{")
        assert agent.connection().call("status")


def test_a_connection_that_the_agent_ended_is_made_again() -> None:
    with running() as agent:
        connection = agent.connection()
        connection.call("status")
        assert agent.stop()[0] == 0
        again = start(agent.folder, "--test-keys")
        try:
            assert connection.call("status")["locked"]
        finally:
            again.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order(number: int) -> None:
    with running(unlocked=False) as agent:
        code, said = agent.stop(number)
        assert (code, said.splitlines()[-1]) == (0, "The key agent has stopped.")
        assert not agent.socket.exists()
        assert json.loads(agent.log.read_bytes().splitlines()[-1])["verb"] == "stopped"


def test_a_killed_agent_can_be_started_again() -> None:
    with running() as agent:
        agent.stop(signal.SIGKILL)
        assert agent.socket.exists()
        with pytest.raises(CardKeyError, match="no key agent runs there any more"):
            agent.connection().call("status")
        again = start(agent.folder, "--test-keys")
        try:
            assert again.connection().call("status")["locked"]
        finally:
            again.stop()


def test_a_second_agent_is_refused(agent: AgentProcess) -> None:
    refused = ran(*command(agent.folder), "--test-keys")
    assert refused.code == Exit.KEY_PROBLEM
    assert f"another key agent uses {agent.folder / 'state'}. Stop it first" in refused.err
    assert agent.connection().call("status")


def test_the_agent_is_no_user_of_its_callers() -> None:
    with agent_folder(policy("[]")) as folder:
        rules = folder / "policy.toml"
        rules.write_text(f'[callers.root]\nuid = {os.getuid()}\nrole = "station"\n', "utf-8")
        with pytest.raises(AssertionError, match="is that of the key agent itself"):
            start(folder)
        rules.write_text(policy("[]"), "utf-8")
        with pytest.raises(AssertionError, match="role is a list"):
            start(folder)


def test_without_test_keys_its_own_user_is_a_stranger_and_others_are_served() -> None:
    rules = f'[callers.one]\nuid = {STATION}\nrole = "station"\n'
    with agent_folder(rules, test_keys=False) as folder:
        made = start(folder)
        try:
            with pytest.raises(CardKeyError, match=f"user id {os.getuid()} is not in"):
                made.connection().call("status")
            opened = as_user(STATION, lambda: ask(made.socket, "unlock", passphrase=PASSPHRASE))
            assert opened["test_keys"] is False
        finally:
            made.process.kill()
            made.process.communicate()


def test_public_test_keys_need_test_keys() -> None:
    rules = f'[callers.one]\nuid = {STATION}\nrole = "station"\n'
    with agent_folder(rules) as folder:
        made = start(folder)
        try:
            with pytest.raises(CardKeyError, match="start the agent with --test-keys"):
                as_user(STATION, lambda: ask(made.socket, "unlock", passphrase=PASSPHRASE))
        finally:
            made.process.kill()
            made.process.communicate()


def test_a_folder_that_others_reach_is_refused() -> None:
    with agent_folder(policy()) as folder:
        (folder / "run").mkdir()
        (folder / "run").chmod(0o755)
        with pytest.raises(AssertionError, match="chmod 750"):
            start(folder, "--test-keys")
