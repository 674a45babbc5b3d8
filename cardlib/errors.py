"""The errors of this library: everything that it raises on purpose is a `CardError`."""

import errno

_NO_SUCH_FILE = {
    errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
}  # fmt: skip

DAMAGE = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
"""What decoding a damaged file may raise: 1e999 is no integer, 100,000 brackets are too deep."""


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


class NotGenuine(ChannelError):
    """The card did not prove that it has the key. `tried` names the key, and never holds it."""

    def __init__(self, tried: str) -> None:
        super().__init__(
            "INTERNAL AUTHENTICATE: these keys and this card do not fit. Either the card was issued"
            " with another key store, or it is not genuine. If you have other key stores, try each"
            f" of them. If none fits, do not trust the card. Tried {tried}"
        )


class NotPersonalized(CardError):
    """The card has no resident's data: it is blank, or it is another kind of card."""


class ProfileNeeded(CardError):
    """A card does not say what it is. Only the operator may say so, by choosing a profile.

    `unsaid` is what the card does not say, `answers` what it was found to answer.
    """

    def __init__(self, unsaid: str, answers: tuple[str, ...] = ()) -> None:
        self.unsaid = unsaid
        found = f" What was found: {'; '.join(answers)}." if answers else ""
        super().__init__(
            f"this card does not say {unsaid}. If it is a deployed card, add --profile field (in"
            f" Python: profile=FIELD). If it should be a card of yours, do not: somebody may be"
            f" between the card and you.{found}"
        )


class StorageError(CardError, OSError):
    """A file cannot be read or written on this computer: no space, no permission."""


class FileRefused(StorageError):
    """A path names no regular file, or one that is too large for what it should be."""


class CardKeyError(CardError):
    """A key is missing or of the wrong kind, or a key store cannot be opened."""


class KeysUnavailable(CardKeyError):
    """The key agent is not there, is locked or full, or gives this caller no more.

    Nothing can be done with any card then. This is no fault of a card, a batch or a file.
    """


def file_error(kind: type[CardError], error: OSError, path: object) -> CardError:
    """Return what to raise for a file that cannot be used.

    That is an error of `kind` if there is no such file, else a StorageError.
    """
    if isinstance(error, FileRefused) or error.errno in _NO_SUCH_FILE:
        return kind(f"{path}: {error.strerror}")
    return StorageError(error.errno, error.strerror, str(path))
