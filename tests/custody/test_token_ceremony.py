"""A ceremony into a token: the same components as in a key store make the same keys."""

from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.keys.roots import new_roots
from cardlib.keys.token.token_making import import_roots
from cardlib.keys.token.token_session import TokenSession
from personalize.custody.ceremony import split
from personalize.custody.component import SET, SET_SIZE
from personalize.custody.token_source import TokenSource
from personalize.custody.vault import Vault
from tests.custody.hosts import Host, host
from tests.custody.people import person
from tests.programs.softhsm import PIN, SoftHsm

ANN, BOB = person("ann"), person("bob")
VALUE = bytes(range(1, 251)) * 2 + bytes(range(60, 60 + SET_SIZE - 500))


def brought_in(agent: Host, what: str = SET, value: bytes = VALUE) -> dict[str, object]:
    plan, handle = agent.begin("import", what, ANN, BOB)
    made = split(what, Cipher.AES, value, [bytes(255 - byte for byte in value)])
    agent.enter(plan, handle, ANN, made[0])
    last = agent.enter(plan, handle, BOB, made[1])
    about = {"ceremony": plan.ceremony, "what": what,
             "components": [each.check_value for each in made],
             "check_values": {v["name"]: v["value"] for v in last["check_values"]}}  # fmt: skip
    return agent.call("ceremony-import", ceremony=handle,
                      **agent.signed("import", about, ANN, BOB))  # fmt: skip


def test_a_set_makes_the_same_keys_in_a_store_and_in_a_token(
    softhsm: SoftHsm, tmp_path: Path
) -> None:
    label = softhsm.new_token()
    session = TokenSession(softhsm.module, label, PIN)
    import_roots(session, "main", new_roots(2, Cipher.AES))
    session.lock()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        host(tmp_path / "one", [ANN, BOB], cipher=Cipher.AES) as store,
        host(tmp_path / "two", [ANN, BOB]) as token,
    ):
        store.unlock(ANN, BOB)
        source = TokenSource(softhsm.module, label, "main")
        token.service.vault = Vault(source, token.service.policy, test_keys=False)
        token.call("unlock-token", **token.signed("unlock", {}, ANN, BOB), pin=PIN)
        one, two = brought_in(store), brought_in(token)
        assert one == two and two["version"] == 2
        assert token.call("status")["identity"] == two["identity"]
        with pytest.raises(CardKeyError, match="does not give out its other keys"):
            brought_in(token, "transport", VALUE[:16])
        parameters = {"form": "components", "what": SET, "version": 2}
        with pytest.raises(CardKeyError, match="the keys are in a token"):
            token.call("export-components", **token.signed("export", parameters, ANN, BOB))
        with pytest.raises(CardKeyError, match="the keys are in a token"):
            token.call("retire", **token.signed("retire", {"version": 1}, ANN, BOB))
        wanted = {"before": [], "custodians": {"ann": ANN.key.operator.fingerprint}}
        with pytest.raises(CardKeyError, match="the keys are in a token"):
            token.call("exchange-custodians",
                       **token.signed("exchange-custodians", wanted, ANN, BOB))  # fmt: skip
        with pytest.raises(CardKeyError, match="the keys are in a token"):
            token.call("custodians")
        token.service.lock()
