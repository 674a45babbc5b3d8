"""The language of scripts: what parses, what does not and why, and what an expectation means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.layout import FILE_BY_PATH
from cardlib.script import ScriptError, difference, parse
from cardlib.script.language import Authenticate, Command, Reset
from cardlib.script.pattern import Pattern, parse_pattern

H = bytes.fromhex

PIECES = st.sampled_from(
    [
        "reset", "  Reset ", "# a comment", "#", "", "  ", "\t", "00 A4 04 00", "00A40400", "00a4 ",
        "00 a4 04 00 00 ", "00 A4 \\", "00A4\\", "04 00", "0400", "00 A4\\", "# 王䶮", "00", "exit",
        "#> 9000", "#> ATR ..", "EXIT ", "00  A4 04 00", " 00 A4 04 00", "00 A4 0400", "# an exit",
        "\x0b", "00 A4 04 00\r", "00 A4 04 00\t", "é", "#!/usr/bin/env scriptor",
        "#! authenticate RK1_DDF1",
    ]
)  # fmt: skip


EVERYTHING = """#!/usr/bin/env scriptor
# What it is for.
# More about it.

# Start anew.
Reset
#> ATR 3B xx ..
00A4040000
#> 9000 6F 02 xx*2
#> 61xx - without RK1_DF02

