"""Other custodians for a key store: only by two of today's, and only for whom both have signed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from cardlib.errors import CardKeyError
from cardlib.keys.agent.agent_wire import Document
from cardlib.keys.store.custodians import WrongCustodians, opened_pair, pair_of
from cardlib.keys.store.store_file import (
    OpenStore,
    kept_beside,
    open_with_data_key,
    read_header,
)
from personalize.custody.register import OperatorRegister, read_register, write_register
from personalize.custody.roles import Role
from personalize.custody.statement import LIFETIME, Nonces
from tests.custody.hosts import Host, again, host
from tests.custody.people import DAY, Person, person, register

ANN, BOB, CAI, DAN = (person(name) for name in ("ann", "bob", "cai", "dan"))
EVE = person("eve", Role.AUDITOR)
ACTION = "exchange-custodians"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Host]:
    """Unlocked; ann, bob and cai are the custodians, and the register knows dan as one too."""
    with host(tmp_path, [ANN, BOB, CAI, EVE]) as made:
        registered(made, register([ANN, BOB, CAI, EVE, DAN]))
        made.unlock(ANN, BOB)
        yield made


def registered(agent: Host, registry: OperatorRegister) -> None:
    path = agent.service.policy.operators
    assert path is not None
    write_register(path, registry)


def retire(agent: Host, name: str) -> None:
    path = agent.service.policy.operators
    assert path is not None
    write_register(path, read_register(path).without(name, DAY))


def about(agent: Host, *people: Person) -> dict[str, Any]:
    """What a statement says: the custodians of today, and these people as those to come."""
    return {
        "before": list(read_header(agent.store).custodians),
        "custodians": {each.name: each.key.operator.fingerprint for each in people},
    }


def exchanged(agent: Host, *people: Person, by: tuple[Person, ...] = (ANN, BOB)) -> Document:
    return agent.call(ACTION, **agent.signed(ACTION, about(agent, *people), *by))


def data_key(path: Path, one: Person, other: Person) -> bytes:
    wrap = pair_of(read_header(path), one.name, other.name)
    keys = {each.name: each.key for each in (one, other)}
    return opened_pair(wrap, *(keys[name].exchange(wrap.public) for name in wrap.operators))


def opened(path: Path, one: Person, other: Person) -> OpenStore:
    """The store as two people open it with nothing but their own keys and the file."""
    return open_with_data_key(path, data_key(path, one, other))


def refused(agent: Host, why: str, signed: Mapping[str, Any]) -> None:
    """The request is refused, and neither the keys nor the receipts have changed."""
    before = agent.content()
    with pytest.raises(CardKeyError, match=why):
        agent.call(ACTION, **signed)
    assert agent.content() == before


# --- what it does -----------------------------------------------------------------------


def test_two_custodians_let_others_open_the_store_and_the_keys_stay(agent: Host) -> None:
    before = agent.service.vault.store
    done = exchanged(agent, ANN, BOB, DAN)
    assert (done["custodians"], done["receipt"]) == (["ann", "bob", "dan"], 1)
    for pair in combinations((ANN, BOB, DAN), 2):
        after = opened(agent.store, *pair)
        assert after.roots(1) == before.roots(1)
    assert read_header(agent.store).store == before.header.store
    assert agent.call("status")["identity"] == before.newest.identity


def test_the_agent_goes_on_and_the_new_ones_unlock_it(agent: Host) -> None:
    exchanged(agent, CAI, DAN)
    agent.call("rotate", **agent.signed("rotate", {"transport": False, "version": 2}, DAN, CAI))
    agent.call("lock")
    with pytest.raises(CardKeyError, match="ann is no custodian of this key store"):
        agent.unlock(ANN, BOB)
    agent.unlock(DAN, CAI)
    assert list(agent.service.vault.store.versions) == [1, 2]


def test_who_left_opens_the_file_of_before_and_no_file_after_it(agent: Host) -> None:
    """A copy of before cannot be taken back; its data key opens nothing that is written later."""
    old = data_key(agent.store, ANN, CAI)
    exchanged(agent, ANN, BOB, DAN)
    with pytest.raises(WrongCustodians, match="cai is no custodian"):
        opened(agent.store, ANN, CAI)
    with pytest.raises(CardKeyError):
        open_with_data_key(agent.store, old)
    assert (
        opened(kept_beside(agent.store), ANN, CAI).newest.identity
        == (agent.call("status")["identity"])
    )
    agent.call("rotate", **agent.signed("rotate", {"transport": False, "version": 2}, ANN, BOB))
    with pytest.raises(CardKeyError):
        open_with_data_key(agent.store, old)


def test_one_who_was_lost_is_replaced_by_the_other_two(agent: Host) -> None:
    retire(agent, "bob")
    exchanged(agent, ANN, CAI, DAN, by=(ANN, CAI))
    assert read_header(agent.store).custodians == ("ann", "cai", "dan")


def test_those_who_decide_may_leave(agent: Host) -> None:
    exchanged(agent, CAI, DAN, by=(BOB, ANN))
    assert read_header(agent.store).custodians == ("cai", "dan")


def test_three_may_sign_together(agent: Host) -> None:
    exchanged(agent, ANN, DAN, by=(ANN, BOB, CAI))
    assert read_header(agent.store).custodians == ("ann", "dan")


def test_the_receipt_names_who_was_and_who_is(agent: Host) -> None:
    done = exchanged(agent, ANN, BOB, DAN)
    lines = agent.call("receipt", number=done["receipt"])["lines"]
    assert lines[0] == "Receipt 1: exchange-custodians"
    middle = lines.index("Custodians from then on, with the fingerprint of their keys:")
    before = lines[lines.index("Custodians before:") : middle]
    assert [line.strip() for line in before[1:-1]] == ["ann", "bob", "cai"]
    after = [line.split() for line in lines[middle + 1 : middle + 4]]
    assert after == [[p.name, p.key.operator.fingerprint] for p in (ANN, BOB, DAN)]
    assert f"Identity        {agent.call('status')['identity']}" in lines


def test_twenty_custodians_have_a_receipt_that_can_be_shown(agent: Host) -> None:
    many = [person(f"{'p' * 30}{number:02}") for number in range(20)]
    registered(agent, register([ANN, BOB, CAI, DAN, *many]))
    exchanged(agent, *many)
    done = exchanged(agent, ANN, BOB, by=(many[0], many[1]))
    lines = agent.call("receipt", number=done["receipt"])["lines"]
    assert all(any(each.name in line for line in lines) for each in many)


def test_the_custodians_are_shown_with_what_the_register_says(agent: Host) -> None:
    retire(agent, "cai")
    agent.call("lock")
    shown = agent.call("custodians")["custodians"]
    assert [(each["name"], each["state"]) for each in shown] == [
        ("ann", "in office"), ("bob", "in office"), ("cai", f"retired {DAY}"),
    ]  # fmt: skip
    assert [each["fingerprint"] for each in shown] == [
        each.key.operator.fingerprint for each in (ANN, BOB, CAI)
    ]
    registered(agent, register([person("ann"), DAN]))
    shown = agent.call("custodians")["custodians"]
    assert [each["state"] for each in shown] == [
        "has another key in the register", "not in the register", "not in the register",
    ]  # fmt: skip
    assert {each["fingerprint"] for each in shown} == {None}


# --- who decides ------------------------------------------------------------------------


def test_one_custodian_alone_changes_nothing(agent: Host) -> None:
    wanted = about(agent, ANN, DAN)
    refused(agent, "needs 2 different operators; 1 given", agent.signed(ACTION, wanted, ANN))
    refused(agent, "signed twice by one", agent.signed(ACTION, wanted, ANN, ANN))
    both = agent.signed(ACTION, wanted, ANN, BOB)
    refused(agent, "must be signed by ann and bob", {**both, "signatures": both["signatures"][:1]})
    forged = [{**each, "signature": both["signatures"][0]["signature"]}
              for each in both["signatures"]]  # fmt: skip
    refused(agent, "the signature of bob is wrong", {**both, "signatures": forged})


def test_a_custodian_of_the_register_who_is_none_of_the_store_decides_nothing(agent: Host) -> None:
    """Else whoever keeps the register could make two people up, and give them the keys."""
    signed = agent.signed(ACTION, about(agent, ANN, DAN), ANN, DAN)
    refused(agent, "dan is no custodian of this key store. Two of today's", signed)


def test_a_retired_custodian_decides_nothing(agent: Host) -> None:
    signed = agent.signed(ACTION, about(agent, ANN, DAN), ANN, BOB)
    retire(agent, "bob")
    refused(agent, "bob was retired", signed)


def test_who_has_another_role_decides_nothing(agent: Host) -> None:
    signed = agent.signed(ACTION, about(agent, ANN, DAN), ANN, EVE)
    refused(agent, "eve may not exchange-custodians: that needs role custodian", signed)


def test_a_register_that_was_changed_makes_nobody_a_custodian(agent: Host) -> None:
    """It has other keys under the names of today's custodians."""
    other = person("bob")
    registered(agent, register([ANN, other, CAI, DAN]))
    signed = agent.signed(ACTION, about(agent, ANN, DAN), ANN, other)
    refused(agent, "knows another key of bob than the register", signed)
    signed = agent.signed(ACTION, about(agent, ANN, other, DAN), ANN, CAI)
    refused(agent, "knows another key of bob than the register", signed)


