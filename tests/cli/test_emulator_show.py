"""rhcard emulator show: the whole card in words, and none of its secrets."""

from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, PIN, personalized_card
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, KEYS
from personalize.cli.exits import Exit
from tests.programs.rhcard import rhcard

ROOTS = public_test_roots(2)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    card = personalized_card(ROOTS)
    card.save(tmp_path / "a.card")
    card.close()
    return tmp_path / "a.card"


def test_json_tells_life_cycle_keys_counters_and_files(image: Path) -> None:
    shown = rhcard("emulator", "show", image, "--json").json
    assert (shown["chip"], shown["life_cycle"], shown["spec"]) == (
        CHIP.hex().upper(),
        "ACTIVE",
        "2.0",
    )
    assert [key["name"] for key in shown["card_keys"]] == [key.name for key in KEYS]
    assert [file["path"] for file in shown["files"]] == [file.path for file in FILES]
    assert [keys["version"] for keys in shown["key_sets"]] == ["01"]
    assert (shown["pin_tries"], shown["exit_code"]) == ("3 of 3", 0)


def test_check_values_are_those_of_the_issuer_s_keys(image: Path) -> None:
    shown = rhcard("emulator", "show", image, "--json").json
    keys = KeyStore(ROOTS).terminal_keys.for_card(CHIP, b"99000000")
    for key in shown["card_keys"]:
        assert key["key_check_value"] == keys.key_check_value(key["name"]).hex().upper()


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_key_pin_or_field_is_shown(image: Path, form: tuple[str, ...]) -> None:
    shown = rhcard("emulator", "show", image, *form).out
    card = SoftwareCard.open(image)
    for spec in KEYS:
        stored = card.state.card_key(spec)
        assert stored is not None
        assert stored.key.hex() not in shown.lower()
    for keys in card.state.key_sets.values():
        for secret in (keys.enc, keys.mac, keys.dek):
            assert secret.hex() not in shown.lower()
    card.close()
    assert PIN not in shown
    assert "王䶮" not in shown


def test_a_blank_card_has_keys_of_its_maker_and_no_files(tmp_path: Path) -> None:
    path = tmp_path / "blank.card"
    assert rhcard("emulator", "new", "--out", path).code == Exit.GOOD
    shown = rhcard("emulator", "show", path, "--json").json
    assert (shown["life_cycle"], shown["files"], shown["card_keys"]) == ("BLANK", [], [])
    assert [keys["version"] for keys in shown["key_sets"]] == ["FF"]
    assert "life cycle" in rhcard("emulator", "show", path).out


def test_what_is_no_card_image_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "no.card"
    path.write_bytes(b"RHCARD")
    result = rhcard("emulator", "show", path)
    assert result.code == Exit.NO_CARD
    assert result.err.count("\n") == 1
    assert str(path) in result.err
