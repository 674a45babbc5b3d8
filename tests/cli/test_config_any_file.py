"""Any file as a configuration: it is one, or it has faults in words; never a traceback."""

import json
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from personalize.cli.config_check import all_faults_of
from personalize.cli.config_file import ConfigError, ConfigFile, read_config
from personalize.cli.config_settings import SETTINGS
from personalize.cli.configuration import faults_of, in_order

NAMES = st.sampled_from(
    [*{each.keys[0] for each in SETTINGS}, "card-profiles", "pin", "a", "module", "name", "base"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["field", "rhcard", "990100", "~", "en", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def toml(value: object) -> str:
    """A value in TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(k)} = {toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return '""' if value is None else json.dumps(value, ensure_ascii=True).replace("\\ud", "\\u0")


@given(st.dictionaries(NAMES, VALUES, max_size=5))
@example({"keys": {"keys": {"keys": "a"}}})
@example({"profile": "a", "card-profiles": {"a": {"base": "rhcard", "serial_place": "given"}}})
def test_any_document_is_a_configuration_or_has_faults_with_words(
    document: dict[str, object],
) -> None:
    text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in document.items())
    file = as_file(text)
    found = list(faults_of(file))
    if not found:
        configuration = in_order(file)
        assert {configuration.setting(each.name).kind for each in SETTINGS} <= {"file", "default"}
    lines = list(document)
    for fault in (*found, *all_faults_of(file)):
        assert fault.problem and "\n" not in fault.problem and len(fault.problem) < 400
        assert fault.line is None or lines[fault.line - 1] == fault.keys[0]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"a = [[[[")
@example(b"\xef\xbb\xbfkeys = 1")
@example(b"keys = '''\r\n'''\r\n")
def test_any_bytes_are_a_configuration_or_one_error(raw: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "any.toml")
        path.write_bytes(raw)
        try:
            file = read_config(path)
        except ConfigError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert file is not None
            list(faults_of(file))


@given(
    key=st.binary(min_size=16, max_size=64).map(bytes.hex),
    place=st.sampled_from(["keys = '{}'", "readers = ['{}']", "x = {{a = [{{b = '{}'}}]}}",
                           "[card-profiles.a]\nbase = {{a = '{}'}}", "[a.'{}']", "'{}' = 1",
                           "[token]\nlabel = ' {} '", "language = '0x{}'", "[card-profiles.'{}']"]),
)  # fmt: skip
def test_what_looks_like_a_key_is_refused_and_never_repeated(key: str, place: str) -> None:
    found = list(faults_of(as_file(place.format(key))))
    assert found
    assert all(key not in f"{fault.problem} {fault.key}" for fault in found)


@given(st.lists(st.sampled_from(["# keys = 1", "", "x = '''\nkeys = 2\n'''", "[a]\nkeys = 3"])))
def test_a_line_is_the_one_where_the_key_begins(before: list[str]) -> None:
    """Comments, texts of several lines and other tables before it make no difference."""
    parts = [part.replace("x", f"x{n}").replace("a", f"a{n}") for n, part in enumerate(before)]
    text = "\n".join([*parts, "[token]", 'label = """', 'label = 1"""', ""])
    line = text.split("\n").index('label = """') + 1
    assert as_file(text).line_of(("token", "label")) == line
    assert as_file(text.replace("[token]", "")).line_of(("token", "label")) is None


def as_file(text: str) -> ConfigFile:
    return ConfigFile(Path("/etc/rhcard.toml"), text, tomllib.loads(text))
