"""The host with profile `field`: what one public driver sends, and what a deployed card answers."""

from collections.abc import Mapping
from typing import Any

import pytest

from cardlib.card import FieldCard, ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, RESIDENT, personalized_card
from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    NotPersonalized,
    ProfileNeeded,
    StatusWordError,
)
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, FieldValue, State, Structure
from cardlib.layout.card_profile import FIELD, RHCARD, SETTINGS, CardProfile
from cardlib.transport.recorder import Recorder
from tests.card.test_visits import visit
from tests.cards.field_cards import NO_FILE, REFUSED, FieldLike

PHOTO = b"\xff\xd8" + bytes(range(250)) + b"\xff\xd9"
RECORDS: Mapping[str, Any] = {**RESIDENT, "DDF1/EF07": ({"photo": PHOTO},)}
EMERGENCY, ALLERGIES, INDEX = "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF05"
ROWS = {each.name: each.values["field"] for each in SETTINGS}
HOST_ROWS = ("selection", "record_reading", "binary_block")
"""The rows that a host may follow without being told, because they are addressing and reading."""


def roots_keys(protocol: int = 1, cipher: Cipher = Cipher.SM4) -> Any:
    return KeyStore(public_test_roots(protocol, cipher)).terminal_keys


KEYS = roots_keys()
NO_INTERNAL_KEY = KEYS.only(KEYS.names - {"IRK_DDF1"})


def new_card(
    protocol: int = 1, cipher: Cipher = Cipher.SM4, *, clear: bool = True, records: Any = RECORDS
) -> SoftwareCard:
    options = CardOptions(clear_updates=clear)
    return personalized_card(public_test_roots(protocol, cipher), records=records, options=options)


class Bench:
    """A stand-in card, a terminal at it, and what went between them."""

    def __init__(
        self,
        profile: CardProfile = FIELD,
        *,
        card_profile: CardProfile | None = None,
        card: SoftwareCard | None = None,
        keys: Any = KEYS,
        min_protocol: int | None = None,
        **more: Any,
    ) -> None:
        clear = (card_profile or profile).clear_updates == "yes"
        self.card = card or new_card(clear=clear)
        self.line = FieldLike(self.card, card_profile or profile)
        self.log = Recorder(self.line)
        self.host = ResidentHealthCard(self.log, keys, min_protocol, profile=profile, **more)

    @property
    def sent(self) -> list[str]:
        return [each.command.hex().upper() for each in self.log.commands]

    def of(self, *instructions: int) -> list[str]:
        return [
            each.command.hex().upper()
            for each in self.log.commands
            if each.command[1] in instructions
        ]

    def since(self, mark: int) -> list[str]:
        return self.sent[mark:]

    def read_all(self) -> dict[str, tuple[FieldValue, ...]]:
        found = {}
        for file in FILES:
            if file.read_key and file.read_key not in self.host.rights:
                self.host.authenticate(file.read_key)
            found[file.path] = self.host.read(file.path)
        return found


def texts(values: tuple[FieldValue, ...]) -> dict[str, str]:
    return {value.field.name: value.text for value in values if value.value is not None}


def as_specified() -> dict[str, tuple[FieldValue, ...]]:
    return Bench(RHCARD, min_protocol=1).read_all()


# --- the driver's sequences ------------------------------------------------------------


def test_the_region_is_the_city_code_which_is_read_first() -> None:
    bench = Bench()
    identity = bench.host.identify()
    assert (identity.chip, identity.region) == (CHIP, b"99000000")
    assert (identity.spec_text, identity.cipher, identity.key_version) == ("1.0", Cipher.SM4, 1)
    assert bench.sent[:3] == ["00A4000002DDF1", "00A4000002EF05", "00B2390005"]


def test_the_issuers_data_are_read_by_tag_with_exact_le() -> None:
    bench = Bench(keys=None)
    bench.host.identify()
    before = len(bench.sent)
    bench.host.read("DDF1/EF05")
    assert bench.since(before) == [
        "00A4000002EF05", "00B2010003", "00B2020006", "00B2030020", "00B204000D", "00B20500B6",
        "00B2060006", "00B2080014", "00B2090005", "00B20A000C", "00B2390005",
    ]  # fmt: skip


