"""rhcard status: what the bureau's register says, while stations work."""

from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import FormatError

from .bureau_choice import database_option, needed_database
from .context import Context
from .exits import Exit
from .options import json_option
from .output import print_line, print_table, say

if TYPE_CHECKING:
    from ..register.bureau import RegisterReader
    from ..register.overview import BatchOverview

_CHIP_DIGITS = 16


@click.command(name="status")
@click.argument("what", metavar="[BATCH|CHIP]", required=False)
@database_option
@json_option
@click.pass_obj
def command(context: Context, what: str | None) -> int:
    """Show how far batches, stations and chips are.

    BATCH is the folder of a batch, or its number (a UUID); CHIP is a chip serial. Without either,
    all batches and stations are shown. No key is needed, nothing is changed, and stations may be
    at work.

    \b
    Examples:
      rhcard status --database bureau.sqlite
      rhcard status batch-2 --database bureau.sqlite
      rhcard status 1122334455667788 --database bureau.sqlite
    """
    from ..register.opening import open_reader

    with open_reader(needed_database(context)) as reader:
        if what is None:
            return _all(context, reader)
        if len(what) == _CHIP_DIGITS and all(c in "0123456789abcdefABCDEF" for c in what):
            return _chip(context, reader, what)
        return _batch(context, reader, what)


def _all(context: Context, reader: "RegisterReader") -> int:
    from ..register import overview

    batches, stations = overview.batches(reader), overview.stations(reader)
    chips = overview.chips(reader)
    if context.as_json:
        return context.answer({
            "register": reader.identity,
            "batches": [_batch_as_dict(each) for each in batches],
            "stations": [
                {
                    "name": each.name, "events": each.events,
                    "last": overview.time_of(each.last), "in_work": each.in_work,
                }
                for each in stations
            ],
            "chips": {state.value: number for state, number in chips.items()},
        })  # fmt: skip
    _print_batches(batches)
    rows = [
        (each.name, str(each.events), overview.time_of(each.last), str(each.in_work))
        for each in stations
    ]
    print_table("Stations", ("station", "events", "last event", "cards in work"), rows)
    known = ", ".join(f"{number} {state}" for state, number in sorted(chips.items()))
    print_line(f"Chips: {known or 'none'}")
    return Exit.GOOD


def _batch(context: Context, reader: "RegisterReader", what: str) -> int:
    from ..register import overview
    from ..register.conflict import JournalConflict

    name = _batch_id(what)
    found = overview.batches(reader, name)
    if not found:
        raise JournalConflict(
            f"{reader.database.name} has no batch {name}. `rhcard status` without a name lists them"
        )
    cards = [each for each in _cards(reader, name) if each["problem"] or each["in_work"]]
    if context.as_json:
        return context.answer({**_batch_as_dict(found[0]), "cards": cards})
    _print_batches(found)
    if cards:
        headings = ("card", "state", "chip", "station", "since", "problem")
        rows = [tuple(str(each[key] or "") for key in _COLUMNS) for each in cards]
        print_table("Cards in work, or with a problem", headings, rows)
    return Exit.GOOD


_COLUMNS = ("number", "state", "chip", "station", "since", "problem")


def _cards(reader: "RegisterReader", batch: str) -> list[dict[str, Any]]:
    from ..register.overview import IN_WORK, time_of
    from ..register.schema import card
    from ..register.writing import card_rows

    rows = reader.read(lambda connection: card_rows(connection, card.c.batch == batch))
    return [
        {
            "number": each.number, "state": each.state.value,
            "chip": None if each.chip is None else str(each.chip), "station": each.station,
            "since": time_of(each.changed), "problem": each.problem,
            "in_work": each.state in IN_WORK,
        }
        for each in rows
    ]  # fmt: skip


def _chip(context: Context, reader: "RegisterReader", what: str) -> int:
    from cardlib.facts import ChipSerial

    from ..register import overview
    from ..register.conflict import JournalConflict

    found = overview.chip(reader, ChipSerial.parse(what))
    if found is None:
        raise JournalConflict(f"{reader.database.name} does not know chip {what.upper()}")
    cards = [
        {
            "batch": each.batch, "number": each.number, "attempt": each.attempt,
            "state": each.state.value, "station": each.station or "",
            "since": overview.time_of(each.changed), "problem": each.problem,
        }
        for each in found.cards
    ]  # fmt: skip
    if context.as_json:
        return context.answer({"chip": str(found.chip), "state": found.state.value, "cards": cards})
    print_line(f"Chip {found.chip} is {found.state}")
    if cards:
        headings = ("batch", "card", "attempt", "state", "station", "since", "problem")
        print_table("Cards", headings, [tuple(map(str, each.values())) for each in cards])
    else:
        say("No card has it.")
    return Exit.GOOD


def _batch_id(what: str) -> str:
    from pathlib import Path
    from uuid import UUID

    from ..preparation.batch import read_header

    if Path(what).is_dir():
        return read_header(Path(what)).batch_id
    try:
        return str(UUID(what))
    except ValueError:
        raise FormatError(
            f"{what} is no folder of a batch, no number of one, and no chip serial of 16 hex digits"
        ) from None


def _batch_as_dict(each: "BatchOverview") -> dict[str, Any]:
    from ..register.overview import time_of

    return {
        "batch": each.batch, "key_version": each.key_version, "count": each.count,
        "entered": time_of(each.entered),
        "states": {state.value: number for state, number in each.states.items()},
    }  # fmt: skip


def _print_batches(batches: "list[BatchOverview]") -> None:
    from ..register.overview import time_of

    rows = [
        (
            each.batch, str(each.count),
            ", ".join(f"{number} {state}" for state, number in each.states.items()),
            time_of(each.entered),
        )
        for each in batches
    ]  # fmt: skip
    print_table("Batches", ("batch", "cards", "states", "entered"), rows)
