"""What is said of a card image: everything but its secrets and what its files contain."""

import json
from dataclasses import fields

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, LifeCycle, SoftwareCard
from cardlib.emulator.bench.inspection import inspect
from cardlib.emulator.bench.ready_made import CHIP, PIN, personalized_card
from cardlib.emulator.chip.memory import Memory
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, KEYS
from tests.cards.issuer_sessions import STORE, Issuer, fcp, with_life_cycle

H = bytes.fromhex


def blank(options: CardOptions | None = None) -> SoftwareCard:
    return SoftwareCard.blank(CHIP, STORE.blank_keys(CHIP), options=options or CardOptions())


def test_a_blank_card_has_its_chip_and_transport_keys() -> None:
    found = inspect(blank())
    assert (found["chip"], found["life_cycle"]) == (CHIP.hex().upper(), "BLANK")
    assert H(found["atr"]) == blank().atr
    assert (found["spec"], found["cipher"], found["region"]) == ("", "", "")
    assert (found["files"], found["card_keys"], found["pin_tries"]) == ([], [], "")
    assert [(keys["version"], keys["bits"], keys["tries"]) for keys in found["key_sets"]] == [
        ("FF", 128, 15)
    ]


@pytest.mark.parametrize(("protocol", "cipher"), [
    (1, Cipher.SM4), (1, Cipher.AES), (2, Cipher.SM4), (2, Cipher.AES),
])  # fmt: skip
def test_a_personalized_card_has_keys_by_check_value(protocol: int, cipher: Cipher) -> None:
    roots = public_test_roots(protocol, cipher)
    card, keys = personalized_card(roots), KeyStore(roots).terminal_keys.for_card(CHIP, b"99000000")
    found = inspect(card)
    assert (found["spec"], found["cipher"]) == (f"{protocol}.0", cipher.name)
    assert (found["life_cycle"], found["region"]) == ("ACTIVE", "99000000")
    assert found["pin_tries"] == "3 of 3"
    shown = {key["name"]: key for key in found["card_keys"]}
    assert list(shown) == [key.name for key in KEYS]
    for name, key in shown.items():
        assert H(key["key_check_value"]) == keys.key_check_value(name)
        assert (key["cipher"], key["tries"]) == (cipher.name, 15)


def test_files_are_listed_with_state_records_and_bytes_written() -> None:
    card = personalized_card(public_test_roots(1))
    files = {file["path"]: file for file in inspect(card)["files"]}
    assert list(files) == [file.path for file in FILES]
    for spec in FILES:
        found = files[spec.path]
        assert (found["structure"], found["size"]) == (spec.structure.value, spec.size)
        assert found["state"] == "activated"
        assert 0 <= found["written"] <= spec.size
    assert files["DDF1/DF02/EF07"]["records"] == 2, "two allergies were appended"
    assert files["DDF1/DF02/EF08"]["records"] == 0
    assert files["DDF1/DF03/EE01"]["written"] == 0
    assert files["DDF1/EF06"]["written"] > 0


def test_created_files_and_states_are_shown() -> None:
    issuer = Issuer()
    issuer.select("DDF1")
    issuer.create(fcp("0C01", "0121", 100))
    issuer.sw("00D60000", b"\0" * 7)
    issuer.sw("00040000")
    issuer.select("DDF1")
    issuer.sw("00E80000", "EF05")
    issuer.create(fcp("0C02", "0421001003"))
    issuer.sw("00E20000", b"record")
    files = {file["path"]: file for file in inspect(issuer.card)["files"]}
    assert (files["DDF1/0C01"]["state"], files["DDF1/0C01"]["written"]) == ("deactivated", 7)
    assert (files["DDF1/0C02"]["records"], files["DDF1/0C02"]["written"]) == (1, 6)
    assert files["DDF1/EF05"]["state"] == "terminated"


def test_spent_tries_blocked_directories_and_counters_are_shown() -> None:
    card = personalized_card(public_test_roots(1))
    card.transmit(H("00A4040C05F052484301"))
    card.transmit(H("0020000006") + b"000000")
    card.transmit(H("0084000008"))
    card.transmit(H("0082000411") + bytes(16) + b"\1")
    card.state.blocked_directories = 0b01001
    card.memory.commit()
    Issuer(card)
    found = inspect(card)
    tries = {key["name"]: key["tries"] for key in found["card_keys"]}
    assert tries.pop("RK1_DDF1") == 14
    assert set(tries.values()) == {15}
    assert found["pin_tries"] == "2 of 3"
    assert found["blocked"] == ["DDF1/DF01", "DDF1/DF04"]
    assert found["scp03_sequence_counter"] == 1


def test_every_switch_is_shown() -> None:
    options = CardOptions(extended_length=True, logical_channels=3, scp03_s16=True)
    found = inspect(blank(options))["options"]
    assert found == {field.name: getattr(options, field.name) for field in fields(options)}


@pytest.mark.parametrize("life_cycle", list(LifeCycle)[1:])
def test_every_life_cycle_is_shown(life_cycle: LifeCycle) -> None:
    assert inspect(with_life_cycle(life_cycle))["life_cycle"] == life_cycle.name


def test_a_blank_card_that_was_terminated_is_shown() -> None:
    card = blank()
    card.state.life_cycle = LifeCycle.TERMINATED
    card.memory.commit()
    card = SoftwareCard(Memory(card.memory.pages))
    assert (inspect(card)["life_cycle"], inspect(card)["files"]) == ("TERMINATED", [])


def test_nothing_secret_and_nothing_personal_is_in_it() -> None:
    card = personalized_card(public_test_roots(1))
    text = json.dumps(inspect(card), ensure_ascii=False)
    secrets = [key.key for spec in KEYS if (key := card.state.card_key(spec))]
    for keys in card.state.key_sets.values():
        secrets += [keys.enc, keys.mac, keys.dek]
    assert len(secrets) == len(KEYS) + 3
    assert not any(secret.hex().upper() in text.upper() for secret in secrets)
    assert PIN not in text
    assert "王䶮" not in text and "王䶮".encode("gb18030").hex().upper() not in text


def test_looking_changes_nothing() -> None:
    card = personalized_card(public_test_roots(1))
    pages = card.memory.pages
    inspect(card)
    assert card.memory.pages == pages
