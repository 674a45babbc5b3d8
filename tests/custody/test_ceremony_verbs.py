"""The agent's verbs for people: nothing happens that two of them did not sign for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.keys.store.store_file import open_with_data_key, read_header
from personalize.custody import ceremony_verbs
from personalize.custody.ceremony import split
from personalize.custody.component import (
    SET,
    SET_SIZE,
    Component,
    check_value,
    component_bound,
    parts,
)
from personalize.custody.key_blocks import unwrapped
from personalize.custody.register import read_register, write_register
from personalize.custody.roles import Role
from tests.custody.hosts import Host, host
from tests.custody.people import DAY, Person, person

ANN, BOB, CAI = (person(name) for name in ("ann", "bob", "cai"))
EVE = person("eve", Role.AUDITOR)
ROOT = bytes.fromhex("8F0E1D2C3B4A59687786A5B4C3D2E1F0")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Host]:
    with host(tmp_path, [ANN, BOB, CAI, EVE]) as made:
        yield made


@pytest.fixture
def unlocked(agent: Host) -> Host:
    agent.unlock(ANN, BOB)
    return agent


def components(value: bytes = ROOT, what: str = "transport", cipher: Cipher = Cipher.SM4,
               of: int = 2) -> list[Component]:  # fmt: skip
    randoms = [bytes([17 * number]) * len(value) for number in range(1, of)]
    return split(what, cipher, value, randoms)


def entered(
    agent: Host, what: str = "transport", value: bytes = ROOT
) -> tuple[int, dict[str, Any]]:
    """A ceremony in which ann and bob have entered theirs, and what a statement says of it."""
    plan, handle = agent.begin("import", what, ANN, BOB)
    one, two = components(value, what)
    agent.enter(plan, handle, ANN, one)
    last = agent.enter(plan, handle, BOB, two)
    assert last["refused"] is None
    values = {each["name"]: each["value"] for each in last["check_values"]}
    about = {"ceremony": plan.ceremony, "what": what,
             "components": [one.check_value, two.check_value], "check_values": values}  # fmt: skip
    return handle, about


@pytest.mark.parametrize("pair", [(ANN, BOB), (BOB, ANN), (ANN, CAI), (CAI, BOB)])
def test_any_two_custodians_unlock_in_any_order(agent: Host, pair: tuple[Person, Person]) -> None:
    identity = read_header(agent.store).versions[0].identity
    assert agent.unlock(*pair)["identity"] == identity
    assert not agent.call("status")["locked"]


def test_one_custodian_does_not_unlock_nor_anybody_with_a_wrong_share(agent: Host) -> None:
    with pytest.raises(CardKeyError, match="is one person"):
        agent.call("custodians-wrap", operators=["ann", "ann"])
    with pytest.raises(CardKeyError, match="eve is no custodian of this key store"):
        agent.call("custodians-wrap", operators=["ann", "eve"])
    signed = agent.signed("unlock", {}, ANN, BOB)
    shares = [{"operator": name, "share": bytes(32)} for name in ("ann", "bob")]
    with pytest.raises(CardKeyError, match="shares of ann and bob do not open"):
        agent.call("unlock-together", **signed, shares=shares)
    with pytest.raises(CardKeyError, match="was used"):
        agent.call("unlock-together", **signed, shares=shares)
    signed = agent.signed("unlock", {}, ANN, BOB)
    with pytest.raises(CardKeyError, match="those two who signed"):
        agent.call("unlock-together", **signed, shares=[{**shares[0], "operator": "cai"}])
    assert agent.call("status")["locked"]


def test_a_retired_custodian_unlocks_nothing_though_the_wrap_is_still_there(agent: Host) -> None:
    register = agent.service.policy.operators
    assert register is not None
    write_register(register, read_register(register).without("bob", DAY))
    with pytest.raises(CardKeyError, match="bob was retired"):
        agent.unlock(ANN, BOB)
    agent.unlock(ANN, CAI)


def test_a_register_that_others_may_write_stops_everything(agent: Host) -> None:
    register = agent.service.policy.operators
    assert register is not None
    register.chmod(0o666)
    with pytest.raises(CardKeyError, match="other users may write"):
        agent.unlock(ANN, BOB)


def test_an_import_makes_one_new_version_with_a_receipt(unlocked: Host) -> None:
    before = read_header(unlocked.store).versions
    handle, about = entered(unlocked)
    done = unlocked.call("ceremony-import", ceremony=handle,
                         **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    assert (done["version"], done["receipt"]) == (2, 1)
    header = read_header(unlocked.store)
    assert header.versions[0] == before[0]
    new = header.versions[1]
    assert new.identity == done["identity"] == unlocked.call("status")["identity"]
    expected = check_value("transport", Cipher.SM4, ROOT)
    assert new.check_values["transport"].hex().upper() == expected
    changed = {n for n, v in new.check_values.items() if v != before[0].check_values[n]}
    assert changed == {"transport"}
    page = "\n".join(unlocked.call("receipt", number=1)["lines"])
    for text in ("Receipt 1: import", new.identity, expected, ANN.key.operator.fingerprint,
                 f"transport                         {expected}"):  # fmt: skip
        assert text in page
    for secret in (ROOT, *(each.value for each in components())):
        assert secret.hex() not in page.lower()
    with pytest.raises(CardKeyError, match="nothing that is open"):
        unlocked.call("ceremony-import", ceremony=handle,
                      **unlocked.signed("import", about, ANN, BOB))  # fmt: skip


def test_the_new_version_opens_with_the_same_custodians(unlocked: Host) -> None:
    handle, about = entered(unlocked)
    unlocked.call("ceremony-import", ceremony=handle,
                  **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    unlocked.call("lock")
    unlocked.unlock(BOB, CAI)
    assert unlocked.service.vault.store.roots(2).transport == ROOT


def test_a_set_replaces_every_root(unlocked: Host) -> None:
    value = bytes(range(1, 251)) * 2 + bytes(range(100, 100 + SET_SIZE - 500))
    handle, about = entered(unlocked, SET, value)
    assert len(about["check_values"]) == 34
    unlocked.call("ceremony-import", ceremony=handle,
                  **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    roots = unlocked.service.vault.store.roots(2)
    found = parts(value)
    assert dict(roots.card) == {name: found[name] for name in roots.card}
    assert (roots.transport, roots.issuer, roots.cvk, roots.secret) == tuple(
        found[name] for name in ("transport", "issuer", "cvk", "secret")
    )


def test_each_way_to_leave_a_ceremony_leaves_nothing(unlocked: Host) -> None:
    before = unlocked.content()
    plan, handle = unlocked.begin("import", "transport", ANN, BOB)
    unlocked.enter(plan, handle, ANN, components()[0])
    unlocked.service.leave(unlocked.desk)
    with pytest.raises(CardKeyError, match="nothing that is open"):
        unlocked.enter(plan, handle, BOB, components()[1])
    unlocked.desk = unlocked.service.enter(unlocked.desk.caller)
    handle, about = entered(unlocked)
    signed = unlocked.signed("import", about, ANN, BOB)
    unlocked.call("lock")
    with pytest.raises(CardKeyError, match="locked"):
        unlocked.call("ceremony-import", ceremony=handle, **signed)
    unlocked.unlock(ANN, BOB)
    with pytest.raises(CardKeyError, match="nothing that is open"):
        unlocked.call("ceremony-import", ceremony=handle, **signed)
    assert unlocked.content() == before


def test_a_ceremony_ends_after_ten_idle_minutes(
    unlocked: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, handle = unlocked.begin("import", "transport", ANN, BOB)
    monkeypatch.setattr(ceremony_verbs, "IDLE_SECONDS", -1)
    with pytest.raises(CardKeyError, match="ten minutes"):
        unlocked.enter(plan, handle, ANN, components()[0])
    with pytest.raises(CardKeyError, match="nothing that is open"):
        unlocked.enter(plan, handle, ANN, components()[0])


@pytest.mark.parametrize("names", [["ann"], ["ann", "ann"], ["ann", "eve"], ["ann", "dan"], []])
def test_a_ceremony_begins_with_two_custodians_only(unlocked: Host, names: list[str]) -> None:
    with pytest.raises(CardKeyError):
        unlocked.call("ceremony-begin", action="import", what="transport", operators=names)


def test_a_wrong_component_or_check_value_may_be_entered_again(unlocked: Host) -> None:
    plan, handle = unlocked.begin("import", "transport", ANN, BOB)
    one, two = components()
    refused = unlocked.enter(plan, handle, ANN, one, check="000000")
    assert "check value does not fit" in refused["refused"] and refused["left"] == ["ann", "bob"]
    refused = unlocked.enter(plan, handle, ANN, two)
    assert "component 2 of 2" in refused["refused"]
    zeros = unlocked.call("ceremony-component", ceremony=handle, operator="ann", number=1,
                          component=bytes(16), check_value="0", signature=bytes(64))  # fmt: skip
    assert "all zeros" in zeros["refused"]
    assert unlocked.enter(plan, handle, ANN, one)["left"] == ["bob"]
    with pytest.raises(CardKeyError, match="ann has entered a component"):
        unlocked.enter(plan, handle, ANN, two)
    assert unlocked.enter(plan, handle, BOB, two)["left"] == []
    log = unlocked.service.log.path.read_text()
    assert log.count("a component of ann was refused") == 3


def test_nobody_enters_a_component_for_somebody_else(unlocked: Host) -> None:
    from personalize.custody.ceremony import ComponentEntry

    plan, handle = unlocked.begin("import", "transport", ANN, BOB)
    one = components()[0]
    entry = ComponentEntry(plan, "ann", one.check_value, one.digest)
    with pytest.raises(CardKeyError, match="signature of ann is wrong"):
        unlocked.call("ceremony-component", ceremony=handle, operator="ann", number=1,
                      component=one.value, check_value=one.check_value,
                      signature=entry.signed_by(BOB.key))  # fmt: skip
    with pytest.raises(CardKeyError, match="cai is no operator of this ceremony"):
        unlocked.enter(plan, handle, CAI, one)


def test_a_statement_must_say_what_the_ceremony_made(unlocked: Host) -> None:
    before = unlocked.content()
    handle, about = entered(unlocked)
    wrong = (
        {**about, "check_values": {"transport": "000000"}},
        {**about, "components": ["000000", "000000"]},
        {**about, "what": "issuer"},
        {**about, "ceremony": "00" * 16},
        {**about, "more": 1},
    )
    for parameters in wrong:
        with pytest.raises(CardKeyError, match="says something else"):
            unlocked.call("ceremony-import", ceremony=handle,
                          **unlocked.signed("import", parameters, ANN, BOB))  # fmt: skip
    for people in ((ANN, CAI), (BOB, ANN)):
        with pytest.raises(CardKeyError, match="those who entered"):
            unlocked.call("ceremony-import", ceremony=handle,
                          **unlocked.signed("import", about, *people))  # fmt: skip
    with pytest.raises(CardKeyError, match="2 different operators; 1 given"):
        unlocked.call("ceremony-import", ceremony=handle,
                      **unlocked.signed("import", about, ANN))  # fmt: skip
    assert unlocked.content() == before


def test_the_same_key_again_changes_nothing(unlocked: Host) -> None:
    transport = unlocked.service.vault.store.roots(1).transport
    handle, about = entered(unlocked, "transport", transport)
    with pytest.raises(CardKeyError, match="has this transport already"):
        unlocked.call("ceremony-import", ceremony=handle,
                      **unlocked.signed("import", about, ANN, BOB))  # fmt: skip


def test_the_public_transport_root_is_not_imported(unlocked: Host) -> None:
    before = unlocked.content()
    public = bytes.fromhex("404142434445464748494A4B4C4D4E4F")
    handle, about = entered(unlocked, "transport", public)
    with pytest.raises(CardKeyError):
        unlocked.call("ceremony-import", ceremony=handle,
                      **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    assert unlocked.content() == before


def test_a_store_that_cannot_be_written_is_left_as_it_was(
    unlocked: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    before, identity = unlocked.content(), unlocked.call("status")["identity"]
    handle, about = entered(unlocked)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("cardlib.unfinished.os.replace", full)
        with pytest.raises(OSError, match="No space left"):
            unlocked.call("ceremony-import", ceremony=handle,
                          **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    assert unlocked.content() == before
    assert unlocked.call("status")["identity"] == identity


def test_rotation_keeps_the_transport_root_unless_it_is_asked_for(unlocked: Host) -> None:
    parameters = {"transport": False, "version": 2}
    done = unlocked.call("rotate", **unlocked.signed("rotate", parameters, BOB, CAI))
    store = unlocked.service.vault.store
    one, two = store.roots(1), store.roots(2)
    assert done["version"] == 2 and store.newest.key_version == 2
    assert one.transport == two.transport and one.issuer != two.issuer
    parameters = {"transport": True, "version": 3}
    unlocked.call("rotate", **unlocked.signed("rotate", parameters, BOB, CAI))
    assert unlocked.service.vault.store.roots(3).transport != two.transport
    with pytest.raises(CardKeyError, match="says something else"):
        unlocked.call("rotate", **unlocked.signed("rotate", parameters, BOB, CAI))


def test_retiring_keeps_the_keys_for_reading(unlocked: Host) -> None:
    with pytest.raises(CardKeyError, match="rotate first"):
        unlocked.call("retire", **unlocked.signed("retire", {"version": 1}, ANN, BOB))
    unlocked.call("rotate", **unlocked.signed(
        "rotate", {"transport": False, "version": 2}, ANN, BOB))  # fmt: skip
    done = unlocked.call("retire", **unlocked.signed("retire", {"version": 1}, ANN, BOB))
    assert [each.retired for each in read_header(unlocked.store).versions] == [True, False]
    assert done["version"] == 1 and unlocked.call("receipts")["receipts"] == [1, 2]
    assert unlocked.service.vault.store.terminal_keys.versions == (1, 2)


def test_exported_components_open_for_their_operator_and_make_the_key_again(unlocked: Host) -> None:
    parameters = {"form": "components", "what": "transport", "version": 1}
    done = unlocked.call(
        "export-components", **unlocked.signed("export", parameters, ANN, BOB, CAI)
    )
    found = []
    for each, who in zip(done["components"], (ANN, BOB, CAI), strict=True):
        text = who.key.unseal(each["sealed"], component_bound(who.name)).decode()
        found.append(Component.from_text(text))
        assert found[-1].check_value == each["check_value"]
        for other in (ANN, BOB, CAI):
            if other is not who:
                with pytest.raises(CardKeyError, match="not sealed for"):
                    other.key.unseal(each["sealed"], component_bound(who.name))
    key = bytes(a ^ b ^ c for a, b, c in zip(*(each.value for each in found), strict=True))
    assert key == unlocked.service.vault.store.roots(1).transport
    assert done["check_values"][0]["value"] == check_value("transport", Cipher.SM4, key)


def test_a_set_survives_export_and_import_in_another_store(unlocked: Host, tmp_path: Path) -> None:
    parameters = {"form": "components", "what": "set", "version": 1}
    done = unlocked.call("export-components", **unlocked.signed("export", parameters, ANN, BOB))
    texts = [who.key.unseal(each["sealed"], component_bound(who.name)).decode()
             for each, who in zip(done["components"], (ANN, BOB), strict=True)]  # fmt: skip
    (tmp_path / "other").mkdir()
    with host(tmp_path / "other", [ANN, BOB]) as other:
        other.unlock(ANN, BOB)
        plan, handle = other.begin("import", "set", ANN, BOB)
        made = [Component.from_text(text) for text in texts]
        other.enter(plan, handle, ANN, made[0])
        last = other.enter(plan, handle, BOB, made[1])
        about = {"ceremony": plan.ceremony, "what": "set",
                 "components": [each.check_value for each in made],
                 "check_values": {v["name"]: v["value"] for v in last["check_values"]}}  # fmt: skip
        other.call("ceremony-import", ceremony=handle,
                   **other.signed("import", about, ANN, BOB))  # fmt: skip
        ours, theirs = unlocked.service.vault.store.roots(1), other.service.vault.store.roots(2)
        assert (ours.card, ours.transport, ours.issuer, ours.cvk, ours.secret) == (
            theirs.card, theirs.transport, theirs.issuer, theirs.cvk, theirs.secret)  # fmt: skip


def test_keys_go_out_under_an_exchange_key_from_components(unlocked: Host) -> None:
    exchange = bytes(range(7, 23))
    plan, handle = unlocked.begin("export", "exchange", ANN, BOB, cipher="SM4")
    one, two = components(exchange, "exchange")
    unlocked.enter(plan, handle, ANN, one)
    last = unlocked.enter(plan, handle, BOB, two)
    about = {"ceremony": plan.ceremony, "what": "exchange",
             "components": [one.check_value, two.check_value],
             "check_values": {v["name"]: v["value"] for v in last["check_values"]},
             "form": "wrapped", "keys": ["RK1_DF02", "cvk"], "version": 1}  # fmt: skip
    with pytest.raises(CardKeyError, match="transport is a key of AES"):
        unlocked.call("ceremony-export", ceremony=handle, **unlocked.signed(
            "export", {**about, "keys": ["transport"]}, ANN, BOB))  # fmt: skip
    with pytest.raises(CardKeyError, match="is not there to import"):
        unlocked.call("ceremony-import", ceremony=handle, **unlocked.signed(
            "import", about, ANN, BOB))  # fmt: skip
    done = unlocked.call("ceremony-export", ceremony=handle,
                         **unlocked.signed("export", about, ANN, BOB))  # fmt: skip
    roots = unlocked.service.vault.store.roots(1)
    opened = [unwrapped(each["text"], exchange) for each in done["blocks"]]
    assert opened == [("RK1_DF02", 1, roots.card["RK1_DF02"]), ("cvk", 1, roots.cvk)]
    page = "\n".join(unlocked.call("receipt", number=done["receipt"])["lines"])
    assert "RK1_DF02" in page and "exchange" in page and exchange.hex() not in page.lower()


def test_no_key_goes_out_in_clear_whatever_is_signed(unlocked: Host) -> None:
    roots = unlocked.service.vault.store.roots(1)
    for parameters in (
        {"form": "clear", "what": "transport", "version": 1},
        {"form": "components", "what": "secret", "version": 1},
        {"form": "components", "what": "transport", "version": 9},
        {"form": "components", "what": "transport", "version": True},
        {"form": "components", "what": "transport"},
    ):
        with pytest.raises(CardKeyError):
            unlocked.call("export-components",
                          **unlocked.signed("export", parameters, ANN, BOB))  # fmt: skip
    log = (unlocked.service.log.path).read_text().lower()
    for secret in (*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret):
        assert secret.hex() not in log


def test_the_log_shows_who_did_what_and_no_component(unlocked: Host) -> None:
    handle, about = entered(unlocked)
    unlocked.call("ceremony-import", ceremony=handle,
                  **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    log = unlocked.service.log.path.read_text()
    assert '"ceremony-import"' in log and "ann" in log
    for each in components():
        assert each.value.hex() not in log.lower() and each.text() not in log


def test_the_data_key_opens_the_file_that_was_written(unlocked: Host) -> None:
    """The store's own reader proves the header; here only that the seal is what it says."""
    handle, about = entered(unlocked)
    unlocked.call("ceremony-import", ceremony=handle,
                  **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    with pytest.raises(CardKeyError):
        open_with_data_key(unlocked.store, AESGCM.generate_key(256))


def test_a_trial_store_is_unlocked_by_its_passphrase_and_changed_by_two_people(
    tmp_path: Path,
) -> None:
    with host(tmp_path, [ANN, BOB], passphrase="correct horse") as agent:
        with pytest.raises(CardKeyError, match="has no custodians"):
            agent.unlock(ANN, BOB)
        agent.call("unlock", passphrase="correct horse")
        handle, about = entered(agent)
        with pytest.raises(CardKeyError, match="1 given"):
            agent.call("ceremony-import", ceremony=handle,
                       **agent.signed("import", about, ANN))  # fmt: skip
        agent.call("ceremony-import", ceremony=handle,
                   **agent.signed("import", about, ANN, BOB))  # fmt: skip
        agent.call("lock")
        agent.call("unlock", passphrase="correct horse")
        assert agent.service.vault.store.roots(2).transport == ROOT


def test_a_store_that_was_put_back_is_said_and_needs_an_unlock(unlocked: Host) -> None:
    """To run the same command again would not help: the agent holds what was there before."""
    before = unlocked.store.read_bytes()
    unlocked.call(
        "rotate", **unlocked.signed("rotate", {"transport": False, "version": 2}, ANN, BOB)
    )
    unlocked.store.write_bytes(before)
    for _ in range(2):
        signed = unlocked.signed("rotate", {"transport": False, "version": 3}, ANN, BOB)
        with pytest.raises(CardKeyError, match=r"is not the file that was unlocked.*agent lock"):
            unlocked.call("rotate", **signed)
    assert unlocked.store.read_bytes() == before
    unlocked.call("lock")
    unlocked.unlock(ANN, BOB)
    unlocked.call(
        "rotate", **unlocked.signed("rotate", {"transport": False, "version": 2}, ANN, BOB)
    )


def test_a_full_disk_under_the_receipts_changes_no_key(
    unlocked: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = unlocked.content()
    handle, about = entered(unlocked)
    unlocked.service.receipts.folder.touch()  # a file where the folder should be
    with pytest.raises(OSError):
        unlocked.call("ceremony-import", ceremony=handle,
                      **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    unlocked.service.receipts.folder.unlink()
    assert unlocked.content() == before


def test_a_receipt_can_be_checked_without_the_agent(unlocked: Host) -> None:
    """Its file has the statement and the signatures: only the public keys are needed."""
    handle, about = entered(unlocked)
    unlocked.call("ceremony-import", ceremony=handle,
                  **unlocked.signed("import", about, ANN, BOB))  # fmt: skip
    entry = json.loads((unlocked.service.receipts.folder / "0001.json").read_text())
    signed = json.dumps(entry["statement"], sort_keys=True, separators=(",", ":"))
    for who in (ANN, BOB):
        key = Ed25519PublicKey.from_public_bytes(who.key.operator.signing)
        key.verify(bytes.fromhex(entry["signatures"][who.name]),
                   b"rhcard statement 1\n" + signed.encode())  # fmt: skip


def test_receipts_that_are_missing_or_damaged_are_said(unlocked: Host) -> None:
    with pytest.raises(CardKeyError, match="there is no receipt 1"):
        unlocked.call("receipt", number=1)
    unlocked.service.receipts.folder.mkdir()
    (unlocked.service.receipts.folder / "0001.json").write_text("{}")
    with pytest.raises(CardKeyError, match="receipt 1 is damaged"):
        unlocked.call("receipt", number=1)
