"""Statements: whatever is not exactly what two people signed, for this agent, now, is refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import CardKeyError
from personalize.custody.register import OperatorRegister
from personalize.custody.roles import Role
from personalize.custody.statement import ACTIONS, LIFETIME, Nonces, Statement, StatementCheck
from tests.custody.people import DAY, person, register

ANN, BOB, CAI = (person(name) for name in ("ann", "bob", "cai"))
EVE = person("eve", Role.AUDITOR)
REGISTRY = register([ANN, BOB, CAI, EVE])
STORE, OTHER_STORE = "11" * 16, "22" * 16
START = datetime(2026, 11, 27, 8, 0, 0, tzinfo=UTC)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Agent:
    """What of an agent a statement meets."""

    def __init__(self, registry: OperatorRegister = REGISTRY, store: str = STORE) -> None:
        self.clock = Clock()
        self.desk = StatementCheck(registry, Nonces(self.clock), store)

    def statement(self, *people: str, action: str = "rotate", **members: Any) -> Statement:
        nonce, expires = self.desk.nonces.new()
        made = Statement(action, {"version": 2}, nonce, expires, people or ("ann", "bob"), STORE)
        return replace(made, **members)

    def try_it(self, statement: Statement, *signers: Any, action: str = "rotate") -> None:
        signed = {each.name: statement.signed_by(each.key) for each in signers or (ANN, BOB)}
        self.desk.verify(action, statement, signed)


def test_two_people_may_do_what_they_signed_and_once() -> None:
    agent = Agent()
    statement = agent.statement()
    agent.try_it(statement)
    with pytest.raises(CardKeyError, match="was used"):
        agent.try_it(statement)


def test_three_people_may_sign_together() -> None:
    agent = Agent()
    statement = agent.statement("ann", "bob", "cai")
    with pytest.raises(CardKeyError, match="must be signed by ann and bob and cai"):
        agent.try_it(statement, ANN, BOB)
    agent.try_it(statement, ANN, BOB, CAI)


FORGERIES: Mapping[str, Callable[[Statement], Statement]] = {
    "action": lambda s: replace(s, action="export"),
    "parameters": lambda s: replace(s, parameters={"version": 3}),
    "nonce": lambda s: replace(s, nonce="0" * 32),
    "expires": lambda s: replace(s, expires=s.expires - timedelta(seconds=1)),
    "operators": lambda s: replace(s, operators=("ann", "cai")),
    "order of operators": lambda s: replace(s, operators=("bob", "ann")),
    "store": lambda s: replace(s, store=OTHER_STORE),
}


@pytest.mark.parametrize("member", FORGERIES)
def test_a_member_that_was_changed_after_signing_is_refused(member: str) -> None:
    agent = Agent()
    signed = agent.statement()
    forged = FORGERIES[member](signed)
    signatures = {name: signed.signed_by(key) for name, key in (("ann", ANN.key), ("bob", BOB.key))}
    if "cai" in forged.operators:
        signatures["cai"] = signatures.pop("bob")
    for action in (signed.action, forged.action):
        with pytest.raises(CardKeyError):
            agent.desk.verify(action, forged, signatures)
    agent.desk.verify("rotate", signed, {n: signed.signed_by(p.key) for n, p in
                                         (("ann", ANN), ("bob", BOB))})  # fmt: skip


def test_every_member_is_forged_above() -> None:
    members = set(Agent().statement().as_dict())
    assert members == {name.split()[-1] for name in FORGERIES}


def test_a_signature_by_another_key_is_refused() -> None:
    agent = Agent()
    statement = agent.statement()
    signatures = {"ann": statement.signed_by(ANN.key), "bob": statement.signed_by(CAI.key)}
    with pytest.raises(CardKeyError, match="the signature of bob is wrong"):
        agent.desk.verify("rotate", statement, signatures)
    signatures = {"ann": statement.signed_by(ANN.key), "bob": b""}
    with pytest.raises(CardKeyError, match="the signature of bob is wrong"):
        agent.desk.verify("rotate", statement, signatures)


def test_the_same_person_twice_is_one_person() -> None:
    agent = Agent()
    statement = agent.statement("ann", "ann")
    with pytest.raises(CardKeyError, match="named twice"):
        agent.try_it(statement, ANN)


def test_two_names_with_one_key_are_one_person() -> None:
    """No register can be made like that. One that got there in another way is found here too."""
    registry = register([ANN, BOB])
    twin = replace(ANN.key.operator, name="twin")
    object.__setattr__(registry, "operators", {**registry.operators, "twin": twin})
    agent = Agent(registry)
    statement = agent.statement("ann", "twin")
    signature = statement.signed_by(ANN.key)
    with pytest.raises(CardKeyError, match="they are one person"):
        agent.desk.verify("rotate", statement, {"ann": signature, "twin": signature})


def test_one_person_alone_is_too_few() -> None:
    agent = Agent()
    with pytest.raises(CardKeyError, match="rotate needs 2 different operators; 1 given"):
        agent.try_it(agent.statement("ann"), ANN)


def test_a_signature_too_much_is_refused() -> None:
    agent = Agent()
    with pytest.raises(CardKeyError, match="by nobody else"):
        agent.try_it(agent.statement(), ANN, BOB, CAI)


def test_who_was_retired_signs_nothing_more() -> None:
    agent = Agent(REGISTRY.without("bob", DAY))
    with pytest.raises(CardKeyError, match="bob was retired"):
        agent.try_it(agent.statement())


def test_who_is_unknown_signs_nothing() -> None:
    agent = Agent(register([ANN, CAI]))
    with pytest.raises(CardKeyError, match="no operator 'bob'"):
        agent.try_it(agent.statement())


def test_who_has_another_role_signs_nothing() -> None:
    agent = Agent()
    with pytest.raises(CardKeyError, match="eve may not rotate: that needs role custodian"):
        agent.try_it(agent.statement("ann", "eve"), ANN, EVE)


def test_a_statement_ends_after_ten_minutes() -> None:
    agent = Agent()
    statement = agent.statement()
    agent.clock.now = START + LIFETIME - timedelta(seconds=1)
    agent.try_it(statement)
    late = agent.statement()
    agent.clock.now += LIFETIME
    with pytest.raises(CardKeyError, match="older than ten minutes"):
        agent.try_it(late)


def test_nobody_can_give_a_statement_more_time() -> None:
    agent = Agent()
    statement = agent.statement()
    with pytest.raises(CardKeyError, match="longer than ten minutes"):
        agent.try_it(replace(statement, expires=statement.expires + timedelta(seconds=1)))


def test_another_agent_s_nonce_and_another_store_are_refused() -> None:
    mine, other = Agent(), Agent()
    with pytest.raises(CardKeyError, match="not for this agent"):
        mine.try_it(other.statement())
    with pytest.raises(CardKeyError, match="another key store"):
        mine.try_it(mine.statement(store=OTHER_STORE))


def test_a_statement_for_one_action_does_no_other() -> None:
    agent = Agent()
    with pytest.raises(CardKeyError, match="is for 'export', not for 'rotate'"):
        agent.try_it(agent.statement(action="export"))
    with pytest.raises(CardKeyError):
        agent.try_it(agent.statement(action="steal"), action="steal")


def test_a_refused_statement_keeps_its_nonce_and_a_verified_one_does_not() -> None:
    """So nobody can spoil another's statement with a forged one, and nothing works twice."""
    agent = Agent()
    statement = agent.statement()
    with pytest.raises(CardKeyError, match="signature of ann"):
        agent.desk.verify("rotate", statement, {"ann": bytes(64), "bob": bytes(64)})
    agent.try_it(statement)


