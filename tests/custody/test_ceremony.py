"""The ceremony as a state machine: whatever people do, in whatever order, nothing is half-done."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from personalize.custody.ceremony import (
    NEXT,
    Ceremony,
    CeremonyEvent,
    CeremonyState,
    ComponentEntry,
    Plan,
    WrongComponent,
    split,
)
from personalize.custody.component import SET, SET_SIZE, Component, check_value
from tests.custody.people import person

KEY = bytes.fromhex("000102030405060708090A0B0C0D0E0F")
NAMES = ("ann", "bob", "cai")


def plan(of: int = 2, what: str = "transport", cipher: Cipher = Cipher.AES) -> Plan:
    return Plan("ab" * 16, "import", what, cipher, NAMES[:of])


def another(ceremony: str, action: str) -> Plan:
    return Plan(ceremony, action, "transport", Cipher.AES, NAMES[:2])


def three(
    key: bytes = KEY, what: str = "transport", cipher: Cipher = Cipher.AES
) -> list[Component]:
    return split(what, cipher, key, [b"\x11" * len(key), b"\x22" * len(key)])


def entered(of: int = 2) -> Ceremony:
    ceremony = Ceremony(plan(of))
    randoms = [b"\x11" * 16, b"\x22" * 16][: of - 1]
    for name, each in zip(NAMES, split("transport", Cipher.AES, KEY, randoms), strict=False):
        ceremony.enter(name, each, each.check_value)
    return ceremony


@pytest.mark.parametrize("of", [2, 3])
def test_the_components_of_all_operators_make_the_key(of: int) -> None:
    ceremony = entered(of)
    assert (ceremony.state, ceremony.left) == (CeremonyState.CONFIRMING, ())
    assert ceremony.result == KEY
    assert ceremony.check_values == {"transport": check_value("transport", Cipher.AES, KEY)}
    assert len(ceremony.components) == of
    ceremony.confirm()
    assert (ceremony.state, ceremony.left) == (CeremonyState.DONE, ())


def test_a_set_shows_the_check_value_of_each_key() -> None:
    value = bytes(range(1, 251)) * 2 + bytes(SET_SIZE - 500)
    ceremony = Ceremony(plan(3, SET, Cipher.SM4))
    for name, each in zip(NAMES, three(value, SET, Cipher.SM4), strict=True):
        ceremony.enter(name, each, each.check_value)
    assert len(ceremony.check_values) == 34 and ceremony.result == value


def test_the_same_operator_enters_one_component_only() -> None:
    ceremony = Ceremony(plan())
    one, two, _ = three()
    one, two = (Component("transport", Cipher.AES, n, 2, c.value) for n, c in ((1, one), (2, two)))
    ceremony.enter("ann", one, one.check_value)
    with pytest.raises(CardKeyError, match=r"ann has entered a component.*for bob"):
        ceremony.enter("ann", two, two.check_value)
    with pytest.raises(CardKeyError, match="now bob enters"):
        ceremony.enter("eve", two, two.check_value)
    assert ceremony.left == ("bob",)


@pytest.mark.parametrize("operators", [(), ("ann",), ("ann", "ann"), ("a", "b", "c", "d")])
def test_a_plan_names_two_or_three_different_people(operators: tuple[str, ...]) -> None:
    with pytest.raises(CardKeyError, match="2 or 3 different operators"):
        Plan("ab" * 16, "import", "transport", Cipher.AES, operators)


def component(value: bytes, number: int = 1, of: int = 2, **other: Any) -> Component:
    return Component(other.get("what", "transport"), other.get("cipher", Cipher.AES), number, of,
                     value)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "check", "words"),
    [
        (component(b"a" * 16), "000000", "check value does not fit"),
        (component(b"a" * 16), "", "check value does not fit"),
        (component(b"a" * 16, number=2), None, "component 2 of 2, and 1 of 2"),
        (component(b"a" * 16, of=3), None, "component 1 of 3, and 1 of 2"),
        (component(b"a" * 16, what="issuer"), None, "a component of issuer AES"),
        (component(b"a" * 16, cipher=Cipher.SM4), None, "a component of transport SM4"),
    ],
)
def test_a_wrong_component_leaves_the_ceremony_as_it_was(
    given: Component, check: str | None, words: str
) -> None:
    ceremony = Ceremony(plan())
    with pytest.raises(WrongComponent, match=words):
        ceremony.enter("ann", given, given.check_value if check is None else check)
    assert (ceremony.left, ceremony.components) == (("ann", "bob"), ())
    right = component(b"b" * 16)
    ceremony.enter("ann", right, right.check_value.lower())
    assert ceremony.left == ("bob",)


def test_equal_components_and_a_key_of_zeros_are_refused() -> None:
    ceremony = Ceremony(plan())
    one, same = component(b"a" * 16), component(b"a" * 16, 2)
    ceremony.enter("ann", one, one.check_value)
    with pytest.raises(WrongComponent, match="entered before"):
        ceremony.enter("bob", same, same.check_value)
    ceremony = Ceremony(plan(3))
    values = [b"\x11" * 16, b"\x22" * 16, b"\x33" * 16]
    for name, number, value in zip(NAMES, (1, 2, 3), values, strict=True):
        each = component(value, number, 3)
        if number < 3:
            ceremony.enter(name, each, each.check_value)
        else:
            with pytest.raises(WrongComponent, match="key of zeros"):
                ceremony.enter(name, each, each.check_value)
    assert ceremony.left == ("cai",)


def test_an_exchange_key_s_components_have_one_length() -> None:
    ceremony = Ceremony(plan(what="exchange"))
    one, two = component(b"a" * 32, what="exchange"), component(b"b" * 16, 2, what="exchange")
    ceremony.enter("ann", one, one.check_value)
    with pytest.raises(WrongComponent, match="have 64 hex digits"):
        ceremony.enter("bob", two, two.check_value)


def test_an_entry_is_signed_by_who_enters() -> None:
    ann, bob = person("ann"), person("bob")
    entry = ComponentEntry(plan(), "ann", "A1B2C3", "00" * 32)
    signature = entry.signed_by(ann.key)
    entry.check(ann.key.operator, signature)
    with pytest.raises(CardKeyError, match="entered by ann, not bob"):
        entry.check(bob.key.operator, entry.signed_by(bob.key))
    others = (
        ComponentEntry(plan(), "ann", "A1B2C4", "00" * 32),
        ComponentEntry(plan(), "ann", "A1B2C3", "11" * 32),
        ComponentEntry(plan(what="issuer"), "ann", "A1B2C3", "00" * 32),
        ComponentEntry(another("cd" * 16, "import"), "ann", "A1B2C3", "00" * 32),
        ComponentEntry(another("ab" * 16, "export"), "ann", "A1B2C3", "00" * 32),
    )
    for other in others:
        with pytest.raises(CardKeyError, match="signature of ann is wrong"):
            other.check(ann.key.operator, signature)


def test_what_ended_has_no_result_and_takes_nothing() -> None:
    for ceremony in (Ceremony(plan()), entered()):
        ceremony.end()
        assert ceremony.state is CeremonyState.ENDED
        for call in (lambda c: c.result, lambda c: c.check_values, Ceremony.confirm):
            with pytest.raises(CardKeyError):
                call(ceremony)
        with pytest.raises(CardKeyError, match="no component is wanted"):
            ceremony.enter("ann", component(b"a" * 16), "")
        ceremony.end()
    done = entered()
    done.confirm()
    done.end()
    assert done.state is CeremonyState.DONE
    with pytest.raises(CardKeyError):
        done.confirm()


def test_a_ceremony_shows_nothing_of_what_was_entered() -> None:
    ceremony = entered()
    assert KEY.hex() not in repr(ceremony).lower() and "bytearray" not in repr(ceremony)


def test_every_state_can_be_left_or_is_the_end() -> None:
    assert NEXT.keys() == set(CeremonyState)
    assert {state for state in CeremonyState if CeremonyEvent.END not in NEXT[state]} == {
        CeremonyState.DONE,
        CeremonyState.ENDED,
    }
    assert all(after in CeremonyState for events in NEXT.values() for after in events.values())


class AnyOrder(RuleBasedStateMachine):
    """People do anything in any order; a simple model says what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.ceremony = Ceremony(plan(3))
        self.right = three()
        self.entered = 0
        self.ended = self.done = False

    @property
    def is_open(self) -> bool:
        return not self.ended and not self.done

    @rule()
    def the_next_one_enters_theirs(self) -> None:
        if self.is_open and self.entered < 3:
            each = self.right[self.entered]
            self.ceremony.enter(NAMES[self.entered], each, each.check_value)
            self.entered += 1

    @rule(name=st.sampled_from([*NAMES, "eve", ""]), which=st.integers(0, 2),
          check=st.sampled_from(["000000", "", "x"]))  # fmt: skip
    def somebody_enters_one_with_a_wrong_check_value(
        self, name: str, which: int, check: str
    ) -> None:
        with pytest.raises(CardKeyError):
            self.ceremony.enter(name, self.right[which], check)

    @rule(name=st.sampled_from([*NAMES, "eve"]), which=st.integers(0, 2))
    def somebody_enters_one_out_of_turn(self, name: str, which: int) -> None:
        if self.is_open and name == NAMES[min(self.entered, 2)] and which == self.entered:
            return
        each = self.right[which]
        with pytest.raises(CardKeyError):
            self.ceremony.enter(name, each, each.check_value)

    @rule()
    def somebody_confirms(self) -> None:
        if self.is_open and self.entered == 3:
            self.ceremony.confirm()
            self.done = True
        else:
            with pytest.raises(CardKeyError):
                self.ceremony.confirm()

    @precondition(lambda self: self.entered)
    @rule()
    def somebody_interrupts(self) -> None:
        self.ceremony.end()
        self.ended = self.ended or not self.done

    @invariant()
    def only_the_whole_has_a_result(self) -> None:
        if self.is_open and self.entered == 3:
            assert self.ceremony.result == KEY
        else:
            with pytest.raises(CardKeyError):
                _ = self.ceremony.result
        assert len(self.ceremony.components) == self.entered
        expected = (
            CeremonyState.DONE if self.done else CeremonyState.ENDED if self.ended
            else CeremonyState.CONFIRMING if self.entered == 3 else CeremonyState.ENTERING
        )  # fmt: skip
        assert self.ceremony.state is expected


TestAnyOrder = AnyOrder.TestCase
