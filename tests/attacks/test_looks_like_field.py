"""Somebody on the line makes a card of specification 2.0 look like an old one of profile `field`.

He hides AID and FCI, refuses path and P2=05, takes the chip serial out of the ATR. As long as the
operator did not choose profile `field`, no key, no PIN and no change goes to that card in a form
of version 1 (card specification 10, amendment 12).
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain, combinations
from pathlib import Path

import pytest

import apdu_scripts
from cardlib import commands
from cardlib.card import ResidentHealthCard, holder
from cardlib.card.discovery import discover
from cardlib.emulator.bench.ready_made import PIN
from cardlib.errors import CardError, CardKeyError, ChannelError, NotGenuine, ProfileNeeded
from cardlib.facts import Pin
from cardlib.keys import KeySet
from cardlib.layout.card_profile import FIELD, RHCARD
from cardlib.script import Runner
from cardlib.script.language import ScriptError, parse
from personalize.cli import cards
from personalize.cli.exits import Exit
from personalize.terminal.reading import HowToRead, read_card
from tests.cards.field_bench import (
    ALLERGIES,
    EMERGENCY,
    INDEX,
    Bench,
    card_of_profile,
    check_all_is_read,
    keys_of,
)
from tests.cards.in_between import (
    DISGUISE,
    FORGED_VERSION,
    InBetween,
    disguised,
    refusing,
)
from tests.programs.rhcard import Ran, key_file, rhcard, saved

SELECT, READ_RECORD, READ_BINARY, INTERNAL, EXTERNAL = 0xA4, 0xB2, 0xB0, 0x88, 0x82
HARMLESS = {SELECT, READ_RECORD}
KEYS: Mapping[str, KeySet | None] = {"2": keys_of(2), "1": keys_of(1), "none": None}
ALL = tuple(DISGUISE)
OLD_LENGTH = 0x11
"""Lc of EXTERNAL AUTHENTICATE of version 1."""


def subsets(*names: str) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))


HIDES_FCI = [("no FCI", *others) for others in subsets("no AID", "no path", "no P2=05")]
KEEPS_FCI = [others for others in subsets("no AID", "no path", "no P2=05") if others]

Host = ResidentHealthCard
ACTIONS: Mapping[str, Callable[[Host], object]] = {
    "authenticate": lambda host: host.authenticate("RK1_DF02"),
    "internal_authenticate": lambda host: host.internal_authenticate(),
    "settle_serial": lambda host: host.settle_serial(),
    "verify_pin": lambda host: host.verify_pin(PIN),
    "send": lambda host: host.send(commands.verify(Pin(PIN)), "VERIFY"),
    "exchange": lambda host: host.exchange(commands.verify(Pin(PIN))),
    "change": lambda host: host.change(commands.append_record(b"x"), "STK_DF02"),
    "read": lambda host: host.read(EMERGENCY),
    "read_raw": lambda host: host.read_raw(EMERGENCY),
    "read_binary": lambda host: host.read_binary("DDF1/EF07", 0, 2),
    "read_visits": lambda host: host.read_visits("inpatient"),
    "update": lambda host: host.update(EMERGENCY, 1, {"abo_blood_group": "1"}),
    "append": lambda host: host.append(ALLERGIES, {"allergen": "x"}),
    "write_binary": lambda host: host.write_binary("DDF1/DF03/EE01", 0, b"x"),
    "mark": lambda host: host.mark(INDEX, 1),
    "erase_mark": lambda host: host.erase_mark(INDEX, 1),
    "write_visit": lambda host: host.write_visit("inpatient", {"admission_condition": "1"}),
    "identify": lambda host: host.identify(),
    "block_application": lambda host: holder.block_application(host, "DDF1/DF02"),
    "unblock_application": lambda host: holder.unblock_application(host, "DDF1/DF02"),
    "block_card": holder.block_card,
    "change_pin": lambda host: holder.change_pin(host, PIN, "246802"),
    "unblock_pin": holder.unblock_pin,
}
NO_ACTIONS = {"forget", "reset", "select", "pin_tries"}
"""They send no key, no PIN and no change: the last asks how many tries are left."""


def public(owner: object, is_one: Callable[[object], bool]) -> set[str]:
    return {name for name, _ in inspect.getmembers(owner, is_one) if name[0] != "_"}


def test_every_method_of_a_card_and_every_function_for_its_holder_is_tried() -> None:
    methods = public(ResidentHealthCard, inspect.isfunction)
    functions = {
        name
        for name in public(holder, inspect.isfunction)
        if getattr(holder, name).__module__ == holder.__name__
    }
    assert ACTIONS.keys() | NO_ACTIONS == methods | functions
    assert not ACTIONS.keys() & NO_ACTIONS


def instructions(line: InBetween) -> set[int]:
    return {command[1] for command in line.reached}


def old_authentications(line: InBetween) -> list[bytes]:
    return [each for each in line.reached if each[1] == EXTERNAL and each[4] == OLD_LENGTH]


# --- the library -----------------------------------------------------------------------------


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_host_without_profile_field_sends_nothing_but_select_and_read(
    action: str, keys: KeySet | None
) -> None:
    for names in HIDES_FCI:
        for least in (None, 1):
            line = disguised(*names)
            with pytest.raises(ProfileNeeded, match="add --profile field"):
                ACTIONS[action](ResidentHealthCard(line, keys, least))
            assert instructions(line) <= HARMLESS


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("action", ACTIONS)
def test_addressing_and_the_missing_fci_alone_lower_nothing_either(
    action: str, keys: KeySet | None
) -> None:
    """The host was told all of the profile's settings, but not its name."""
    profile = RHCARD.having({each.name: getattr(FIELD, each.name) for each in FIELD.differences()})
    line = disguised(*ALL, more=(FORGED_VERSION,))
    if action == "identify":
        assert ResidentHealthCard(line, keys, profile=profile).identify().protocol == 1
    else:
        with pytest.raises(ChannelError, match="accepts version 2"):
            ACTIONS[action](ResidentHealthCard(line, keys, profile=profile))
    assert instructions(line) <= HARMLESS


