"""How operators enter their components: at a prompt that shows nothing, or from files."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import CardKeyError, file_error
from cardlib.regular_file import read_regular

from .output import say

if TYPE_CHECKING:
    from cardlib.keys.agent.agent_connection import AgentConnection

    from ..custody.ceremony import Plan
    from ..custody.component import Component
    from ..custody.operators import OperatorKey

MOST_TRIES = 3
_MOST_BYTES = 2**16
SEALED_FORMAT = "rhcard sealed component 1"
component_option = click.option(
    "--component",
    "component_files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Read the components from files, one for each --operator, in the same order. A file is a"
    " sealed component that `rhcard keys export` made, the text of a QR code, or hex digits with"
    " the check value in the second line. Default: each person types.",
)


@dataclass(frozen=True, slots=True)
class Hosted:
    """A ceremony that began at the agent: its plan, and the number of it on this connection."""

    connection: "AgentConnection"
    plan: "Plan"
    handle: int
    keys: "tuple[OperatorKey, ...]"


Given = tuple["Component", str]
"""A component with the check value that came with it."""


def begun(
    connection: "AgentConnection",
    action: str,
    what: str,
    keys: "tuple[OperatorKey, ...]",
    cipher: str | None = None,
) -> Hosted:
    """Begin a ceremony at the agent. CardKeyError when the operators may not."""
    from cardlib.crypto import Cipher

    from ..custody.ceremony import Plan

    names = [key.name for key in keys]
    given = connection.call(
        "ceremony-begin", action=action, what=what, operators=names, cipher=cipher
    )
    plan = Plan(given["id"], action, what, Cipher[given["cipher"]], tuple(names))
    return Hosted(connection, plan, given["ceremony"], keys)


def entered(hosted: Hosted, files: Sequence[Path]) -> tuple[list[str], Mapping[str, str]]:
    """Let each operator enter a component; return their check values, and those of the result.

    CardKeyError when a file's is wrong, or a person's is three times.
    """
    if files and len(files) != len(hosted.keys):
        raise click.UsageError("give --component once for each --operator, or never")
    if not files and not sys.stdin.isatty():
        raise CardKeyError("there is no terminal to type components at: give --component FILE")
    checks: list[str] = []
    values: Mapping[str, str] = {}
    for place, key in enumerate(hosted.keys):
        if files:
            tries, source = 1, _from_file(hosted, place, files[place])
        else:
            tries, source = MOST_TRIES, _from_prompt(hosted, place)
        check, values = _entered(hosted, key, source, tries)
        checks.append(check)
        say(f"{key.name}: component {place + 1} of {len(hosted.keys)} is entered, {check}")
    return checks, values


def _entered(
    hosted: Hosted, key: "OperatorKey", source: Callable[[], Given], tries: int
) -> tuple[str, Mapping[str, str]]:
    left = tries
    while True:
        try:
            component, check = source()
            answer = _sent(hosted, key, component, check)
            if answer["refused"] is None:
                values = {each["name"]: each["value"] for each in answer["check_values"]}
                return component.check_value, values
            why = str(answer["refused"])
        except _Slip as error:
            why = str(error)
        left -= 1
        if not left:
            raise CardKeyError(f"{key.name}: {why}. The ceremony has ended: nothing was changed")
        say(f"{key.name}: {why}. Enter it again")


class _Slip(CardKeyError):
    """What was typed or read cannot be a component."""


def _sent(
    hosted: Hosted, key: "OperatorKey", component: "Component", check: str
) -> Mapping[str, Any]:
    from ..custody.ceremony import ComponentEntry

    entry = ComponentEntry(hosted.plan, key.name, check, component.digest)
    return hosted.connection.call(
        "ceremony-component",
        ceremony=hosted.handle,
        operator=key.name,
        number=component.number,
        component=component.value,
        check_value=check,
        signature=entry.signed_by(key),
    )


def _from_prompt(hosted: Hosted, place: int) -> Callable[[], Given]:
    plan, name = hosted.plan, hosted.keys[place].name
    words = f"component {place + 1} of {len(hosted.keys)}"

    def ask() -> Given:
        text = click.prompt(
            f"{name}: {words} (hex digits, or the text of a QR code; nothing is shown)",
            hide_input=True,
            err=True,
        )
        component = _component(plan, place + 1, text)
        if text.strip().upper().startswith("RHC1:"):
            if not click.confirm(f"{name}: is its check value {component.check_value}?", err=True):
                raise _Slip("the check value is not the one on your paper")
            return component, component.check_value
        check = click.prompt(f"{name}: its check value", err=True)
        return component, _checked(check)

    return ask


def _from_file(hosted: Hosted, place: int, file: Path) -> Callable[[], Given]:
    plan, key = hosted.plan, hosted.keys[place]

    def read() -> Given:
        try:
            raw = read_regular(file, _MOST_BYTES)
        except OSError as error:
            raise file_error(CardKeyError, error, f"component {file}") from None
        text = raw.decode("utf-8-sig", "replace").strip()
        if text.startswith("{"):
            text = _unsealed(text, key, file)
        lines = text.splitlines() or [""]
        try:
            component = _component(plan, place + 1, lines[0])
        except _Slip as error:
            raise _Slip(f"{file}: {error}") from None
        if lines[0].strip().upper().startswith("RHC1:"):
            return component, component.check_value
        if len(lines) < 2:
            raise _Slip(f"{file}: the second line must be the check value")
        return component, _checked(lines[1])

    return read


def _unsealed(text: str, key: "OperatorKey", file: Path) -> str:
    """The text of a component that was sealed for this operator."""
    from ..custody.component import component_bound

    try:
        entry = json.loads(text)
        if entry["format"] != SEALED_FORMAT:
            raise ValueError
        sealed = bytes.fromhex(entry["sealed"])
    except (ValueError, KeyError, TypeError):
        raise _Slip(f"{file} is not a component") from None
    try:
        return key.unseal(sealed, component_bound(key.name)).decode("ascii")
    except CardKeyError as error:
        raise _Slip(f"{file}: {error}") from None


def _component(plan: "Plan", number: int, text: str) -> "Component":
    from ..custody.component import Component

    try:
        if text.strip().upper().startswith("RHC1:"):
            return Component.from_text(text)
        value = bytes.fromhex(text)
        return Component(plan.what, plan.cipher, number, len(plan.operators), value)
    except CardKeyError as error:
        raise _Slip(str(error)) from None
    except ValueError:
        raise _Slip("a component is hex digits, or the text of a QR code") from None


def _checked(text: str) -> str:
    """A check value as the agent takes it: hex digits in capitals, without blanks."""
    from ..custody.component import SET_CHECK

    digits = "".join(text.split()).upper()
    if not 1 <= len(digits) <= 2 * SET_CHECK or set(digits) - set("0123456789ABCDEF"):
        raise _Slip("a check value is hex digits: 6 of one key, 20 of a set")
    return digits


def confirmed(hosted: Hosted, values: Mapping[str, str], expected: str | None) -> None:
    """Show what the components made, and have each operator confirm it; or compare `expected`.

    CardKeyError when it is not what they expect.
    """
    what = hosted.plan.what
    say(f"The components make {what}, with the check value {values[what]}")
    for name, value in values.items():
        if name != what:
            say(f"  {name:<10} {value}")
    if expected is not None:
        if _checked(expected) != values[what]:
            raise CardKeyError(
                f"the components make {what} {values[what]}, not {expected}: nothing was changed"
            )
        return
    for key in hosted.keys:
        question = f"{key.name}: is {values[what]} the check value that you expect?"
        if not click.confirm(question, err=True):
            raise CardKeyError(f"{key.name} did not confirm the check value: nothing was changed")


def check_terminal(expected: str | None) -> None:
    """Raise CardKeyError, before anything is asked, when nobody could confirm the result."""
    if expected is None and not sys.stdin.isatty():
        raise CardKeyError("there is no terminal to confirm at: give --expect with the check value")
