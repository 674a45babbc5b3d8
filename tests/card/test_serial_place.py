"""Where a card's chip serial is: told by the internal key, else tried once, and never twice."""

import pytest

from cardlib.card import FieldCard, ResidentHealthCard
from cardlib.card.holder import change_pin
from cardlib.emulator.bench.ready_made import CHIP, PIN
from cardlib.errors import (
    CardError,
    CardKeyError,
    NotGenuine,
    ProfileNeeded,
    StatusWordError,
    TransportError,
)
from cardlib.keys import KeySet
from cardlib.layout.card_profile import FIELD, RHCARD
from tests.cards.field_bench import (
    EMERGENCY,
    KEYS_1,
    NO_INTERNAL_KEY,
    Bench,
    card_of_profile,
    check_all_is_read,
    keys_of,
)
from tests.cards.in_between import InBetween, Rule, refusing, without_serial

INTERNAL, EXTERNAL, VERIFY = 0x88, 0x82, 0x20
PLACES = ("bytes 5-12", "last 8")
REFUSALS = {"6D00": b"\x6d\x00", "6E00": b"\x6e\x00", "6985": b"\x69\x85", "6983": b"\x69\x83"}
LAST_8 = FIELD.having({"serial_place": "last 8"})


def no_internal(answer: bytes = b"\x6d\x00") -> Rule:
    """The card refuses INTERNAL AUTHENTICATE."""
    return refusing(answer, lambda command: command[1] == INTERNAL)


def spent(bench: Bench) -> list[str]:
    """The answers that say how many tries a key has left."""
    return [each.response.hex().upper() for each in bench.log.commands if each.response[-2] == 0x63]


def wrong_place(keys: KeySet = NO_INTERNAL_KEY, *rules: Rule) -> Bench:
    """A host that takes bytes 5 to 12, at a card whose serial is the last 8."""
    return Bench(card=InBetween(card_of_profile(LAST_8), *rules), keys=keys)


# --- with the internal key -------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("told", PLACES)
def test_the_internal_key_tells_the_place_and_no_try_is_spent(place: str, told: str) -> None:
    card = card_of_profile(FIELD.having({"serial_place": place}))
    bench = Bench(FIELD.having({"serial_place": told}), card)
    bench.authenticate("RK1_DF02")
    assert bench.host.serial_place == place and bench.host.serial_is_sure
    assert bench.host.identity.chip == CHIP
    assert len(bench.of(INTERNAL)) == 1 and len(bench.of(EXTERNAL)) == 1
    assert spent(bench) == []


def test_our_own_card_is_found_so_too() -> None:
    bench = Bench(card=card_of_profile(RHCARD))
    bench.authenticate("RK1_DF02")
    assert bench.host.serial_place == "historical tag" and spent(bench) == []


def test_a_card_that_fits_no_place_is_not_genuine_and_spends_nothing() -> None:
    bench = Bench(card=card_of_profile(FIELD.having({"serial_place": "given"})))
    with pytest.raises(
        NotGenuine, match=r"no chip serial fits .* bytes 5 to 12 of the ATR, .* last 8"
    ):
        bench.authenticate("RK1_DF02")
    assert bench.of(EXTERNAL) == []


# --- with the internal key, at a card that refuses to prove it -------------------------------


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_a_card_that_refuses_the_question_is_read_if_the_place_is_right(answer: bytes) -> None:
    bench = Bench(card=InBetween(card_of_profile(), no_internal(answer)))
    check_all_is_read(bench.read_all(), FIELD)
    assert bench.host.internal_refusal == int.from_bytes(answer, "big")
    assert len(bench.of(INTERNAL)) == 1, "it is asked once"
    assert spent(bench) == []


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_at_a_wrong_place_it_then_spends_one_try_and_says_why(answer: bytes) -> None:
    bench, said = wrong_place(KEYS_1, no_internal(answer)), answer.hex().upper()
    with pytest.raises(
        StatusWordError,
        match=rf"63CE .* bytes 5 to 12 of the ATR, which may be the wrong place .*{said}",
    ):
        bench.authenticate("RK1_DF02")
    for name in ("RK1_DF02", "RK1_DDF1"):
        with pytest.raises(CardKeyError, match=rf"no second .* bytes 5 to 12 .*{said}.* 15 wrong"):
            bench.authenticate(name)
    bench.host.reset()
    with pytest.raises(CardKeyError, match="no second"):
        bench.authenticate("RK1_DF02")
    assert spent(bench) == ["63CE"] and len(bench.of(INTERNAL)) == 1


def test_whoever_asks_for_the_proof_itself_gets_the_refusal() -> None:
    bench = Bench(card=InBetween(card_of_profile(), no_internal()))
    with pytest.raises(StatusWordError, match=r"INTERNAL AUTHENTICATE: 6D00"):
        bench.host.internal_authenticate()


# --- without the internal key ----------------------------------------------------------------


