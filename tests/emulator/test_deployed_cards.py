"""Cards with the settings of deployed ones (specification 1a): each, and together."""

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, LifeCycle, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.dispatch import COMMANDS
from cardlib.errors import FormatError, StatusWordError
from cardlib.issuance import personalize
from cardlib.keys.roots import public_test_roots
from cardlib.layout import FILE_BY_PATH, FILES, KEYS, FileSpec
from cardlib.layout.card_profile import FIELD, RHCARD
from cardlib.tlv import find_ber
from cardlib.transport import chip_serial, historical_bytes
from tests.cards.cards import groupings, key_store
from tests.cards.software_cards import Terminal, active_card, sample
from tests.cards.v2_cards import card_of

H = bytes.fromhex
AID, DOMAIN = "00A4040005F052484301", "00A4040008A000000151000000"
FIELD_OPTIONS = CardOptions.of_profile(FIELD)
BY_IDENTIFIER = CardOptions(selection="file identifier")
NO_FCI = CardOptions(fci="nothing")
ISSUERS = (FILE_BY_PATH["DDF1/EF05"], FILE_BY_PATH["DDF1/EF06"])


def terminal(options: CardOptions, life_cycle: LifeCycle = LifeCycle.ACTIVE) -> Terminal:
    return Terminal(active_card(life_cycle=life_cycle, options=options))


def walk(card: Terminal, path: str) -> None:
    """Select a file as field code does: by file identifier from the MF."""
    for fid in ("3F00", *path.split("/")):
        assert card.send(f"00A4000002{fid}") == (b"", 0x9000), fid


def blank(options: CardOptions) -> SoftwareCard:
    return SoftwareCard.blank(CHIP, key_store().blank_keys(CHIP), options=options)


def test_a_card_of_the_specification_has_the_handlers_of_the_specification() -> None:
    assert active_card().commands is COMMANDS
    only_data = CardOptions(one_digit_code="0n", blank_text="20", old_spec_version="yes")
    assert active_card(options=only_data).commands is COMMANDS


# The answer to reset.


@pytest.mark.parametrize(("place", "found"), [
    ("bytes 5-12", slice(5, 13)), ("last 8", slice(-8, None)), ("given", slice(0, 0)),
])  # fmt: skip
@pytest.mark.parametrize("chip", [CHIP, H("8058000102030405"), bytes(8), b"\xff" * 8])
def test_the_serial_is_where_the_setting_says_and_nowhere_else(
    place: str, found: slice, chip: bytes
) -> None:
    options = CardOptions(serial_place=place)
    atr = SoftwareCard.blank(chip, (bytes(16),) * 3, options=options).atr
    assert atr[found] == (chip if place != "given" else b"")
    assert atr.count(chip) == (place != "given")
    assert len(atr) <= 33 and historical_bytes(atr)
    with pytest.raises(FormatError):
        chip_serial(atr)


@pytest.mark.parametrize("place", ["bytes 5-12", "given", "last 8"])
def test_an_atr_ends_in_its_check_byte_exactly_if_it_offers_more_than_t0(place: str) -> None:
    atr = blank(CardOptions(serial_place=place)).atr
    _, t0, *_ = atr
    assert t0 & 0x0F == len(historical_bytes(atr))
    if place == "last 8":
        assert not t0 & 0x80  # no TD1: T=0 alone
        assert atr.endswith(historical_bytes(atr))
        return
    assert atr[2:4] == H("8001")  # TD1: T=0, and TD2: T=1
    check = 0
    for octet in atr[1:]:
        check ^= octet
    assert check == 0
    assert atr[:-1].endswith(historical_bytes(atr))


def test_the_atr_announces_names_and_paths_only_where_there_are_some() -> None:
    assert blank(CardOptions()).atr[7] == 0xB3
    assert blank(BY_IDENTIFIER).atr[7] == 0x13


# SELECT.


