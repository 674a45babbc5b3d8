"""The host with profile `field` at software cards of profile `field`: read, changed, and by which
bytes. What the one public driver sends is in tests/vectors/field_driver.json.
"""

import re

import pytest

from cardlib.apdu import Transmit
from cardlib.card import FieldCard, ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.errors import CardKeyError, NotPersonalized
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, State
from cardlib.layout.card_profile import FIELD, RHCARD, CardProfile
from tests.card.test_visits import visit
from tests.cards.field_bench import (
    ALLERGIES,
    EMERGENCY,
    FIRST_SLOT,
    HOLDER,
    INDEX,
    PHOTO,
    Bench,
    card_of_profile,
    check_all_is_read,
    keys_of,
    stored,
    texts,
)
from tests.cards.in_between import NO_FILE, NO_RECORD, InBetween, refusing
from tests.vectors import load

VECTORS = {each["name"]: each["steps"] for each in load("field_driver")["sequences"]}
VARIABLE = re.compile(r"\{.*\}$")


def driver_sends(name: str) -> list[str]:
    """What the driver sends to the card in a sequence; what is calculated is left out."""
    sent = [step["send"] for step in VECTORS[name] if step["to"] == "card"]
    return [VARIABLE.sub("", each.split("{")[0]) for each in sent if each != "RESET"]


def assert_as_driver(sent: list[str], name: str) -> None:
    """Whatever the driver sends in a sequence was sent, with the same header and length.

    It selects earlier, and it takes the terminal's random numbers from the card too.
    """
    for each in driver_sends(name):
        assert any(command.startswith(each) for command in sent), each


# --- reading ---------------------------------------------------------------------------------


def test_the_region_is_the_city_code_which_is_read_first() -> None:
    bench = Bench()
    identity = bench.host.identify()
    assert (identity.chip, identity.region) == (CHIP, b"99000000")
    assert (identity.spec_text, identity.cipher, identity.key_version) == ("1.0", Cipher.SM4, 1)
    assert bench.sent[:3] == driver_sends("power on: where the driver finds the chip's factor")


def test_all_that_is_on_a_field_card_is_read() -> None:
    check_all_is_read(Bench().read_all(), FIELD)


def test_the_issuers_data_are_read_by_tag_with_exact_le() -> None:
    bench = Bench(keys=None)
    bench.host.identify()
    before = len(bench.sent)
    assert texts(bench.host.read("DDF1/EF05"))["spec_version"] == "1.00"
    assert bench.since(before) == driver_sends("issuer data")[1:]


def test_the_holder_is_read_one_record_at_a_time_by_number() -> None:
    bench = Bench()
    bench.authenticate("RK1_DDF1")
    before = len(bench.sent)
    assert texts(bench.host.read(HOLDER)) == {
        "name": "王䶮", "sex": "1", "ethnicity": "01", "birth_date": "19900101",
        "resident_id_number": "990101199001011230",
    }  # fmt: skip
    assert bench.since(before) == ["00A4000002EF06", *driver_sends("cardholder")[-5:]]
    assert bench.of(0x82)[0].startswith("0082000411")


def test_emergency_data_are_read_one_record_at_a_time_by_number() -> None:
    bench = Bench()
    bench.authenticate("RK1_DF02")
    before = len(bench.sent)
    found = texts(bench.host.read(EMERGENCY))
    assert (found["abo_blood_group"], found["rh_blood_group"]) == ("4", "2")
    assert bench.since(before) == ["00A4000002EF05", *driver_sends("emergency data")[-15:]]
    assert bench.of(0x82)[0].startswith("0082008411")


def test_a_file_is_reached_by_identifiers_from_ddf1_on() -> None:
    bench = Bench()
    bench.authenticate("RK1_DF03")
    before = len(bench.sent)
    bench.host.read(EMERGENCY)
    assert bench.since(before)[:3] == driver_sends("emergency data")[:3]


def test_the_length_of_a_photo_is_read_first_then_blocks_of_128() -> None:
    bench = Bench()
    bench.authenticate("RK1_DDF1")
    before = len(bench.sent)
    (photo,) = bench.host.read("DDF1/EF07")
    assert photo.value == PHOTO
    assert bench.since(before) == ["00A4000002EF07", *driver_sends("photo")[-2:], "00B000827E"]


@pytest.mark.parametrize("profile", [FIELD, FIELD.having({"binary_block": "whole"})],
                         ids=["length first", "whole"])  # fmt: skip
