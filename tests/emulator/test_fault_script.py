"""The script of faults: how each is written, and how it is drawn by a seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.emulator import (
    parse_fault,
    parse_faults,
    random_faults,
)
from cardlib.emulator.bench.faults import RANDOM_KINDS, Crc, Cut, MemoryFlip, Moment
from cardlib.errors import FormatError

# --- the script -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "cut:write=12:before", "cut:write=12:after", "cut:apdu=3:before", "lost:apdu=5",
        "lost:apdu=5..9", "lost:apdu=5..", "delay:apdu=5:ms=20", "truncate:apdu=5",
        "truncate:apdu=5:bytes=0", "flip:apdu=2", "flip:apdu=2..3:bit=17", "mac:command=4",
        "mac:reply=4..", "remove:apdu=1:after", "memory:page=16:offset=255:bit=7:crc=kept",
        "memory:page=0:offset=0:bit=0:crc=broken", "worn:write=7..", "worn:page=0..3",
        "worn:page=32768", "stuck:counter=pin", "stuck:counter=RK1_DF02", "stuck:counter=keys-FF",
    ],
)  # fmt: skip
def test_a_fault_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_fault(text)) == text
    assert parse_fault(str(parse_fault(text))) == parse_fault(text)


def test_what_is_left_out_is_before_and_kept_and_numbers_may_be_hexadecimal() -> None:
    assert parse_fault(" cut:write=0x0c ") == Cut(write=12, moment=Moment.BEFORE)
    assert parse_fault("memory:page=0x10:offset=0xff:bit=0") == MemoryFlip(16, 255, 0, Crc.KEPT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cutt:write=1", "no such fault. Possible: cut, lost"),
        ("", "no such fault"),
        ("cut", "give exactly one of write and apdu"),
        ("cut:write=1:apdu=2", "give exactly one of write and apdu"),
        ("cut:write=0", "counts begin at 1"),
        ("cut:write=x", "'x' is not a number"),
        ("cut:write=", "'' is not a number"),
        ("cut:write=-1", "'-1' is not a number"),
        ("cut:write=1_0", "'1_0' is not a number"),
        ("cut:write=1..2", "not a number"),
        ("cut:write=1:write=2", "write is given twice"),
        ("cut:write=1:during", "no option 'during'. Possible: write, apdu"),
        ("cut:write=1:moment=after", "no option 'moment=after'"),
        ("lost", "needs apdu"),
        ("lost:apdu=5:before", "no option 'before'. Possible: apdu"),
        ("lost:apdu=5..4", "5..4 ends before it begins"),
        ("lost:apdu=..4", "'' is not a number"),
        ("delay:apdu=1", "needs ms"),
        ("delay", "needs apdu and ms"),
        ("mac:command=1:reply=1", "give exactly one of command and reply"),
        ("memory:page=1:offset=256:bit=0", "offset must be 0 to 255"),
        ("memory:page=1:offset=0:bit=8", "bit must be 0 to 7"),
        ("memory:page=1:offset=0:bit=0:crc=no", "crc must be kept or broken, not 'no'"),
        ("worn", "give exactly one of write and page"),
        ("stuck:counter=puk", "no try counter puk: write pin, a key's name, or keys-"),
        ("stuck:counter=keys-0", "no try counter keys-0"),
        ("stuck:counter=keys-1g", "no try counter keys-1g"),
    ],
)
def test_a_fault_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_fault(text)
    assert why in str(caught.value)
    assert str(caught.value).startswith(f"fault {text!r}: ")


@given(st.text(st.sampled_from("cutlosflipmacwornstuck:=.0123456789x"), max_size=30))
def test_any_text_is_a_fault_or_a_format_error(text: str) -> None:
    try:
        fault = parse_fault(text)
    except FormatError:
        return
    assert parse_fault(str(fault)) == fault


def test_a_script_is_a_fault_a_line() -> None:
    script = """
        cut:write=1     # the first
        # nothing
        lost:apdu=2

        random:seed=7:rate=1:apdus=3:kinds=flip+lost
    """
    faults = parse_faults(script.splitlines())
    assert faults[:2] == (parse_fault("cut:write=1"), parse_fault("lost:apdu=2"))
    assert faults[2:] == random_faults(7, ("flip", "lost"), 1, 3)
    assert len(faults) == 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("random", "needs seed and rate"),
        ("random:seed=1:rate=2", "rate must be 0 to 1, not 2.0"),
        ("random:seed=1:rate=often", "'often' is not a number from 0 to 1"),
        ("random:seed=1:rate=0.5:kinds=stuck", "no kind stuck. Possible: cut, lost"),
        ("random:seed=1:rate=0.5:after", "no option 'after'"),
    ],
)
def test_a_random_line_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_faults([text])
    assert why in str(caught.value)


def test_one_seed_draws_one_script_that_can_be_written_down() -> None:
    drawn = random_faults(1, rate=0.2, apdus=500)
    assert drawn == random_faults(1, rate=0.2, apdus=500) != random_faults(2, rate=0.2, apdus=500)
    assert 60 < len(drawn) < 140
    assert {str(fault).partition(":")[0] for fault in drawn} == RANDOM_KINDS.keys()
    assert parse_faults(map(str, drawn)) == drawn
    assert random_faults(1, rate=0) == ()
