"""What a script must not send in clear to a card of spec 2.0 (card specification 5)."""

import pytest

from apdu_scripts import load, names
from cardlib.crypto import Cipher
from cardlib.keys import KeySet
from cardlib.script import NotProtected, Runner, Script, parse
from cardlib.script.in_clear import would_bare
from tests.cards.cards import personalized_card
from tests.cards.v2_cards import card_of, key_set
from tests.messaging.v2_line import Line

SELECT = "reset\n00A4040005F05248430100\n"
SESSION = f"{SELECT}#! authenticate RK1_DDF1\n"
H = bytes.fromhex

BARE = [
    "0020000006313335373930", "002400000C313335373930323436383130", "002C0300",
    "002C020006313335373930", "00DC010401AA", "00D6000001AA", "00E2000001AA", "00D2010400",
    "000C010400", "00A2010401AA", "00DA010001AA", "0016000000", "001E0000", "00E4000000",
    "80E2800001AA", "80D8000101AA", "80440000", "802C0001",
    # channels 1, 2, 5 and 19; parts of a chain; chain and channel
    "01DC010401AA", "02DC010401AA", "41DC010401AA", "4FDC010401AA", "10DC010401AA", "11DC010401AA",
    "50DC010401AA", "1020000003313335", "0020000003373930",
    # a class of secure messaging whose data is not protected: none, plain, DO81, no MAC, cut short
    "0CDC0104", "0CDC010401AA", "0CDC0104038101AA", "0CDC01040487020155",
    "0CDC01040D8101AA8E080102030405060708", "0C2000000631333537393000", "1CDC0104058781F101AA",
    "61DC010401AA", "08DC010401AA",
    # version 1 protects such a command by a MAC alone; class 84 is the issuer's session
    "04DC010405AA01020304", "842400000631333537393000", "84D2010405AA01020304",
    # unknown commands with data, and lengths that are wrong
    "00DF000001AA", "80DC010401AA", "00C200000700200000013100", "FF00000001AA", "A0DC010401AA",
    "00DC010405AA", "0020000099313335373930",
]  # fmt: skip
OPEN = [
    "00A4040005F05248430100", "00B0000000", "00B2010400", "00CA006600", "80CA00E000", "0084000008",
    "0088000001AA00", "805030000801020304050607080000"[:28], "0070000001", "00200000", "00C0000000",
    "0082000108" + "AA" * 8, "8482330010" + "AA" * 16, "84E2800009" + "AA" * 9, "00FF000000",
    "84D8000109" + "AA" * 9, "0CDC01040F8703010102" + "8E080102030405060708"[:20],
    "0CDC01040A8E080102030405060708", "61DC01040A8E080102030405060708", "01B2010400", "41CA006600",
]  # fmt: skip


@pytest.mark.parametrize("raw", BARE)
def test_a_pin_personal_data_and_a_change_are_seen_in_every_disguise(raw: str) -> None:
    assert would_bare(H(raw))


@pytest.mark.parametrize("raw", OPEN)
def test_free_reads_get_data_88_scp03_and_protected_commands_may_be_sent(raw: str) -> None:
    assert not would_bare(H(raw))


def run(text: str | Script, line: Line, keys: KeySet | None = None, *, unprotected: bool) -> None:
    script = parse(text, "my.scriptor") if isinstance(text, str) else text
    for _ in Runner(line, keys, unprotected=unprotected).run(script):
        pass


@pytest.mark.parametrize("raw", BARE)
def test_none_of_it_reaches_a_2_0_card_and_with_unprotected_it_does(raw: str) -> None:
    text = f"{SELECT}00B2010400\n{raw}\n00B2010400\n"
    line = Line(card_of())
    with pytest.raises(NotProtected) as refused:
        run(text, line, unprotected=False)
    assert (refused.value.line, [sent[1] for sent in line.sent]) == (4, [0xA4, 0xB2])
    told = str(refused.value)
    assert told.startswith("my.scriptor, line 4: ") and "--unprotected" in told
    assert "\n" not in told and "31333537" not in told
    run(text, line, unprotected=True)
    assert line.sent[-2:] == [H(raw), H("00B2010400")]


def test_a_card_that_did_not_say_its_spec_is_taken_as_2_0() -> None:
    line = Line(card_of())
    with pytest.raises(NotProtected, match="SELECT F052484301 with Le first"):
        run("reset\n00DC010401AA\n", line, unprotected=False)
    with pytest.raises(NotProtected, match="SELECT"):
        run(f"{SELECT}reset\n00DC010401AA\n", line, unprotected=False)
    assert [sent[1] for sent in line.sent] == [0xA4]


def test_a_card_of_spec_1_0_takes_a_pin_in_clear() -> None:
    line = Line(personalized_card())
    run(f"{SELECT}0020000006313335373930\n", line, unprotected=False)
    assert line.sent[-1] == H("0020000006313335373930")


def test_keys_of_version_2_do_not_believe_a_card_that_says_spec_1_0() -> None:
    line = Line(personalized_card())
    with pytest.raises(NotProtected):
        run(f"{SELECT}00DC010401AA\n", line, key_set(Cipher.SM4), unprotected=False)


def test_in_a_session_the_command_is_sent_protected() -> None:
    line = Line(card_of())
    run(f"{SESSION}0020000006313335373930\n", line, key_set(Cipher.SM4), unprotected=False)
    assert (line.sent[-1][:2], b"135790" in line.sent[-1]) == (b"\x0c\x20", False)


def test_without_keys_the_session_is_missing_and_the_command_is_refused() -> None:
    line = Line(card_of())
    with pytest.raises(NotProtected, match="with keys"):
        run(f"{SESSION}0020000006313335373930\n", line, unprotected=False)
    assert [sent[1] for sent in line.sent] == [0xA4]


def test_a_refused_authentication_opens_no_way_for_the_command() -> None:
    line = Line(card_of())
    line.reply = lambda raw, reply: b"\x69\x83" if raw[1] == 0x82 else reply
    with pytest.raises(NotProtected):
        run(f"{SESSION}00DC010401AA\n", line, key_set(Cipher.SM4), unprotected=False)
    assert [sent[1] for sent in line.sent] == [0xA4, 0x84, 0x82]


@pytest.mark.parametrize("unprotected", [False, True])
def test_after_a_session_broke_nothing_is_sent_until_reset(unprotected: bool) -> None:
    line = Line(card_of())
    line.reply = lambda raw, reply: b"\x69\x82" if raw[:2] == b"\x0c\xb2" else reply
    text = f"{SESSION}00B2010400\n0020000006313335373930\n#! authenticate RK1_DDF1\n00DC010401AA\n"
    run(text, line, key_set(Cipher.SM4), unprotected=unprotected)
    assert [sent[1] for sent in line.sent] == [0xA4, 0x84, 0x82, 0xB2]


def test_after_a_reset_in_the_middle_the_command_is_refused() -> None:
    line = Line(card_of())
    text = f"{SESSION}reset\n00A4040005F05248430100\n0020000006313335373930\n"
    with pytest.raises(NotProtected):
        run(text, line, key_set(Cipher.SM4), unprotected=False)
    assert line.sent[-1][1] == 0xA4


@pytest.mark.parametrize("name", names())
def test_our_own_scripts_need_no_permission(name: str) -> None:
    for keys in (None, key_set(Cipher.SM4)):
        run(load(name), Line(card_of()), keys, unprotected=False)
