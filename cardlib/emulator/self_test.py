"""The self-test at power-on: find memory contents that no command can have written.

The card's own state has checksums (`card_state`); other values are checked for being possible.
File contents are not checked: a terminal reads damaged fields as `corrupt` (card specification 7).
"""

from collections.abc import Iterator

from ..crypto import Cipher
from ..errors import FormatError
from ..layout import Structure
from .chip.memory import Memory
from .filesystem import created_files, record_slots
from .filesystem.tree import PROFILE, Directory, ElementaryFile
from .handlers import data_objects
from .handlers.access import ACTIVATED, DEACTIVATED, TERMINATED
from .profile.card_options import CardOptions
from .profile.card_state import LifeCycle, StoredState
from .sessions.v2 import SPEC_2_0

_SPECS = (0x10, SPEC_2_0)
_FILE_STATES = (ACTIVATED, DEACTIVATED, TERMINATED)


def damage(memory: Memory, state: StoredState) -> str:
    """Say what is wrong with a card's memory, or "" if it is whole."""
    if memory.journal_is_damaged:
        return "the journal of an interrupted command is damaged"
    return next(_problems(memory, state), "")


def _problems(memory: Memory, state: StoredState) -> Iterator[str]:
    yield from state.damaged_parts()
    if state.life_cycle not in list(LifeCycle):
        yield f"the life cycle {state.life_cycle:02X} is not valid"
    spec, cipher, *_ = state.profile
    if state.is_personalized and (spec not in _SPECS or cipher not in list(Cipher)):
        yield f"the card's specification {spec:02X} or cipher {cipher:02X} is not valid"
    if not CardOptions.are_whole(state.options):
        yield "the card's options are not valid"
    if problem := created_files.problem(memory):
        yield problem
    if not _data_objects_are_whole(memory):
        yield "the data objects are not valid BER-TLV"
    nodes: list[Directory | ElementaryFile] = []
    if state.is_personalized:
        nodes += PROFILE.values()
    nodes += (n for children in created_files.load(memory).values() for n in children.values())
    for node in nodes:
        if memory.byte(node.state_address) not in _FILE_STATES:
            yield f"the life cycle state of {node.path} is not valid"
        if isinstance(node, ElementaryFile) and not _records_are_whole(memory, node):
            yield f"the record count of {node.path} is larger than its space"


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
