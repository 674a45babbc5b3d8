"""The codes of list faults: what a program tells faults apart by, whatever their words are."""

from enum import StrEnum


class FaultCode(StrEnum):
    """The stable code of a kind of fault. `meaning` says what the kind is, in a few words.

    A code never changes its meaning and is never given again. The words of a fault may change.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> "FaultCode":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # The file as a whole
    FILE_TOO_LARGE = "file-too-large", "the file has more bytes than a list may have"
    TOO_MANY_LINES = "too-many-lines", "the file has more lines than a list may have"
    EMPTY_FILE = "empty-file", "nothing is in the file"
    NO_RESIDENTS = "no-residents", "the list has a header, but no resident"
    WRONG_ENCODING = "wrong-encoding", "the file has another encoding than was said"
    NOT_A_LIST = "not-a-list", "the file is an old workbook, an archive, a PDF or a web page"
    DAMAGED_WORKBOOK = (
        "damaged-workbook",
        "the workbook is damaged or cut",
    )
    DAMAGED_PARQUET = "damaged-parquet", "the Parquet file is damaged, cut or not readable"
    WHICH_SHEET = "which-sheet", "several sheets have content, or none has the given name"
    NOT_TEXT = "not-text", "the file has NUL bytes, as no text has"
    NOT_JSON_LINES = "not-json-lines", "one JSON list, not an object on each line"
    # The header, and the form of lines
    NO_HEADER = "no-header", "the file has no line with the names of the columns"
    WRONG_SEPARATOR = "wrong-separator", "the line sep= names another separator than the header has"
    TOO_MANY_COLUMNS = "too-many-columns", "more columns or members than a list may have"
    UNKNOWN_COLUMN = "unknown-column", "no field has this name"
    DUPLICATE_COLUMN = "duplicate-column", "a column or member is there twice"
    MISSING_COLUMN = "missing-column", "a required column is not in the header"
    UNTITLED_COLUMN = "untitled-column", "a column has values, but no title"
    WRONG_COLUMN_COUNT = "wrong-column-count", "a line has more or fewer values than the header"
    BROKEN_QUOTING = "broken-quoting", "the quotes of a CSV line are wrong"
    BROKEN_JSON = "broken-json", "a line is not a JSON object"
    WRONG_JSON_TYPE = "wrong-json-type", "a member is not text, or not a list of objects"
    TOO_MANY_ENTRIES = "too-many-entries", "more entries than the card holds"
    NOT_CHECKED = "not-checked", "too many lines are broken: the rest was not checked"
    # The form of a sheet
    NUMBER_CELL = "number-cell", "a cell is a number: digits or zeros of it may be lost"
    MERGED_CELL = "merged-cell", "cells are merged: all of them but one have lost their value"
    HIDDEN_CELLS = "hidden-cells", "rows or columns with values are hidden"
    # The form of a Parquet file
    WRONG_COLUMN_TYPE = "wrong-column-type", "a column of a Parquet file is not text"
    # A map of code values
    NOT_MAPPABLE = "not-mappable", "a map is for columns with codes or flags only"
    DUPLICATE_MAPPING = "duplicate-mapping", "a map gives two codes for one value"
    # One value
    MISSING_VALUE = "missing-value", "a value is needed, but it is blank"
    TOO_LONG = "too-long", "the value does not fit into its field"
    WRONG_LENGTH = "wrong-length", "the number needs an exact count of characters"
    CHECKSUM = "checksum", "the check character of the identity number is wrong"
    INVALID_IDENTITY_NUMBER = "invalid-identity-number", "no identity number is written like this"
    INVALID_DATE = "invalid-date", "not a date that exists, written YYYYMMDD"
    INVALID_FLAG = "invalid-flag", "a flag is neither 1 nor 0"
    INVALID_CODE = "invalid-code", "the code is not in its code table"
    UNMAPPED_CODE = "unmapped-code", "the map of this column does not have the value"
    NOT_DIGITS = "not-digits", "a character that is no digit stands in a number"
    INVALID_AID = "invalid-aid", "not an application identifier in hexadecimal"
    UNMASKED_ACCOUNT = "unmasked-account", "an account number that is not masked"
    NOT_READ_BACK = "not-read-back", "the card would give another value than was put in"
    # Characters
    UNDECODED_BYTE = "undecoded-byte", "a byte that is no text in the list's encoding"
    CONTROL_CHARACTER = "control-character", "a control character or a line break"
    INVISIBLE_CHARACTER = "invisible-character", "a format character, which nobody can see"
    HALF_CHARACTER = "half-character", "half of a character: a lone surrogate"
    NONCHARACTER = "noncharacter", "a code point that is never a character"
    PRIVATE_CHARACTER = "private-character", "a character that each computer shows differently"
    LOST_CHARACTER = "lost-character", "U+FFFD: a program could not read what stood there"
    UNASSIGNED_CHARACTER = "unassigned-character", "a code point that Unicode has not assigned"
    LOOK_ALIKE = "look-alike", "a character that looks like the right one"
    PLACEHOLDER_CHARACTER = "placeholder-character", "a ? or □ in the place of a lost character"
    ESCAPED_CHARACTER = (
        "escaped-character",
        "an escape such as &#19886; in the place of a character",
    )
    MISREAD_TEXT = "misread-text", "text that was read in another encoding than it was written in"
    MASKED_VALUE = "masked-value", "a value of which a part is masked, as 王*明"
    # Damage by spreadsheets and exports
    SHORTENED_NUMBER = "shortened-number", "a long number was written in short form"
    ROUNDED_NUMBER = "rounded-number", "a number was rounded to 15 digits"
    REFORMATTED_NUMBER = "reformatted-number", "a number has decimals, or commas between digits"
    TURNED_INTO_DATE = "turned-into-date", "a value was turned into a date"
    TURNED_INTO_TRUTH = "turned-into-truth-value", "a value was turned into true or false"
    LOST_ZERO = "lost-zero", "a number lost the zero that it begins with"
    FORMULA = "formula", "a formula stands in the place of its value"
    FORMULA_ERROR = "formula-error", "a formula failed"
    NARROW_COLUMN = "narrow-column", "the value did not fit on the screen and is lost"
    TEXT_MARK = "text-mark", "a mark that says that this is text, or a second pair of quotes"
    NO_VALUE_WORD = "no-value-word", "a word for no value, such as NULL"
    # Values against each other
    DOCUMENT_SPELLING = "document-spelling", "the document number is not in capitals and digits"
    DIFFERENT_NUMBERS = "different-numbers", "two numbers must be the same, but are different"
    DIFFERS_FROM_IDENTITY = "differs-from-identity", "not as the identity number says"
    TOO_EARLY = "too-early", "the date is before another one that must come first, or before 1900"
    TOO_LATE = "too-late", "the date is after another one that must come later"
    DUPLICATE_HOLDER = "duplicate-holder", "another line has a number of the same resident"
    # Photos
    PHOTO_PATH = "photo-path", "the path leads out of the photo folder"
    NO_PHOTO = "no-photo", "there is no file that can be read"
    PHOTO_TOO_LARGE = "photo-too-large", "the file or the picture is too large"
    NOT_A_PICTURE = "not-a-picture", "no picture of a known format, or a damaged one"
    PHOTO_COLOURS = "photo-colours", "it is not known which of its values is white"
    NO_FACE = "no-face", "too few pixels for a face, or one colour"
    PHOTO_DOES_NOT_FIT = "photo-does-not-fit", "the card has no space for the picture"
    DUPLICATE_PHOTO = "duplicate-photo", "another resident has the same photo"