def test_after_a_wrong_place_exactly_one_try_is_spent_and_the_place_is_named() -> None:
    bench = wrong_place()
    with pytest.raises(StatusWordError, match=r"63CE .* bytes 5 to 12 of the ATR"):
        bench.authenticate("RK1_DF02")
    for again in (bench.host.reset, bench.host.forget, bench.host.identify):
        again()
        for name in ("RK1_DF02", "RK1_DDF1", "UK1_DF01"):
            with pytest.raises(CardKeyError, match=r"no second .* bytes 5 to 12 .* 15 wrong"):
                bench.authenticate(name)
    assert spent(bench) == ["63CE"] and len(bench.of(EXTERNAL)) == 1
    told = ResidentHealthCard(bench.log, NO_INTERNAL_KEY, profile=LAST_8)
    told.authenticate("RK1_DF02")
    told.authenticate("RK1_DDF1")


def test_a_wrong_mac_is_a_try_too() -> None:
    bench = wrong_place()
    with pytest.raises(StatusWordError):
        bench.host.update(EMERGENCY, 1, {"abo_blood_group": "1"})
    with pytest.raises(CardKeyError, match="no second"):
        bench.host.update(EMERGENCY, 1, {"abo_blood_group": "1"})
    with pytest.raises(CardKeyError, match="no second"):
        bench.authenticate("RK1_DF02")
    assert len(bench.of(0xDC)) == 1 and bench.of(EXTERNAL) == []


def test_a_try_whose_answer_is_lost_counts_as_spent() -> None:
    def lost(command: bytes, _: object) -> None:
        if command[1] == EXTERNAL:
            raise TransportError("pulled out")

    bench = Bench(card=InBetween(card_of_profile(), lost), keys=NO_INTERNAL_KEY)
    with pytest.raises(TransportError, match="pulled out"):
        bench.authenticate("RK1_DF02")
    with pytest.raises(CardKeyError, match="no second"):
        bench.authenticate("RK1_DF02")


def test_a_key_that_is_accepted_makes_the_place_sure() -> None:
    bench = Bench(keys=NO_INTERNAL_KEY)
    assert not bench.host.serial_is_sure
    bench.authenticate("RK1_DF02")
    assert bench.host.serial_is_sure
    with pytest.raises(StatusWordError, match="needs UK1_DF02"):
        bench.host.update(EMERGENCY, 1, {"abo_blood_group": "1"})
    bench.authenticate("RK1_DDF1")


# --- given by hand, or in no place -----------------------------------------------------------


def test_a_serial_may_be_given_by_hand_and_a_wrong_one_spends_one_try() -> None:
    given = FIELD.having({"serial_place": "given"})
    right = Bench(given, keys=NO_INTERNAL_KEY, field_card=FieldCard(chip=CHIP))
    right.authenticate("RK1_DF02")
    wrong = Bench(given, keys=NO_INTERNAL_KEY, field_card=FieldCard(chip=bytes(8)))
    with pytest.raises(StatusWordError, match="given by hand"):
        wrong.authenticate("RK1_DF02")
    with pytest.raises(CardKeyError, match="no second"):
        wrong.authenticate("RK1_DF02")
    assert spent(wrong) == ["63CE"]
    with pytest.raises(CardKeyError, match="give its 16 hex digits"):
        Bench(given).host.identify()


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_card_without_its_serial_in_the_historical_bytes_needs_the_profile(protocol: int) -> None:
    card = card_of_profile(RHCARD, protocol=protocol)
    line = InBetween(card, atr=without_serial(card))
    host = ResidentHealthCard(line, keys_of(protocol), protocol)
    with pytest.raises(ProfileNeeded, match="its chip serial"):
        host.authenticate("RK1_DF02")


def test_who_chose_profile_field_is_told_to_choose_another_place() -> None:
    with pytest.raises(CardKeyError, match="tag 58 of the ATR: choose another serial_place"):
        Bench(FIELD.having({"serial_place": "historical tag"}), card_of_profile()).host.identify()


# --- the holder's PIN ------------------------------------------------------------------------


def test_a_pin_goes_to_a_card_that_has_proved_the_internal_key_if_that_is_at_hand() -> None:
    bench = Bench()
    bench.host.verify_pin(PIN)
    change_pin(bench.host, PIN, "246802")
    assert [int(raw[2:4], 16) for raw in bench.sent if raw[2:4] in ("88", "20", "24")] == [
        INTERNAL, VERIFY, 0x24,
    ]  # fmt: skip
    bench.host.reset()
    bench.host.verify_pin("246802")
    assert len(bench.of(INTERNAL)) == 2, "who was there before a reset proves nothing after it"


@pytest.mark.parametrize("answer", [b"\x6d\x00", bytes(8) + b"\x90\x00"], ids=["refused", "wrong"])
def test_a_pin_does_not_go_to_a_card_that_proves_nothing(answer: bytes) -> None:
    bench = Bench(card=InBetween(card_of_profile(), no_internal(answer)))
    with pytest.raises(CardError):
        bench.host.verify_pin(PIN)
    with pytest.raises(CardError):
        change_pin(bench.host, PIN, "246802")
    assert bench.of(VERIFY, 0x24) == []