def test_emergency_data_are_read_one_record_at_a_time_by_number() -> None:
    bench = Bench()
    bench.host.authenticate("RK1_DF02")
    before = len(bench.sent)
    assert texts(bench.host.read(EMERGENCY))["abo_blood_group"] == "4"
    reads = [f"00B2{number:02X}0400" for number in range(1, 16)]
    assert bench.since(before) == ["00A4000002EF05", *reads]


def test_a_file_is_reached_by_identifiers_from_ddf1_on() -> None:
    bench = Bench()
    bench.host.authenticate("RK1_DF03")
    before = len(bench.sent)
    bench.host.read(EMERGENCY)
    selects = ["00A4000002DDF1", "00A4000002DF02", "00A4000002EF05"]
    assert bench.since(before)[:3] == selects


def test_the_length_of_a_photo_is_read_first_then_blocks_of_128() -> None:
    bench = Bench()
    bench.host.authenticate("RK1_DDF1")
    before = len(bench.sent)
    (photo,) = bench.host.read("DDF1/EF07")
    assert photo.value == PHOTO
    assert bench.since(before) == ["00A4000002EF07", "00B0000002", "00B0000280", "00B000827E"]


def test_a_record_is_updated_with_its_code_as_0n() -> None:
    bench = Bench()
    for name in ("UK1_DF02", "RK1_DF02"):
        bench.host.authenticate(name)
    bench.host.update(EMERGENCY, 2, {"rh_blood_group": "1"})
    assert bench.of(0xDC)[0][:10] == "04DC020414"
    assert bench.host.read_raw(EMERGENCY)[1] == bytes.fromhex("2A0101")
    assert texts(bench.host.read(EMERGENCY))["rh_blood_group"] == "1"


def test_a_blank_text_is_filled_as_the_profile_says() -> None:
    for setting, fill in (("unwritten", b"\xff"), ("00", b"\0"), ("20", b" ")):
        bench = Bench(FIELD.having({"blank_text": setting}))
        for name in ("UK3_DF02", "RK1_DF02"):
            bench.host.authenticate(name)
        bench.host.append(ALLERGIES, {"allergen": "芒果"})
        assert bench.of(0xDC)[0][:10] == "00DC000378"
        newest = bench.host.read_raw(ALLERGIES)[0]
        assert newest is not None and newest.endswith(fill * 100)


def test_a_visit_is_written_marked_and_erased_in_clear() -> None:
    bench = Bench()
    for name in ("UK1_DF03", "UK2_DF03", "RK1_DF03"):
        bench.host.authenticate(name)
    assert bench.host.write_visit("inpatient", visit("inpatient")) == 1
    blocks = bench.of(0xD6)
    assert [block[:10] for block in blocks[:2]] == ["00D6000080", "00D6008080"]
    assert blocks[-1][:10] == "00D6070065"
    assert bench.of(0xD2) == ["84D2010400"]
    ((slot, values),) = bench.host.read_visits("inpatient")
    assert slot == 1
    assert {value.field.name: value.value for value in values} == visit("inpatient")
    assert bench.of(0xB0)[-1] == "00B0070065"
    bench.host.erase_mark(INDEX, 1)
    assert bench.of(0x0C) == ["840C010400"]
    assert bench.host.read_visits("inpatient") == []


def test_the_holders_name_is_changed_under_uk1_and_stk_of_ddf1() -> None:
    bench = Bench()
    bench.host.authenticate("UK1_DDF1")
    with pytest.raises(StatusWordError) as error:
        # Our own card never allows it; what is sent is the driver's.
        bench.host.update("DDF1/EF06", 1, {"name": "王䶮"})
    assert bench.of(0xDC)[0][:10] == "04DC010434"
    assert "never be changed" not in str(error.value)


# --- every row, alone and together -----------------------------------------------------


def test_all_that_is_on_a_field_card_is_read() -> None:
    assert Bench().read_all() == as_specified()


@pytest.mark.parametrize("name", ROWS)
def test_each_row_alone_changes_how_a_card_is_read_and_not_what(name: str) -> None:
    profile = RHCARD.having({name: ROWS[name]})
    assert Bench(profile, min_protocol=1).read_all() == as_specified()


@pytest.mark.parametrize("name", ROWS)
def test_each_row_of_the_specification_alone_is_read_in_profile_field(name: str) -> None:
    profile = FIELD.having({name: RHCARD_VALUES[name]})
    assert Bench(profile).read_all() == as_specified()


RHCARD_VALUES = {each.name: each.values["rhcard"] for each in SETTINGS}


