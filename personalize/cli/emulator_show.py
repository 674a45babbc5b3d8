"""rhcard emulator show: what a card file holds, without showing its secrets."""

from typing import TYPE_CHECKING

import click

from .context import Context
from .exits import Exit
from .options import json_option
from .output import print_line, print_table

if TYPE_CHECKING:
    from cardlib.emulator.bench.inspection import CardReport

_TRIES = 15


@click.command(name="show")
@click.argument("card", metavar="CARD")
@json_option
@click.pass_obj
def show(context: Context, card: str) -> int:
    """Show the state of a software card.

    Shows life cycle, check values of the keys, counters, files, and how much is written. No key,
    no PIN and no field is shown. `rhcard read` shows fields.

    \b
    Examples:
      rhcard emulator show CARD.card
    """
    from cardlib.emulator.bench.inspection import inspect

    from ..production.station import in_reader
    from .cards import card_file

    path = card_file(card)
    with in_reader(path, read_only=True) as connection:
        report = inspect(connection)
    if context.as_json:
        return context.answer({"card": str(path), **report})
    _print(report)
    return Exit.GOOD


def _print(report: "CardReport") -> None:
    print_table("card", ("", ""), [(name, value) for name, value in _facts(report) if value])
    print_table("options", ("", ""), [(name, _said(v)) for name, v in report["options"].items()])
    print_table(
        "SCP03 key sets",
        ("version", "bits", "check values", "tries"),
        [
            (each["version"], str(each["bits"]), " ".join(each["key_check_values"]),
             str(each["tries"]))
            for each in report["key_sets"]
        ],
    )  # fmt: skip
    if report["card_keys"]:
        rows = [
            (key["name"], str(key["version"]), key["cipher"], key["key_check_value"],
             str(key["tries"]))
            for key in report["card_keys"]
        ]  # fmt: skip
        print_table("card keys", ("name", "version", "cipher", "check value", "tries"), rows)
    if report["files"]:
        files = [
            (file["path"], file["structure"], file["state"], str(file["records"] or ""),
             f"{file['written']} of {file['size']}")
            for file in report["files"]
        ]  # fmt: skip
        print_table("files", ("path", "structure", "state", "records", "bytes written"), files)
    spent = [key["name"] for key in report["card_keys"] if key["tries"] < _TRIES]
    if spent:
        print_line(f"These keys have fewer tries left than at first: {', '.join(spent)}.")


def _facts(report: "CardReport") -> list[tuple[str, str]]:
    return [
        ("chip", report["chip"]),
        ("ATR", report["atr"]),
        ("life cycle", report["life_cycle"].lower()),
        ("specification", report["spec"]),
        ("cipher", report["cipher"]),
        ("region", report["region"]),
        ("SCP03 sequence counter", str(report["scp03_sequence_counter"])),
        ("PIN tries", report["pin_tries"]),
        ("blocked", ", ".join(report["blocked"])),
        ("memory pages", str(report["pages"])),
    ]


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
