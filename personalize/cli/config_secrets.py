"""What must not stand in a configuration file: passphrases, PINs and keys, by name or by look.

No message repeats such a value.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .config_file import ConfigFault

_PASSPHRASE = "Set RHCARD_PASSPHRASE, or give --passphrase-file FILE"
_PIN = "A PIN is asked for when it is needed"
_KEY = 'Keys lie in a key store, a token or the agent. Write where that is: keys = "FILE"'
_INSTEAD = MappingProxyType({
    **dict.fromkeys(("passphrase", "pass", "password", "passwd", "pw"), _PASSPHRASE),
    **dict.fromkeys(("pin", "puk"), _PIN),
    **dict.fromkeys(("key", "secret", "private", "root", "seed", "credential"), _KEY),
})  # fmt: skip
"""What to do in place of writing a secret, by a word of its name."""
_HARMLESS = frozenset({"keys", "key_version", "sam_pin"})
"""Names of settings that have such a word, and hold no secret."""
_LOOKS_LIKE_A_KEY = re.compile(r"\s*(0x)?([0-9A-Fa-f]{2}[ :]?){16,1024}\s*")
_LARGEST_NUMBER = 1 << 64
_DEEPEST = 16


def secrets_in(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[ConfigFault]:
    """Each key whose name or value looks like a secret, whatever table it stands in."""
    for name, value in table.items():
        where = (*above, name)
        instead = "" if name in _HARMLESS else _instead_of(name)
        if instead or _is_key(name) or _holds_key(value):
            fault = ConfigFault(where, "")
            problem = f"{fault.key} looks like a secret, and a secret must not stand in this file"
            yield replace(fault, problem=f"{problem}. Take it out. {instead or _KEY}")
        elif isinstance(value, dict) and len(where) < _DEEPEST:
            yield from secrets_in(value, where)


def _instead_of(name: str) -> str:
    """What to do in place of writing a secret of this name; "" when it names none."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    words = [word.removesuffix("s") if word != "pass" else word for word in _words(parted)]
    return next((_INSTEAD[word] for word in words if word in _INSTEAD), "")


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text)


def _holds_key(value: object) -> bool:
    if isinstance(value, list):
        return any(_holds_key(each) for each in value[:_DEEPEST])
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) >= _LARGEST_NUMBER
    return isinstance(value, str) and _is_key(value)


def _is_key(text: str) -> bool:
    return bool(_LOOKS_LIKE_A_KEY.fullmatch(text)) or "-----BEGIN" in text
