"""Describe a card image without showing its secrets, for `rhcard emulator show`."""

from typing import TypedDict

from ...crypto import Cipher, key_check_value
from ...layout import KEYS, Structure
from ..chip.memory import JOURNAL_PAGE
from ..filesystem import record_slots
from ..filesystem.tree import PROFILE, Directory, ElementaryFile
from ..handlers.access import ACTIVATED, DEACTIVATED, TERMINATED
from ..profile.card_state import LifeCycle
from ..sessions.card_interface import Card

_STATES = {ACTIVATED: "activated", DEACTIVATED: "deactivated", TERMINATED: "terminated"}


class KeyState(TypedDict):
    """One card key: its key check value and its remaining tries."""

    name: str
    version: int
    cipher: str
    key_check_value: str
    tries: int


class KeySetState(TypedDict):
    """One SCP03 key set: the check values of ENC, MAC and DEK, and its remaining tries."""

    version: str
    bits: int
    key_check_values: list[str]
    tries: int


class FileState(TypedDict):
    """One file: life cycle, number of records, and how many of its bytes are not FF."""

    path: str
    structure: str
    state: str
    size: int
    records: int
    written: int


class CardReport(TypedDict):
    """The description of a card image."""

    chip: str
    atr: str
    life_cycle: str
    spec: str
    cipher: str
    region: str
    options: dict[str, bool | int | str]
    scp03_sequence_counter: int
    key_sets: list[KeySetState]
    card_keys: list[KeyState]
    pin_tries: str
    blocked: list[str]
    files: list[FileState]
    pages: int


def inspect(card: Card) -> CardReport:
    """Describe a card: keys by check value only, and no field contents."""
    state = card.state
    spec, cipher, _, region = state.profile
    personalized = state.is_personalized
    pin = state.pin
    options = card.options
    return CardReport(
        chip=card.chip.hex().upper(),
        atr=card.atr.hex().upper(),
        life_cycle=LifeCycle(state.life_cycle).name,
        spec=f"{spec >> 4}.{spec & 0x0F}" if personalized else "",
        cipher=Cipher(cipher).name if personalized else "",
        region=region.decode("ascii", "replace") if personalized else "",
        options={name: getattr(options, name) for name in options.__slots__},
        scp03_sequence_counter=state.sequence_counter,
        key_sets=_key_sets(card),
        card_keys=_card_keys(card),
        pin_tries=f"{pin.remaining} of {pin.limit}" if pin else "",
        blocked=[f"DDF1/DF0{n}" for n in range(1, 6) if state.blocked_directories >> n - 1 & 1],
        files=[_file(card, node) for node in _files(card)],
        pages=sum(number < JOURNAL_PAGE for number in card.memory.pages),
    )


def _key_sets(card: Card) -> list[KeySetState]:
    return [
        KeySetState(
            version=f"{keys.version:02X}",
            bits=8 * len(keys.enc),
            key_check_values=[
                key_check_value(Cipher.AES, key).hex().upper()
                for key in (keys.enc, keys.mac, keys.dek)
            ],
            tries=keys.tries,
        )
        for keys in card.state.key_sets.values()
    ]


def _card_keys(card: Card) -> list[KeyState]:
    found = []
    for spec in KEYS:
        key = card.state.card_key(spec)
        if key:
            check_value = key_check_value(key.cipher, key.key).hex().upper()
            found.append(
                KeyState(
                    name=spec.name,
                    version=key.version,
                    cipher=key.cipher.name,
                    key_check_value=check_value,
                    tries=key.tries,
                )
            )
    return found


def _files(card: Card) -> list[ElementaryFile]:
    nodes: list[Directory | ElementaryFile] = []
    if card.state.is_personalized:
        nodes += PROFILE.values()
    nodes += [node for children in card.created.values() for node in children.values()]
    return [node for node in nodes if isinstance(node, ElementaryFile)]


def _file(card: Card, file: ElementaryFile) -> FileState:
    memory = card.memory
    transparent = file.structure is Structure.TRANSPARENT
    if transparent:
        content = memory.read(file.address, file.size)
        present = 0
    else:
        present = record_slots.count(memory, file)
        stored = (record_slots.read(memory, file, n) for n in range(1, present + 1))
        content = b"".join(r[len(file.prefixes[0]) :] for r in stored)
    return FileState(
        path=file.path,
        structure=file.structure.value,
        state=_STATES.get(memory.byte(file.state_address), "damaged"),
        size=file.size,
        records=present,
        written=len(content) - content.count(0xFF),
    )