@pytest.mark.parametrize("name", HOST_ROWS[:2])
def test_addressing_and_reading_follow_the_card_without_being_told(name: str) -> None:
    card_profile = RHCARD.having({name: ROWS[name]})
    bench = Bench(RHCARD, card_profile=card_profile, min_protocol=1)
    assert bench.read_all() == as_specified()


@pytest.mark.parametrize("name", HOST_ROWS[:2])
def test_a_card_of_specification_2_is_read_so_too(name: str) -> None:
    """In a session files are selected by path, so only before it may the card refuse that."""
    card_profile = RHCARD.having({name: ROWS[name]})
    card = new_card(protocol=2)
    host = ResidentHealthCard(FieldLike(card, card_profile))
    (first, *_) = host.read("DDF1/EF05")
    assert host.protocol == 2 and first.state is State.VALUE


@pytest.mark.parametrize("answer", [b"\x6a\x83", REFUSED], ids=["6A83", "6A86"])
def test_no_record_is_missing_that_p2_05_does_not_bring(answer: bytes) -> None:
    """The allergies above all: they must not read as "no entries recorded"."""
    line = FieldLike(new_card(), RHCARD.having({"record_reading": "one"}), no_many=answer)
    host = ResidentHealthCard(line, KEYS, 1)
    host.authenticate("RK1_DF02")
    assert [value.text for value in host.read(ALLERGIES) if value.value] == [
        "青霉素", "皮疹", "花生",
    ]  # fmt: skip
    assert {value.state for value in host.read(EMERGENCY)} >= {State.VALUE, State.NEGATIVE}
    assert State.MISSING not in {value.state for value in host.read(EMERGENCY)}
    assert [value.detail for value in host.read("DDF1/DF02/EF08")] == ["no entries recorded"] * 2


def test_records_after_the_last_that_p2_05_brings_are_read_by_number() -> None:
    class OnlyFirst(FieldLike):
        """P2=05 brings record 1, and 6A83 for the others."""

        def transmit(self, command: bytes) -> bytes:
            if command[1] == 0xB2 and command[3] == 0x05:
                if command[2] != 1:
                    return b"\x6a\x83"
                return self.card.transmit(bytes.fromhex("00B2010400"))
            return super().transmit(command)

    host = ResidentHealthCard(OnlyFirst(new_card(), RHCARD), KEYS, 1)
    host.authenticate("RK1_DF02")
    assert State.MISSING not in {value.state for value in host.read(EMERGENCY)}


def test_a_record_that_no_form_brings_is_missing() -> None:
    class Without(FieldLike):
        def transmit(self, command: bytes) -> bytes:
            by_number = command[1:4] == bytes.fromhex("B20304")
            return b"\x6a\x83" if by_number else super().transmit(command)

    host = ResidentHealthCard(Without(new_card(), FIELD), KEYS, profile=FIELD)
    host.authenticate("RK1_DF02")
    states = [value.state for value in host.read(EMERGENCY)]
    assert [n for n, state in enumerate(states, 1) if state is State.MISSING] == [3]


# --- what must be said by the operator -------------------------------------------------


def test_a_card_that_does_not_describe_itself_needs_the_profile_from_the_operator() -> None:
    for rows in (("fci",), ("fci", "selection"), ()):
        card_profile = RHCARD.having({row: ROWS[row] for row in rows}) if rows else FIELD
        bench = Bench(RHCARD, card_profile=card_profile, min_protocol=1)
        with pytest.raises(ProfileNeeded, match=r"does not say .* add --profile field"):
            bench.host.authenticate("RK1_DF02")
        assert bench.of(0x82, 0x84, 0x88, 0x20) == []


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_card_without_its_serial_in_the_historical_bytes_needs_the_profile_too(
    protocol: int,
) -> None:
    line = FieldLike(new_card(protocol), RHCARD.having({"serial_place": "last 8"}))
    with pytest.raises(ProfileNeeded, match="its chip serial"):
        ResidentHealthCard(line, roots_keys(protocol), protocol).authenticate("RK1_DF02")


def test_a_blank_card_is_no_field_card() -> None:
    store = KeyStore(public_test_roots(1))
    blank = SoftwareCard.blank(CHIP, store.blank_keys(CHIP))
    with pytest.raises(NotPersonalized):
        ResidentHealthCard(blank).identify()