def test_the_agent_must_be_unlocked(agent: Host) -> None:
    signed = agent.signed(ACTION, about(agent, ANN, DAN), ANN, BOB)
    agent.call("lock")
    refused(agent, "the key agent is locked", signed)


def test_only_a_caller_with_the_role_asks_for_it(agent: Host) -> None:
    signed = agent.signed(ACTION, about(agent, ANN, DAN), ANN, BOB)
    for role in set(Role) - {Role.CUSTODIAN}:
        agent.desk = agent.service.enter(replace(agent.desk.caller, roles=frozenset((role,))))
        refused(agent, "may not use exchange-custodians", signed)


def test_who_is_no_custodian_any_more_signs_for_nothing(agent: Host) -> None:
    """Though the register still has cai as a custodian."""
    exchanged(agent, ANN, BOB, DAN)
    export = {"form": "components", "what": "set", "version": 1}
    for verb, action, parameters in (
        ("rotate", "rotate", {"transport": False, "version": 2}),
        ("export-components", "export", export),
        ("sam-begin", "load-sam", {"chip": "00" * 8, "roles": ["emergency"], "limit": 0}),
    ):
        with pytest.raises(CardKeyError, match="cai is no custodian of this key store"):
            agent.call(verb, **agent.signed(action, parameters, ANN, CAI))
    with pytest.raises(CardKeyError, match="cai is no custodian of this key store"):
        agent.begin("import", "transport", ANN, CAI)
    agent.call("rotate", **agent.signed("rotate", {"transport": False, "version": 2}, ANN, DAN))


