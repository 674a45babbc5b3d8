"""The sealed PIN file: one PIN a card for ever, unreadable and unmovable without the key."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import CardKeyError, FormatError
from cardlib.facts import Pin
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.production.pins import NAME, is_trivial, open_pins, random_pin

ISSUER, OTHER = KeyStore(new_roots()), KeyStore(new_roots())


@pytest.mark.parametrize(
    "pin",
    ["000000", "999999", "123456", "012345", "567890", "987654", "543210", "121212", "123123"],
)
def test_a_pin_that_everybody_tries_first_is_trivial(pin: str) -> None:
    assert is_trivial(pin)


@pytest.mark.parametrize("pin", ["123457", "112233", "802143", "000001"])
def test_other_pins_are_not(pin: str) -> None:
    assert not is_trivial(pin)


def test_random_pins_are_six_digits_and_differ() -> None:
    pins = [random_pin() for _ in range(500)]
    assert all(pin.isascii() and pin.isdigit() and len(pin) == Pin.LENGTH for pin in pins)
    assert not any(map(is_trivial, pins))
    assert len(set(pins)) > 450


def test_a_trivial_draw_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([0, 123456, 802143])
    monkeypatch.setattr("personalize.production.pins.secrets.randbelow", lambda limit: next(draws))
    assert random_pin() == "802143"


def test_a_card_keeps_its_pin(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, "batch-1", ISSUER)
    first = pins.assign(7)
    assert pins.assign(7) == first
    again = open_pins(tmp_path, "batch-1", ISSUER)
    assert (again.get(7), again.assign(7), again.get(8), len(again)) == (first, first, None, 1)


def test_a_pin_is_on_the_disk_when_it_is_given_out(tmp_path: Path) -> None:
    pin = open_pins(tmp_path, "batch-1", ISSUER).assign(1)
    raw = (tmp_path / NAME).read_bytes()
    assert raw.endswith(b"\n")
    assert pin.encode() not in raw
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_every_line_is_as_long_as_the_others(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, "batch-1", ISSUER)
    for number in range(1, 10):
        pins.assign(number)
    assert len({len(line) for line in (tmp_path / NAME).read_bytes().splitlines()}) == 1


@given(cut=st.integers(min_value=1, max_value=60))
def test_a_line_that_a_cut_left_unfinished_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    pins = open_pins(folder, "batch-1", ISSUER)
    first = pins.assign(1)
    pins.assign(2)
    path = folder / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    again = open_pins(folder, "batch-1", ISSUER)
    assert (again.get(1), again.get(2)) == (first, None)
    second = again.assign(2)
    assert open_pins(folder, "batch-1", ISSUER).get(2) == second


@pytest.mark.parametrize(("batch", "issuer"), [("batch-2", ISSUER), ("batch-1", OTHER)])
def test_another_batch_or_another_key_opens_nothing(
    tmp_path: Path, batch: str, issuer: KeyStore
) -> None:
    open_pins(tmp_path, "batch-1", ISSUER).assign(1)
    with pytest.raises(CardKeyError, match=r"pins\.sealed line 1"):
        open_pins(tmp_path, batch, issuer)


def test_lines_cannot_be_given_to_another_card(tmp_path: Path) -> None:
    open_pins(tmp_path, "batch-1", ISSUER).assign(1)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes().replace(b'"card": 1', b'"card": 2'))
    with pytest.raises(CardKeyError):
        open_pins(tmp_path, "batch-1", ISSUER)


def test_a_second_pin_for_a_card_is_refused(tmp_path: Path) -> None:
    open_pins(tmp_path, "batch-1", ISSUER).assign(1)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(FormatError, match="line 2: card 1 has two PINs"):
        open_pins(tmp_path, "batch-1", ISSUER)


@pytest.mark.parametrize("line", [b"[]", b"x", b'{"card": 1}', b'{"card": 1, "sealed": "zz"}'])
def test_what_is_no_line_of_a_pin_file_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / NAME).write_bytes(line + b"\n")
    with pytest.raises(FormatError, match=r"pins\.sealed line 1"):
        open_pins(tmp_path, "batch-1", ISSUER)


def test_a_repr_shows_no_pin(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, "batch-1", ISSUER)
    pin = pins.assign(1)
    assert pin not in repr(pins)


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = open_pins(tmp_path, "batch-1", ISSUER)
    first = pins.assign(1)
    real_write = os.write
    monkeypatch.setattr(
        "personalize.production.pins.os.write", lambda h, line: real_write(h, line[:10])
    )
    with pytest.raises(OSError, match="No space left"):
        pins.assign(2)
    monkeypatch.undo()
    assert pins.get(2) is None
    pins.assign(3)
    again = open_pins(tmp_path, "batch-1", ISSUER)
    assert (again.get(1), again.get(2), len(again)) == (first, None, 2)
