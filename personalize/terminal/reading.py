"""Read a card for a person: every file that the keys at hand open, each field with its state."""

from dataclasses import dataclass

from cardlib.card import CardIdentity, FieldCard, ResidentHealthCard
from cardlib.card.field_card import BY_THE_KEYS
from cardlib.errors import CardError, NotPersonalized, ProfileNeeded
from cardlib.exchange import Connection
from cardlib.keys import KeySet
from cardlib.keys.sam.sam_line import SamRefusal
from cardlib.layout import FILE_BY_PATH, FILES, FieldValue, FileSpec, State
from cardlib.layout.card_profile import FIELD, RHCARD, CardProfile
from cardlib.status import StatusWord

EMERGENCY_FILES = tuple(
    FILE_BY_PATH[f"DDF1/DF02/{name}"] for name in ("EF05", "EF07", "EF06", "EF08")
)
"""Clinical basics, allergies, special information, immunizations: one read key and no PIN."""

EMERGENCY_KEYS = ("IRK_DDF1", "RK1_DF02")
"""The keys of an emergency room's terminal: one proves the chip genuine, one reads DF02."""

_INDEX_OF = {"EE": FILE_BY_PATH["DDF1/DF03/EF05"], "ED": FILE_BY_PATH["DDF1/DF03/EF06"]}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a card, file by file, and where its chip serial was found.

    `serial_place` is a value of the setting of that name (cardlib/layout/profiles.csv). If not
    `serial_is_sure`, nothing proved that it is there. `internal_refusal` is the status word of a
    card that refused to prove its internal key, although that was at hand.
    """

    identity: CardIdentity
    files: tuple[tuple[FileSpec, tuple[FieldValue, ...]], ...]
    serial_place: str
    serial_is_sure: bool
    internal_refusal: int | None


@dataclass(frozen=True, slots=True)
class HowToRead:
    """What the operator says about a card: its profile, and what the card does not say itself."""

    profile: CardProfile = RHCARD
    field_card: FieldCard = BY_THE_KEYS

    def card(self, connection: Connection, keys: KeySet | None) -> ResidentHealthCard:
        """Return a card of the least protocol that keys and profile accept.

        Of a card that does not say its protocol, only profile FIELD accepts version 1.
        """
        least = (keys.protocol if keys else 1) if self.profile.fci == RHCARD.fci else None
        return ResidentHealthCard(
            connection, keys, least, profile=self.profile, field_card=self.field_card
        )


AS_SPECIFIED = HowToRead()


def read_card(
    connection: Connection,
    keys: KeySet | None,
    files: tuple[FileSpec, ...] = FILES,
    how: HowToRead = AS_SPECIFIED,
) -> Reading:
    """Read files in their order. The fields of files whose read key is not held are `denied`.

    The chip must prove that it is genuine before its other keys are used: NotGenuine if it cannot.
    A card of profile FIELD is asked if the internal key is at hand, and may refuse: then one key is
    tried, and no second one if the card refuses that too. NotPersonalized when the card is blank,
    with what it is and what to do; ProfileNeeded, with what the card answers, when it does not say
    what it is. With keys, all files of a 2.0 card are read in the session, also the free issuer's
    file.
    Visit slots that the index does not mark valid are left out (card specification 9).
    """
    card = how.card(connection, keys)
    try:
        card.identify()
    except NotPersonalized as error:
        from .looking import about_blank  # only a blank needs it: reading starts faster

        raise NotPersonalized(about_blank(connection) or str(error)) from None
    except ProfileNeeded as error:
        raise ProfileNeeded(error.unsaid, _answers(connection)) from None
    if keys is not None and (how.profile.name != FIELD.name or card.serial_is_sure):
        card.internal_authenticate()
    held = card.identity.fitting(keys).names if keys is not None else frozenset()
    found: dict[str, tuple[FieldValue, ...]] = {}
    for file in files:
        if file.read_key in held and file.read_key not in card.rights:
            _authenticate(card, file.read_key)
        if not _is_free_slot(file, found):
            found[file.path] = card.read(file.path)
    read = tuple((FILE_BY_PATH[path], found[path]) for path in found)
    return Reading(
        card.identity, read, card.serial_place, card.serial_is_sure, card.internal_refusal
    )


def _authenticate(card: ResidentHealthCard, name: str) -> None:
    """Authenticate, unless a SAM that did not say what it holds turns out to lack the key."""
    try:
        card.authenticate(name)
    except SamRefusal as refusal:
        if refusal.sw != StatusWord.REFERENCED_DATA_NOT_FOUND:
            raise


def _answers(connection: Connection) -> tuple[str, ...]:
    """What a card that does not describe itself answers, in sentences."""
    from cardlib.card.discovery import discover

    try:
        return tuple(each.words for each in discover(connection).observations)
    except CardError:
        return ()


def _is_free_slot(file: FileSpec, found: dict[str, tuple[FieldValue, ...]]) -> bool:
    """Whether a file is a visit slot whose index record was read and says that it is empty."""
    name = file.path.rsplit("/", 1)[1]
    index = _INDEX_OF.get(name[:2])
    if index is None or index.path not in found:
        return False
    mark = found[index.path][int(name[2:]) - 1]
    return mark.state is State.UNWRITTEN
