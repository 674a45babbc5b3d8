"""The sealed PIN file: one PIN a card for ever, unreadable and unmovable without the key."""

import os
import socket
import stat
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import FormatError
from cardlib.facts import Pin
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.production.pins import NAME, is_trivial, open_pins, random_pin

ISSUER, OTHER = LocalIssuer(KeyStore(new_roots())), LocalIssuer(KeyStore(new_roots()))
BATCH, OTHER_BATCH = UUID(int=1), UUID(int=2)


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
    pins = open_pins(tmp_path, BATCH, ISSUER)
    first = pins.assign(7)
    assert pins.assign(7) == first
    again = open_pins(tmp_path, BATCH, ISSUER)
    assert (again.get(7), again.assign(7), again.get(8), len(again)) == (first, first, None, 1)


def test_a_pin_is_on_the_disk_when_it_is_given_out(tmp_path: Path) -> None:
    pin = open_pins(tmp_path, BATCH, ISSUER).assign(1)
    raw = (tmp_path / NAME).read_bytes()
    assert raw.endswith(b"\n")
    assert pin.encode() not in raw
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_every_line_is_as_long_as_the_others(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, BATCH, ISSUER)
    for number in range(1, 10):
        pins.assign(number)
    assert len({len(line) for line in (tmp_path / NAME).read_bytes().splitlines()}) == 1


def test_a_lost_last_newline_loses_no_pin(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, BATCH, ISSUER)
    first, second = pins.assign(1), pins.assign(2)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-1])
    shortened = path.read_bytes()
    again = open_pins(tmp_path, BATCH, ISSUER)
    assert (again.get(1), again.get(2), again.faults) == (first, second, ())
    assert path.read_bytes() == shortened
    third = again.assign(3)
    assert path.read_bytes().startswith(shortened + b"\n")
    assert path.read_bytes().count(b"\n") == 3
    last = open_pins(tmp_path, BATCH, ISSUER)
    assert [last.get(number) for number in (1, 2, 3)] == [first, second, third]


@given(cut=st.integers(min_value=2, max_value=60))
def test_a_line_that_a_cut_left_unfinished_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    pins = open_pins(folder, BATCH, ISSUER)
    first = pins.assign(1)
    pins.assign(2)
    path = folder / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    shortened = path.read_bytes()
    again = open_pins(folder, BATCH, ISSUER)
    assert (again.get(1), again.get(2), again.faults) == (first, None, ())
    assert path.read_bytes() == shortened
    second = again.assign(2)
    last = open_pins(folder, BATCH, ISSUER)
    assert (last.get(1), last.get(2), last.faults) == (first, second, ())


def test_the_rest_of_a_line_is_kept_while_a_line_before_it_is_damaged(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, BATCH, ISSUER)
    first = pins.assign(1)
    path = tmp_path / NAME
    before = b"x\n" + path.read_bytes() + b'{"card": 2, "sea'
    path.write_bytes(before)
    again = open_pins(tmp_path, BATCH, ISSUER)
    third = again.assign(3)
    assert path.read_bytes().startswith(before + b"\n")
    last = open_pins(tmp_path, BATCH, ISSUER)
    assert (last.get(1), last.get(3), len(last.faults)) == (first, third, 2)


def test_a_damaged_line_hides_no_other(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, BATCH, ISSUER)
    given = [pins.assign(number) for number in (1, 2, 3)]
    path = tmp_path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"sealed": "', b'"sealed": "ff')
    path.write_bytes(b"".join(lines))
    again = open_pins(tmp_path, BATCH, ISSUER)
    assert [again.get(number) for number in (1, 2, 3)] == [given[0], None, given[2]]
    (fault,) = again.faults
    assert f"{path} line 2: damaged" in fault


def test_a_symbolic_link_is_not_followed_and_not_changed(tmp_path: Path) -> None:
    """What it leads to has no last newline: the old program cut it there."""
    other = tmp_path / "other"
    other.write_bytes(b"first line\nno newline at the end")
    (tmp_path / NAME).symlink_to(other)
    pins = open_pins(tmp_path, BATCH, ISSUER)
    link = "it is a symbolic link, not a regular file. Put the file itself in its place"
    assert pins.faults == (f"{tmp_path / NAME}: {link}",)
    with pytest.raises(OSError):
        pins.assign(1)
    assert other.read_bytes() == b"first line\nno newline at the end"


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket"])
def test_what_is_no_regular_file_is_named_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / NAME
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(NAME)
    pins = open_pins(tmp_path, BATCH, ISSUER)
    (fault,) = pins.faults
    assert str(path) in fault and "regular file" in fault
    with pytest.raises(OSError):
        pins.assign(1)


