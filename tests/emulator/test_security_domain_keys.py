"""The issuer security domain through `transmit`: putting and deleting keys."""

import contextlib
from collections.abc import Iterator

import pytest

from cardlib.emulator import PowerCut, SoftwareCard
from tests.emulator.domain_keys import ISSUER, TRANSPORT, key_field, put_key, send, versions
from tests.oracles.scp03 import Keys, Terminal, encrypt, kcv

H = bytes.fromhex
CHIP = H("0102030405060708")


@pytest.fixture
def card() -> Iterator[SoftwareCard]:
    blank = SoftwareCard.blank(CHIP, TRANSPORT, seed=1)
    yield blank
    blank.close()


@pytest.fixture
def issuers(card: SoftwareCard) -> SoftwareCard:
    """A blank that has the issuer's keys."""
    assert put_key(Terminal.open(card.transmit, TRANSPORT), ISSUER).endswith("9000")
    card.reset()
    return card


# PUT KEY


def test_put_key_replaces_the_transport_keys_at_once(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    expected = "01" + b"".join(map(kcv, ISSUER)).hex() + "9000"
    assert put_key(terminal, ISSUER) == expected
    assert versions(card) == [1]
    Terminal.open(card.transmit, ISSUER)
    assert send(card, "8050FF00080000000000000000") == "6a88"


@pytest.mark.parametrize("size", [16, 24, 32])
def test_put_key_takes_all_key_lengths(card: SoftwareCard, size: int) -> None:
    keys: Keys = (b"E" * size, b"M" * size, b"D" * size)
    assert put_key(Terminal.open(card.transmit, TRANSPORT, 0x01), keys).endswith("9000")
    terminal = Terminal.open(card.transmit, keys)
    assert put_key(terminal, TRANSPORT, 2, 1).endswith("9000")
    Terminal.open(card.transmit, TRANSPORT, 0x33, 2)


def test_put_key_takes_16_byte_keys_without_a_key_length(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    data = b"\x01" + b"".join(key_field(TRANSPORT[2], key, with_length=False) for key in ISSUER)
    assert terminal.send(f"80D8FF81{len(data):02X}{data.hex()}00").endswith("9000")
    Terminal.open(card.transmit, ISSUER)


def test_four_key_sets_fit(card: SoftwareCard) -> None:
    assert put_key(Terminal.open(card.transmit, TRANSPORT), ISSUER, 1, 0).endswith("9000")
    terminal = Terminal.open(card.transmit, ISSUER, version=1)
    for version in (2, 3):
        assert put_key(terminal, ISSUER, version, 0).endswith("9000")
    assert put_key(terminal, ISSUER, 4, 0) == "6a84"
    assert put_key(terminal, ISSUER, 3, 0) == "6a80"
    assert put_key(terminal, ISSUER, 3, 2) == "6a80"
    assert versions(card) == [0xFF, 1, 2, 3]


def wrong_key_data() -> dict[str, bytes]:
    good = [key_field(TRANSPORT[2], key) for key in ISSUER]
    wrong_check = good[2][:-1] + bytes((good[2][-1] ^ 1,))
    long = key_field(TRANSPORT[2], b"k" * 24)
    return {
        "no version": b"",
        "version 00": b"\0" + b"".join(good),
        "version 80": b"\x80" + b"".join(good),
        "version FF": b"\xff" + b"".join(good),
        "two keys": b"\x01" + b"".join(good[:2]),
        "four keys": b"\x01" + b"".join(good) + good[0],
        "wrong check value": b"\x01" + good[0] + good[1] + wrong_check,
        "no check value": b"\x01" + good[0] + good[1] + good[2][:-4] + b"\0",
        "cut off": b"\x01" + b"".join(good)[:-1],
        "not AES": b"\x01" + good[0] + good[1] + b"\x80" + good[2][1:],
        "one longer": b"\x01" + good[0] + good[1] + long,
        "wrong key length": b"\x01" + good[0] + good[1] + good[2][:2] + b"\x18" + good[2][3:],
        "one byte": b"\x01\x88\x01\x10\x03" + bytes(3) + good[0] + good[1],
        "empty value": b"\x01\x88\x00\x03" + bytes(3) + good[0] + good[1],
    }


@pytest.mark.parametrize("name", wrong_key_data())
def test_wrong_key_data_is_refused_and_changes_nothing(card: SoftwareCard, name: str) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    data = wrong_key_data()[name]
    body = f"{len(data):02X}{data.hex()}" if data else ""
    assert terminal.send(f"80D8FF81{body}00") == "6a80"
    assert versions(card) == [0xFF]
    assert put_key(terminal, ISSUER).endswith("9000")


def test_put_key_padding_must_be_zeros(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    key = b"k" * 24
    value = b"\x18" + encrypt(TRANSPORT[2], bytes(16), key + b"notzeros")
    data = b"\x01" + (b"\x88\x21" + value + b"\x03" + kcv(key)) * 3
    assert terminal.send(f"80D8FF81{len(data):02X}{data.hex()}00") == "6a80"


def test_put_key_needs_a_session_an_existing_version_and_p2_81(card: SoftwareCard) -> None:
    assert send(card, "80D8FF810101") == "6982"
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert put_key(terminal, ISSUER, 2, 1) == "6a88"
    assert terminal.send("80D8FF010101") == "6a86"


@pytest.mark.parametrize("left", [0, 1])
def test_a_power_cut_leaves_the_old_keys_or_the_new(card: SoftwareCard, left: int) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    writes = 0

    def cut(page: int, done: bool) -> None:
        nonlocal writes
        writes += done
        if not done and writes == left:
            raise PowerCut

    card.memory.on_write = cut
    answer = ""
    with contextlib.suppress(PowerCut):
        answer = put_key(terminal, ISSUER)
    card.memory.on_write = None
    card.reset()
    assert versions(card) == ([1] if answer else [0xFF])
    Terminal.open(card.transmit, ISSUER if answer else TRANSPORT)


# DELETE [key]


@pytest.fixture
def two_sets(issuers: SoftwareCard) -> SoftwareCard:
    """A blank with the issuer's keys as version 1, and others as version 2."""
    other: Keys = (b"x" * 16, b"y" * 16, b"z" * 16)
    assert put_key(Terminal.open(issuers.transmit, ISSUER), other, 2, 0).endswith("9000")
    return issuers


@pytest.mark.parametrize("p2", ["00", "01"])
def test_delete_removes_one_key_set(two_sets: SoftwareCard, p2: str) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    assert terminal.send(f"80E400{p2}03D20102") == "9000"
    assert versions(two_sets) == [1]
    assert terminal.send("80CA004500").endswith("9000"), "the session goes on"
    assert terminal.send(f"80E400{p2}03D20101") == "6985", "the last set stays"
    assert versions(two_sets) == [1]


def test_without_its_own_set_the_session_ends_after_the_reply(two_sets: SoftwareCard) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    assert terminal.send("80E4000003D20101") == "9000", "this reply is protected still"
    assert (versions(two_sets), two_sets.channels[0].scp03) == ([2], None)
    assert send(two_sets, "8050010008" + "00" * 8) == "6a88"


@pytest.mark.parametrize(("data", "answer"), [
    ("D20103", "6a88"), ("D00101D20102", "6a80"), ("D20102D00101", "6a80"), ("D00101", "6a80"),
    ("", "6a80"), ("D2020102", "6a80"), ("D200", "6a80"), ("4F0102", "6a80"), ("D201", "6a80"),
])  # fmt: skip
def test_delete_names_one_set_by_its_version(
    two_sets: SoftwareCard, data: str, answer: str
) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    command = f"80E40000{len(data) // 2:02X}{data}" if data else "80E40000"
    assert terminal.send(command) == answer
    assert versions(two_sets) == [1, 2]


@pytest.mark.parametrize("header", ["80E40100", "80E40002", "80E40080"])
def test_delete_takes_no_other_parameters(two_sets: SoftwareCard, header: str) -> None:
    terminal = Terminal.open(two_sets.transmit, ISSUER, version=1)
    assert terminal.send(f"{header}03D20102") == "6a86"


def test_delete_needs_the_issuers_session_with_encryption(two_sets: SoftwareCard) -> None:
    assert send(two_sets, "80E4000003D20102") == "6982"
    weak = Terminal.open(two_sets.transmit, ISSUER, 0x11, 1)
    assert weak.send("80E4000003D20102") == "6982"
    assert versions(two_sets) == [1, 2]


@pytest.mark.parametrize("command", ["80E4000003D20101", "80E2080003010100", "80D80081"])
def test_transport_keys_serve_no_more_once_there_is_another_set(
    card: SoftwareCard, command: str
) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert put_key(terminal, ISSUER, 1, 0).endswith("9000")
    if command.startswith("80D8"):
        assert put_key(terminal, ISSUER, 2, 0) == "6985"
    else:
        assert terminal.send(command) == "6985"
    assert versions(card) == [0xFF, 1]