ACTIONS: Mapping[str, Any] = {
    "authenticate": lambda host: host.authenticate("RK1_DF02"),
    "internal authenticate": lambda host: host.internal_authenticate(),
    "PIN": lambda host: host.verify_pin("135790"),
    "update": lambda host: host.update(EMERGENCY, 1, {"abo_blood_group": "1"}),
    "append": lambda host: host.append(ALLERGIES, {"allergen": "x"}),
    "mark": lambda host: host.mark(INDEX, 1),
    "binary": lambda host: host.write_binary("DDF1/DF03/EE01", 0, b"x"),
}


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("action", ACTIONS)
def test_who_makes_a_2_0_card_look_like_field_gets_nothing(action: str, protocol: int) -> None:
    """No authentication, no PIN, no update: whether the terminal holds keys of 2.0 or of 1.0."""
    card = new_card(protocol=2)
    bench = Bench(RHCARD, card_profile=FIELD, card=card, keys=roots_keys(protocol))
    with pytest.raises(CardError):
        ACTIONS[action](bench.host)
    assert {command[2:4] for command in bench.sent} <= {"A4", "B2"}


def test_profile_field_does_not_use_keys_of_2_0_and_a_2_0_card_does_not_take_those_of_1_0() -> None:
    card = new_card(protocol=2)
    bench = Bench(FIELD, card=card, keys=roots_keys(2))
    with pytest.raises(ChannelError, match=r"specification 2.0"):
        bench.host.authenticate("RK1_DF02")
    assert bench.of(0x82, 0x88) == []


def test_addressing_alone_never_lowers_the_least_version() -> None:
    profile = RHCARD.having({name: ROWS[name] for name in HOST_ROWS} | {"fci": "nothing"})
    bench = Bench(profile)
    with pytest.raises(ChannelError, match="accepts version 2"):
        bench.host.authenticate("RK1_DF02")
    assert bench.of(0x82, 0x88) == []


def test_cipher_and_key_version_are_the_operators_where_c1_is_missing() -> None:
    aes = roots_keys(1, Cipher.AES)
    bench = Bench(card=new_card(cipher=Cipher.AES), keys=aes)
    bench.host.authenticate("RK1_DF02")
    told = FieldCard(cipher=Cipher.SM4, key_version=2)
    other = Bench(card=new_card(cipher=Cipher.AES), keys=aes, field_card=told)
    with pytest.raises(CardKeyError, match=r"this card is different: .* SM4 keys version 2"):
        other.host.authenticate("RK1_DF02")
    assert other.of(0x82, 0x88) == []


@pytest.mark.parametrize("name", ["yes", "no"])
def test_spec_version_1_00_is_taken_where_the_profile_says_so(name: str) -> None:
    class Old(FieldLike):
        def transmit(self, command: bytes) -> bytes:
            reply = super().transmit(command)
            return bytes.fromhex("0204312E30309000") if command[1:4] == b"\xb2\x02\0" else reply

    profile = FIELD.having({"old_spec_version": name})
    host = ResidentHealthCard(Old(new_card(), profile), KEYS, profile=profile)
    if name == "yes":
        assert host.identify().protocol == 1
    else:
        with pytest.raises(ChannelError, match=r"specification 1.00"):
            host.identify()


def test_without_a_city_code_free_files_are_read_and_no_key_is_used() -> None:
    class WithoutCity(FieldLike):
        def transmit(self, command: bytes) -> bytes:
            unwritten = bytes.fromhex("3903FFFFFF9000")
            return unwritten if command[1:3] == b"\xb2\x39" else super().transmit(command)

    log = Recorder(WithoutCity(new_card()))
    host = ResidentHealthCard(log, KEYS, profile=FIELD)
    assert texts(host.read("DDF1/EF05"))["security_code"] == "123"
    with pytest.raises(CardKeyError, match="no city code"):
        host.authenticate("RK1_DF02")
    assert not [each for each in log.commands if each.command[1] in (0x82, 0x88)]


# --- the chip serial's place -----------------------------------------------------------

PLACES = ("bytes 5-12", "last 8")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("told", PLACES)
def test_the_internal_key_tells_the_place_and_no_try_is_spent(place: str, told: str) -> None:
    bench = Bench(
        FIELD.having({"serial_place": told}),
        card_profile=FIELD.having({"serial_place": place}),
    )
    bench.host.authenticate("RK1_DF02")
    assert bench.host.serial_place == place and bench.host.identity.chip == CHIP
    assert len(bench.of(0x88)) == 1 and len(bench.of(0x82)) == 1
    assert [each.response for each in bench.log.commands if each.response[-2] == 0x63] == []


