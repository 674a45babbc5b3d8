"""The holder's PIN and the blocks of a card (card specification 5a and 7).

Both versions of secure messaging; the card object is spoken to as in `card.py`.
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
    """Block DF01 to DF05 after authenticating its LK: its files are unusable until unblocked.

    StatusWordError when the card refuses, CardKeyError for a DF that has no LK.
    """
    _as_keeper(card, df_path, "LK", "STK", "APPLICATION BLOCK", commands.block_application)


def unblock_application(card: ResidentHealthCard, df_path: str) -> None:
    """Open a blocked DF again; errors as in `block_application`."""
    _as_keeper(card, df_path, "LK", "STK", "APPLICATION UNBLOCK", commands.unblock_application)


def block_card(card: ResidentHealthCard) -> None:
    """Block the card, for ever, after authenticating BK."""
    _as_keeper(card, "MF", "BK", "STM", "CARD BLOCK", commands.block_card)


def pin_tries(card: ResidentHealthCard) -> int | None:
    """How many tries the PIN has left, 0 if it is blocked, None while it is verified.

    Asking spends none. StatusWordError when the card has no PIN.
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
    """CHANGE REFERENCE DATA: 6 digits each; StatusWordError with the tries left if `old` is wrong.

    In clear on a card of spec 1.0, as VERIFY is; on one of 2.0 a session is needed.
    """
    command = commands.change_reference_data(Pin(old), Pin(new))
    card.select("DDF1")
    card.send(command, "CHANGE REFERENCE DATA")


def unblock_pin(card: ResidentHealthCard, new: str | None = None) -> None:
    """Give the PIN all its tries back under the PUK, and 6 new digits if there are any.

    Version 1 sends 84 24 with the PUK's MAC, version 2 RESET RETRY COUNTER in the PUK's session.
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
    """A command without data in a DF, after the keeper's authentication, under the MAC key."""
    directory = df_path.rsplit("/", 1)[-1]
    card.authenticate(f"{keeper}_{directory}")
    card.select(df_path)
    command = make(proprietary=card.protocol == 1)
    _changed(card, command, f"{mac}_{directory}", f"{name} {df_path}")


def _changed(card: ResidentHealthCard, command: CommandAPDU, key_name: str, name: str) -> None:
    response = card.change(command, key_name)
    if response.sw != StatusWord.SUCCESS:
        wrong_mac = response.sw == StatusWord.SM_DATA_OBJECT_INCORRECT
        why = f"{key_name} as tried is not the card's" if wrong_mac else ""
        raise StatusWordError(name, response.sw, why)
