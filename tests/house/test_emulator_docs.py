"""docs/reference/emulator-commands.md says what is so: its table is the dispatch table."""

import re

import pytest

from cardlib.emulator import CardOptions, SoftwareCard, Trace
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.emulator.dispatch import INTERINDUSTRY, PROPRIETARY
from cardlib.keys.roots import public_test_roots
from tests.house.command_table import ABSENT, BEGIN, DOCUMENT, END, command_table, with_table

TEXT = DOCUMENT.read_text(encoding="utf-8")


@pytest.fixture
def card() -> SoftwareCard:
    return personalized_card(public_test_roots(1))


def test_the_table_of_commands_is_the_dispatch_table() -> None:
    assert with_table(TEXT) == TEXT, "python -m tests.house.command_table writes it anew"


def test_every_command_of_the_dispatch_table_is_a_row() -> None:
    table = command_table()
    for cla, commands in (("00", INTERINDUSTRY), ("80", PROPRIETARY)):
        for ins in commands:
            assert f"| `{cla} {ins:02X}` |" in table


def rows() -> list[list[str]]:
    lines = TEXT.split(BEGIN)[1].split(END)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0].strip("` "))
def test_a_command_is_there_or_not_as_the_table_says(card: SoftwareCard, row: list[str]) -> None:
    header = bytes.fromhex(row[0].strip("` "))
    answer = card.transmit(header + bytes(3))
    assert (answer in (b"\x6d\x00", b"\x6e\x00")) == row[2].startswith("no")
    assert row[1] and "INS" not in row[1]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0].strip("` "))
def test_a_mac_is_taken_as_the_table_says(card: SoftwareCard, row: list[str]) -> None:
    cla, ins = bytes.fromhex(row[0].strip("` "))
    if "MAC" in row[2]:
        assert card.transmit(bytes((cla | 0x04, ins, 0, 0))) != b"\x68\x82"
    elif cla == 0x00 and row[2] == "yes" and ins != 0xC0:
        assert card.transmit(bytes((0x04, ins, 0, 0))) == b"\x68\x82"


def test_nothing_that_the_card_has_is_called_absent() -> None:
    assert not ABSENT.keys() & INTERINDUSTRY.keys()


def test_every_command_says_what_it_does() -> None:
    for row in rows():
        assert row[2].startswith("no") or len(row[3]) > 10


@pytest.mark.parametrize("name", CardOptions.__slots__)
def test_every_switch_is_in_the_document(name: str) -> None:
    assert f"`{name}`" in TEXT


def test_the_line_of_the_trace_is_one(card: SoftwareCard) -> None:
    import io
    import json

    shown = json.loads(" ".join(re.findall(r'\{"n": 2.*?\}', TEXT, re.DOTALL)))
    out = io.StringIO()
    card.observers = (Trace(card, out),)
    for command in ("00A4080C04DDF1EF06", "00B2010400"):
        card.transmit(bytes.fromhex(command))
    line = json.loads(out.getvalue().splitlines()[1])
    shown["host_us"] = line["host_us"]
    assert line == shown