def test_old_nonces_go_when_there_are_many() -> None:
    agent = Agent()
    first = agent.statement()
    for _ in range(64):
        last = agent.statement()
    with pytest.raises(CardKeyError, match="not for this agent"):
        agent.try_it(first)
    agent.try_it(last)


def test_each_action_says_who_may_do_it() -> None:
    assert ACTIONS.keys() == {"unlock", "import", "export", "rotate", "retire", "load-sam",
                              "exchange-custodians"}  # fmt: skip
    for name, rule in ACTIONS.items():
        assert rule.people == 2 and rule.roles == frozenset((Role.CUSTODIAN,)), name


def test_a_statement_has_one_form() -> None:
    statement = Agent().statement(parameters={"b": [1, True, "x"], "a": {"c": "密"}})
    text = statement.canonical()
    assert text.startswith(b'{"action":"rotate","expires":"2026-11-27T08:10:00+00:00","nonce":"')
    assert b" " not in text and b'"a":{"c":"\\u5bc6"},"b":[1,true,"x"]' in text
    assert Statement.from_dict(json.loads(text)) == statement
    assert statement.digest != replace(statement, store=OTHER_STORE).digest


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"parameters": {"half": 0.5}},
        {"parameters": {"none": None}},
        {"parameters": [1]},
        {"parameters": {"deep": [[[[[1]]]]]}},
        {"operators": "ann"},
        {"operators": [1, 2]},
        {"nonce": 7},
        {"expires": "tomorrow"},
        {"expires": "2026-11-27T16:10:00+08:00"},
        {"expires": "2026-11-27T08:10:00"},
        {"action": None},
    ],
)
def test_whatever_has_another_form_is_no_statement(change: dict[str, Any]) -> None:
    with pytest.raises(CardKeyError, match="form of a statement"):
        Statement.from_dict({**Agent().statement().as_dict(), **change})


@pytest.mark.parametrize("member", list(Agent().statement().as_dict()))
def test_a_statement_without_a_member_is_none(member: str) -> None:
    entry = Agent().statement().as_dict()
    del entry[member]
    with pytest.raises(CardKeyError, match="form of a statement"):
        Statement.from_dict(entry)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                  max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*Agent().statement().as_dict(), "x"]), JSON))
def test_any_members_are_a_statement_or_an_error(entry: dict[str, Any]) -> None:
    try:
        made = Statement.from_dict({**Agent().statement().as_dict(), **entry})
    except CardKeyError:
        return
    assert Statement.from_dict(json.loads(made.canonical())) == made