# --- what was signed --------------------------------------------------------------------


def test_another_set_than_was_signed_is_refused(agent: Host) -> None:
    """Nobody is slipped in, left out or exchanged, and nobody's key is."""
    signed = agent.signed(ACTION, about(agent, ANN, BOB, DAN), ANN, BOB)
    right = about(agent, ANN, BOB, DAN)["custodians"]
    text = signed["statement"]
    eve = EVE.key.operator.fingerprint
    for wrong in (
        {**right, "cai": CAI.key.operator.fingerprint},
        {name: right[name] for name in ("ann", "dan")},
        {**right, "dan": CAI.key.operator.fingerprint},
        {("cai" if name == "dan" else name): print_ for name, print_ in right.items()},
        {**right, "eve": eve},
    ):
        old, new = (_listed(each) for each in (right, wrong))
        assert old in text
        refused(agent, "signature of ann is wrong", {**signed, "statement": text.replace(old, new)})
    agent.call(ACTION, **signed)


def _listed(custodians: Mapping[str, str]) -> str:
    return "{" + ",".join(f'"{n}":"{custodians[n]}"' for n in sorted(custodians)) + "}"


def test_a_name_that_is_listed_twice_is_refused(agent: Host) -> None:
    """The signatures would fit what is read last; the log would show both."""
    signed = agent.signed(ACTION, about(agent, ANN, DAN), ANN, BOB)
    ann = f'"ann":"{ANN.key.operator.fingerprint}"'
    twice = signed["statement"].replace(ann, f'"ann":"{"0" * 20}",{ann}')
    assert twice != signed["statement"]
    refused(agent, "form of a statement", {**signed, "statement": twice})
    refused(agent, "form of a statement", {**signed, "statement": signed["statement"] + " "})


