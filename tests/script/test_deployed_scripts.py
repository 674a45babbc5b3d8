"""Scripts on a deployed card: what the operator says about it, and what stays guarded all the same.

Card specification 10, amendment 12.
"""

from typing import Any

import pytest

from cardlib.card import FieldCard
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, RESIDENT
from cardlib.errors import (
    CardKeyError,
    ChannelError,
    NotGenuine,
    ProfileNeeded,
    StatusWordError,
    TransportError,
)
from cardlib.exchange import Connection
from cardlib.keys import KeySet
from cardlib.layout import KEY_BY_NAME
from cardlib.layout.card_profile import FIELD, RHCARD, CardProfile
from cardlib.script import NotProtected, Outcome, Runner, parse
from cardlib.script.language import Authenticate, Command
from cardlib.transport.recorder import Recorder
from tests.cards.field_bench import KEYS_1 as KEYS
from tests.cards.field_bench import NO_INTERNAL_KEY, card_of_profile
from tests.cards.field_bench import keys_of as roots_keys
from tests.cards.in_between import DISGUISE, InBetween, altering, disguised, refusing

H = bytes.fromhex
TO_DF02 = "reset\n00A4000002DDF1\n#> 9000 -\n00A4000002DF02\n#> 9000 -\n"
ALLERGIES = "00A4000002EF07\n#> 9000 -\n"
READ = (
    f"{TO_DF02}#! authenticate RK1_DF02\n{ALLERGIES}00B2010400\n#= DDF1/DF02/EF07\n#> 9000 xx*120\n"
)
APPEND = f"{TO_DF02}#! authenticate UK3_DF02\n{ALLERGIES}00DC000378{'FF' * 120}\n#> 9000 -\n"
PIN = f"{TO_DF02}0020000006313335373930\n"
LAST_8 = FIELD.having({"serial_place": "last 8"})
NO_PROOF = refusing(H("6D00"), lambda command: command[1] == 0x88)


def run(
    text: str,
    line: Connection,
    keys: KeySet | None = KEYS,
    profile: CardProfile = FIELD,
    **more: Any,
) -> tuple[list[Outcome], list[bytes]]:
    """The outcomes of a script, and every command that reached the card."""
    log = Recorder(line)
    runner = Runner(log, keys, profile=profile, **more)
    outcomes = list(runner.run(parse(text, "my.scriptor")))
    return outcomes, [each.command for each in log.commands]


def refused(error: type[Exception], text: str, line: Connection, **more: Any) -> list[bytes]:
    """Every command that reached the card before a script stopped with an error."""
    log = Recorder(line)
    with pytest.raises(error):
        run(text, log, **more)
    return [each.command for each in log.commands]


def instructions(commands: list[bytes]) -> list[int]:
    return [command[1] for command in commands]


def tries(card: SoftwareCard) -> int:
    """The tries that are left of RK1_DF02."""
    key = card.state.card_key(KEY_BY_NAME["RK1_DF02"])
    assert key is not None
    return key.tries


# --- authenticating -----------------------------------------------------------------------


def test_a_script_authenticates_on_a_deployed_card() -> None:
    outcomes, _ = run(READ, card_of_profile())
    assert [each.difference for each in outcomes] == [None] * len(outcomes)
    assert outcomes[0].facts == (
        ("chip serial", f"{CHIP.hex().upper()} (bytes 5 to 12 of the ATR)"),
    )
    texts = {value.field.name: value.text for value in outcomes[-1].fields}
    assert texts["allergen"] == RESIDENT["DDF1/DF02/EF07"][0]["allergen"]


def test_what_the_card_does_not_say_is_asked_before_the_first_step_and_spends_no_try() -> None:
    line = card_of_profile(LAST_8)
    _, sent = run(READ, line)
    own = instructions(sent).index(0x88) + 1
    assert set(instructions(sent[:own])) == {0xA4, 0xB2, 0x88}
    assert instructions(sent[own:]) == [0xA4, 0xA4, 0x84, 0x82, 0xA4, 0xB2]
    assert tries(line) == 15


def test_the_internal_key_tells_where_the_chip_serial_is() -> None:
    outcomes, _ = run(READ, card_of_profile(LAST_8))
    assert outcomes[0].facts[0].value == f"{CHIP.hex().upper()} (the last 8 bytes of the ATR)"
    assert outcomes[-1].difference is None


def test_keys_of_another_issuer_are_noticed_before_a_try_is_spent() -> None:
    line = card_of_profile(FIELD.having({"serial_place": "given"}))
    sent = refused(NotGenuine, READ, line)
    assert 0x82 not in instructions(sent)


