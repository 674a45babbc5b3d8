"""Each row of the table of profiles alone: host and card alike, and host and card each other.

`ROWS` has an entry for every row: what is on a card of it, what the host sends, and what a user
sees if host and card have other values. A new row without an entry fails.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import permutations

import pytest

from cardlib.card import FieldCard
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.errors import CardError
from cardlib.exchange import Connection
from cardlib.layout import FILE_BY_PATH
from cardlib.layout.card_profile import FIELD, RHCARD, SETTINGS, CardProfile
from tests.cards.field_bench import (
    ALLERGIES,
    EMERGENCY,
    FIRST_SLOT,
    HOLDER,
    INDEX,
    Bench,
    card_of_profile,
    check_all_is_read,
    stored,
    texts,
)
from tests.cards.in_between import READ_BINARY, UPDATE_BINARY, InBetween, refusing

VISIT = {"hospital_name": "示例市第一人民医院", "admission_condition": "2"}
VALUES = {each.name: each.choices for each in SETTINGS}
SPECIFIED = {each.name: each.values["rhcard"] for each in SETTINGS}


@dataclass(frozen=True)
class Row:
    """What one row of the table is about.

    `sends`: for each value, patterns of commands that are sent with it and with no other value.
    `holds`: for each value, patterns of what a card holds after `change_all`, by file and record.
    `reads`, `changes`: what a user sees where host and card (in this order) have other values: the
    message of an error. Where nothing is said, all is read, and all is changed, as with the same.
    """

    sends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    holds: Mapping[str, Mapping[tuple[str, int], str]] = field(default_factory=dict)
    reads: Mapping[tuple[str, str], str] = field(default_factory=dict)
    changes: Mapping[tuple[str, str], str] = field(default_factory=dict)


_RH, _VISIT_CODE = (EMERGENCY, 2), FILE_BY_PATH[FIRST_SLOT].fields[6]
_ALLERGY = (ALLERGIES, 1)
_TAKES_NOT_IN_CLEAR = r"6982 .* does not take it in clear: set clear_updates=no"
_NOT_THERE = r"tag 58 of the ATR|its chip serial \(none in the ATR under tag 58\)"
_NOWHERE = r"no chip serial fits that may be in .*bytes 5 to 12"

ROWS: Mapping[str, Row] = {
    "serial_place": Row(
        reads={
            ("historical tag", "bytes 5-12"): _NOT_THERE,
            ("historical tag", "last 8"): _NOT_THERE,
            ("historical tag", "given"): _NOT_THERE,
            ("bytes 5-12", "given"): _NOWHERE,
            ("last 8", "given"): _NOWHERE,
        },
    ),
    "selection": Row(
        sends={
            "name and path": ("00A404.*", "00A408.*"),
            "file identifier": ("00A4000002DDF1(00)?",),
        },
    ),
    "fci": Row(reads={("C1 and C2", "nothing"): "does not say .*add --profile field"}),
    "record_reading": Row(sends={"many": ("00B2..05..",), "one": ("00B20F0400",)}),
    "binary_block": Row(
        sends={"128": ("00B0000002", "00B0000280"), "whole": ("00B0000000",)},
        changes={("whole", "128"): "6700 .* no more than 128 bytes at once: set binary_block=128"},
    ),
    "one_digit_code": Row(
        holds={
            "nF": {_RH: "2A013F", (FIRST_SLOT, 0): f".{{{_VISIT_CODE.offset * 2}}}2F.*"},
            "0n": {_RH: "2A0103", (FIRST_SLOT, 0): f".{{{_VISIT_CODE.offset * 2}}}02.*"},
        },
    ),
    "clear_updates": Row(
        sends={
            "yes": ("00DC0003.*", "00D60000.*", "84D2010400", "840C010400"),
            "no": ("04DC0003.*", "04D60000.*", "84D2010404.*", "840C010404.*"),
        },
        changes={("yes", "no"): _TAKES_NOT_IN_CLEAR},
    ),
    "blank_text": Row(
        holds={
            "unwritten": {_ALLERGY: ".*(FF){100}", (EMERGENCY, 15): "3728(FF){40}"},
            "00": {_ALLERGY: ".*(00){100}", (EMERGENCY, 15): "3728(00){40}"},
            "20": {_ALLERGY: ".*(20){100}", (EMERGENCY, 15): "3728(20){40}"},
        },
    ),
    "issuer_files": Row(
        holds={
            "UK_DDF1": {(HOLDER, 1): "0B1E" + "王㛃".encode("gb18030").hex().upper() + ".*"},
            "never changed": {(HOLDER, 1): "0B1E" + "王䶮".encode("gb18030").hex().upper() + ".*"},
        },
        changes={
            ("UK_DDF1", "never changed"): "6985 .* or it never changes this file",
        },
    ),
    "old_spec_version": Row(
        reads={("no", "yes"): "specification 1.00.*with the setting old_spec_version=yes"},
    ),
    "sam_pin": Row(),  # of a SAM: no card is sent it
    "sam_version_0": Row(),  # of a SAM: tests/emulator/test_sam_versions.py
    "t0_select": Row(),  # of a card: a host follows both answers
}


def test_every_row_of_the_table_has_an_entry_with_its_own_values() -> None:
    assert set(ROWS) == set(VALUES)
    for name, row in ROWS.items():
        pairs = set(permutations(VALUES[name], 2))
        assert row.reads.keys() | row.changes.keys() <= pairs
        for of_value in (row.sends, row.holds):
            assert of_value.keys() in (set(), set(VALUES[name])), name


def card_like(profile: CardProfile) -> tuple[Connection, SoftwareCard]:
    """A card of the profile, and what the host meets: it takes no long block if the row says so."""
    card = card_of_profile(profile)
    too_long = refusing(b"\x67\x00", _is_long_block)
    return (card if profile.binary_block == "whole" else InBetween(card, too_long)), card


def _is_long_block(command: bytes) -> bool:
    asked = (command[4] or 256) if command[1] == READ_BINARY else 0
    protection = 20 if command[0] & 0x04 else 0  # of 128 bytes: length, padding, MAC
    sent = command[4] - protection if command[1] == UPDATE_BINARY else 0
    return max(asked, sent) > 128


def bench_of(host: CardProfile, card: CardProfile) -> tuple[Bench, SoftwareCard]:
    line, on_it = card_like(card)
    given = FieldCard(chip=CHIP) if host.serial_place == "given" else FieldCard()
    return Bench(host, line, min_protocol=1, field_card=given), on_it


def change_all(bench: Bench) -> None:
    """Update, append, a visit written and marked, a mark erased; the holder's name last."""
    host = bench.host
    bench.authenticate("UK1_DF02", "UK3_DF02")
    host.update(EMERGENCY, 2, {"rh_blood_group": "3"})
    host.update(EMERGENCY, 15, {})
    host.append(ALLERGIES, {"allergen": "芒果"})
    bench.authenticate("RK1_DF03", "UK1_DF03", "UK2_DF03")
    assert host.write_visit("inpatient", VISIT) == 1
    ((slot, values),) = host.read_visits("inpatient")
    assert (slot, texts(values)) == (1, VISIT)
    host.erase_mark(INDEX, 1)
    assert host.read_visits("inpatient") == []
    bench.authenticate("UK1_DDF1", "RK1_DDF1")
    host.update(HOLDER, 1, {"name": "王㛃"})


