"""The messages between the key agent and its callers."""

import json
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    FormatError,
    KeysUnavailable,
    NotGenuine,
    StatusWordError,
    StorageError,
    TransportError,
)
from cardlib.issuance.agent_issuer import AGENT_ERRORS
from cardlib.keys.agent.agent_wire import (
    LARGEST_FRAME,
    MemberKind,
    choice,
    decoded,
    error_document,
    error_of,
    flag,
    from_frame,
    list_of,
    number,
    octets,
    optional,
    pair,
    plain,
    read_frame,
    text,
    to_frame,
)
from cardlib.messaging.scp03_failure import Cause, Scp03Failure

MEMBERS = {
    "raw": octets(0, 40),
    "count": number(0, 9),
    "name": text(5),
    "which": choice(("one", "two")),
    "yes": flag(),
    "pairs": list_of(pair(number(0, 9), octets(2)), 3),
    "more": optional(octets(1)),
}
documents = st.fixed_dictionaries(
    {
        "raw": st.binary(max_size=40),
        "count": st.integers(0, 9),
        "name": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
        "which": st.sampled_from(["one", "two"]),
        "yes": st.booleans(),
        "pairs": st.lists(
            st.tuples(st.integers(0, 9), st.binary(min_size=2, max_size=2)), max_size=3
        ),
        "more": st.none() | st.binary(min_size=1, max_size=1),
    }
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(documents)
def test_what_is_sent_is_what_is_read(document: dict[str, object]) -> None:
    frame = to_frame({name: value for name, value in document.items() if value is not None})
    raw = read_frame(BytesIO(frame).read)
    assert raw is not None
    assert decoded(MEMBERS, from_frame(raw), "test") == document


@given(anything)
def test_whatever_else_is_sent_is_a_format_error(document: object) -> None:
    with pytest.raises(FormatError):
        decoded(MEMBERS, document, "test")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_a_format_error(raw: bytes) -> None:
    try:
        found = from_frame(raw)
    except FormatError:
        return
    assert isinstance(json.loads(raw), dict) and isinstance(found, dict)


WRONG: list[tuple[MemberKind, object]] = [
    (octets(2), "0a0"), (octets(2), "0a0bff"), (octets(2), "zz00"), (octets(2), 10),
    (octets(2), "0a 0b"), (octets(1, 2), ""), (number(0, 9), True), (number(0, 9), 10),
    (number(0, 9), -1), (number(0, 9), 1.0), (number(0, 9), "1"), (text(3), ""), (text(3), "four"),
    (text(3), None), (text(3), "\ud800"), (choice(("a",)), "b"), (choice(("a",)), ["a"]),
    (flag(), 1), (flag(), "true"), (list_of(flag(), 1), [True, True]), (list_of(flag(), 1), {}),
    (pair(flag(), flag()), [True]), (pair(flag(), flag()), [True, True, True]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), WRONG)
def test_a_member_of_another_type_is_named(kind: MemberKind, value: object) -> None:
    with pytest.raises(
        FormatError, match=r"the verb: the member 'what' (must be|is missing: give)"
    ):
        decoded({"what": kind}, {"what": value}, "the verb")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"1", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b"[" * 100_000, b'{"a":'],
    ids=repr,
)  # fmt: skip
def test_no_json_object_is_no_message(raw: bytes) -> None:
    with pytest.raises(FormatError):
        from_frame(raw)


def test_a_frame_is_bounded_and_whole() -> None:
    with pytest.raises(FormatError, match="are the most"):
        to_frame({"what": bytes(LARGEST_FRAME)})
    assert read_frame(BytesIO(b"").read) is None
    for raw in (b"\0", b"\0\0\0\5{}", (LARGEST_FRAME + 1).to_bytes(4, "big") + b"{}"):
        with pytest.raises(FormatError):
            read_frame(BytesIO(raw).read)


def test_a_secret_is_in_no_message_of_an_error() -> None:
    with pytest.raises(FormatError) as caught:
        decoded({"pin": number(0, 1)}, {"pin": "135790"}, "load")
    assert "135790" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        CardError("one"), FormatError("two"), CardKeyError("three"), ChannelError("four"),
        TransportError("five"), KeysUnavailable("six"),
        StatusWordError("ACTIVATE", 0x6985, "because"), StatusWordError("ACTIVATE", 0x6985),
        StorageError(28, "No space left on device"), Scp03Failure(Cause.KEY, "tried a key"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_error_arrives_as_it_was_raised(error: CardError) -> None:
    sent = json.loads(json.dumps(plain(error_document(error, AGENT_ERRORS))))
    found = error_of(sent, AGENT_ERRORS)
    assert type(found) is type(error)
    assert (str(found), vars(found)) == (str(error), vars(error))
    assert getattr(found, "cause", None) is getattr(error, "cause", None)


def test_an_error_of_a_class_that_does_not_travel_arrives_as_the_nearest() -> None:
    sent = error_document(NotGenuine("IRK"))
    assert sent["kind"] == "ChannelError"
    assert type(error_of(sent)) is ChannelError
    assert type(error_of({"kind": "SystemExit", "message": "x"})) is CardKeyError


@given(anything)
def test_whatever_comes_as_an_error_is_one(document: object) -> None:
    assert isinstance(error_of(document, AGENT_ERRORS), CardError)
