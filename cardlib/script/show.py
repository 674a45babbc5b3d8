"""What a run gave, as text for a person and as JSON; never a key, a PIN or a cryptogram."""

from collections.abc import Iterable, Iterator
from typing import Any

from ..commands import name_of
from ..layout import FieldValue, State
from ..layout.characters import printable
from ..layout.words import as_json as field_as_json
from ..layout.words import field_title, state_in_words, value_in_words
from ..status import words
from ..transport.recorder import note
from .language import Authenticate, Command, Reset, Script
from .runner import Outcome

_CRYPTOGRAM_SENT = frozenset((0x82, 0x88))
_CRYPTOGRAM_ANSWERED = frozenset((0x50, 0x82, 0x88))
_SHOWN_BYTES = 48


def as_text(outcome: Outcome) -> Iterator[str]:
    """The lines of one step."""
    step = outcome.step
    yield from (f"      # {printable(line)}" for line in step.comment.splitlines())
    yield f"{step.line:4}  {_headline(outcome)}"
    if answer := _answer(outcome):
        yield f"      {answer}"
    yield from (f"        {name}: {value}" for name, value in outcome.facts)
    yield from (f"        {_field(value)}" for value in outcome.fields)
    if outcome.difference:
        yield f"    ! {outcome.difference.text}"


def _headline(outcome: Outcome) -> str:
    step = outcome.step
    if isinstance(step, Reset):
        return "reset"
    if isinstance(step, Authenticate):
        return f"authenticate {step.key.name}"
    return f"{_command_name(step)}  {_shortened(*_sent(step))}"


def _answer(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"not tried: {outcome.skipped}"
    if isinstance(outcome.step, Reset):
        return f"ATR {_hex(outcome.data)}"
    if outcome.sw is None:
        return ""
    said = f"{outcome.sw:04X} {words(outcome.sw)}"
    data, hidden = _answered(outcome)
    size = len(data) + hidden
    return f"{said}; {size} bytes: {_shortened(data, hidden)}" if size else said


def _command_name(step: Command) -> str:
    return name_of(step.apdu[0], step.apdu[1])


def _sent(step: Command) -> tuple[bytes, int]:
    """The command as it may be shown, and how many bytes at its end may not."""
    apdu = step.apdu
    if apdu[1] in _CRYPTOGRAM_SENT and len(apdu) > 5:
        return apdu[:5], len(apdu) - 5
    noted = note(apdu, b"")
    return noted.command, noted.hidden


def _answered(outcome: Outcome) -> tuple[bytes, int]:
    step = outcome.step
    if isinstance(step, Command) and step.apdu[1] in _CRYPTOGRAM_ANSWERED:
        return b"", len(outcome.data)
    return outcome.data, 0


def _hex(data: bytes) -> str:
    return data.hex(" ").upper()


def _shortened(data: bytes, hidden: int) -> str:
    rest = len(data) - _SHOWN_BYTES
    parts = [_hex(data[:_SHOWN_BYTES])] if data else []
    parts += [f"... {rest} more"] if rest > 0 else []
    parts += [f"<{hidden} bytes not shown>"] if hidden else []
    return " ".join(parts)


def _field(value: FieldValue) -> str:
    """A field's title and value, or after a dash the state that it has instead of one."""
    number = f" {value.record}" if value.record and value.field.tag is None else ""
    title = f"{field_title(value.field)}{number}"
    if value.state in (State.VALUE, State.NEGATIVE):
        return f"{title}: {printable(value_in_words(value))}"
    return f"{title} - {printable(state_in_words(value))}"


def summary(script: Script, outcomes: Iterable[Outcome]) -> str:
    """One line: how many steps answered as expected."""
    tried = [outcome for outcome in outcomes if not outcome.skipped]
    skipped = len(script.steps) - len(tried)
    different = sum(outcome.difference is not None for outcome in tried)
    tail = f"; {skipped} authentications not tried" if skipped else ""
    if different:
        return f"{script.name}: {different} of {len(tried)} answers not as expected{tail}"
    return f"{script.name}: {len(tried)} answers, all as expected{tail}"


def as_json(script: Script, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """A whole run as one JSON object."""
    steps = [_step_as_json(outcome) for outcome in outcomes]
    return {
        "script": script.name,
        "title": script.title,
        "as_expected": not any(step["difference"] for step in steps),
        "steps": steps,
    }


def _step_as_json(outcome: Outcome) -> dict[str, Any]:
    step = outcome.step
    shown: dict[str, Any] = {"line": step.line, "comment": step.comment}
    if isinstance(step, Command):
        sent, hidden = _sent(step)
        shown |= {"name": _command_name(step), "command": sent.hex().upper()}
        shown |= {"command_bytes_hidden": hidden} if hidden else {}
    elif isinstance(step, Authenticate):
        shown |= {"name": "authenticate", "key": step.key.name}
    else:
        shown |= {"name": "reset", "atr": outcome.data.hex().upper()}
    if outcome.sw is not None:
        shown |= {"sw": f"{outcome.sw:04X}", "words": words(outcome.sw)}
        data, hidden = _answered(outcome)
        shown |= {"data": data.hex().upper()}
        shown |= {"data_bytes_hidden": hidden} if hidden else {}
    difference = outcome.difference
    return shown | {
        "skipped": outcome.skipped,
        "facts": [{"name": name, "value": value} for name, value in outcome.facts],
        "fields": [field_as_json(value) for value in outcome.fields],
        "difference": difference.text if difference else "",
    }
