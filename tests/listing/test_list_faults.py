"""Faults are printable, short, and never show a whole account number."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize.listing.fault_codes import FaultCode
from personalize.listing.list_faults import ListFault, mask_account, printable


def test_a_fault_is_a_json_object() -> None:
    fault = ListFault(3, FaultCode.MISSING_VALUE, "name", "", "required", "give a value", "姓名")
    assert json.loads(json.dumps(fault.as_dict())) == {
        "line": 3,
        "code": "missing-value",
        "field": "name",
        "column": "姓名",
        "value": "",
        "problem": "required",
        "remedy": "give a value",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("王䶮", "王䶮"),
        ("李　明", "李　明"),
        ("张\0三", r"张\x00三"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202eabc", r"\u202eabc"),
        ("\udcb3", r"\udcb3"),
        ("a" * 120, "a" * 120),
        ("a" * 121, "a" * 120 + "…"),
    ],
)
def test_invisible_characters_are_escaped_and_length_is_bounded(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)))
def test_any_value_can_be_printed_on_any_terminal(text: str) -> None:
    shown = printable(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("6222020000000000005", "622202*********0005"),
        ("6222 0200 0000 0000 005", "622202*********0005"),
        ("6222-0200-0000-0005", "622202******0005"),
        ("no. 6222020000000005!", "no. 622202******0005!"),
        ("990666******9278", "990666******9278"),
        ("990552000026", "990552000026"),
    ],
)
def test_account_numbers_are_masked(text: str, shown: str) -> None:
    assert mask_account(text) == shown