def test_a_fingerprint_that_is_not_the_register_s_is_refused(agent: Host) -> None:
    wanted = about(agent, ANN, person("dan"))
    refused(agent, r"has dan with the fingerprint .*, and not with .*: ask dan",
            agent.signed(ACTION, wanted, ANN, BOB))  # fmt: skip


def test_a_statement_about_other_custodians_of_today_is_refused(agent: Host) -> None:
    """Of two statements that were signed at one time, only the first is done."""
    first = agent.signed(ACTION, about(agent, ANN, BOB, DAN), ANN, BOB)
    second = agent.signed(ACTION, about(agent, ANN, BOB), ANN, BOB)
    agent.call(ACTION, **first)
    refused(agent, "says something else than what would be done", second)


def test_it_works_once(agent: Host) -> None:
    signed = agent.signed(ACTION, about(agent, ANN, BOB, DAN), ANN, BOB)
    agent.call(ACTION, **signed)
    refused(agent, "was used before", signed)


def test_it_works_for_ten_minutes(agent: Host) -> None:
    start = agent.service.nonces.now().replace(microsecond=0)
    clock = [start]
    agent.service.nonces = Nonces(lambda: clock[0])
    signed = agent.signed(ACTION, about(agent, ANN, BOB, DAN), ANN, BOB)
    clock[0] = start + LIFETIME
    refused(agent, "older than ten minutes", signed)
    clock[0] -= timedelta(seconds=1)
    agent.call(ACTION, **signed)


def test_a_statement_for_another_store_or_action_is_refused(agent: Host, tmp_path: Path) -> None:
    wanted = about(agent, ANN, BOB, DAN)
    refused(agent, "is for 'rotate', not for", agent.signed("rotate", wanted, ANN, BOB))
    (tmp_path / "other").mkdir()
    with host(tmp_path / "other", [ANN, BOB, CAI]) as other:
        refused(agent, "for another key store", other.signed(ACTION, wanted, ANN, BOB))


@pytest.mark.parametrize("parameters", [
    {}, {"custodians": ["ann", "dan"], "before": ["ann", "bob", "cai"]},
    {"custodians": {}, "before": ["ann", "bob", "cai"]},
    {"custodians": {"ann": 1, "dan": True}, "before": ["ann", "bob", "cai"]},
    {"custodians": {"": "", "../x": "x"}, "before": ["ann", "bob", "cai"]},
    {"custodians": {"ann": "x"}},
    {"custodians": {"ann": "x"}, "before": ["ann", "bob", "cai"], "more": 1},
])  # fmt: skip
def test_whatever_else_two_people_sign_changes_nothing(
    agent: Host, parameters: dict[str, Any]
) -> None:
    refused(agent, "does not say|says something else|no operator|ask ann|2 to 20",
            agent.signed(ACTION, parameters, ANN, BOB))  # fmt: skip


# --- who may be a custodian -------------------------------------------------------------


def test_fewer_than_two_are_refused(agent: Host) -> None:
    refused(agent, "2 to 20 custodians, not 1",
            agent.signed(ACTION, about(agent, DAN), ANN, BOB))  # fmt: skip


def test_who_was_retired_does_not_stay(agent: Host) -> None:
    retire(agent, "cai")
    refused(agent, "cai was retired",
            agent.signed(ACTION, about(agent, ANN, CAI, DAN), ANN, BOB))  # fmt: skip