def wrong_place(keys: Any = NO_INTERNAL_KEY) -> Bench:
    return Bench(FIELD, card_profile=FIELD.having({"serial_place": "last 8"}), keys=keys)


def test_after_a_wrong_place_exactly_one_try_is_spent_and_the_place_is_named() -> None:
    bench = wrong_place()
    with pytest.raises(StatusWordError, match=r"63CE .* bytes 5 to 12 of the ATR"):
        bench.host.authenticate("RK1_DF02")
    for again in (bench.host.reset, bench.host.forget, bench.host.identify):
        again()
        for name in ("RK1_DF02", "RK1_DDF1", "UK1_DF01"):
            with pytest.raises(CardKeyError, match=r"no second .* bytes 5 to 12 .* 15 wrong"):
                bench.host.authenticate(name)
    assert len(bench.of(0x82)) == 1
    told = ResidentHealthCard(bench.log, NO_INTERNAL_KEY, profile=bench.line.profile)
    told.authenticate("RK1_DF02")
    told.authenticate("RK1_DDF1")


def test_a_wrong_mac_is_a_try_too() -> None:
    bench = wrong_place()
    with pytest.raises(StatusWordError):
        bench.host.update(EMERGENCY, 1, {"abo_blood_group": "1"})
    with pytest.raises(CardKeyError, match="no second"):
        bench.host.update(EMERGENCY, 1, {"abo_blood_group": "1"})
    with pytest.raises(CardKeyError, match="no second"):
        bench.host.authenticate("RK1_DF02")
    assert len(bench.of(0xDC)) == 1 and bench.of(0x82) == []


def test_a_try_whose_answer_is_lost_counts_as_spent() -> None:
    class Lost(FieldLike):
        def transmit(self, command: bytes) -> bytes:
            if command[1] == 0x82:
                raise CardError("pulled out")
            return super().transmit(command)

    host = ResidentHealthCard(Lost(new_card()), NO_INTERNAL_KEY, profile=FIELD)
    with pytest.raises(CardError, match="pulled out"):
        host.authenticate("RK1_DF02")
    with pytest.raises(CardKeyError, match="no second"):
        host.authenticate("RK1_DF02")


def test_a_key_that_is_accepted_makes_the_place_sure() -> None:
    bench = Bench(keys=NO_INTERNAL_KEY)
    bench.host.authenticate("RK1_DF02")
    with pytest.raises(StatusWordError):
        # Refused for another reason: the place is not doubted any more.
        bench.host.update("DDF1/EF05", 1, {})
    bench.host.authenticate("RK1_DDF1")


def test_a_serial_may_be_given_by_hand_and_a_wrong_one_spends_one_try() -> None:
    given = FIELD.having({"serial_place": "given"})
    right = Bench(given, keys=NO_INTERNAL_KEY, field_card=FieldCard(chip=CHIP))
    right.host.authenticate("RK1_DF02")
    wrong = Bench(given, keys=NO_INTERNAL_KEY, field_card=FieldCard(chip=bytes(8)))
    with pytest.raises(StatusWordError, match="given by hand"):
        wrong.host.authenticate("RK1_DF02")
    with pytest.raises(CardKeyError, match="no second"):
        wrong.host.authenticate("RK1_DF02")
    with pytest.raises(CardKeyError, match="give its 16 hex digits"):
        Bench(given).host.identify()


def test_a_card_that_fits_no_place_is_not_genuine_and_spends_nothing() -> None:
    bench = Bench(FIELD, card_profile=FIELD.having({"serial_place": "given"}))
    with pytest.raises(ChannelError, match="may be the wrong place"):
        bench.host.authenticate("RK1_DF02")
    assert bench.of(0x82) == []


def test_a_missing_file_costs_no_second_form_in_profile_field() -> None:
    class WithoutPhoto(FieldLike):
        def transmit(self, command: bytes) -> bytes:
            return NO_FILE if command.endswith(b"\xef\x07") else super().transmit(command)

    host = ResidentHealthCard(WithoutPhoto(new_card()), KEYS, profile=FIELD)
    host.authenticate("RK1_DDF1")
    assert {value.state for value in host.read("DDF1/EF07")} == {State.MISSING}
    assert {file.structure for file in FILES} == set(Structure)
