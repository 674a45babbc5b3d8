"""The report of a script's run, as text and as JSON; it shows no key, PIN or cryptogram."""

from collections.abc import Iterable, Iterator
from typing import Any

from cardlib.commands import Body, name_of, spec_of
from cardlib.layout import FieldValue, State
from cardlib.layout.characters import printable
from cardlib.layout.words import as_json as field_as_json
from cardlib.layout.words import field_title, state_in_words, value_in_words
from cardlib.script.language import Authenticate, Command, Reset, Script
from cardlib.script.runner import NO_KEYS, Outcome
from cardlib.status import words

_SECRET = (Body.KEY, Body.PIN, Body.CRYPTOGRAM)
_HEADER = 5
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
        return f"skipped: {outcome.skipped}"
    if isinstance(outcome.step, Reset):
        return f"ATR {_hex(outcome.data)}"
    if outcome.sw is None:
        return ""
    said = f"{outcome.sw:04X} {words(outcome.sw)}"
    data, hidden = _answered(outcome)
    size = len(data) + hidden
    return (
        f"{said}; {size} byte{'' if size == 1 else 's'}: {_shortened(data, hidden)}"
        if size
        else said
    )


def _command_name(step: Command) -> str:
    return name_of(step.apdu[0], step.apdu[1])


def _sent(step: Command) -> tuple[bytes, int]:
    """The command as it may be shown, and how many bytes at its end may not."""
    apdu = step.apdu
    spec = spec_of(apdu[0], apdu[1])
    if spec and spec.sent in _SECRET and len(apdu) > _HEADER:
        return apdu[:_HEADER], len(apdu) - _HEADER
    return apdu, 0


def _answered(outcome: Outcome) -> tuple[bytes, int]:
    """The answer's data as it may be shown, and how many bytes may not."""
    step = outcome.step
    spec = spec_of(step.apdu[0], step.apdu[1]) if isinstance(step, Command) else None
    if spec and spec.answered in _SECRET:
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
    """One line: how many answers were as expected, what was skipped, whether nothing was read."""
    outcomes = list(outcomes)
    tried = [outcome for outcome in outcomes if not outcome.skipped]
    skipped = [outcome.skipped for outcome in outcomes if outcome.skipped]
    different = sum(outcome.difference is not None for outcome in tried)
    parts = [f"{len(tried)} answers, all as expected"]
    if different:
        parts = [f"{different} of {len(tried)} answers not as expected"]
    if skipped:
        lines = f"{len(skipped)} authenticate line{'s' if len(skipped) > 1 else ''}"
        parts.append(f"{lines} skipped: {', '.join(dict.fromkeys(skipped))}")
    if NO_KEYS in skipped and _all_denied(outcomes):
        parts.append("nothing was read: no keys")
    return f"{script.name}: {'; '.join(parts)}"


def _all_denied(outcomes: Iterable[Outcome]) -> bool:
    states = {value.state for outcome in outcomes for value in outcome.fields}
    return states == {State.DENIED}


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
