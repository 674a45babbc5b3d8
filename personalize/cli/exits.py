"""The exit codes of rhcard, in one place: help and documents are tested against it."""

from enum import IntEnum


class Exit(IntEnum):
    """What an exit code of rhcard says."""

    words: str

    def __new__(cls, value: int, words: str) -> "Exit":
        member = int.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    GOOD = 0, "Done. Everything is as it should be."
    INTERNAL = 1, "An error in rhcard itself. Please report it."
    USAGE = 2, "An option, an argument, a path or the configuration is wrong."
    BAD_INPUT = 3, "A list, batch or script is not valid. Every error was reported."
    NO_CARD = 4, "No card or no reader, or the card is damaged or does not answer."
    REFUSED = 5, "The card refused a command, or a script expects another answer."
    VERIFICATION_FAILED = 6, "A card or an answer does not hold the data it should hold."
    FINISHED_WITH_FAILURES = 7, "Some cards of the batch failed, or are not there."
    JOURNAL_CONFLICT = 8, "Another rhcard is at work, or the journal and the cards do not agree."
    KEY_PROBLEM = 9, "The passphrase or keys are wrong or missing, or do not fit the card."
    ENVIRONMENT = 11, "This computer stops us: no space, no permission, or a file is gone."
    HUNG_UP = 129, "Stopped, because the terminal was closed (SIGHUP)."
    INTERRUPTED = 130, "Stopped with Ctrl-C."
    TERMINATED = 143, "Stopped by the system or by another program (SIGTERM)."


def epilog() -> str:
    """The codes as click prints them below the help text, one a line."""
    return "\b\nExit codes:\n" + "\n".join(f"{code:5d}  {code.words}" for code in Exit)
