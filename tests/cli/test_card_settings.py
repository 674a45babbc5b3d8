"""rhcard emulator new with --profile, --set and --sample: the card that engineers test against."""

from pathlib import Path

import pytest

from cardlib.emulator import CardOptions, LifeCycle, SoftwareCard
from cardlib.emulator.bench.ready_made import PIN, RESIDENT
from cardlib.emulator.profile.card_options import CARD_SETTINGS
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, decode_record
from cardlib.layout.card_profile import FIELD, SETTINGS
from personalize.cli.exits import Exit
from tests.programs.rhcard import Ran, key_file, rhcard

H = bytes.fromhex


def made(path: Path, *words: str) -> Ran:
    return rhcard("emulator", "new", "--out", path, *words, passphrase=None)


def opened(path: Path) -> SoftwareCard:
    """The card as it is in the file, which is free again."""
    card = SoftwareCard.open(path)
    card.close()
    return card


def read(card: SoftwareCard, path: str, number: int) -> bytes:
    """A record as it is, whatever the rules are."""
    for fid in ("3F00", *path.split("/")):
        assert card.transmit(H(f"00A4000002{fid}")) == H("9000")
        card.channels[0].rights = -1
    return card.transmit(H(f"00B2{number:02X}0400"))[:-2]


def test_a_blank_of_the_field_profile_has_its_settings(tmp_path: Path) -> None:
    done = made(tmp_path / "field.card", "--profile", "field")
    assert done.code == Exit.GOOD
    card = opened(tmp_path / "field.card")
    assert card.options == CardOptions.of_profile(FIELD)
    assert card.state.life_cycle == LifeCycle.BLANK
    assert card.atr[5:13] == card.chip


@pytest.mark.parametrize(("setting", "value"), [
    (each.name, value) for each in CARD_SETTINGS for value in each.choices
])  # fmt: skip
def test_each_setting_is_set_alone_and_shown(tmp_path: Path, setting: str, value: str) -> None:
    path = tmp_path / "a.card"
    assert made(path, "--set", f"{setting}={value}").code == Exit.GOOD
    expected = {each.name: each.values["rhcard"] for each in CARD_SETTINGS} | {setting: value}
    assert opened(path).options.settings == expected
    shown = rhcard("emulator", "show", path).out
    assert [setting, *value.split()] in [line.split() for line in shown.splitlines()]
    told = rhcard("emulator", "show", path, "--json").json["options"][setting]
    assert told == ({"yes": True, "no": False}[value] if setting == "clear_updates" else value)


def test_settings_and_switches_change_a_profile_together(tmp_path: Path) -> None:
    path = tmp_path / "a.card"
    words = ("--set", "serial_place=last 8", "--set", "t0_select=61xx", "--extended-length")
    assert made(path, "--profile", "field", *words).code == Exit.GOOD
    card = opened(path)
    assert card.options == CardOptions.of_profile(
        FIELD.having({"serial_place": "last 8", "t0_select": "61xx"}), extended_length=True
    )
    assert card.atr[-8:] == card.chip


@pytest.mark.parametrize(("words", "said"), [
    (("--profile", "deployed"), "no profile 'deployed': use rhcard or field"),
    (("--set", "fci"), "write NAME=VALUE, for example serial_place=given"),
    (("--set", "colour=red"), "'colour' is no setting of a card: use serial_place, selection"),
    (("--set", "sam_pin=BCD"), "'sam_pin' is no setting of a card"),
    (("--set", "fci=none"), "fci is 'none': use C1 and C2 or nothing"),
    (("--set", "fci=nothing", "--set", "fci=nothing"), "fci is set twice"),
    (("--sample", "--count", "2"), "--sample makes one card: leave out --count"),
    (("--sample", "--keys", "keys.json"), "published test keys: leave out --keys"),
])  # fmt: skip
def test_a_wrong_choice_is_one_clear_error_and_makes_no_card(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = made(tmp_path / "a.card", *words)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert said in " ".join(done.err.split())
    assert not (tmp_path / "a.card").exists()


def test_keys_of_2_0_make_no_card_of_the_field_profile(tmp_path: Path) -> None:
    store = key_file(tmp_path)
    words = ("emulator", "new", "--keys", store, "--profile", "field", "--out", tmp_path / "a.card")
    done = rhcard(*words)
    assert done.code == Exit.USAGE
    assert "serial_place is of specification 1.0, but these keys are for 2.0" in done.err
    assert "rhcard keys new --protocol 1" in done.err
    assert not (tmp_path / "a.card").exists()


def test_a_field_sample_has_test_keys_a_resident_and_the_forms_of_the_profile(
    tmp_path: Path,
) -> None:
    path = tmp_path / "field.card"
    done = made(path, "--profile", "field", "--sample")
    assert done.code == Exit.GOOD
    assert f"published test keys, its PIN is {PIN}" in done.err
    card = opened(path)
    assert done.out == f"{path}  {card.chip.hex().upper()}\n"
    assert (card.state.life_cycle, card.spec) == (LifeCycle.ACTIVE, 0x10)
    keys = KeyStore(public_test_roots(1)).terminal_keys.for_card(card.chip, b"99000000")
    shown = rhcard("emulator", "show", path, "--json").json
    told = {key["name"]: key["key_check_value"] for key in shown["card_keys"]}
    assert H(told["RK1_DF02"]) == keys.key_check_value("RK1_DF02")
    assert read(card, "DDF1/EF05", 2) == b"\x02\x041.00"
    name = decode_record(FILE_BY_PATH["DDF1/EF06"], 1, read(card, "DDF1/EF06", 1))[0]
    assert name.value == RESIDENT["DDF1/EF06"][0]["name"]
    assert read(card, "DDF1/DF03/EF05", 1) == b"\0"
    files = {each["path"]: each["written"] for each in shown["files"]}
    assert files["DDF1/DF03/EE01"] > 1000 and files["DDF1/EF07"] > 2000


def test_a_sample_of_the_specification_is_of_2_0(tmp_path: Path) -> None:
    assert made(tmp_path / "a.card", "--sample").code == Exit.GOOD
    card = opened(tmp_path / "a.card")
    assert (card.spec, card.options) == (0x20, CardOptions())


def test_the_help_has_every_setting_of_a_card_from_the_table() -> None:
    text = " ".join(rhcard("emulator", "new", "--help").out.split())
    for each in SETTINGS:
        assert (each.meaning in text) == (each in CARD_SETTINGS)
        for choice in each.choices if each in CARD_SETTINGS else ():
            assert repr(choice) in text
