"""The scripts on cards of specification 2.0: the same answers, under protection."""

import pytest

from apdu_scripts import load
from cardlib.crypto import Cipher
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.errors import CardKeyError
from cardlib.keys import KeySet
from cardlib.keys.roots import public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.script import Outcome, Runner, Script, parse
from tests.cards.v2_cards import card_of, key_set
from tests.messaging.v2_line import Line

ON_A_CARD = (
    "identify", "read_cardholder", "read_emergency_data", "read_issuer_data", "check_protected",
)  # fmt: skip
TWO_READS = (
    "reset\n00A4040005F05248430100\n#! authenticate RK1_DDF1\n"
    "00A4020C02EF06\n00B2010400\n#> 9000 0B 1E ..\n00B2020400\n#> 9000 0C 01 xx\n"
)


def outcomes_of(script: Script, line: Line, keys: KeySet | None) -> list[Outcome]:
    return list(Runner(line, keys).run(script))


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("name", ON_A_CARD)
def test_every_script_finds_what_it_expects(name: str, extended: bool, cipher: Cipher) -> None:
    for keys in (None, key_set(cipher)):
        line = Line(card_of(cipher, CardOptions(extended_length=extended)))
        outcomes = outcomes_of(load(name), line, keys)
        assert [outcome.difference for outcome in outcomes if outcome.difference] == []


def test_commands_after_an_authentication_are_protected() -> None:
    line = Line(card_of())
    outcomes_of(parse(TWO_READS), line, key_set(Cipher.SM4))
    assert [raw[0] for raw in line.sent] == [0, 0, 0, 0x0C, 0x0C, 0x0C]


def test_an_altered_answer_is_a_difference_and_so_is_all_after_it() -> None:
    line = Line(card_of())
    line.reply = lambda raw, reply: b"\x6a\x83" if raw[:3] == b"\x0c\xb2\x01" else reply
    outcomes = outcomes_of(parse(TWO_READS), line, key_set(Cipher.SM4))
    texts = [outcome.difference.text for outcome in outcomes if outcome.difference]
    assert len(texts) == 2
    assert "is not protected" in texts[0] and "reset the card" in texts[1]


def test_keys_of_the_other_version_are_refused_before_a_try_is_spent() -> None:
    version1 = SoftwareKeySet(public_test_roots(1, Cipher.SM4).card, 1, Cipher.SM4)
    line = Line(card_of())
    with pytest.raises(CardKeyError, match=r"for protocol 1, .* spec 2\.0"):
        outcomes_of(parse(TWO_READS), line, version1)
    assert [raw[1] for raw in line.sent] == [0xA4]


def test_a_wrong_key_spends_one_try_and_leaves_the_card_in_clear() -> None:
    roots = dict(public_test_roots(2, Cipher.SM4).card, RK1_DDF1=bytes(16))
    line = Line(card_of())
    outcomes = outcomes_of(parse(TWO_READS), line, SoftwareKeySet(roots, 2, Cipher.SM4))
    assert outcomes[2].sw == 0x63CE
    assert [outcome.sw for outcome in outcomes[3:]] == [0x9000, 0x6982, 0x6982]
