"""Change and unblock the holder's PIN; block and unblock a card (card specification 5a and 7).

The functions work with both versions of secure messaging.
"""

from collections.abc import Callable

from .. import commands
from ..apdu import CommandAPDU
from ..errors import StatusWordError
from ..facts import Pin
from ..status import StatusWord
from .health_card import ResidentHealthCard

_PUK = "PUK_DDF1"


def block_application(card: ResidentHealthCard, df_path: str) -> None:
    """Block DF01 to DF05 after authenticating its LK. Its files cannot be used until unblocked.

    Raises StatusWordError when the card refuses, CardKeyError when the DF has no LK.
    """
    _as_keeper(card, df_path, "LK", "STK", "APPLICATION BLOCK", commands.block_application)


def unblock_application(card: ResidentHealthCard, df_path: str) -> None:
    """Unblock a DF. Raises the errors of `block_application`."""
    _as_keeper(card, df_path, "LK", "STK", "APPLICATION UNBLOCK", commands.unblock_application)


def block_card(card: ResidentHealthCard) -> None:
    """Block the card after authenticating its BK. This cannot be undone."""
    _as_keeper(card, "MF", "BK", "STM", "CARD BLOCK", commands.block_card)


def pin_tries(card: ResidentHealthCard) -> int | None:
    """Ask how many tries the PIN has left: 0 if it is blocked, None while it is verified.

    Asking spends no try. Raises StatusWordError when the card has no PIN.
    """
    card.select("DDF1")
    try:
        card.send(commands.PIN_STATUS, "VERIFY")
    except StatusWordError as error:
        if error.sw == StatusWord.AUTHENTICATION_METHOD_BLOCKED:
            return 0
        if error.sw & 0xFFF0 != 0x63C0:
            raise
        return error.sw & 0x0F
    return None


def change_pin(card: ResidentHealthCard, old: str, new: str) -> None:
    """CHANGE REFERENCE DATA: replace the PIN, 6 digits each.

    On a card of spec 1.0 it is sent in clear, as VERIFY is; on a 2.0 card it needs a session.
    Raises StatusWordError, which says how many tries are left, when `old` is wrong.
    """
    command = commands.change_reference_data(Pin(old), Pin(new))
    card.select("DDF1")
    card.send(command, "CHANGE REFERENCE DATA")


def unblock_pin(card: ResidentHealthCard, new: str | None = None) -> None:
    """Unblock the PIN with the PUK: reset its tries, and set 6 new digits if given.

    Version 1 sends 84 24 with the PUK's MAC, version 2 RESET RETRY COUNTER in a session after the
    PUK was authenticated.
    """
    in_clear = card.protocol == 1
    command = commands.unblock_pin(None if new is None else Pin(new), proprietary=in_clear)
    if not in_clear:
        card.authenticate(_PUK)
    card.select("DDF1")
    _changed(card, command, _PUK, "PIN UNBLOCK")


def _as_keeper(
    card: ResidentHealthCard,
    df_path: str,
    keeper: str,
    mac: str,
    name: str,
    make: Callable[..., CommandAPDU],
) -> None:
    """Authenticate a DF's LK or BK, then send a command without data under the MAC key."""
    directory = df_path.rsplit("/", 1)[-1]
    card.authenticate(f"{keeper}_{directory}")
    card.select(df_path)
    command = make(proprietary=card.protocol == 1)
    _changed(card, command, f"{mac}_{directory}", f"{name} {df_path}")


def _changed(card: ResidentHealthCard, command: CommandAPDU, key_name: str, name: str) -> None:
    response = card.change(command, key_name)
    if response.sw != StatusWord.SUCCESS:
        wrong_mac = response.sw == StatusWord.SM_DATA_OBJECT_INCORRECT
        why = f"the {key_name} that was tried is not the card's" if wrong_mac else ""
        raise StatusWordError(name, response.sw, why)
