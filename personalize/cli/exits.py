"""The exit codes of rhcard, in one place: the help text and README are tested against it."""

from enum import IntEnum


class Exit(IntEnum):
    """What an exit code of rhcard says."""

    words: str

    def __new__(cls, value: int, words: str) -> "Exit":
        member = int.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    GOOD = 0, "good"
    INTERNAL = 1, "a fault of rhcard itself; please report it"
    USAGE = 2, "usage: an option or argument is wrong"
    BAD_INPUT = 3, "bad input data; every fault is listed, nothing was written"
    NO_CARD = 4, "no reader or card"
    REFUSED = 5, "refused by the card"
    VERIFICATION_FAILED = 6, "verification failed: a card does not hold what it should"
    FINISHED_WITH_FAILURES = 7, "the batch finished, with failures"
    JOURNAL_CONFLICT = 8, "journal conflict: the journal and the cards do not agree"
    KEY_PROBLEM = 9, "key problem: a wrong passphrase, a missing or damaged key store"
    INTERRUPTED = 130, "stopped with Ctrl-C"


def epilog() -> str:
    """The codes as click prints them below the help text, one a line."""
    return "\b\nExit codes:\n" + "\n".join(f"{code:5d}  {code.words}" for code in Exit)