def test_ddf1_has_no_name_once_it_is_issued() -> None:
    assert blank(BY_IDENTIFIER).transmit(H(AID)) == H("9000")
    card = terminal(BY_IDENTIFIER)
    assert card.send(AID) == (b"", 0x6A82)
    assert card.send(AID + "00") == (b"", 0x6A82)
    assert card.send(DOMAIN)[1] == 0x9000, "the security domain keeps its AID"
    assert card.sw("00A4040000") == 0x9000


def test_nothing_is_selected_by_path_parent_or_child() -> None:
    card = terminal(BY_IDENTIFIER)
    walk(card, "DDF1")
    for command in (
        "00A4080002DDF1", "00A4080C04DDF1EF05", "00A4090002DF02", "00A4010002DF02",
        "00A4020002EF05", "00A4030000",
    ):  # fmt: skip
        assert card.send(command) == (b"", 0x6A86), command
    assert card.sw("00B2010003") == 0x6986, "nothing was selected"
    assert blank(BY_IDENTIFIER).transmit(H("00A4080002DDF1")) == H("6A82"), "a blank is as ever"


def test_every_file_is_reached_by_identifiers_one_after_the_other() -> None:
    card = terminal(FIELD_OPTIONS)
    for file in FILES:
        walk(card, file.path)
        assert card.card.channels[0].file is not None
        assert card.card.channels[0].file.path == file.path


def test_the_fci_and_the_fcp_of_ddf1_do_not_say_a_name_that_it_does_not_have() -> None:
    card = terminal(BY_IDENTIFIER)
    fci, sw = card.send("00A4000002DDF100")
    assert (find_ber(fci, 0x6F, 0x84), find_ber(fci, 0x6F, 0xA5, 0xC1), sw) == (
        None, H("100103"), 0x9000,
    )  # fmt: skip
    fcp, sw = card.send("00A4000402DDF100")
    assert (find_ber(fcp, 0x62, 0x84), find_ber(fcp, 0x62, 0x83), sw) == (None, H("DDF1"), 0x9000)


@pytest.mark.parametrize("le", ["", "00", "09", "FF"])
@pytest.mark.parametrize("p2", ["00", "04", "08", "0C"])
def test_select_says_nothing_about_the_card_whatever_le_and_p2(p2: str, le: str) -> None:
    card = terminal(NO_FCI)
    assert card.send(f"00A404{p2}05F052484301{le}") == (b"", 0x9000)
    assert card.send(f"00A408{p2}04DDF1EF05{le}") == (b"", 0x9000)
    assert card.send(f"00A400{p2}023F00{le}") == (b"", 0x9000)
    assert card.sw("00A4000102DDF1") == 0x6A86
    assert card.sw("00A4000002DF02" + le) == 0x6A82


def test_the_security_domain_and_a_blank_card_still_say_who_they_are() -> None:
    card = terminal(NO_FCI)
    assert find_ber(card.send(DOMAIN + "00")[0], 0x6F, 0x84) == H(DOMAIN[10:])
    answer = blank(FIELD_OPTIONS).transmit(H(AID + "00"))
    assert find_ber(answer[:-2], 0x6F, 0x84) == H(AID[10:])


def test_a_blocked_df_is_still_told() -> None:
    card = active_card(options=FIELD_OPTIONS)
    card.state.blocked_directories = 0b00010
    card.memory.commit()
    card.refresh()
    on = Terminal(card)
    walk(on, "DDF1")
    assert on.send("00A4000002DF02") == (b"", 0x6283)


