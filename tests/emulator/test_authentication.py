"""Challenges, authentication by key, try counters, the PIN: each rule of sections 3, 4 and 5a."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.crypto import Cipher
from cardlib.emulator import LifeCycle, MemoryFailure
from cardlib.emulator.filesystem.tree import KEY_BIT
from cardlib.emulator.profile.card_state import KEY_TRIES
from cardlib.layout import FILE_BY_PATH, KEY_BY_NAME, KEYS
from tests.cards.software_cards import (
    AUTHENTICATING,
    PIN,
    VERSION,
    Terminal,
    active_card,
    sample,
    terminal,
)

BANK = FILE_BY_PATH["DDF1/DF04/EF05"]
DIRECTORIES = ["MF", "DDF1", *(f"DDF1/DF0{n}" for n in range(1, 6))]
both_ciphers = pytest.mark.parametrize("cipher", list(Cipher), ids=lambda cipher: cipher.name)


def held(card: Terminal) -> set[str]:
    """The rights that hold now, from inside the card."""
    rights = card.card.channels[0].rights
    return {name for name, bit in KEY_BIT.items() if rights & bit}


def tries(card: Terminal, name: str) -> int:
    stored = card.card.state.card_key(KEY_BY_NAME[name])
    assert stored is not None
    return stored.tries


def wrong(command: bytes) -> bytes:
    """The authentication with one bit of its cryptogram changed."""
    return command[:5] + bytes((command[5] ^ 1,)) + command[6:]


def named_from(directory: str, kid: int) -> str | None:
    """The key a KID names: section 3 in its own words."""
    nearest = ["MF"] if directory == "MF" else ["DDF1", "MF"]
    for holder in [directory] if kid & 0x80 else nearest:
        for key in KEYS:
            if key.df_path == holder and key.reference == kid and key.name in AUTHENTICATING:
                return key.name
    return None


@both_ciphers
@pytest.mark.parametrize("name", AUTHENTICATING)
def test_every_reading_updating_and_blocking_key_gives_its_right(name: str, cipher: Cipher) -> None:
    card = terminal(cipher)
    card.select(KEY_BY_NAME[name].df_path)
    assert card.sw(card.authentication(name)) == 0x9000
    assert held(card) == {name}


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_a_kid_names_a_key_of_the_current_df_or_of_the_nearest_of_ddf1_and_mf(
    directory: str,
) -> None:
    card = terminal()
    card.select(directory)
    for kid in range(256):
        name = named_from(directory, kid)
        command = card.authentication(name or "IRK_DDF1", kid=kid)
        assert card.sw(command) == (0x9000 if name else 0x6A88), f"{kid:02X}"
        assert name is None or name in held(card)
    assert held(card) == {n for kid in range(256) if (n := named_from(directory, kid))}


def test_82_never_uses_the_irk_and_88_only_the_irk() -> None:
    card = terminal()
    card.select("DDF1")
    assert KEY_BY_NAME["IRK_DDF1"].reference == KEY_BY_NAME["RK1_DDF1"].reference == 4
    assert card.sw(card.authentication("IRK_DDF1", kid=4)) == 0x63CE
    assert card.sw(card.authentication("RK1_DDF1", kid=4)) == 0x9000
    assert tries(card, "IRK_DDF1") == KEY_TRIES
    for name in ("RK1_DDF1", "UK1_DDF1", "STK_DDF1"):
        answer, _ = card.send(internal(b"\x11" * 8, b"\x22" * 8))
        assert answer != card.cryptogram(name, b"\x11" * 8, b"\x22" * 8)


@pytest.mark.parametrize("name", ["STK_DDF1", "STK_DF02", "PUK_DDF1", "STM_MF", "IRK_DDF1"])
def test_other_keys_do_not_authenticate(name: str) -> None:
    card = terminal()
    card.select(KEY_BY_NAME[name].df_path)
    sw = card.sw(card.authentication(name))
    assert sw == (0x63CE if name == "IRK_DDF1" else 0x6A88)
    assert held(card) == set()
    assert tries(card, name) == KEY_TRIES


# INTERNAL AUTHENTICATE


def internal(r8: bytes, data8: bytes, version: int = VERSION) -> bytes:
    return bytes.fromhex("0088000011") + r8 + data8 + bytes((version,)) + b"\x08"


@both_ciphers
@pytest.mark.parametrize("directory", DIRECTORIES[1:])
def test_internal_authenticate_proves_the_irk(directory: str, cipher: Cipher) -> None:
    card = terminal(cipher)
    card.select(directory)
    r8, data8 = bytes(range(8)), bytes(range(100, 108))
    answer, sw = card.send(internal(r8, data8))
    assert (answer, sw) == (card.cryptogram("IRK_DDF1", r8, data8), 0x9000)
    assert card.send(internal(r8, data8)[:-1]) == (b"", 0x6108)
    assert card.send("00C0000008") == (answer, 0x9000)


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("008801001100112233445566770011223344556677 03", 0x6A86),
        ("00880004110011223344556677001122334455667703", 0x6A86),
        ("00880000110011223344556677001122334455667701", 0x6A88),
        ("008800001000112233445566770011223344556677", 0x6700),
        ("0088000012001122334455667700112233445566770303", 0x6700),
        ("00880000", 0x6700),
    ],
)
def test_internal_authenticate_refuses_what_it_does_not_know(command: str, sw: int) -> None:
    card = terminal()
    card.select("DDF1")
    assert card.sw(command) == sw
    card.select("MF")
    assert card.sw(internal(bytes(8), bytes(8))) == 0x6A88


# Challenges


def test_challenges_are_8_bytes_and_differ() -> None:
    card = terminal()
    assert len({card.challenge() for _ in range(200)}) == 200
    assert card.sw("0084000108") == 0x6A86
    assert card.sw("0084010008") == 0x6A86
    assert card.sw("00840000") == 0x6108
    assert card.send("0084000004") == (b"", 0x6C08)


def test_a_challenge_is_used_once() -> None:
    card = terminal()
    card.select("DDF1")
    command = card.authentication("RK1_DDF1")
    assert card.sw(command) == 0x9000
    assert card.sw(command) == 0x6984
    assert held(card) == {"RK1_DDF1"}
    assert tries(card, "RK1_DDF1") == KEY_TRIES


@pytest.mark.parametrize(
    "between",
    [
        "0084000008",
        "0082000411" + "00" * 17,
        "0082000410" + "00" * 16,
        "0082007711" + "00" * 17,
        "0082010411" + "00" * 17,
        "00820004",
        "04DC01040400000000",
        "04D600000400000000",
        "84D201040400000000",
        "840C01040400000000",
    ],
)
def test_a_challenge_dies_with_the_next_use_whatever_comes_of_it(between: str) -> None:
    card = terminal()
    card.select("DDF1/DF02")
    command = card.authentication("RK1_DDF1")
    card.sw(between)
    assert card.sw(command) in ((0x6984,) if between[2:4] != "84" else (0x63CE, 0x63CD))
    assert held(card) == set()


@pytest.mark.parametrize("between", ["00A4000C02DF01", "00A4000C02EF05", "00B2010400", "00200000"])
def test_a_challenge_outlives_commands_that_do_not_use_it(between: str) -> None:
    card = terminal()
    card.select("DDF1/DF02")
    command = card.authentication("RK1_DDF1")
    card.sw(between)
    assert card.sw(command) == 0x9000


def test_a_challenge_dies_with_reset() -> None:
    card = terminal()
    card.select("DDF1")
    command = card.authentication("RK1_DDF1")
    card.card.reset()
    card.select("DDF1")
    assert card.sw(command) == 0x6984


# Try counters


@both_ciphers
@pytest.mark.parametrize("name", AUTHENTICATING)
def test_wrong_cryptograms_count_down_to_63c0_and_then_6983(name: str, cipher: Cipher) -> None:
    card = terminal(cipher)
    card.select(KEY_BY_NAME[name].df_path)
    for left in range(14, -1, -1):
        assert card.sw(wrong(card.authentication(name))) == 0x63C0 | left
        assert tries(card, name) == left
    assert card.sw(card.authentication(name)) == 0x6983
    assert card.sw(wrong(card.authentication(name))) == 0x6983
    card.card.reset()
    card.select(KEY_BY_NAME[name].df_path)
    assert card.sw(card.authentication(name)) == 0x6983
    assert held(card) == set()
    assert {tries(card, key.name) for key in KEYS if key.name != name} == {KEY_TRIES}


def test_success_gives_all_tries_back() -> None:
    card = terminal()
    card.select("DDF1")
    for failures in (1, 7, 14):
        for count in range(failures):
            assert card.sw(wrong(card.authentication("UK1_DDF1"))) == 0x63C0 | (14 - count)
        assert card.sw(card.authentication("UK1_DDF1")) == 0x9000
        assert tries(card, "UK1_DDF1") == KEY_TRIES


def test_a_failed_authentication_removes_that_right_and_no_other() -> None:
    card = terminal()
    card.select("DDF1/DF02")
    card.authenticate("RK1_DF02", "UK1_DF02", "RK1_DDF1")
    assert card.sw(wrong(card.authentication("UK1_DF02"))) == 0x63CE
    assert held(card) == {"RK1_DF02", "RK1_DDF1"}


@pytest.mark.parametrize("version", [v for v in range(256) if v not in (VERSION, 4, 255)][::25])
def test_another_key_version_is_6a88_and_spends_nothing(version: int) -> None:
    card = terminal()
    card.select("DDF1")
    before = card.card.memory.writes
    assert card.sw(card.authentication("RK1_DDF1", version=version)) == 0x6A88
    assert tries(card, "RK1_DDF1") == KEY_TRIES
    assert card.card.memory.writes == before
    assert held(card) == set()


def test_a_try_is_in_memory_before_the_comparison() -> None:
    card = terminal()
    card.select("DDF1")
    command = card.authentication("RK1_DDF1")
    pages: list[int] = []

    def stop(page: int, done: bool) -> None:
        pages.append(page)
        if done:
            raise InterruptedError

    card.card.memory.on_write = stop
    with pytest.raises(InterruptedError):
        card.card.transmit(command)
    card.card.memory.on_write = None
    card.card.reset()
    assert len(pages) == 2
    assert tries(card, "RK1_DDF1") == KEY_TRIES - 1


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("kind", ["key", "pin"])
def test_a_memory_failure_gives_no_right_and_no_presence(kind: str, failing: int) -> None:
    card = terminal()
    card.select("DDF1")
    command = card.authentication("RK1_DDF1") if kind == "key" else pin(PIN)
    writes: list[int] = []

    def fail(page: int, done: bool) -> None:
        if not done:
            writes.append(page)
            if len(writes) == failing + 1:
                raise MemoryFailure

    card.card.memory.on_write = fail
    assert card.sw(command) == 0x6581
    card.card.memory.on_write = None
    assert held(card) == set()
    assert card.sw("00200000") == 0x63C3 - (1 if kind == "pin" and failing else 0)


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("0082010411" + "00" * 17, 0x6A86),
        ("0082000410" + "00" * 16, 0x6700),
        ("0082000412" + "00" * 18, 0x6700),
        ("00820004", 0x6700),
        ("0082000411" + "00" * 17, 0x6984),
        ("0082008411" + "00" * 17, 0x6A88),
    ],
)
def test_malformed_authentications_are_refused_without_a_try(command: str, sw: int) -> None:
    card = terminal()
    card.select("DDF1")
    assert card.sw(command) == sw
    assert tries(card, "RK1_DDF1") == KEY_TRIES


def test_a_personalized_card_reads_and_authenticates_like_an_active_one() -> None:
    card = terminal(life_cycle=LifeCycle.PERSONALIZED)
    card.select("DDF1/DF02/EF05")
    assert card.sw("00B2010400") == 0x6982
    card.authenticate("RK1_DF02")
    assert card.sw("00B2010400") == 0x9000
    card.verify_pin()


# The PIN


def pin(digits: bytes) -> bytes:
    return bytes((0, 0x20, 0, 0, len(digits))) + digits


def test_the_pin_has_three_tries_and_success_gives_them_back() -> None:
    card = terminal()
    card.select("DDF1")
    for left in (2, 1):
        assert card.sw(pin(b"000000")) == 0x63C0 | left
    assert card.sw(pin(PIN)) == 0x9000
    for left in (2, 1, 0):
        assert card.sw(pin(b"000000")) == 0x63C0 | left
    assert card.sw(pin(PIN)) == 0x6983
    card.card.reset()
    card.select("DDF1")
    assert card.sw(pin(PIN)) == 0x6983
    assert card.sw("00200000") == 0x63C0


def test_an_empty_verify_answers_the_tries_and_spends_none() -> None:
    card = terminal()
    card.select("DDF1")
    before = card.card.memory.writes
    for _ in range(20):
        assert card.sw("00200000") == 0x63C3
    assert card.card.memory.writes == before
    assert card.sw(pin(b"000000")) == 0x63C2
    assert card.sw("00200000") == 0x63C2
    assert card.sw(pin(PIN)) == 0x9000
    assert card.sw("00200000") == 0x9000


@pytest.mark.parametrize("digits", [b"1", b"13579", b"1357900", b"13579\xff\xff\xff", b"1" * 255])
def test_a_pin_of_another_length_is_6700_and_spends_none(digits: bytes) -> None:
    card = terminal()
    card.select("DDF1")
    assert card.sw(pin(digits)) == 0x6700
    assert card.sw("00200000") == 0x63C3


@pytest.mark.parametrize("digits", [b"13579a", b"\x26\x13\x57\x90\xff\xff", b"      ", bytes(6)])
def test_what_is_not_digits_is_6a80_and_spends_none(digits: bytes) -> None:
    card = terminal()
    card.select("DDF1")
    assert card.sw(pin(digits)) == 0x6A80
    assert card.sw("00200000") == 0x63C3


@pytest.mark.parametrize(("p1", "p2"), [(1, 0), (0, 1), (0, 0x80), (0, 0x81), (0xFF, 0)])
def test_the_pin_is_reference_00_only(p1: int, p2: int) -> None:
    card = terminal()
    card.select("DDF1")
    assert card.sw(bytes((0, 0x20, p1, p2, 6)) + PIN) == 0x6A86
    assert card.sw(bytes((0, 0x20, p1, p2))) == 0x6A86


def test_the_pin_is_at_ddf1_and_its_dfs_not_at_the_mf() -> None:
    card = terminal()
    for directory in DIRECTORIES:
        card.select(directory)
        card.card.reset()
        card.select(directory)
        assert card.sw(pin(PIN)) == (0x6A88 if directory == "MF" else 0x9000)
        assert card.sw("00200000") == (0x6A88 if directory == "MF" else 0x9000)


def test_the_pin_holds_until_reset_or_until_ddf1_is_left() -> None:
    card = terminal()
    card.select("DDF1")
    card.verify_pin()
    for path in ("DDF1/DF04", "DDF1/DF04/EF05", "DDF1/DF01", "DDF1", "DDF1/EF05"):
        card.select(path)
        assert card.sw("00200000") == 0x9000
    for leave in ("00A4000C023F00", "00A4040C08A000000151000000", "00A4040C", None):
        card.select("DDF1")
        card.verify_pin()
        if leave:
            assert card.sw(leave) == 0x9000
        else:
            card.card.reset()
        card.select("DDF1")
        assert card.sw("00200000") == 0x63C3


def test_a_wrong_pin_takes_the_holders_presence_away() -> None:
    card = terminal()
    card.select("DDF1")
    card.verify_pin()
    assert card.sw(pin(b"000000")) == 0x63C2
    assert card.sw("00200000") == 0x63C2


def test_the_pin_is_changed_by_who_knows_it() -> None:
    card = terminal()
    card.select("DDF1")
    change = bytes.fromhex("002400000C")
    assert card.sw(change + b"000000" + b"246802") == 0x63C2
    assert card.sw(change + PIN + b"24680a") == 0x6A80
    assert card.sw("0024000006" + PIN.hex()) == 0x6700
    assert card.sw("00200000") == 0x63C2
    assert card.sw(change + PIN + b"246802") == 0x9000
    assert card.sw(pin(PIN)) == 0x63C2
    assert card.sw(pin(b"246802")) == 0x9000


def test_the_puk_unblocks_the_pin_under_secure_messaging() -> None:
    card = terminal()
    card.select("DDF1")
    for _ in range(3):
        card.sw(pin(b"000000"))
    assert card.sw("8024000000") in (0x6982, 0x6984)
    assert card.sw("842400000400000000") == 0x6984
    command = card.protected("PUK_DDF1", "84240000")
    assert card.sw(command[:-1] + bytes((command[-1] ^ 1,))) == 0x6988
    assert tries(card, "PUK_DDF1") == 14
    assert card.sw("00200000") == 0x63C0
    assert card.sw(card.protected("PUK_DDF1", "84240000")) == 0x9000
    assert tries(card, "PUK_DDF1") == KEY_TRIES
    assert card.sw("00200000") == 0x63C3
    assert card.sw(card.protected("PUK_DDF1", "84240000", b"246802")) == 0x9000
    assert card.sw(pin(b"246802")) == 0x9000


def test_the_bank_link_needs_the_holder_besides_the_key() -> None:
    card = terminal()
    card.select(BANK.path)
    card.authenticate("RK1_DF04")
    assert card.read(BANK)[1] == 0x9000
    assert card.sw(card.change(BANK, sample(BANK))) == 0x6982
    card.authenticate("UK1_DF04")
    assert card.sw(card.change(BANK, sample(BANK))) == 0x6982
    card.verify_pin()
    assert card.sw(card.change(BANK, sample(BANK))) == 0x9000
    assert card.sw(wrong(card.authentication("UK1_DF04"))) == 0x63CE
    assert card.sw(card.change(BANK, sample(BANK))) == 0x6982


# Rights


def kept_after(directory: str, rights: set[str]) -> set[str]:
    """Selecting a DF clears the rights of DFs that are neither it nor its ancestors."""
    line = {"MF", "DDF1", directory} if directory != "MF" else {"MF"}
    return {name for name in rights if KEY_BY_NAME[name].df_path in line}


rights_steps = st.lists(
    st.one_of(
        st.tuples(st.just("authenticate"), st.sampled_from(AUTHENTICATING)),
        st.tuples(st.just("fail"), st.sampled_from(AUTHENTICATING)),
        st.tuples(st.just("select"), st.sampled_from(DIRECTORIES)),
        st.tuples(st.just("select"), st.sampled_from(sorted(FILE_BY_PATH))),
        st.tuples(st.sampled_from(["reset", "missing", "aid", "domain"]), st.just("")),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(rights_steps)
def test_rights_come_and_go_as_section_4_says(steps: list[tuple[str, str]]) -> None:
    card = terminal()
    directory, rights = "MF", set[str]()
    for what, name in steps:
        if what == "select":
            card.select(name)
            new = name.rsplit("/", 1)[0] if name in FILE_BY_PATH else name
            if new != directory:
                directory, rights = new, kept_after(new, rights)
        elif what in ("authenticate", "fail"):
            kid = KEY_BY_NAME[name].reference
            reachable = named_from(directory, kid) == name
            command = card.authentication(name)
            sw = card.sw(command if what == "authenticate" else wrong(command))
            if reachable and what == "authenticate":
                assert sw == 0x9000
                rights = rights | {name}
            elif reachable:
                assert sw >> 4 == 0x63C
                rights = rights - {name}
            else:
                other = named_from(directory, kid)
                assert sw == 0x6A88 if other is None else sw >> 4 == 0x63C
                rights = rights - {other or ""}
        elif what == "missing":
            assert card.sw("00A4000C02DF0F") == 0x6A82
        else:
            if what == "reset":
                card.card.reset()
            else:
                card.sw("00A4040C05F052484301" if what == "aid" else "00A4040C")
            directory = "DDF1" if what == "aid" else "MF"
            rights = kept_after(directory, rights) if what == "aid" else set()
        assert held(card) == rights


def test_several_rights_hold_together_and_selecting_an_ef_clears_none() -> None:
    card = terminal()
    card.select("DDF1/DF03")
    names = {"RK1_DF03", "UK1_DF03", "UK2_DF03", "LK_DF03", "RK1_DDF1", "UK1_DDF1", "BK_MF"}
    card.authenticate(*names)
    for file in ("EF05", "EE01", "ED05"):
        assert card.sw(f"00A4000C02{file}") == 0x9000
        assert held(card) == names


def test_the_state_of_one_card_is_its_own() -> None:
    first, second = active_card(), active_card()
    one, two = Terminal(first), Terminal(second)
    one.select("DDF1")
    one.authenticate("RK1_DDF1")
    two.select("DDF1")
    assert held(one) == {"RK1_DDF1"}
    assert held(two) == set()