@pytest.mark.parametrize("names", KEEPS_FCI, ids=", ".join)
def test_a_2_0_card_that_still_says_what_it_is_gets_version_2_and_nothing_else(
    names: tuple[str, ...],
) -> None:
    """In a session files are selected by path: who refuses it there breaks the session."""
    for action in ACTIONS:
        line = disguised(*names)
        with suppress(CardError):
            ACTIONS[action](ResidentHealthCard(line, keys_of(2)))
        assert old_authentications(line) == []
        in_clear = {each[1] for each in line.reached if not each[0] & 0x0C}
        assert in_clear <= HARMLESS | {READ_BINARY, 0x84, EXTERNAL, INTERNAL}, action


def test_a_2_0_card_without_aid_is_read_whole_in_its_session() -> None:
    line = disguised("no AID")
    bench = Bench(RHCARD, line, keys=keys_of(2))
    check_all_is_read(bench.read_all(), RHCARD, 2)


def test_a_card_without_its_serial_gets_nothing_whatever_keys_there_are() -> None:
    for keys in KEYS.values():
        for names in (("no serial",), ("no serial", *ALL)):
            line = disguised(*names)
            with pytest.raises(ProfileNeeded):
                ResidentHealthCard(line, keys, 1).authenticate("RK1_DF02")
            assert instructions(line) <= HARMLESS


def test_what_is_found_out_needs_no_more_than_select_and_read() -> None:
    line = disguised(*ALL)
    with pytest.raises(ProfileNeeded):
        discover(line).profile()
    assert instructions(line) <= HARMLESS


# --- rhcard read and scripts -----------------------------------------------------------------


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InBetween:
    """A disguised 2.0 card in the place of every card that a command line names."""
    found = disguised(*ALL)

    @contextmanager
    def in_reader(_path: Path, *, read_only: bool = False) -> Iterator[InBetween]:
        del read_only
        found.reset()
        yield found

    monkeypatch.setattr(cards, "in_reader", in_reader)
    return found


@pytest.fixture
def command_line(tmp_path: Path) -> Callable[..., Ran]:
    """Run rhcard with the keys of a version, or none."""
    card = saved(card_of_profile(RHCARD, protocol=2), tmp_path / "a.card")
    files = {
        version: ("--keys", key_file(tmp_path, test=True, name=f"{version}.json", protocol=version))
        for version in (1, 2)
    }

    def run(*words: object, version: int | None) -> Ran:
        return rhcard(*words, card, *(files[version] if version else ()))

    return run


