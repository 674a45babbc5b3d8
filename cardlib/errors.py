"""The one hierarchy of errors: everything this library raises on purpose is a `CardError`."""


class CardError(Exception):
    """Root of every error that cardlib raises on purpose."""


class FormatError(CardError, ValueError):
    """Bytes or text that do not follow the format they claim (APDU, TLV, field, key file)."""


class StatusWordError(CardError):
    """A command that the card refused.

    `command` names the command and its target, `sw` is the two status bytes as a number,
    `explanation` says what would satisfy the card, where that is known.
    """

    def __init__(self, command: str, sw: int, explanation: str = "") -> None:
        from .status import words

        self.command, self.sw, self.explanation = command, sw, explanation
        tail = f": {explanation}" if explanation else ""
        super().__init__(f"{command}: {sw:04X} {words(sw)}{tail}")


class TransportError(CardError):
    """The APDU did not reach the card, or its answer did not come back."""


class ChannelError(CardError):
    """A secure channel could not be opened, or a message of it is not what the peer sent."""


class StorageError(CardError, OSError):
    """A file of ours could not be written whole: the disk is full, or gone."""


class CardKeyError(CardError):
    """A key is missing, is of the wrong kind, or its container cannot be opened."""
