"""STORE DATA: collect a card's data block by block, and write all of it at the last block.

The command is from GPC 2.3.1 11.11, the form of the data groupings from EMV CPS. Which groupings
there are, and when a load is complete, is in card specification 6.
"""

from ...apdu import CommandAPDU
from ...crypto import Cipher
from ...facts import TRANSPORT_KEY_VERSION, SpecVersion
from ...layout import FILE_BY_PATH, KEYS, Structure, dgi_of_key, dgi_of_record, record_of_dgi
from ...layout.records import DGI_PIN, DGI_PIN_TRIES
from ...status import OK, StatusWord
from ..chip.refusal import Refusal
from ..filesystem import record_slots
from ..filesystem.tree import PROFILE, ElementaryFile
from ..profile.card_state import KEY_TRIES, NODE_STATES, LifeCycle, StoredKey, StoredPin
from ..sessions.card_interface import Card
from ..sessions.issuer_session import open_session, refuse_replaced_transport_keys
from ..sessions.logical_channel import LogicalChannel
from ..sessions.pending_load import Load
from ..sessions.scp03 import C_ENC, Scp03Session

_ACTIVATED = b"\x05"
_ISSUER_FILE = "DDF1/EF05"
_SPEC_VERSIONS = {version.text.encode("ascii"): version for version in SpecVersion}
_OLD_1_0 = b"1.00"


def store_data(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Take one block of a load: P1 is 08, or 88 on the last; P2 is its number from 00.

    It needs C-ENC and a BLANK card. Any error drops the whole load. The last block commits it.
    """
    load, channel.load = channel.load or Load(), None
    session = open_session(channel, C_ENC)
    refuse_replaced_transport_keys(card, session)
    if card.state.life_cycle != LifeCycle.BLANK:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the card is already personalized")
    if not load.take(command, session):
        channel.load = load
        return OK
    _require_issuer_keys(card, session)
    commit(card, load.groupings)
    return OK


def _require_issuer_keys(card: Card, session: Scp03Session) -> None:
    if TRANSPORT_KEY_VERSION in card.state.key_sets:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "replace the transport keys first")
    if not session.is_issuer:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "open a session with the issuer's keys")


def commit(card: Card, groupings: dict[int, bytes]) -> None:
    """Write a finished load; the card is then PERSONALIZED."""
    state, memory = card.state, card.memory
    version, cipher = _common_key_set(groupings)
    for spec in KEYS:
        key = groupings[dgi_of_key(spec)][2:]
        state.set_card_key(spec, StoredKey(version, cipher, key, KEY_TRIES))
    limit, remaining = groupings[DGI_PIN_TRIES]
    state.pin = StoredPin(groupings[DGI_PIN], limit, remaining)
    cyclic: dict[str, dict[int, bytes]] = {}
    for dgi, stored in groupings.items():
        if found := record_of_dgi(dgi):
            file = PROFILE[found[0].path]
            assert isinstance(file, ElementaryFile)
            if file.structure is Structure.TRANSPARENT:
                memory.write(file.address, stored)
            elif file.structure is Structure.CYCLIC:
                cyclic.setdefault(file.path, {})[found[1]] = stored
            else:
                record_slots.write(memory, file, found[1], stored)
    _append_all(card, cyclic)
    state.profile = (_spec_version(card, groupings), cipher, version, _region(groupings))
    memory.write(NODE_STATES, _ACTIVATED * len(PROFILE))
    state.blocked_directories = 0
    state.life_cycle = LifeCycle.PERSONALIZED
    card.refresh()


def _common_key_set(groupings: dict[int, bytes]) -> tuple[int, Cipher]:
    heads = {groupings[dgi_of_key(spec)][:2] for spec in KEYS}
    if len(heads) != 1:
        raise Refusal(StatusWord.INCORRECT_DATA, "all keys must have one version and one cipher")
    version, cipher = heads.pop()
    return version, Cipher(cipher)


def _append_all(card: Card, cyclic: dict[str, dict[int, bytes]]) -> None:
    """Append the records of cyclic files, oldest first, so that record 1 is the newest."""
    for path, by_number in cyclic.items():
        file = PROFILE[path]
        assert isinstance(file, ElementaryFile)
        if sorted(by_number) != list(range(1, len(by_number) + 1)):
            raise Refusal(StatusWord.INCORRECT_DATA, f"{path}: a record before the last is missing")
        for number in sorted(by_number, reverse=True):
            record_slots.append(card.memory, file, by_number[number])


def _issuer_field(groupings: dict[int, bytes], name: str) -> bytes:
    file = FILE_BY_PATH[_ISSUER_FILE]
    record = next(field.record for field in file.fields if field.name == name)
    return groupings[dgi_of_record(file, record)]


def _spec_version(card: Card, groupings: dict[int, bytes]) -> int:
    text = _issuer_field(groupings, "spec_version").rstrip(b"\0 ")
    if text == _OLD_1_0 and card.options.old_spec_version == "yes":
        return SpecVersion.V1
    if text not in _SPEC_VERSIONS:
        raise Refusal(StatusWord.INCORRECT_DATA, "spec_version must be 1.0 or 2.0")
    setting = card.options.only_spec_1_0
    if setting and _SPEC_VERSIONS[text] != SpecVersion.V1:
        why = f"a card with the setting {setting} is of specification 1.0: load spec_version 1.0"
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    return _SPEC_VERSIONS[text]


def _region(groupings: dict[int, bytes]) -> bytes:
    """Return the region factor, 8 bytes: two digits of city_code and six 0, in ASCII."""
    digits = _issuer_field(groupings, "city_code")[:1].hex()
    if not digits.isdecimal():
        raise Refusal(StatusWord.INCORRECT_DATA, "city_code must begin with two digits")
    return digits.encode("ascii") + b"000000"