@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 253, 254, 255, 300, 3070, 3071, 0xFFFF])
def test_a_photo_with_a_wrong_length_is_the_picture_or_corrupt(
    size: int, profile: CardProfile
) -> None:
    def lies(command: bytes, on: Transmit) -> bytes | None:
        if command[1:4] != b"\xb0\0\0":
            return None
        return size.to_bytes(2, "big") + on(command)[2:]

    bench = Bench(profile, InBetween(card_of_profile(profile), lies))
    bench.authenticate("RK1_DDF1")
    (photo,) = bench.host.read("DDF1/EF07")
    if len(PHOTO) <= size <= 3070:
        assert photo.value == PHOTO
    else:
        assert (photo.state, photo.value) == (State.CORRUPT, None) and photo.detail


# --- changes, and the bytes that are then on the card ----------------------------------------


def test_a_record_is_updated_as_the_driver_does_with_its_code_as_0n() -> None:
    bench, card = field_bench()
    bench.authenticate("UK1_DF02", "RK1_DF02")
    bench.host.update(EMERGENCY, 2, {"rh_blood_group": "1"})
    assert_as_driver(bench.of(0xA4, 0x84, 0x82, 0xDC), "update of Rh, written as two digits")
    assert texts(bench.host.read(EMERGENCY))["rh_blood_group"] == "1"
    assert stored(card, EMERGENCY, 2) == bytes.fromhex("2A0101")


def test_a_record_is_updated_with_a_blank_text_of_zeros() -> None:
    bench, card = field_bench()
    bench.authenticate("UK1_DF02", "RK1_DF02")
    assert stored(card_of_profile(RHCARD), EMERGENCY, 15) == b"\x37\x28" + b"\xff" * 40
    bench.host.update(EMERGENCY, 15, {"other_medical_alert": "起搏器"})
    bench.host.update(EMERGENCY, 15, {})
    assert bench.host.read(EMERGENCY)[14].state is State.EMPTY
    assert stored(card, EMERGENCY, 15) == b"\x37\x28" + b"\0" * 40


@pytest.mark.parametrize(("blank", "fill"), [("unwritten", b"\xff"), ("00", b"\0"), ("20", b" ")])
def test_an_allergy_is_appended_in_clear_with_blanks_as_the_profile_says(
    blank: str, fill: bytes
) -> None:
    bench, card = field_bench(FIELD.having({"blank_text": blank}))
    bench.authenticate("UK3_DF02", "RK1_DF02")
    bench.host.append(ALLERGIES, {"allergen": "芒果"})
    assert_as_driver(bench.of(0xA4, 0x84, 0x82, 0xDC), "allergy appended in clear")
    newest, *others = bench.host.read(ALLERGIES)
    assert (newest.text, [each.text for each in others if each.value]) == (
        "芒果", ["青霉素", "皮疹", "花生"],
    )  # fmt: skip
    assert stored(card, ALLERGIES) == "芒果".encode("gb18030").ljust(20, b"\0") + fill * 100


def test_a_visit_is_written_marked_read_and_erased_in_clear() -> None:
    bench, card = field_bench()
    bench.authenticate("UK1_DF03", "UK2_DF03", "RK1_DF03")
    assert bench.host.write_visit("inpatient", visit("inpatient")) == 1
    blocks, file = bench.of(0xD6), FILE_BY_PATH[FIRST_SLOT]
    assert [block[:10] for block in blocks] == [
        f"00D6{at:04X}{min(0x80, file.size - at):02X}" for at in range(0, file.size, 0x80)
    ]
    assert bench.of(0xD2) == [driver_sends("inpatient record")[-1]] == ["84D2010400"]
    ((slot, values),) = bench.host.read_visits("inpatient")
    assert slot == 1
    assert {value.field.name: value.value for value in values} == visit("inpatient")
    assert (stored(card, INDEX), stored(card, INDEX, 2)) == (b"\0", b"\xff")
    bench.host.forget()
    bench.authenticate("UK2_DF03", "RK1_DF03")
    bench.host.erase_mark(INDEX, 1)
    assert bench.of(0x0C) == [driver_sends("erase a mark in clear")[-1]] == ["840C010400"]
    assert bench.host.read_visits("inpatient") == []
    assert stored(card, INDEX) == b"\xff"


