"""Read a card for a person: every file that the keys at hand open, each field with its state."""

from dataclasses import dataclass

from cardlib.card import CardIdentity, ResidentHealthCard
from cardlib.errors import NotPersonalized
from cardlib.exchange import Connection
from cardlib.facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION
from cardlib.keys import KeySet
from cardlib.layout import FILE_BY_PATH, FILES, FieldValue, FileSpec, State

from .looking import CardCondition, state_of_blank

EMERGENCY_FILES = tuple(
    FILE_BY_PATH[f"DDF1/DF02/{name}"] for name in ("EF05", "EF07", "EF06", "EF08")
)
"""Clinical basics, allergies, special information, immunizations: one read key and no PIN."""

EMERGENCY_KEYS = ("IRK_DDF1", "RK1_DF02")
"""The keys of an emergency room's terminal: one proves the chip genuine, one reads DF02."""

_ABOUT_BLANK = {
    CardCondition.BLANK: "this card is blank: it has the transport keys of its maker"
    f" (version {TRANSPORT_KEY_VERSION:02X}) and no data yet. `rhcard issue` makes a resident's"
    " card of it",
    CardCondition.INTERRUPTED: "this card is blank: it has issuer keys"
    f" (version {ISSUER_KEY_VERSION:02X}) and no data yet, because issuing was interrupted. Run"
    " `rhcard issue` again with its batch",
    CardCondition.OTHER_KEYS: "this card is blank, and its keys are neither its maker's nor ours."
    " Do not use it",
}
"""What to say of a card without data, and what to do."""

_INDEX_OF = {"EE": FILE_BY_PATH["DDF1/DF03/EF05"], "ED": FILE_BY_PATH["DDF1/DF03/EF06"]}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a card, file by file."""

    identity: CardIdentity
    files: tuple[tuple[FileSpec, tuple[FieldValue, ...]], ...]


def read_card(
    connection: Connection, keys: KeySet | None, files: tuple[FileSpec, ...] = FILES
) -> Reading:
    """Read files in their order. Without keys, the fields of protected files are `denied`.

    The chip must prove that it is genuine before its other keys are used: NotGenuine if it cannot.
    NotPersonalized when the card is blank, with what it is and what to do. With keys, all files of
    a 2.0 card are read in the session, also the free issuer's file.
    Visit slots that the index does not mark valid are left out (card specification 9).
    """
    card = ResidentHealthCard(connection, keys, min_protocol=keys.protocol if keys else 1)
    try:
        identity = card.identify()
    except NotPersonalized as error:
        about = _ABOUT_BLANK.get(state_of_blank(connection), str(error))
        raise NotPersonalized(about) from None
    if keys is not None:
        card.internal_authenticate()
    found: dict[str, tuple[FieldValue, ...]] = {}
    for file in files:
        if keys is not None and file.read_key and file.read_key not in card.rights:
            card.authenticate(file.read_key)
        if not _is_free_slot(file, found):
            found[file.path] = card.read(file.path)
    return Reading(identity, tuple((FILE_BY_PATH[path], found[path]) for path in found))


def _is_free_slot(file: FileSpec, found: dict[str, tuple[FieldValue, ...]]) -> bool:
    """Whether a file is a visit slot whose index record was read and says that it is empty."""
    name = file.path.rsplit("/", 1)[1]
    index = _INDEX_OF.get(name[:2])
    if index is None or index.path not in found:
        return False
    mark = found[index.path][int(name[2:]) - 1]
    return mark.state is State.UNWRITTEN
