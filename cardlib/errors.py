"""The errors of this library: everything that it raises on purpose is a `CardError`."""


class CardError(Exception):
    """The base class of every error that cardlib raises on purpose."""


class FormatError(CardError, ValueError):
    """Bytes or text do not follow their format (APDU, TLV, field, script, recording)."""


class StatusWordError(CardError):
    """The card refused a command.

    `command` names the command and its target. `sw` is the two status bytes as a number.
    `explanation` says what the card needs, if that is known.
    """

    def __init__(self, command: str, sw: int, explanation: str = "") -> None:
        from .status import words

        self.command, self.sw, self.explanation = command, sw, explanation
        tail = f": {explanation}" if explanation else ""
        super().__init__(f"{command}: {sw:04X} {words(sw)}{tail}")


class TransportError(CardError):
    """A command did not reach the card, or its answer did not come back."""


class ChannelError(CardError):
    """Secure messaging could not be opened, or a message was changed or is not the card's."""


class StorageError(CardError, OSError):
    """A file could not be written completely: the disk is full, or was removed."""


class CardKeyError(CardError):
    """A key is missing or of the wrong kind, or a key store cannot be opened."""