def test_a_visit_holds_one_digit_codes_as_0n_and_blank_texts_of_zeros() -> None:
    bench, card = field_bench()
    bench.authenticate("UK1_DF03", "RK1_DF03")
    bench.host.write_visit("inpatient", {"admission_condition": "2"})
    raw = stored(card, FIRST_SLOT)
    for field in FILE_BY_PATH[FIRST_SLOT].fields:
        octets = raw[field.offset : field.offset + field.length]
        blank = b"\0" if field.coding == "ans" else b"\xff"
        expected = b"\x02" if field.name == "admission_condition" else blank * field.length
        assert octets == expected, field.name


def test_the_holders_name_is_changed_under_uk1_and_stk_of_ddf1() -> None:
    bench, card = field_bench()
    bench.authenticate("UK1_DDF1", "RK1_DDF1")
    bench.host.update(HOLDER, 1, {"name": "王㛃"})
    assert_as_driver(bench.of(0xA4, 0x84, 0x82, 0xDC), "holder's name changed after issue")
    assert texts(bench.host.read(HOLDER))["name"] == "王㛃"
    assert stored(card, HOLDER)[:2] == b"\x0b\x1e"


def test_a_phone_is_changed_as_the_driver_does() -> None:
    bench, _ = field_bench()
    bench.authenticate("UK1_DDF1", "RK1_DDF1")
    bench.host.update("DDF1/EF08", 2, {"phone_1": "19900007777"})
    assert_as_driver(bench.of(0xA4, 0x84, 0x82, 0xDC), "phone changed")
    assert texts(bench.host.read("DDF1/EF08"))["phone_1"] == "19900007777"


def field_bench(profile: CardProfile = FIELD) -> tuple[Bench, SoftwareCard]:
    card = card_of_profile(profile)
    return Bench(profile, card), card


# --- what such a card does not say -----------------------------------------------------------


def test_a_blank_card_is_no_field_card() -> None:
    store = KeyStore(public_test_roots(1))
    blank = SoftwareCard.blank(CHIP, store.blank_keys(CHIP))
    with pytest.raises(NotPersonalized):
        ResidentHealthCard(blank).identify()


def test_cipher_and_key_version_are_the_operators_where_c1_is_missing() -> None:
    aes = keys_of(1, Cipher.AES)
    bench = Bench(card=card_of_profile(cipher=Cipher.AES), keys=aes)
    bench.authenticate("RK1_DF02")
    told = FieldCard(cipher=Cipher.SM4, key_version=2)
    other = Bench(card=card_of_profile(cipher=Cipher.AES), keys=aes, field_card=told)
    with pytest.raises(CardKeyError, match=r"this card is different: .* SM4 keys version 2"):
        other.authenticate("RK1_DF02")
    assert other.of(0x82, 0x88) == []


@pytest.mark.parametrize("city", ["FFFFFF", "000000", "202020", "4FFFFF"])
def test_without_a_city_code_free_files_are_read_and_no_key_is_used(city: str) -> None:
    """A key of another region would spend a try."""
    no_city = refusing(
        bytes.fromhex(f"3903{city}9000"), lambda command: command[1:3] == b"\xb2\x39"
    )
    bench = Bench(card=InBetween(card_of_profile(), no_city))
    assert texts(bench.host.read("DDF1/EF05"))["security_code"] == "123"
    with pytest.raises(CardKeyError, match="no city code"):
        bench.authenticate("RK1_DF02")
    assert bench.of(0x82, 0x88) == []


def test_a_record_that_no_form_brings_is_missing() -> None:
    no_third = refusing(NO_RECORD, lambda command: command[1:4] == bytes.fromhex("B20304"))
    bench = Bench(card=InBetween(card_of_profile(), no_third))
    bench.authenticate("RK1_DF02")
    states = [value.state for value in bench.host.read(EMERGENCY)]
    assert [n for n, state in enumerate(states, 1) if state is State.MISSING] == [3]


def test_a_missing_file_costs_no_second_form_in_profile_field() -> None:
    no_photo = refusing(NO_FILE, lambda command: command.endswith(b"\xef\x07"))
    bench = Bench(card=InBetween(card_of_profile(), no_photo))
    bench.authenticate("RK1_DDF1")
    before = len(bench.sent)
    assert {value.state for value in bench.host.read("DDF1/EF07")} == {State.MISSING}
    assert bench.since(before) == ["00A4000002EF07"]
