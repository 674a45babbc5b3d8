"""The card's layout as tables (files, fields, keys, codes, DGIs), and the codecs that use them."""

from .codecs import decode, encode
from .codes import CodeTable, code_table
from .field_value import NO_ENTRIES, FieldValue, State
from .model import (
    COLUMNS,
    FILE_BY_PATH,
    FILES,
    KEY_BY_NAME,
    KEYS,
    Column,
    FieldSpec,
    FileSpec,
    KeySpec,
    Kind,
    Structure,
)
from .records import (
    decode_file,
    decode_record,
    dgi_of_key,
    dgi_of_record,
    encode_record,
    key_of_dgi,
    record_of_dgi,
    without_access,
    without_entries,
)
from .words import state_in_words, value_in_words

__all__ = [
    "COLUMNS",
    "FILES",
    "FILE_BY_PATH",
    "KEYS",
    "KEY_BY_NAME",
    "NO_ENTRIES",
    "CodeTable",
    "Column",
    "FieldSpec",
    "FieldValue",
    "FileSpec",
    "KeySpec",
    "Kind",
    "State",
    "Structure",
    "code_table",
    "decode",
    "decode_file",
    "decode_record",
    "dgi_of_key",
    "dgi_of_record",
    "encode",
    "encode_record",
    "key_of_dgi",
    "record_of_dgi",
    "state_in_words",
    "value_in_words",
    "without_access",
    "without_entries",
]