def test_a_card_that_refuses_the_question_is_tried_once_and_that_is_enough_at_the_right_place() -> (
    None
):
    outcomes, sent = run(READ, InBetween(card_of_profile(), NO_PROOF))
    assert [each.difference for each in outcomes] == [None] * len(outcomes)
    assert outcomes[-1].fields
    assert [instructions(sent).count(ins) for ins in (0x88, 0x82)] == [1, 1]


def test_at_a_wrong_place_the_message_then_names_place_and_status_word() -> None:
    line = InBetween(card_of_profile(LAST_8), NO_PROOF)
    outcomes, sent = run(f"{READ}{READ}", line)
    first, second = [each for each in outcomes if isinstance(each.step, Authenticate)]
    assert first.sw == 0x63CE and first.difference is not None
    assert first.difference.text.endswith(
        "the chip serial is bytes 5 to 12 of the ATR, which may be the wrong place (the card"
        " refuses INTERNAL AUTHENTICATE, which would tell it: 6D00)"
    )
    assert second.skipped == "the card refused these keys before"
    assert instructions(sent).count(0x82) == 1 and tries(line.card) == 14


def test_a_runner_that_found_the_card_not_genuine_tries_no_key_in_a_second_run_either() -> None:
    log = Recorder(card_of_profile(FIELD.having({"serial_place": "given"})))
    runner = Runner(log, KEYS, profile=FIELD)
    for _ in range(2):
        with pytest.raises(NotGenuine):
            list(runner.run(parse(READ)))
    assert 0x82 not in [each.command[1] for each in log.commands]


def test_the_internal_key_is_asked_too_if_only_a_later_script_needs_it() -> None:
    card = card_of_profile(LAST_8)
    runner = Runner(card, KEYS, profile=FIELD)
    for text in (PIN, READ):
        outcomes = list(runner.run(parse(text)))
        assert [each.difference for each in outcomes] == [None] * len(outcomes)
    assert tries(card) == 15


def test_without_the_internal_key_a_wrong_place_spends_one_try_and_is_named() -> None:
    text = f"{READ}{READ}#! authenticate UK1_DF02\n"
    outcomes, sent = run(text, card_of_profile(LAST_8), NO_INTERNAL_KEY)
    first, *others = [each for each in outcomes if isinstance(each.step, Authenticate)]
    assert first.sw == 0x63CE and first.difference is not None
    assert "the chip serial is bytes 5 to 12 of the ATR, which may be the wrong place" in (
        first.difference.text
    )
    assert [each.skipped for each in others] == ["the card refused these keys before"] * 2
    assert instructions(sent).count(0x82) == 1
    assert outcomes[0].facts[0].value.endswith("(bytes 5 to 12 of the ATR, not sure)")


@pytest.mark.parametrize("answer", ["6982", "6983", "6A88", "6F00"])
def test_any_refusal_spends_the_one_try_for_nobody_knows_what_such_a_card_answers(
    answer: str,
) -> None:
    line = InBetween(card_of_profile(), altering(0x82, lambda _: H(answer)))
    _, sent = run(f"{READ}{READ}", line, NO_INTERNAL_KEY)
    assert instructions(sent).count(0x82) == 1


def test_an_answer_that_was_lost_spends_the_one_try_too() -> None:
    card = card_of_profile(LAST_8)
    runner = Runner(InBetween(card, altering(0x82, lost)), NO_INTERNAL_KEY, profile=FIELD)
    with pytest.raises(TransportError):
        list(runner.run(parse(READ)))
    with pytest.raises(CardKeyError, match="no second authentication is tried"):
        list(runner.run(parse(READ)))
    assert tries(card) == 14


def lost(_: bytes) -> bytes:
    raise TransportError("no answer")


def test_the_operator_gives_chip_serial_cipher_and_key_version() -> None:
    aes = roots_keys(cipher=Cipher.AES)
    line = card_of_profile(FIELD.having({"serial_place": "given"}), cipher=Cipher.AES)
    told = FieldCard(Cipher.AES, 1, CHIP)
    outcomes, _ = run(READ, line, aes.only({"RK1_DF02"}), field_card=told)
    assert outcomes[-1].difference is None
    for wrong in (FieldCard(Cipher.SM4, 1, CHIP), FieldCard(Cipher.AES, 2, CHIP)):
        sent = refused(CardKeyError, READ, line, keys=aes, field_card=wrong)
        assert not {0x82, 0x88} & set(instructions(sent))