def test_a_file_that_another_program_changed_is_not_written(tmp_path: Path) -> None:
    open_pins(tmp_path, BATCH, ISSUER).assign(1)
    pins = open_pins(tmp_path, BATCH, ISSUER)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"more\n")
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(FormatError, match="another program has changed it"):
        pins.assign(2)
    assert (tmp_path / NAME).read_bytes() == before


@pytest.mark.parametrize(("batch", "issuer"), [(OTHER_BATCH, ISSUER), (BATCH, OTHER)])
def test_another_batch_or_another_key_opens_nothing(
    tmp_path: Path, batch: UUID, issuer: LocalIssuer
) -> None:
    open_pins(tmp_path, BATCH, ISSUER).assign(1)
    pins = open_pins(tmp_path, batch, issuer)
    assert (len(pins), pins.get(1)) == (0, None)
    assert "pins.sealed line 1: damaged, or sealed for another batch" in pins.faults[0]


def test_lines_cannot_be_given_to_another_card(tmp_path: Path) -> None:
    open_pins(tmp_path, BATCH, ISSUER).assign(1)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes().replace(b'"card": 1', b'"card": 2'))
    pins = open_pins(tmp_path, BATCH, ISSUER)
    assert (len(pins), len(pins.faults)) == (0, 1)


def test_the_same_pin_twice_is_one_pin(tmp_path: Path) -> None:
    pin = open_pins(tmp_path, BATCH, ISSUER).assign(1)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() * 2)
    pins = open_pins(tmp_path, BATCH, ISSUER)
    assert (pins.get(1), pins.faults) == (pin, ())


def two_pins(folder: Path, number: int) -> None:
    """Add a second line for a card, with another PIN, as a line that came back from a copy."""
    path, kept = folder / NAME, (folder / NAME).read_bytes()
    path.unlink()
    open_pins(folder, BATCH, ISSUER).assign(number)
    path.write_bytes(kept + path.read_bytes())


def test_a_card_with_two_pins_has_none_until_it_gets_a_new_one(tmp_path: Path) -> None:
    first = open_pins(tmp_path, BATCH, ISSUER)
    first.assign(1)
    first.assign(2)
    two_pins(tmp_path, 1)
    pins = open_pins(tmp_path, BATCH, ISSUER)
    (fault,) = pins.faults
    assert "card 1 has two PINs" in fault and "`rhcard issue` gives it a new one" in fault
    assert (pins.get(1), pins.get(2), pins.numbers) == (None, first.get(2), frozenset((1, 2)))
    new = pins.assign(1)
    assert (pins.get(1), pins.faults) == (new, ())
    again = open_pins(tmp_path, BATCH, ISSUER)
    assert (again.get(1), again.get(2), again.faults) == (new, first.get(2), ())


def test_two_new_pins_of_a_card_are_settled_by_a_third(tmp_path: Path) -> None:
    open_pins(tmp_path, BATCH, ISSUER).assign(1)
    two_pins(tmp_path, 1)
    path, doubled = tmp_path / NAME, (tmp_path / NAME).read_bytes()
    open_pins(tmp_path, BATCH, ISSUER).assign(1)
    one = path.read_bytes().removeprefix(doubled)
    path.write_bytes(doubled)
    open_pins(tmp_path, BATCH, ISSUER).assign(1)
    path.write_bytes(path.read_bytes() + one)
    pins = open_pins(tmp_path, BATCH, ISSUER)
    assert (pins.get(1), len(pins.faults)) == (None, 1)
    new = pins.assign(1)
    assert open_pins(tmp_path, BATCH, ISSUER).get(1) == new


@pytest.mark.parametrize("turn", [b"1", b"-1", b"true", b'"1"', b"1e999"])
def test_a_turn_is_sealed_with_its_pin(tmp_path: Path, turn: bytes) -> None:
    open_pins(tmp_path, BATCH, ISSUER).assign(1)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes().replace(b'"card": 1', b'"card": 1, "turn": ' + turn))
    pins = open_pins(tmp_path, BATCH, ISSUER)
    assert (pins.get(1), len(pins.faults)) == (None, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"x",
        b"",
        b"\xff\x00",
        b"[" * 100_000,
        b'{"card": 1}',
        b'{"card": 1e999, "sealed": ""}',
        b'{"card": 1, "sealed": "zz"}',
        b'{"card": true, "sealed": ""}',
    ],
)
def test_what_is_no_line_of_a_pin_file_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / NAME).write_bytes(line + b"\n")
    (fault,) = open_pins(tmp_path, BATCH, ISSUER).faults
    assert "pins.sealed line 1" in fault


def test_a_repr_shows_no_pin(tmp_path: Path) -> None:
    pins = open_pins(tmp_path, BATCH, ISSUER)
    pin = pins.assign(1)
    assert pin not in repr(pins)


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = open_pins(tmp_path, BATCH, ISSUER)
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
    again = open_pins(tmp_path, BATCH, ISSUER)
    assert (again.get(1), again.get(2), len(again)) == (first, None, 2)