def test_with_61xx_a_select_without_le_has_its_fci_wait() -> None:
    card = terminal(CardOptions(t0_select="61xx"))
    fci = terminal(CardOptions()).send(AID + "00")[0]
    assert card.send(AID) == (b"", 0x6100 | len(fci))
    assert card.send("00C0000000") == (fci, 0x9000)
    assert card.send(AID + "00") == (fci, 0x9000)
    assert card.send("00A4040C05F052484301") == (b"", 0x9000), "nothing was asked for"
    domain = terminal(CardOptions()).send(DOMAIN + "00")[0]
    assert card.send(DOMAIN) == (b"", 0x6100 | len(domain))
    assert blank(CardOptions(t0_select="61xx")).transmit(H(AID))[0] == 0x61
    both = terminal(CardOptions(t0_select="61xx", fci="nothing"))
    assert both.send(AID) == (b"", 0x9000), "there is nothing to wait for"


def test_a_2_0_card_may_have_61xx_too() -> None:
    card = card_of(Cipher.SM4, CardOptions(t0_select="61xx"))
    assert card.transmit(H(AID))[0] == 0x61


# Records.


def test_records_are_read_one_at_a_time() -> None:
    card = terminal(CardOptions(record_reading="one"))
    card.select("DDF1/EF05")
    as_specified = terminal(CardOptions())
    as_specified.select("DDF1/EF05")
    assert card.send("00B2010500") == (b"", 0x6A86)
    for command in ("00B2010400", "00B2390005", "00B2010003", "00B2090400", "00B2010002"):
        assert card.send(command) == as_specified.send(command), command
    assert card.sw("00B2010D00") == 0x6A86, "short file identifiers"


@pytest.mark.parametrize("file", ISSUERS, ids=lambda file: file.path)
def test_the_issuers_files_change_after_issue_under_uk1_and_stk_of_ddf1(file: FileSpec) -> None:
    options = CardOptions(issuer_files="UK_DDF1")
    card = terminal(options)
    card.select(file.path)
    new = sample(file, 2)
    assert card.sw(card.protected("STK_DDF1", "04DC0204", new)) == 0x6982, "no right"
    card.authenticate("UK1_DDF1", "RK1_DDF1")
    assert card.sw(bytes.fromhex("00DC0204") + bytes((len(new),)) + new) == 0x6982, "in clear"
    wrong = card.protected("STK_DDF1", "04DC0204", new)
    assert card.sw(wrong[:-1] + bytes((wrong[-1] ^ 1,))) == 0x6988
    assert card.sw(card.protected("STK_DF01", "04DC0204", new)) == 0x6988, "another DF's STK"
    assert card.sw(card.protected("STK_DDF1", "04DC0204", new)) == 0x9000
    assert card.read(file, 2) == (new, 0x9000)
    assert card.sw(card.erasure(file, 2)) == 0x6985, "never erased"
    issued = terminal(options, LifeCycle.PERSONALIZED)
    issued.select(file.path)
    issued.authenticate("UK1_DDF1")
    assert issued.sw(issued.protected("STK_DDF1", "04DC0204", new)) == 0x6985, "not active"
    as_specified = terminal(CardOptions())
    as_specified.select(file.path)
    as_specified.authenticate("UK1_DDF1")
    assert as_specified.sw(as_specified.protected("STK_DDF1", "04DC0204", new)) == 0x6985


def test_the_issuers_files_stay_out_of_clear_updates() -> None:
    card = terminal(CardOptions(issuer_files="UK_DDF1", clear_updates=True))
    for file in ISSUERS:
        card.select(file.path)
        card.authenticate("UK1_DDF1")
        new = sample(file, 1)
        assert card.sw(bytes.fromhex("00DC0104") + bytes((len(new),)) + new) == 0x6982


def test_the_fcp_announces_the_rule_that_holds() -> None:
    like = terminal(CardOptions())
    ours = terminal(CardOptions(issuer_files="UK_DDF1"))
    phones, _ = like.send("00A4080404DDF1EF0800")
    for file in ISSUERS:
        path = "DDF1" + file.path[-4:]
        rules = find_ber(ours.send(f"00A4080404{path}00")[0], 0x62, 0xAB) or b""
        update = (find_ber(phones, 0x62, 0xAB) or b"").partition(H("800106"))[2]
        assert update and rules.partition(H("800106"))[2] == update
        before = find_ber(like.send(f"00A4080404{path}00")[0], 0x62, 0xAB) or b""
        assert before.endswith(H("8001069700"))


