"""Compare what is in a card's files with what was loaded, byte by byte.

Only what differs is decoded, to say which field it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from ..card import ResidentHealthCard
from ..errors import FormatError, StatusWordError
from ..layout import FieldValue, FileSpec, State, Structure, decode_file, dgi_of_record
from ..layout.load import Records, decoded, stored
from ..status import StatusWord
from .findings import Finding, Gap

_STATES: Mapping[int, State] = {
    StatusWord.SECURITY_STATUS_NOT_SATISFIED: State.DENIED,
    StatusWord.FILE_NOT_FOUND: State.MISSING,
    StatusWord.RECORD_NOT_FOUND: State.MISSING,
}


def content(
    card: ResidentHealthCard, file: FileSpec, loaded: Records, *, full: bool
) -> tuple[list[Finding], list[Gap]]:
    """Read the selected file and compare it; return what differs and what was not read.

    Unless `full`, of a transparent file only those blocks are read that were loaded; of one that
    was left blank, the first and the last. Raises TransportError or ChannelError.
    """
    try:
        if file.structure is Structure.TRANSPARENT:
            return _transparent(card, file, loaded, full=full)
        found = _records(card, file)
    except StatusWordError as error:
        state = _STATES.get(error.sw, "")
        return [Finding(file.path, 0, "", f"cannot be read: {error}", state=state)], []
    except FormatError as error:
        return [Finding(file.path, 0, "", f"cannot be read: {error}", state=State.CORRUPT)], []
    if found == stored(file, loaded):
        return [], []
    return _differences(file, found, loaded), []


def _records(card: ResidentHealthCard, file: FileSpec) -> list[bytes | None]:
    try:
        return card.reader.records(file)
    except StatusWordError as error:
        if file.structure is Structure.CYCLIC and error.sw == StatusWord.RECORD_NOT_FOUND:
            return []
        raise


def _transparent(
    card: ResidentHealthCard, file: FileSpec, loaded: Records, *, full: bool
) -> tuple[list[Finding], list[Gap]]:
    (expected,) = stored(file, loaded)
    reader, room = card.reader, card.reply_room
    stretches = [(0, file.size)] if full else _stretches(file, loaded, room)
    for start, end in stretches:
        found = reader.range(file, start, end)
        if found != expected[start:end]:
            whole = reader.file(file, whole=True)
            return _differences(file, whole, loaded), []
    edges = [0, *(edge for stretch in stretches for edge in stretch), file.size]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return [], [Gap(file.path, start, end) for start, end in gaps if start < end]


def _stretches(file: FileSpec, loaded: Records, room: int) -> list[tuple[int, int]]:
    """The parts to read, first byte and byte after the last, in order and apart."""
    raw = loaded.get(dgi_of_record(file, 0))
    if raw is not None:
        return [(0, min(-(-len(raw) // room) * room, file.size))]
    if file.size <= 2 * room:
        return [(0, file.size)]
    return [(0, room), (file.size - room, file.size)]


def _differences(file: FileSpec, found: Sequence[bytes | None], loaded: Records) -> list[Finding]:
    """Name the fields that differ; else the records whose other bytes mean the same."""
    if findings := compare(file, decode_file(file, found), loaded):
        return findings
    problem = "has other bytes than were issued, with the same meaning"
    numbers = (0,) if file.structure is Structure.TRANSPARENT else range(1, len(found) + 1)
    pairs = zip_longest(numbers, found, stored(file, loaded))
    return [
        Finding(file.path, number or 0, "", problem)
        for number, raw, expected in pairs
        if raw != expected
    ]


def compare(file: FileSpec, values: Iterable[FieldValue], issued: Records) -> list[Finding]:
    """Compare the fields that were read with the records that were issued."""
    wanted = {(each.record, each.field.name): each for each in decoded(file, issued)}
    findings = []
    for value in values:
        want = wanted.pop((value.record, value.field.name), None)
        if not _as_issued(value, want):
            findings.append(_difference(file, value, want))
    for want in wanted.values():
        if want.state is not State.UNWRITTEN:
            problem, name = "not on the card", want.field.name
            findings.append(
                Finding(file.path, want.record, name, problem, want.text, "", State.MISSING)
            )
    return findings


def _as_issued(value: FieldValue, want: FieldValue | None) -> bool:
    if want is not None and want.state is not State.UNWRITTEN:
        return (value.state, value.value) == (want.state, want.value)
    return value.state is State.UNWRITTEN


def _difference(file: FileSpec, value: FieldValue, want: FieldValue | None) -> Finding:
    expected = want.text if want is not None else ""
    problem = "differs" if expected else "must be unwritten"
    if value.detail:
        problem += f" ({value.detail})"
    return Finding(
        file.path, value.record, value.field.name, problem, expected, value.text, value.state
    )
