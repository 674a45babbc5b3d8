"""The commands of `rhcard agent`, as people type them."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from personalize.cli.exits import Exit
from tests.custody.agents import AgentProcess, agent_folder, command, policy, running, start
from tests.custody.desks import public_keys
from tests.programs.rhcard import PASSPHRASE, Ran, ran


@pytest.fixture
def agent() -> Iterator[AgentProcess]:
    with running(unlocked=False) as made:
        yield made


def rhcard_agent(agent: AgentProcess, *words: object, passphrase: str = PASSPHRASE) -> Ran:
    env = {"RHCARD_AGENT": str(agent.socket), "RHCARD_PASSPHRASE": passphrase}
    return ran("agent", *words, env=env)


def test_it_is_unlocked_looked_at_and_locked(agent: AgentProcess) -> None:
    identity = public_keys().identity
    assert "  locked\n" in rhcard_agent(agent, "status").out
    assert f"Unlocked: {identity}" in rhcard_agent(agent, "unlock").err
    seen = rhcard_agent(agent, "status", "--json").json
    assert (seen["locked"], seen["identity"], seen["test_keys"]) == (False, identity, True)
    assert f"  {identity}\n" in rhcard_agent(agent, "status").out
    assert rhcard_agent(agent, "lock").err == "Locked.\n"
    assert rhcard_agent(agent, "status", "--json").json["locked"]


def test_a_wrong_passphrase_is_a_key_problem_and_the_agent_stays_locked(
    agent: AgentProcess,
) -> None:
    done = rhcard_agent(agent, "unlock", passphrase="not the passphrase")
    assert (done.code, done.out) == (Exit.KEY_PROBLEM, "")
    assert "wrong passphrase" in done.err
    assert rhcard_agent(agent, "status", "--json").json["locked"]


@pytest.mark.parametrize("words", [("status",), ("lock",), ("unlock",)], ids=" ".join)
def test_without_an_agent_each_is_one_clear_message(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = ran("agent", *words, env={"RHCARD_AGENT": str(tmp_path / "none.sock")})
    assert (done.code, done.out) == (Exit.KEY_PROBLEM, "")
    assert done.err.count("\n") == 1
    assert "no key agent runs there. Start it with `rhcard agent run`" in done.err


def test_it_says_in_json_what_it_ran_with() -> None:
    with agent_folder(policy()) as folder:
        made = start(folder, "--test-keys", "--json")
        made.process.send_signal(signal.SIGTERM)
        out, _ = made.process.communicate(timeout=60)
        assert f'"state": "{folder / "state"}"' in out
        assert made.process.returncode == Exit.GOOD


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "two holders": (("--token", "bureau"), "give one of --store FILE and --token LABEL"),
    "a module for a file": (("--module", "x.so"), "--module is for a token"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG.keys())
def test_an_option_without_effect_is_an_error(words: tuple[str, ...], said: str) -> None:
    with agent_folder(policy()) as folder:
        done = ran(*command(folder), "--test-keys", *words)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert said in done.err


def test_a_log_that_was_cut_stops_the_start_with_a_key_problem() -> None:
    with agent_folder(policy()) as folder:
        start(folder, "--test-keys").stop()
        log = folder / "state" / "agent.log"
        log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
        done = ran(*command(folder), "--test-keys")
    assert (done.code, done.out) == (Exit.KEY_PROBLEM, "")
    assert "Keep both files, find out why" in done.err


def test_a_store_that_is_not_there_is_said_at_the_start() -> None:
    with agent_folder(policy()) as folder:
        (folder / "keys.json").unlink()
        done = ran(*command(folder), "--test-keys")
    assert (done.code, done.out) == (Exit.KEY_PROBLEM, "")
    assert "keys.json: No such file or directory" in done.err


def test_a_policy_that_is_wrong_is_a_usage_fault() -> None:
    with agent_folder("callers = 1") as folder:
        done = ran(*command(folder), "--test-keys")
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "policy.toml: no caller: write [callers.NAME]" in done.err
