"""Status words and their meaning (ISO/IEC 7816-4:2020 tables 6, 7; GPC 2.3.1 11)."""

from enum import IntEnum


class StatusWord(IntEnum):
    """The status words that this card and its security domain answer, with their meaning."""

    words: str

    def __new__(cls, value: int, words: str) -> "StatusWord":
        member = int.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    SUCCESS = 0x9000, "normal processing"
    NO_INFORMATION_CHANGED = 0x6200, "warning, memory unchanged"
    CORRUPTED_DATA = 0x6281, "part of the returned data may be corrupted"
    END_REACHED = 0x6282, "end of file or record reached before reading Le bytes, or no match"
    SELECTED_FILE_DEACTIVATED = 0x6283, "selected file deactivated"
    SELECTED_FILE_TERMINATED = 0x6285, "selected file in termination state"
    AUTHENTICATION_FAILED = 0x6300, "authentication of host cryptogram failed"
    MEMORY_UNCHANGED = 0x6400, "execution error, memory unchanged"
    MEMORY_FAILURE = 0x6581, "memory failure"
    WRONG_LENGTH = 0x6700, "wrong length"
    LOGICAL_CHANNEL_NOT_SUPPORTED = 0x6881, "logical channel not supported"
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882, "secure messaging not supported"
    LAST_COMMAND_EXPECTED = 0x6883, "last command of the chain expected"
    COMMAND_CHAINING_NOT_SUPPORTED = 0x6884, "command chaining not supported"
    INCOMPATIBLE_FILE_STRUCTURE = 0x6981, "command incompatible with file structure"
    SECURITY_STATUS_NOT_SATISFIED = 0x6982, "security status not satisfied"
    AUTHENTICATION_METHOD_BLOCKED = 0x6983, "authentication method blocked"
    REFERENCE_DATA_NOT_USABLE = 0x6984, "reference data not usable"
    CONDITIONS_NOT_SATISFIED = 0x6985, "conditions of use not satisfied"
    NO_CURRENT_EF = 0x6986, "command not allowed, no current EF"
    SM_DATA_OBJECT_MISSING = 0x6987, "expected secure messaging data objects missing"
    SM_DATA_OBJECT_INCORRECT = 0x6988, "incorrect secure messaging data objects"
    INCORRECT_DATA = 0x6A80, "incorrect parameters in the command data field"
    FUNCTION_NOT_SUPPORTED = 0x6A81, "function not supported"
    FILE_NOT_FOUND = 0x6A82, "file or application not found"
    RECORD_NOT_FOUND = 0x6A83, "record not found"
    NOT_ENOUGH_MEMORY = 0x6A84, "not enough memory space in the file"
    NC_INCONSISTENT_WITH_TLV = 0x6A85, "Nc inconsistent with TLV structure"
    INCORRECT_P1_P2 = 0x6A86, "incorrect parameters P1-P2"
    NC_INCONSISTENT_WITH_P1_P2 = 0x6A87, "Nc inconsistent with parameters P1-P2"
    REFERENCED_DATA_NOT_FOUND = 0x6A88, "referenced data not found"
    FILE_ALREADY_EXISTS = 0x6A89, "file already exists"
    DF_NAME_ALREADY_EXISTS = 0x6A8A, "DF name already exists"
    WRONG_P1_P2 = 0x6B00, "wrong parameters P1-P2"
    INSTRUCTION_NOT_SUPPORTED = 0x6D00, "instruction code not supported"
    CLASS_NOT_SUPPORTED = 0x6E00, "class not supported"
    NO_PRECISE_DIAGNOSIS = 0x6F00, "no precise diagnosis"


OK = b"\x90\x00"
"""9000 as the two bytes at the end of a response."""


def words(sw: int) -> str:
    """Return the meaning of a status word, for any of the 65,536 values."""
    if sw in StatusWord._value2member_map_:
        return StatusWord._value2member_map_[sw].words  # type: ignore[attr-defined,no-any-return]
    sw1, sw2 = sw >> 8, sw & 0xFF
    if sw1 == 0x61:
        return f"{_counted(sw2 or 256, 'byte', 'bytes')} still available"
    if sw1 == 0x6C:
        return f"wrong Le, {_counted(sw2 or 256, 'byte', 'bytes')} available"
    if sw & 0xFFF0 == 0x63C0:
        return f"verification failed, {_counted(sw2 & 0x0F, 'try', 'tries')} left"
    return _FAMILIES.get(sw1, "not a status word of ISO 7816-4")


def _counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


_FAMILIES = {
    0x62: "warning, memory unchanged",
    0x63: "warning, memory changed",
    0x64: "execution error, memory unchanged",
    0x65: "execution error, memory changed",
    0x66: "security-related issue",
    0x67: "wrong length",
    0x68: "function in CLA not supported",
    0x69: "command not allowed",
    0x6A: "wrong parameters",
}


def is_success(sw: int) -> bool:
    """Whether the command was done: 9000 and 61xx (ISO/IEC 7816-4 5.6)."""
    return sw == 0x9000 or sw >> 8 == 0x61


def is_warning(sw: int) -> bool:
    """Whether the command was processed with a warning: 62xx and 63xx."""
    return sw >> 8 in (0x62, 0x63)