def test_a_serial_elsewhere_is_told_of_a_card_that_describes_itself_too() -> None:
    profile = RHCARD.having({"serial_place": "last 8"})
    text = READ.replace("00A4000002DDF1\n#> 9000 -", "00A4040005F05248430100\n#> 9000 6F ..")
    for protocol in (1, 2):
        keys, card = roots_keys(protocol), card_of_profile(RHCARD, protocol=protocol)
        line = InBetween(card, atr=card_of_profile(LAST_8).atr)
        outcomes, _ = run(text, line, keys, profile)
        assert outcomes[-1].difference is None
        refused(ProfileNeeded, text, line, profile=RHCARD, keys=keys)


# --- what is not weakened -----------------------------------------------------------------


@pytest.mark.parametrize("text", [PIN, APPEND, READ])
@pytest.mark.parametrize("keys", [None, roots_keys(2)])
def test_a_2_0_card_made_to_look_like_field_gets_nothing_without_the_profile(
    text: str, keys: KeySet | None
) -> None:
    """Somebody on the line hides AID, path and C1; nobody chose the profile."""
    line = disguised(*DISGUISE, "no serial")
    log = Recorder(line)
    runner = Runner(log, keys)
    try:
        outcomes = list(runner.run(parse(text)))
    except NotProtected as error:
        assert "add --profile field" in str(error)
    else:
        told = outcomes[3].difference
        assert keys is None or (told is not None and "add --profile field" in told.text)
    assert {each.command[1] for each in log.commands} <= {0xA4, 0xB2}


@pytest.mark.parametrize("text", [PIN, APPEND, READ])
def test_a_2_0_card_is_not_taken_for_old_even_with_the_profile(text: str) -> None:
    """Tag 02 of its issuer's data says 2.0: the run stops before the first step."""
    sent = refused(ChannelError, text, disguised(*DISGUISE, "no serial"))
    assert set(instructions(sent)) == {0xA4, 0xB2}


def test_only_profile_field_makes_a_silent_card_an_old_one() -> None:
    silent = RHCARD.having({"fci": "nothing", "serial_place": "bytes 5-12"})
    for text in (PIN, APPEND, READ):
        sent = refused(ChannelError, text, card_of_profile(), profile=silent)
        assert set(instructions(sent)) == {0xA4, 0xB2}


def test_keys_of_version_2_are_not_used_on_a_card_of_profile_field() -> None:
    assert 0x82 not in instructions(
        refused(CardKeyError, READ, card_of_profile(), keys=roots_keys(2))
    )
    assert 0x20 not in instructions(
        refused(NotProtected, PIN, card_of_profile(), keys=roots_keys(2))
    )


def test_a_card_that_said_2_0_in_the_run_stays_a_2_0_card() -> None:
    def as_2_0(answer: bytes) -> bytes:
        return answer.replace(H("C10310"), H("C10320"))

    line = InBetween(card_of_profile(RHCARD), altering(0xA4, as_2_0))
    for again in ("", "reset\n"):
        text = f"reset\n00A4000002DDF100\n#> 9000 6F ..\n{again}0020000006313335373930\n"
        assert 0x20 not in instructions(refused(NotProtected, text, line, keys=None))


def test_with_the_profile_a_driver_works_in_clear_as_it_does_on_such_cards() -> None:
    line = card_of_profile()
    outcomes, sent = run(APPEND, line)
    assert (outcomes[-1].sw, sent[-1][:5]) == (0x9000, H("00DC000378"))
    assert all(each.difference is None for each in outcomes)
    outcomes, sent = run(PIN, line, None)
    assert (outcomes[-1].sw, sent[-1][1]) == (0x9000, 0x20)


# --- what is sent, and when it is not ------------------------------------------------------


@pytest.mark.parametrize(("text", "more"), [
    (f"{TO_DF02}{ALLERGIES}00B2010400\n", {}), (READ, {}), (PIN, {"unprotected": True}),
])  # fmt: skip
def test_without_need_only_the_scripts_own_commands_are_sent(
    text: str, more: dict[str, Any]
) -> None:
    own = [step.apdu[:4] for step in parse(text).steps if isinstance(step, Command)]
    _, sent = run(text, card_of_profile(), None, **more)
    assert [command[:4] for command in sent] == own


def test_a_card_without_the_issuers_data_ends_the_run_before_the_first_step() -> None:
    line = InBetween(card_of_profile(), altering(0xA4, lambda _: H("6A82")))
    sent = refused(StatusWordError, READ, line)
    assert len(sent) == 1