def changed(bench: Bench, host: CardProfile) -> None:
    """Change all; a host whose profile never changes the issuer's files says so, sends nothing."""
    try:
        change_all(bench)
    except CardError as error:
        before = "DDF1/EF06: this file is never changed after issue, so nothing was sent"
        if host.issuer_files != "never changed" or before not in str(error):
            raise


def alike(base: CardProfile) -> Iterator[tuple[str, str, CardProfile]]:
    for name, choices in VALUES.items():
        for value in choices:
            yield name, value, base.having({name: value})


BASES = {"rhcard": RHCARD, "field": FIELD}
ALIKE = [(*each, base) for base in BASES.values() for each in alike(base)]


@pytest.mark.parametrize(("name", "value", "profile", "base"), ALIKE,
                         ids=[f"{base.name}-{n}={v}" for n, v, _, base in ALIKE])  # fmt: skip
def test_a_host_and_a_card_with_the_same_value_understand_one_another(
    name: str, value: str, profile: CardProfile, base: CardProfile
) -> None:
    bench, card = bench_of(profile, profile)
    check_all_is_read(bench.read_all(), profile)
    changed(bench, profile)
    sent, row = bench.sent, ROWS[name]
    for of_value, patterns in row.sends.items():
        for pattern in patterns:
            is_sent = any(re.fullmatch(pattern, each) for each in sent)
            assert is_sent == (of_value == value), (pattern, base.name)
    for (path, record), pattern in row.holds.get(value, {}).items():
        assert re.fullmatch(pattern, stored(card, path, record or 1).hex().upper()), path


OTHERS = [
    (name, host, card, base)
    for base in BASES.values()
    for name, choices in VALUES.items()
    for host, card in permutations(choices, 2)
]


@pytest.mark.parametrize(("name", "host", "card", "base"), OTHERS,
                         ids=[f"{b.name}-{n}: {h} at {c}" for n, h, c, b in OTHERS])  # fmt: skip
def test_a_host_with_another_value_reads_the_same_or_says_what_to_choose(
    name: str, host: str, card: str, base: CardProfile
) -> None:
    of_host, of_card = base.having({name: host}), base.having({name: card})
    bench, _ = bench_of(of_host, of_card)
    row = ROWS[name]
    said = _applies(row.reads.get((host, card), ""), of_host, name)
    with _refused(said):
        check_all_is_read(bench.read_all(), of_card)
    if not said:
        with _refused(row.changes.get((host, card), "")):
            changed(bench, of_host)


def _applies(said: str, host: CardProfile, name: str) -> str:
    """Tag 02 is looked at only where the FCI does not say the specification."""
    return "" if name == "old_spec_version" and host.fci == RHCARD.fci else said


def _refused(said: str) -> AbstractContextManager[object]:
    """The block ends in this error; in none if nothing is said."""
    return pytest.raises(CardError, match=re.compile(said, re.DOTALL)) if said else nullcontext()


def test_a_card_has_an_option_for_each_row_but_those_of_the_host_alone() -> None:
    of_cards = CardOptions().settings.keys()
    assert set(VALUES) - of_cards == {"binary_block", "sam_pin", "sam_version_0"}
