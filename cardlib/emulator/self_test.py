"""The self-test at power-on: whether the memory holds a card, or what no command can have left.

What the card keeps of itself carries checksums (`state`); the rest is held to the values that
it can have. What a file should contain no card knows: a terminal reads it as `corrupt`, if it
is none of what the field can be.
"""

from collections.abc import Iterator

from ..errors import FormatError
from ..layout import Structure
from .chip.memory import Memory
from .filesystem import created_files, record_slots
from .filesystem.tree import PROFILE, Directory, ElementaryFile
from .handlers import data_objects
from .handlers.access import ACTIVATED, DEACTIVATED, TERMINATED
from .profile.card_options import CardOptions
from .profile.card_state import CardState, LifeCycle

_FILE_STATES = (ACTIVATED, DEACTIVATED, TERMINATED)


def damage(memory: Memory, state: CardState) -> str:
    """What is wrong with a card's memory, for a person; nothing if it is whole."""
    if memory.journal_is_damaged:
        return "the journal of an interrupted command does not check"
    return next(_problems(memory, state), "")


def _problems(memory: Memory, state: CardState) -> Iterator[str]:
    yield from state.damaged_parts()
    if state.life_cycle not in list(LifeCycle):
        yield f"there is no life cycle {state.life_cycle:02X}"
    if not _options_are_whole(state.options):
        yield "the card's options are none that there are"
    if problem := created_files.problem(memory):
        yield problem
    if not _data_objects_are_whole(memory):
        yield "the data objects cannot be told apart"
    nodes: list[Directory | ElementaryFile] = []
    if state.is_personalized:
        nodes += PROFILE.values()
    nodes += (n for children in created_files.load(memory).values() for n in children.values())
    for node in nodes:
        if memory.byte(node.state_address) not in _FILE_STATES:
            yield f"{node.path} is in no state that a file can be in"
        if isinstance(node, ElementaryFile) and not _records_are_whole(memory, node):
            yield f"{node.path} counts records that it has no room for"


def _options_are_whole(raw: bytes) -> bool:
    try:
        return raw in (b"\xff" * len(raw), CardOptions.decode(raw).encode())
    except ValueError:
        return False


def _data_objects_are_whole(memory: Memory) -> bool:
    try:
        data_objects.objects(memory)
    except FormatError:
        return False
    return True


def _records_are_whole(memory: Memory, file: ElementaryFile) -> bool:
    present = record_slots.count(memory, file)
    if not present or present > file.slots:
        return present == 0
    if file.growing and file.structure is Structure.CYCLIC:
        return memory.byte(file.address + 1) < file.slots
    if file.variable:
        longest = max(len(record_slots.read(memory, file, n)) for n in range(1, present + 1))
        return longest <= file.lengths[0]
    return True