# Data, as the issuer of such a card writes them.


def personal(options: CardOptions) -> SoftwareCard:
    return personalized_card(public_test_roots(1), options=options)


def content(card: SoftwareCard, path: str, number: int) -> bytes:
    """A record as it is, whatever the rules are."""
    on = Terminal(card)
    assert on.select(path) == 0x9000
    card.channels[0].rights = (1 << len(KEYS)) - 1
    return on.send(f"00B2{number:02X}0400")[0]


@pytest.mark.parametrize(("written", "rh"), [("nF", "2A012F"), ("0n", "2A0102")])
def test_a_one_digit_code_is_written_as_the_setting_says(written: str, rh: str) -> None:
    card = personal(CardOptions(one_digit_code=written))
    assert content(card, "DDF1/DF02/EF05", 2) == H(rh)


@pytest.mark.parametrize(("blank_text", "octet"), [
    ("unwritten", b"\xff"), ("00", b"\0"), ("20", b" "),
])  # fmt: skip
def test_a_blank_text_is_what_the_setting_says(blank_text: str, octet: bytes) -> None:
    card = personal(CardOptions(blank_text=blank_text))
    assert content(card, "DDF1/DF01/EF05", 2)[2:] == octet * 100, "an address that nobody gave"
    assert content(card, "DDF1/EF08", 3)[2:] == octet * 20, "a second phone"
    assert content(card, "DDF1/DF02/EF05", 15)[2:] == octet * 40
    assert content(card, "DDF1/DF01/EF05", 1)[2:] == b"\xff", "a code is no text"
    assert content(card, "DDF1/EF08", 2)[2:] == b"19900001537".ljust(20, b"\0")


def test_1_00_is_taken_for_1_0_only_where_the_setting_says_so() -> None:
    store = key_store()
    load = [(tag, b"\x02\x041.00" if tag == 0x0102 else value) for tag, value in groupings()]
    assert dict(load)[0x0102] != dict(groupings())[0x0102]
    card = blank(CardOptions(old_spec_version="yes"))
    personalize(card, store.transport_keys(CHIP), store.issuer_keys(CHIP), load)
    assert card.spec == 0x10
    card.reset()
    assert content(card, "DDF1/EF05", 2) == b"\x02\x041.00"
    specified = blank(CardOptions())
    with pytest.raises(StatusWordError, match="6A80"):
        personalize(specified, store.transport_keys(CHIP), store.issuer_keys(CHIP), load)
    assert specified.state.life_cycle == LifeCycle.BLANK


# Specification 2.0 has no such cards.


@pytest.mark.parametrize("setting", [
    each.name for each in FIELD.differences() if hasattr(CardOptions, each.name)
])  # fmt: skip
def test_a_card_of_2_0_cannot_have_a_setting_that_makes_it_look_like_an_old_one(
    setting: str,
) -> None:
    options = CardOptions.of_profile(RHCARD.having({setting: getattr(FIELD, setting)}))
    if setting == "clear_updates":
        assert personalized_card(public_test_roots(2), options=options).spec == 0x20
        return
    with pytest.raises(FormatError, match=f"setting {setting} is of specification 1.0"):
        personalized_card(public_test_roots(2), options=options)
    assert personalized_card(public_test_roots(1), options=options).spec == 0x10
    store = key_store(protocol=2)
    card = blank(options)
    with pytest.raises(StatusWordError, match="6A80"):
        personalize(
            card, store.transport_keys(CHIP), store.issuer_keys(CHIP), groupings(protocol=2)
        )
    assert card.state.life_cycle == LifeCycle.BLANK
