"""Visit records: from one hospital to the other on one card, and the order of writing."""

from collections.abc import Mapping

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.card.visits import VISITS, VisitKind
from cardlib.emulator import SoftwareCard
from cardlib.errors import CardError, CardKeyError, StatusWordError, TransportError
from cardlib.layout import FILE_BY_PATH, FieldSpec, FieldValue, Kind, State, encode_record
from cardlib.transport.recorder import Recorder
from tests.cards.cards import Cut, key_store, personalized_card, terminal

HOSPITAL_A = ("RK1_DF03", "UK1_DF03", "STK_DF03")
HOSPITAL_A_ERASING = (*HOSPITAL_A, "UK2_DF03")
HOSPITAL_B = ("RK1_DF03",)
SIZES: Mapping[VisitKind, int] = {"inpatient": 1893, "outpatient": 3267}


def longest(field: FieldSpec, seed: int) -> str | bytes:
    """A value that fills its field, different from field to field and from seed to seed."""
    number = seed * 7 + field.offset
    match field.coding, field.kind:
        case "ans", _:
            text = "诊" * (field.length // 2 - 1) + f"{number % 100:02}"
            return text if field.length > 1 else "7"
        case _, Kind.DATE:
            return f"2025{1 + seed % 12:02}{1 + number % 28:02}"
        case _, Kind.DATETIME:
            return f"2025{1 + seed % 12:02}{1 + number % 28:02}102030"
        case "cn", _ if field.one_digit:
            return str(number % 10)
        case "cn", _:
            return f"{number:0{2 * field.length}}"[-2 * field.length :]
        case _, Kind.SIGNATURE | Kind.BINARY:
            return bytes(number + n & 0x7F for n in range(field.length))
        case _:
            return "1"


def visit(kind: VisitKind, seed: int = 1) -> dict[str, str | bytes]:
    fields = FILE_BY_PATH[VISITS[kind].slots[0]].fields
    return {field.name: longest(field, seed) for field in fields}


def hospital(card: SoftwareCard, *names: str) -> ResidentHealthCard:
    """A hospital's terminal with the card in it and its keys authenticated."""
    one = terminal(card, *names)
    for name in names:
        if not name.startswith("STK"):
            one.authenticate(name)
    return one


def as_values(fields: tuple[FieldValue, ...]) -> dict[str, str | bytes | None]:
    return {value.field.name: value.value for value in fields}


@pytest.fixture
def card() -> SoftwareCard:
    return personalized_card()


def test_records_of_one_hospital_are_read_by_another_on_one_card(card: SoftwareCard) -> None:
    first = hospital(card, *HOSPITAL_A)
    written = {kind: visit(kind) for kind in SIZES}
    for kind, size in SIZES.items():
        path = VISITS[kind].slots[0]
        assert len(encode_record(FILE_BY_PATH[path], 1, written[kind])) == size
        assert first.write_visit(kind, written[kind]) == 1
    second = hospital(card, *HOSPITAL_B)
    for kind, size in SIZES.items():
        ((slot, fields),) = second.read_visits(kind)
        assert slot == 1
        assert as_values(fields) == written[kind]
        assert {value.state for value in fields} <= {State.VALUE, State.NEGATIVE}
        (raw,) = second.read_raw(VISITS[kind].slots[0])
        assert raw is not None and len(raw) == size
    with pytest.raises(CardKeyError, match="STK_DF03"):
        second.write_visit("inpatient", visit("inpatient"))


def test_a_hospital_without_its_update_right_is_refused(card: SoftwareCard) -> None:
    writer = hospital(card, "RK1_DF03", "STK_DF03")
    with pytest.raises(StatusWordError, match="needs UK1_DF03"):
        writer.write_visit("inpatient", visit("inpatient"))
    assert hospital(card, *HOSPITAL_B).read_visits("inpatient") == []


def test_a_hospital_without_the_read_key_sees_nothing(card: SoftwareCard) -> None:
    with pytest.raises(StatusWordError, match="needs RK1_DF03"):
        terminal(card, "UK1_DF03").read_visits("inpatient")


@pytest.mark.parametrize("kind", SIZES)
def test_the_whole_record_goes_first_and_the_mark_last(card: SoftwareCard, kind: VisitKind) -> None:
    recorder = Recorder(card)
    writer = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    for name in HOSPITAL_A[:2]:
        writer.authenticate(name)
    writer.write_visit(kind, visit(kind))
    changes = [e.command for e in recorder.commands if e.command[1] in (0xD6, 0xD2, 0x0C, 0xDC)]
    assert [command[1] for command in changes] == [0xD6] * (len(changes) - 1) + [0xD2]
    offsets = [int.from_bytes(command[2:4], "big") for command in changes[:-1]]
    assert offsets == list(range(0, SIZES[kind], 238))


def test_slots_fill_in_order_and_each_is_shown(card: SoftwareCard) -> None:
    writer = hospital(card, *HOSPITAL_A)
    for seed in (1, 2, 3):
        assert writer.write_visit("inpatient", visit("inpatient", seed)) == seed
    found = hospital(card, *HOSPITAL_B).read_visits("inpatient")
    assert [(slot, as_values(f)) for slot, f in found] == [
        (seed, visit("inpatient", seed)) for seed in (1, 2, 3)
    ]


@pytest.mark.parametrize("kind", SIZES)
def test_without_a_free_slot_the_oldest_makes_room(card: SoftwareCard, kind: VisitKind) -> None:
    writer = hospital(card, *HOSPITAL_A_ERASING)
    slots = len(VISITS[kind].slots)
    months = [5, 3, 8, 9, 4][:slots]
    for month in months:
        writer.write_visit(kind, visit(kind, month))
    recorder = Recorder(card)
    again = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    for name in ("RK1_DF03", "UK1_DF03", "UK2_DF03"):
        again.authenticate(name)
    assert again.write_visit(kind, visit(kind, 10)) == 2
    changes = [e.command for e in recorder.commands if e.command[1] in (0xD6, 0xD2, 0x0C)]
    assert changes[0][1:3] == b"\x0c\x02" and changes[-1][1:3] == b"\xd2\x02"
    shown = dict(again.read_visits(kind))
    assert as_values(shown[2]) == visit(kind, 10) and len(shown) == slots


def test_without_a_free_slot_and_the_erase_right_nothing_is_written(card: SoftwareCard) -> None:
    writer = hospital(card, *HOSPITAL_A)
    for seed in (1, 2, 3):
        writer.write_visit("inpatient", visit("inpatient", seed))
    recorder = Recorder(card)
    full = ResidentHealthCard(recorder, key_store().terminal_keys, min_protocol=1)
    for name in HOSPITAL_A[:2]:
        full.authenticate(name)
    with pytest.raises(CardError, match=r"no free slot for an inpatient record: .* UK2_DF03"):
        full.write_visit("inpatient", visit("inpatient", 4))
    assert not [e for e in recorder.commands if e.command[1] in (0xD6, 0xD2, 0x0C)]


def test_a_slot_marked_free_is_never_shown(card: SoftwareCard) -> None:
    writer = hospital(card, *HOSPITAL_A_ERASING)
    writer.write_visit("inpatient", visit("inpatient", 1))
    writer.write_visit("inpatient", visit("inpatient", 2))
    writer.erase_mark("DDF1/DF03/EF05", 1)
    assert [slot for slot, _ in writer.read_visits("inpatient")] == [2]
    assert writer.write_visit("inpatient", visit("inpatient", 3)) == 1


def test_pulled_out_at_any_command_a_record_is_absent_or_whole() -> None:
    """Into a full index, so that erasing and writing are both cut at every place."""
    before = [visit("inpatient", seed) for seed in (5, 3, 8)]
    after = [before[0], visit("inpatient", 10), before[2]]
    whole = False
    for commands in range(100):
        card = personalized_card()
        writer = hospital(card, *HOSPITAL_A_ERASING)
        for values in before:
            writer.write_visit("inpatient", values)
        card.reset()
        cut = ResidentHealthCard(Cut(card, commands), key_store().terminal_keys, min_protocol=1)
        try:
            for name in ("RK1_DF03", "UK1_DF03", "UK2_DF03"):
                cut.authenticate(name)
            cut.write_visit("inpatient", after[1])
            whole = True
        except TransportError:
            whole = False
        shown = dict(hospital(card, *HOSPITAL_B).read_visits("inpatient"))
        found = [as_values(shown[slot]) if slot in shown else None for slot in (1, 2, 3)]
        assert found in (before, [before[0], None, before[2]], after)
        if whole:
            assert found == after
            break
    assert whole and commands > 30