#! authenticate RK1_DF02
# Read,
# by number.
00 B2 \\
01 04 00
#= DDF1/DF02/EF05
#> 63Cx with RK1_DF02
exit
this is not read any more
"""


def test_a_script_is_its_title_and_its_steps_with_their_lines() -> None:
    script = parse(EVERYTHING, "all")
    assert (script.name, script.title) == ("all", "What it is for.")
    reset, select, authenticate, read = script.steps
    assert isinstance(reset, Reset)
    assert (reset.line, reset.comment) == (6, "Start anew.")
    assert isinstance(select, Command)
    assert [str(e) for e in select.expectations] == ["9000 6F 02 xx xx", "61xx -"]
    assert isinstance(authenticate, Authenticate)
    assert authenticate.key.name == "RK1_DF02"
    assert isinstance(read, Command)
    assert (read.apdu, read.comment) == (H("00B2010400"), "Read,\nby number.")
    assert read.file is FILE_BY_PATH["DDF1/DF02/EF05"]
    assert (read.expectations[0].key, read.expectations[0].with_key) == ("RK1_DF02", True)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("reset\n00 A4 04", 2, "CLA INS P1 P2"),
        ("00 A4  04 00", 1, "one blank"),
        ("00A4 0400", 1, "one blank"),
        ("00 A4 04 0", 1, "one blank"),
        ("00A40400 # comment", 1, "one blank"),
        ("00A40400\r\nreset", 1, "one blank"),
        ("\ufeff# a byte order mark", 1, "one blank"),
        ("reset now", 1, "one blank"),
        ("# where to find the exit", 1, "scriptor stops"),
        ("00 A4 \\\n# comment\n04 00", 2, "the rest of its command"),
        ("00 A4 \\\n\n04 00", 2, "the rest of its command"),
        ("00 A4 \\\nreset", 2, "the rest of its command"),
        ("00 A4 04 00 \\", 1, "its rest is missing"),
        ("00 A4 04 00 \\\nexit", 2, "its rest is missing"),
        ("#> 9000", 1, "directly after the command"),
        ("#! authenticate RK1_DDF1\n#> 9000", 2, "directly after the command"),
        ("reset\n#! authenticate RK1_DDF1\n#> 9000", 3, "directly after the command"),
        ("reset\n#> 9000", 2, "write #> ATR ... after reset"),
        ("00A40400\n#> ATR 3B", 2, "#> and a status word after a command"),
        ("00A40400\n#>", 2, "write a status word like 9000"),
        ("00A40400\n#> 90", 2, "write a status word like 9000"),
        ("00A40400\n#> 9000 6", 2, "not a byte"),
        ("00A40400\n#> 9000 .. 6F", 2, "not a byte"),
        ("00A40400\n#> 9000 6F*0", 2, "not a byte"),
        ("00A40400\n#> 9000 6F*99999", 2, "more than 65536"),
        ("00A40400\n#> 9000 with RK9_DF02", 2, "is not a key for authenticating"),
        ("00A40400\n#> 9000 with STK_DF02", 2, "is not a key for authenticating"),
        ("#! authenticate PUK_DDF1", 1, "is not a key for authenticating"),
        ("reset\n#! verify 123456", 2, "after #! only this is possible"),
        ("reset\n#!", 2, "after #! only this is possible"),
        ("00A40400\n#= DDF1/EF05", 2, "READ RECORD"),
        ("#= DDF1/EF05", 1, "READ RECORD"),
        ("00B20104\n#= DDF1/EF07", 2, "file with records"),
        ("00B20104\n#= DDF1/EF99", 2, "file with records"),
        ("00B20104\n#=", 2, "file with records"),
    ],
)
def test_a_line_that_is_not_valid_is_named_with_what_is_wrong(
    text: str, line: int, problem: str
) -> None:
    with pytest.raises(ScriptError, match=f"^here, line {line} is not valid: ") as raised:
        parse(text, "here")
    assert problem in raised.value.problem
    assert raised.value.line == line


@given(st.text() | st.lists(PIECES | st.text(max_size=20), max_size=20).map("\n".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_script_or_an_error_with_a_line(text: str) -> None:
    try:
        script = parse(text)
    except ScriptError as error:
        assert 1 <= error.line <= text.count("\n") + 1
    else:
        assert all(1 <= step.line <= text.count("\n") + 1 for step in script.steps)


@given(st.text(alphabet="#>=! 9061xX.*-FfATRwithouRK1_DF02", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_directive_is_understood_or_an_error(line: str) -> None:
    for before in ("reset", "00B20104"):
        try:
            (step,) = parse(f"{before}\n#{line}").steps
        except (ScriptError, ValueError) as error:
            assert isinstance(error, ScriptError)
        else:
            assert step.line == 1


@given(st.lists(st.none() | st.integers(0, 255)), st.booleans())
def test_a_pattern_reads_back_as_it_is_printed(values: list[int | None], open_: bool) -> None:
    pattern = Pattern(tuple(values), open_)
    assert parse_pattern(str(pattern).split()) == pattern
    assert pattern.difference(bytes(value or 0 for value in values)) == ""


@pytest.mark.parametrize(
    ("pattern", "data", "said"),
    [
        ("-", "", ""),
        ("-", "00", "1 bytes of data, not 0"),
        ("..", "", ""),
        ("..", "0102", ""),
        ("01 xx", "0102", ""),
        ("01 xx", "01", "1 bytes of data, not 2"),
        ("01 xx", "010203", "3 bytes of data, not 2"),
        ("01 xx ..", "010203", ""),
        ("01 xx ..", "01", "1 bytes of data, not at least 2"),
        ("xx*2 03 FF*2", "010204FFFF", "byte 2 is 04, not 03"),
        ("ff Xx", "FF00", ""),
    ],
)
def test_a_pattern_says_where_data_departs(pattern: str, data: str, said: str) -> None:
    assert parse_pattern(pattern.split()).difference(H(data)) == said


def test_one_of_the_expectations_that_apply_must_be_met() -> None:
    (step,) = parse("00A40400\n#> 9000 01\n#> 63Cx\n#> 6982 without RK1_DDF1\n").steps
    assert isinstance(step, Command)
    held = frozenset({"RK1_DDF1"})

    def said(sw: int, data: str = "", keys: frozenset[str] = frozenset()) -> str:
        found = difference(step.expectations, sw, H(data), keys)
        return f"{'data: ' if found.in_data else ''}{found.text}" if found else ""

    assert said(0x9000, "01") == said(0x63C3) == said(0x6982) == ""
    assert said(0x9000, "02") == "data: byte 0 is 02, not 01"
    assert said(0x6982, keys=held) == "expected 9000 01 or 63Cx"
    assert said(0x6A82) == "expected 9000 01 or 63Cx or 6982"
