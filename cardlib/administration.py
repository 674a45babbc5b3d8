"""The card's own commands: blocking of applications and of the card, the PIN, key counters.

Card specification 5a and 7. Both versions of secure messaging; the card object is spoken to as
in `card.py`, the reset of a key's counter needs the issuer's SCP03 session.
"""

from .apdu import CommandAPDU, exchange
from .card import ResidentHealthCard
from .channel.scp03 import Scp03Channel
from .errors import CardKeyError, FormatError, StatusWordError
from .keys import Scp03Keys
from .layout import KEY_BY_NAME
from .personalization import APPLET_AID, LEVEL
from .status import StatusWord
from .transport import Connection

_BLOCK, _UNBLOCK, _BLOCK_CARD = 0x1E, 0x18, 0x16
_VERIFY, _CHANGE, _RESET_COUNTER = 0x20, 0x24, 0x2C
_NEW_PIN, _SAME_PIN = 0x02, 0x03
_PUK = "PUK_DDF1"


def block_application(card: ResidentHealthCard, df_path: str) -> None:
    """Block DF01 to DF05 after authenticating its LK: its files are unusable until unblocked.

    StatusWordError when the card refuses, CardKeyError for a DF that has no LK.
    """
    _as_keeper(card, _BLOCK, df_path, "LK", "STK")


def unblock_application(card: ResidentHealthCard, df_path: str) -> None:
    """Open a blocked DF again; errors as in `block_application`."""
    _as_keeper(card, _UNBLOCK, df_path, "LK", "STK")


def block_card(card: ResidentHealthCard) -> None:
    """Block the card, for ever, after authenticating BK."""
    _as_keeper(card, _BLOCK_CARD, "MF", "BK", "STM")


def pin_tries(card: ResidentHealthCard) -> int | None:
    """How many tries the PIN has left, 0 if it is blocked, None while it is verified.

    Asking spends none. StatusWordError when the card has no PIN.
    """
    _enter_ddf1(card)
    try:
        card.send(CommandAPDU(0x00, _VERIFY, 0x00, 0x00), "VERIFY")
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
    data = _digits(old) + _digits(new)
    _enter_ddf1(card)
    card.send(CommandAPDU(0x00, _CHANGE, 0x00, 0x00, data), "CHANGE REFERENCE DATA")


def unblock_pin(card: ResidentHealthCard, new: str | None = None) -> None:
    """Give the PIN all its tries back under the PUK, and 6 new digits if there are any.

    Version 1 sends 84 24 with the PUK's MAC, version 2 RESET RETRY COUNTER in the PUK's session.
    """
    data = b"" if new is None else _digits(new)
    if card.protocol == 1:
        command = CommandAPDU(0x80, _CHANGE, 0x00, 0x00, data)
    else:
        p1 = _SAME_PIN if new is None else _NEW_PIN
        command = CommandAPDU(0x00, _RESET_COUNTER, p1, 0x00, data)
        card.authenticate(_PUK)
    _enter_ddf1(card)
    _changed(card, command, _PUK, "PIN UNBLOCK")


def reset_key_tries(connection: Connection, issuer_keys: Scp03Keys, key_name: str) -> None:
    """Give a card key its 15 tries back, in the issuer's SCP03 session (80 2C 00 kk).

    CardKeyError for an unknown key, ChannelError when the session does not open, StatusWordError
    when the card refuses. Whoever uses a card object on the connection calls its `forget`.
    """
    if key_name not in KEY_BY_NAME:
        raise CardKeyError(f"{key_name} is not a key of the card")
    select = CommandAPDU(0x00, 0xA4, 0x04, 0x00, APPLET_AID, le=256)
    selected = exchange(connection.transmit, select)
    if selected.sw != StatusWord.SUCCESS:
        raise StatusWordError("SELECT the applet", selected.sw)
    channel = Scp03Channel.open(connection.transmit, issuer_keys, LEVEL)
    command = CommandAPDU(0x80, _RESET_COUNTER, 0x00, KEY_BY_NAME[key_name].sam_key_id)
    response = channel.send(command)
    if response.sw != StatusWord.SUCCESS:
        raise StatusWordError(f"RESET of the tries of {key_name}", response.sw)


def _as_keeper(card: ResidentHealthCard, ins: int, df_path: str, keeper: str, mac: str) -> None:
    """A command without data in a DF, after the keeper's authentication, under the MAC key."""
    name = df_path.rsplit("/", 1)[-1]
    card.authenticate(f"{keeper}_{name}")
    card.select(df_path)
    command = CommandAPDU(0x80 if card.protocol == 1 else 0x00, ins, 0x00, 0x00)
    _changed(card, command, f"{mac}_{name}", f"{_NAMES[ins]} {df_path}")


def _changed(card: ResidentHealthCard, command: CommandAPDU, key_name: str, name: str) -> None:
    response = card.change(command, key_name)
    if response.sw != StatusWord.SUCCESS:
        wrong_mac = response.sw == StatusWord.SM_DATA_OBJECT_INCORRECT
        why = f"{key_name} as tried is not the card's" if wrong_mac else ""
        raise StatusWordError(name, response.sw, why)


def _enter_ddf1(card: ResidentHealthCard) -> None:
    """Be in the PIN's directory: SELECT keeps a PIN that was verified there."""
    card.select("DDF1")


def _digits(pin: str) -> bytes:
    if not (len(pin) == 6 and pin.isascii() and pin.isdigit()):
        raise FormatError("a PIN has 6 digits")
    return pin.encode("ascii")


_NAMES = {_BLOCK: "APPLICATION BLOCK", _UNBLOCK: "APPLICATION UNBLOCK", _BLOCK_CARD: "CARD BLOCK"}
