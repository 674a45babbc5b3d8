"""rhcard emulator new: each switch of a software card is an option, and `show` shows it."""

from dataclasses import fields
from pathlib import Path

import click
import pytest

from cardlib.emulator import CardOptions, SoftwareCard
from personalize.cli.emulator_new import SWITCHES, new
from personalize.cli.exits import Exit
from tests.programs.rhcard import rhcard

FIELDS = {
    field.name: field.default
    for field in fields(CardOptions)
    if not isinstance(field.default, str)  # a setting of a card profile: --set gives it
}
OPTIONS = {option.name: option for option in new.params if isinstance(option, click.Option)}
OTHERS = {
    "out", "count", "keys", "passphrase_file", "as_json", "profile", "settings", "sample",
}  # fmt: skip


def changed(name: str) -> tuple[object, list[str]]:
    """Another value than the default, and the words of the command line that give it."""
    option = OPTIONS[name]
    if option.is_flag:
        value = not FIELDS[name]
        return value, [(option.opts if value else option.secondary_opts)[0]]
    if isinstance(option.type, click.Choice):
        value = next(each for each in option.type.choices if each != FIELDS[name])
        return value, [option.opts[0], str(value)]
    return 3, [option.opts[0], "3"]


def test_every_switch_of_a_software_card_is_an_option() -> None:
    assert SWITCHES.keys() == FIELDS.keys()
    assert OPTIONS.keys() - OTHERS == FIELDS.keys()
    for name in FIELDS:
        assert OPTIONS[name].opts == [f"--{name.replace('_', '-')}"]


@pytest.mark.parametrize("name", FIELDS)
def test_an_option_sets_its_switch_and_no_other_and_show_tells(tmp_path: Path, name: str) -> None:
    value, words = changed(name)
    path = tmp_path / "a.card"
    assert rhcard("emulator", "new", "--out", path, *words).code == Exit.GOOD
    card = SoftwareCard.open(path)
    options = card.options
    card.close()
    assert {each: getattr(options, each) for each in FIELDS} == {**FIELDS, name: value}
    assert rhcard("emulator", "show", path, "--json").json["options"][name] == value
    shown = rhcard("emulator", "show", path).out
    said = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    assert [name, said] in [line.split() for line in shown.splitlines()]


@pytest.mark.parametrize("count", ["0", "5", "x"])
def test_a_number_of_channels_that_no_card_has_is_refused(tmp_path: Path, count: str) -> None:
    path = tmp_path / "a.card"
    done = rhcard("emulator", "new", "--out", path, "--logical-channels", count)
    assert (done.code, path.exists()) == (Exit.USAGE, False)