@pytest.mark.parametrize("version", [2, 1, None])
@pytest.mark.parametrize("more", [(), ("--emergency",), ("--json",)], ids=str)
def test_rhcard_read_stops_and_names_the_option(
    line: InBetween, command_line: Callable[..., Ran], more: tuple[str, ...], version: int | None
) -> None:
    done = command_line("read", *more, version=version)
    assert done.code == Exit.VERIFICATION_FAILED
    told = done.json["error"] if "--json" in more else done.err
    assert "--profile field" in told and "SELECT by AID is refused (6A82), by path refused" in told
    assert line.reached and instructions(line) <= HARMLESS


LITERAL = {
    "a PIN": f"0020000006{PIN.encode().hex()}",
    "a change of PIN": f"002400000C{PIN.encode().hex() * 2}",
    "an append": "00DC00030178",
    "a protected update": "04DC01040401020304",
    "an update of bytes": "00D600000178",
    "a mark": "84D2010400",
    "an erased mark": "840C010400",
}


@pytest.mark.parametrize("version", [2, 1, None])
@pytest.mark.parametrize("name", apdu_scripts.names())
def test_no_script_of_ours_authenticates_or_changes_anything(
    line: InBetween, command_line: Callable[..., Ran], name: str, version: int | None
) -> None:
    done = command_line("apdu", "run", name, "--card", version=version)
    assert done.code != Exit.GOOD
    assert line.reached and instructions(line) <= HARMLESS | {READ_BINARY, 0x84, 0xCA, INTERNAL}
    assert not [each for each in line.reached if each[1] == INTERNAL and any(each[5:13])]


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("what", LITERAL)
def test_a_script_sends_no_pin_and_no_change(what: str, keys: KeySet | None) -> None:
    select = "00A4000002DDF100"
    script = parse(f"{select}\n#! authenticate RK1_DF02\n{LITERAL[what]}\n", "a script")
    line = disguised(*ALL)
    with pytest.raises(ScriptError, match="was not sent"):
        list(Runner(line, keys).run(script))
    assert instructions(line) <= HARMLESS


# --- with profile field ----------------------------------------------------------------------


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("names", [(), ALL], ids=["as it is", "disguised"])
@pytest.mark.parametrize("action", ACTIONS)
def test_with_profile_field_a_2_0_card_is_stopped_by_its_own_word(
    action: str, names: tuple[str, ...], keys: KeySet | None
) -> None:
    """Tag 02 of its issuer's data says 2.0; whatever the FCI says is not asked for."""
    line = disguised(*names)
    with pytest.raises(ChannelError, match=r"specification 2\.0.*without --profile field"):
        ACTIONS[action](ResidentHealthCard(line, keys, profile=FIELD))
    assert instructions(line) <= HARMLESS


@pytest.mark.parametrize("action", ACTIONS)
def test_with_profile_field_and_a_forged_tag_02_keys_of_2_0_are_not_used(action: str) -> None:
    line = disguised(*ALL, more=(FORGED_VERSION,))
    host = ResidentHealthCard(line, keys_of(2), profile=FIELD)
    needs_keys = {"authenticate", "internal_authenticate", "change", "update", "append", "mark"}
    if action in needs_keys:
        with pytest.raises(CardKeyError, match="the keys are for protocol 2"):
            ACTIONS[action](host)
    assert not instructions(line) & {EXTERNAL, INTERNAL, 0x20}


def test_with_profile_field_and_a_forged_tag_02_keys_of_1_0_prove_that_it_is_no_such_card() -> None:
    for action in ("authenticate", "verify_pin", "update", "append", "change_pin", "unblock_pin"):
        line = disguised(*ALL, more=(FORGED_VERSION,))
        with pytest.raises(NotGenuine):
            ACTIONS[action](ResidentHealthCard(line, keys_of(1), profile=FIELD))
        assert instructions(line) <= HARMLESS | {INTERNAL}


def test_one_authentication_is_tried_where_he_refuses_the_proof_and_2_0_refuses_it() -> None:
    no_proof = refusing(b"\x6d\x00", lambda command: command[1] == INTERNAL)
    line = disguised(*ALL, more=(FORGED_VERSION, no_proof))
    with pytest.raises(CardError, match="6985"):
        read_card(line, keys_of(1), how=HowToRead(FIELD))
    assert len(old_authentications(line)) == 1
    assert instructions(line) <= HARMLESS | {EXTERNAL, 0x84}
