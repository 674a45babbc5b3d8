"""10,000 malformed messages to the key agent: each gets an error, and the agent goes on."""

import json
import os
import random
import socket

import pytest

from cardlib.keys.agent.agent_verbs import FORMS
from cardlib.keys.agent.agent_wire import from_frame, read_frame
from tests.custody.agents import AgentProcess, agent_folder, policy, start
from tests.custody.desks import public_keys

MESSAGES = 10_000
IDENTITY = public_keys().identity


def _right(verb: str, chance: random.Random) -> dict[str, object]:
    """A request whose members are of their types, as far as a rough guess goes."""
    values: list[object] = [1, "00" * 8, "00" * 16, "RK1_DDF1", "transport", [], ["00"], IDENTITY]
    found = {name: chance.choice(values) for name in FORMS[verb].takes}
    if "identity" in found:
        found["identity"] = IDENTITY
    return {"verb": verb, **found}


_ODD: tuple[object, ...] = (
    None, True, -1, 2**63, 10**400, 1.5, "", "\0", "\ud800", "x" * 5000, "zz", "0", [], [[]], {},
    {"a": {}}, [None] * 300, "00" * 70_000,
)  # fmt: skip


def malformed(chance: random.Random) -> bytes:
    """One message that is wrong: as bytes, as JSON, or in its members."""
    verb = chance.choice(sorted(FORMS))
    document = _right(verb, chance)
    match chance.randrange(8):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            return b"[" * 50_000
        case 2:
            return b'{"verb":"status","verb":"lock"}'
        case 3:
            document["verb"] = chance.choice(_ODD)
        case 4:
            document[chance.choice(["more", "", "dek", "key"]) + "x"] = chance.choice(_ODD)
        case 5:
            document.pop(chance.choice(sorted(document)))
            document.setdefault("verb", "session-keys")
        case 6:
            document[chance.choice(sorted(document))] = chance.choice(_ODD)
        case _:
            raw = bytearray(json.dumps(document).encode())
            for _ in range(chance.randrange(1, 4)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
            return bytes(raw)
    return json.dumps(document).encode()


@pytest.mark.parametrize("role", ["station", "data-preparation", "terminal", "custodian"])
def test_10_000_malformed_messages_each_get_an_error_and_the_agent_goes_on(role: str) -> None:
    """2,500 for each of four roles: by a role's own verbs they come further than by others'."""
    rules = policy().replace('["station", "data-preparation", "custodian"]', f'"{role}"')
    chance = random.Random(f"malformed messages of a {role}")
    with agent_folder(rules) as folder:
        agent = start(folder, "--test-keys")
        try:
            if role in ("station", "custodian"):
                agent.unlock()
            answers = _exchanged(agent, [malformed(chance) for _ in range(MESSAGES // 4)])
            errors = [answer["error"] for answer in answers if "error" in answer]
            assert len(answers) == MESSAGES // 4
            assert len(errors) > 0.9 * len(answers)
            assert [
                e for e in errors if "key agent itself" in e["message"] or "Traceback" in str(e)
            ] == []
            assert agent.connection().call("status")["entries"] > len(errors)
        finally:
            code, said = agent.stop()
    assert code == 0
    assert "Traceback" not in said


def _exchanged(agent: AgentProcess, messages: list[bytes]) -> list[dict[str, dict[str, str]]]:
    answers = []
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(60)
        made.connect(os.fspath(agent.socket))
        for message in messages:
            made.sendall(len(message).to_bytes(4, "big") + message)
            raw = read_frame(made.recv)
            assert raw is not None, message[:200]
            answers.append(from_frame(raw))
    return answers