def test_who_the_register_does_not_know_is_refused(agent: Host) -> None:
    refused(agent, "there is no operator 'fay'",
            agent.signed(ACTION, about(agent, ANN, person("fay")), ANN, BOB))  # fmt: skip


def test_who_is_no_custodian_in_the_register_is_refused(agent: Host) -> None:
    refused(agent, "operator eve does not have the role custodian",
            agent.signed(ACTION, about(agent, ANN, EVE), ANN, BOB))  # fmt: skip


def test_one_key_under_two_names_is_one_person(
    agent: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No register is read that has one key twice. If one were, the store would refuse it too."""
    twin = replace(DAN.key.operator, name="twin")
    registry = register([ANN, BOB, CAI, DAN])
    object.__setattr__(
        registry, "operators", MappingProxyType({**registry.operators, "twin": twin})
    )
    registered(agent, registry)
    wanted = about(agent, DAN)
    wanted["custodians"]["twin"] = twin.fingerprint
    refused(agent, "is not a register of operators|same key",
            agent.signed(ACTION, wanted, ANN, BOB))  # fmt: skip
    monkeypatch.setattr("personalize.custody.signed.read_register", lambda *_, **__: registry)
    refused(agent, "dan has the key of another custodian",
            agent.signed(ACTION, wanted, ANN, BOB))  # fmt: skip


def test_the_same_custodians_again_change_nothing(agent: Host) -> None:
    refused(agent, "are ann, bob, cai already: nothing would change",
            agent.signed(ACTION, about(agent, ANN, BOB, CAI), ANN, BOB))  # fmt: skip


def test_a_store_of_one_passphrase_is_migrated_and_not_exchanged(tmp_path: Path) -> None:
    with host(tmp_path, [ANN, BOB], passphrase="correct horse") as agent:
        agent.call("unlock", passphrase="correct horse")
        assert agent.call("custodians")["custodians"] == []
        refused(agent, "has no custodians, one passphrase opens it: `rhcard keys migrate`",
                agent.signed(ACTION, about(agent, ANN, BOB), ANN, BOB))  # fmt: skip


def test_a_file_that_was_put_back_is_not_written_over(agent: Host) -> None:
    before = agent.store.read_bytes()
    exchanged(agent, ANN, BOB, DAN)
    agent.store.write_bytes(before)
    signed = agent.signed(ACTION, about(agent, ANN, BOB), ANN, BOB)
    refused(agent, "says something else", signed)
    wanted = {**about(agent, ANN, BOB), "before": ["ann", "bob", "dan"]}
    refused(agent, "is not the file that was unlocked", agent.signed(ACTION, wanted, ANN, BOB))


def test_no_room_for_the_receipt_changes_nothing(agent: Host) -> None:
    signed = agent.signed(ACTION, about(agent, ANN, BOB, DAN), ANN, BOB)
    agent.service.receipts.folder.touch()  # a file where the folder should be
    before = agent.store.read_bytes()
    with pytest.raises(OSError):
        agent.call(ACTION, **signed)
    assert agent.store.read_bytes() == before


def test_the_log_shows_who_let_whom_in_and_no_secret(agent: Host) -> None:
    exchanged(agent, ANN, BOB, DAN)
    log = agent.service.log.path.read_text()
    assert f'"{ACTION}"' in log and DAN.key.operator.fingerprint in log
    key = data_key(agent.store, ANN, DAN).hex()
    roots = agent.service.vault.store.roots(1)
    receipts = "".join(p.read_text() for p in agent.service.receipts.folder.iterdir())
    for secret in (key, roots.transport.hex(), roots.secret.hex()):
        assert secret not in log + receipts


def test_an_agent_that_starts_again_is_unlocked_by_the_new_custodians(tmp_path: Path) -> None:
    with host(tmp_path, [ANN, BOB]) as agent:
        registered(agent, register([ANN, BOB, DAN]))
        agent.unlock(ANN, BOB)
        exchanged(agent, ANN, DAN)
    with again(tmp_path, tmp_path / "operators.json") as started:
        started.unlock(DAN, ANN)
        assert started.call("receipts")["receipts"] == [1]
