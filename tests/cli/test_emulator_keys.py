"""rhcard emulator keys: the public test keys of a card, and never any others."""

from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.keys.roots import new_roots, public_test_roots
from personalize.cli.exits import Exit
from tests.cards.cards import blank_card
from tests.programs import openssl
from tests.programs.rhcard import key_file, rhcard, saved

H = bytes.fromhex


def keys_of(root: bytes, chip: str) -> dict[str, str]:
    """ENC, MAC and DEK as the openssl program derives them."""
    return {
        name: openssl.kbkdf("AES", root, name.encode(), H(chip), 16).hex().upper()
        for name in ("ENC", "MAC", "DEK")
    }


def test_the_transport_keys_of_a_blank_card_are_printed(tmp_path: Path) -> None:
    path = tmp_path / "a.card"
    chip = rhcard("emulator", "new", "--out", path, "--json").json["cards"][0]["chip"]
    done = rhcard("emulator", "keys", path, "--test-keys", "--json")
    assert (done.code, done.json["chip"], done.json["other_key_sets"]) == (Exit.GOOD, chip, [])
    (found,) = done.json["key_sets"]
    expected = keys_of(H("404142434445464748494A4B4C4D4E4F"), chip)
    assert (found["version"], found["set"], found["keys"]) == ("FF", "transport", expected)
    for name, key in expected.items():
        check_value = openssl.ecb("AES", H(key), b"\1" * 16)[:3].hex().upper()
        assert found["key_check_values"][name] == check_value
    shown = rhcard("emulator", "keys", path, "--test-keys").out
    assert all(key in shown for key in expected.values())


@pytest.mark.parametrize("protocol", [1, 2])
def test_the_issuer_keys_of_a_card_of_the_public_test_roots_are_printed(
    tmp_path: Path, protocol: int
) -> None:
    roots = public_test_roots(protocol)
    path = saved(personalized_card(roots), tmp_path / "a.card")
    (found,) = rhcard("emulator", "keys", path, "--test-keys", "--json").json["key_sets"]
    assert (found["version"], found["set"]) == ("01", f"issuer, {protocol}.0 SM4")
    assert found["keys"] == keys_of(roots.issuer, CHIP.hex())


def private_cards(folder: Path) -> list[Path]:
    """A blank card and an issued one whose keys nobody else knows."""
    store = key_file(folder)
    assert rhcard("emulator", "new", "--out", folder / "blank.card", "--keys", store).code == 0
    issued = saved(personalized_card(new_roots()), folder / "issued.card")
    return [folder / "blank.card", issued]


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_other_keys_are_refused_in_one_line_and_cost_no_try(
    tmp_path: Path, form: tuple[str, ...]
) -> None:
    for path in private_cards(tmp_path):
        before = path.read_bytes()
        done = rhcard("emulator", "keys", path, "--test-keys", *form)
        assert done.code == Exit.KEY_PROBLEM
        said = done.json["error"] + "\n" if form else done.err
        assert said.count("\n") == 1
        assert "not the published test keys" in said
        card = SoftwareCard.open(path)
        secrets = [k for s in card.state.key_sets.values() for k in (s.enc, s.mac, s.dek)]
        card.close()
        assert not [key for key in secrets if key.hex() in (done.out + done.err).lower()]
        assert path.read_bytes() == before


def test_a_key_set_of_somebody_else_beside_the_public_one_is_named_only(tmp_path: Path) -> None:
    card = blank_card()
    sets = card.state.key_sets
    card.state.key_sets = sets | {2: type(sets[0xFF])(2, b"e" * 16, b"m" * 16, b"d" * 16, 15)}
    card.memory.commit()
    path = saved(card, tmp_path / "a.card")
    done = rhcard("emulator", "keys", path, "--test-keys")
    assert (done.code, "Key set 02 is not one" in done.err) == (Exit.GOOD, True)
    assert (b"e" * 16).hex().upper() not in done.out


def test_the_keys_are_printed_only_when_they_are_asked_for_by_name(tmp_path: Path) -> None:
    path = saved(blank_card(), tmp_path / "a.card")
    done = rhcard("emulator", "keys", path)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "--test-keys" in done.err
