"""A card that does not know a form of SELECT, READ RECORD or READ BINARY is asked in the other one.

No field is `missing` that is there, and no entry is lost. A strict host, as a bureau checks its own
cards with, asks in no other form: what the card refuses is an error.
"""

import pytest

from cardlib.apdu import Transmit
from cardlib.errors import NotPersonalized, StatusWordError
from cardlib.layout import State
from cardlib.layout.card_profile import RHCARD
from tests.card.test_visits import visit
from tests.cards.field_bench import (
    ALLERGIES,
    EMERGENCY,
    Bench,
    card_of_profile,
    check_all_is_read,
    keys_of,
    texts,
)
from tests.cards.in_between import (
    DISGUISE,
    READ_BINARY,
    READ_RECORD,
    InBetween,
    Rule,
    reads_many,
    refusing,
)

REFUSALS = {
    "6A83": b"\x6a\x83", "6A86": b"\x6a\x86", "6A81": b"\x6a\x81", "6B00": b"\x6b\x00",
    "6700": b"\x67\x00",
}  # fmt: skip


def bench(*rules: Rule, strict: bool = False) -> Bench:
    """A host at our own 1.0 card, with somebody in between."""
    line = InBetween(card_of_profile(RHCARD), *rules)
    return Bench(RHCARD, line, min_protocol=1, strict=strict)


def only_first(command: bytes, on: Transmit) -> bytes | None:
    """P2=05 brings one record, the first; there are none after it."""
    if not reads_many(command):
        return None
    return b"\x6a\x83" if command[2] != 1 else on(bytes.fromhex("00B2010400"))


def one_each(command: bytes, on: Transmit) -> bytes | None:
    """P2=05 brings one record, the one of its number."""
    return on(command[:3] + b"\x04\x00") if reads_many(command) else None


def no_long_reply(command: bytes) -> bool:
    return command[1] == READ_BINARY and (command[4] or 256) > 128


def at_most(size: int) -> Rule:
    """READ BINARY brings fewer bytes than were asked for, and says 9000."""

    def shorten(command: bytes, on: Transmit) -> bytes | None:
        if command[1] != READ_BINARY or (command[4] or 256) <= size:
            return None
        return on(command[:4] + bytes((size,)))

    return shorten


READS: dict[str, Rule] = {
    **{f"P2=05 {name}": refusing(answer, reads_many) for name, answer in REFUSALS.items()},
    "P2=05 brings only the first record": only_first,
    "P2=05 brings one record at a time": one_each,
    "no AID": DISGUISE["no AID"],
    "no path": DISGUISE["no path"],
    "no long reply": refusing(b"\x67\x00", no_long_reply),
    "short replies": at_most(128),
    "shorter replies": at_most(50),
}


@pytest.mark.parametrize("rule", READS.values(), ids=READS)
def test_all_is_read_in_the_other_form(rule: Rule) -> None:
    check_all_is_read(bench(rule).read_all(), RHCARD)


@pytest.mark.parametrize("rule", READS.values(), ids=READS)
def test_no_allergy_is_lost_and_none_is_called_none(rule: Rule) -> None:
    host = bench(rule).host
    host.authenticate("RK1_DF02")
    found = [value.text for value in host.read(ALLERGIES) if value.value]
    assert found == ["青霉素", "皮疹", "花生"]
    assert [v.detail for v in host.read("DDF1/DF02/EF08")] == ["no entries recorded"] * 2


@pytest.mark.parametrize("rule", READS.values(), ids=READS)
def test_a_visit_is_read_whole(rule: Rule) -> None:
    host = bench(rule).host
    for name in ("RK1_DF03", "UK1_DF03"):
        host.authenticate(name)
    host.write_visit("outpatient", visit("outpatient"))
    ((_, values),) = host.read_visits("outpatient")
    assert {value.field.name: value.value for value in values} == visit("outpatient")


def test_the_other_form_is_remembered_for_selecting() -> None:
    one = bench(DISGUISE["no path"])
    one.authenticate("RK1_DF02")
    one.host.read(EMERGENCY)
    refused = [each for each in one.log.commands if each.response == b"\x6a\x86"]
    assert len(refused) == 1


def test_a_file_that_ends_early_is_corrupt_and_says_so() -> None:
    def ends(command: bytes, on: Transmit) -> bytes | None:
        if command[1] == READ_BINARY and command[2:4] != b"\0\0":
            return b"\x6b\x00"
        return on(command[:4] + b"\x40") if command[1] == READ_BINARY else None

    host = bench(ends).host
    host.authenticate("RK1_DDF1")
    (photo,) = host.read("DDF1/EF07")
    assert (photo.state, photo.value) == (State.CORRUPT, None)
    assert photo.detail == "the record has 64 bytes, not 3072"


def test_records_with_something_behind_them_are_never_read_as_other_values() -> None:
    """Whatever a card fills its records up with: each field is read, or is corrupt and says why."""
    for fill in (b"\0", b"\xff", b" ", b"\0" * 7, b"\xff" * 40):

        def filled(command: bytes, on: Transmit, fill: bytes = fill) -> bytes | None:
            if command[1] != READ_RECORD or reads_many(command):
                return None
            answer = on(command)
            return answer[:-2] + fill + answer[-2:] if len(answer) > 2 else None

        for refused in ((), (DISGUISE["no P2=05"],)):
            host = bench(*refused, filled).host
            host.authenticate("RK1_DF02")
            right = texts(bench().read_all()[EMERGENCY])
            for value in host.read(EMERGENCY):
                assert value.value is None or value.text == right[value.field.name]
                assert value.state is not State.MISSING
                assert value.detail or value.state is not State.CORRUPT


# --- strict ----------------------------------------------------------------------------------

STRICT: dict[str, str | State] = {
    "P2=05 6A83": State.MISSING,
    **{
        f"P2=05 {name}": f"READ RECORD 1 in DDF1/EF05: {name}"
        for name in REFUSALS
        if name != "6A83"
    },
    "P2=05 brings only the first record": State.MISSING,
    "P2=05 brings one record at a time": State.VALUE,
    "no AID": "SELECT DDF1: 6A82",
    "no path": "SELECT DDF1/EF05: 6A86",
    "no long reply": "READ BINARY at 0 in DDF1/EF07: 6700",
    "short replies": State.CORRUPT,
    "shorter replies": State.CORRUPT,
}
"""What a strict host sees: an error, or fields in this state. `value`: that is as specified."""


@pytest.mark.parametrize("name", READS)
def test_a_strict_host_asks_in_no_other_form(name: str) -> None:
    one, seen = bench(READS[name], strict=True), STRICT[name]
    if not isinstance(seen, State):
        with pytest.raises(StatusWordError, match=seen):
            one.read_all()
        return
    found = one.read_all()
    assert seen in {value.state for values in found.values() for value in values}
    if seen is State.VALUE:
        check_all_is_read(found, RHCARD)


def test_a_strict_host_takes_a_card_without_fci_for_none_of_ours() -> None:
    one = bench(DISGUISE["no FCI"], strict=True)
    with pytest.raises(NotPersonalized):
        one.host.identify()
    assert {raw[2:4] for raw in one.sent} == {"A4"}


def test_a_strict_host_reads_a_good_card_of_each_specification() -> None:
    for protocol in (1, 2):
        card = card_of_profile(RHCARD, protocol=protocol)
        one = Bench(RHCARD, card, keys=keys_of(protocol), min_protocol=1, strict=True)
        check_all_is_read(one.read_all(), RHCARD, protocol)
