"""PKCS#11 2.40: modules, their tokens, and templates of keys. Only this imports `pkcs11`.

The package is python-pkcs11, the extra `rhcard[token]`. It is imported when a token is first used.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...errors import CardKeyError
from .token_errors import NOT_TOLD, words

if TYPE_CHECKING:
    from pkcs11 import Session as Session  # noqa: PLC0414 - token_session takes it from here
    from pkcs11 import Token as Token  # noqa: PLC0414
    from pkcs11._pkcs11 import lib as Library

AES_ECB, AES_CMAC, HMAC_SHA256 = 0x1081, 0x108A, 0x0251
AES_KEY_GEN, SECRET_KEY_GEN, AES_ECB_DERIVE = 0x1080, 0x0350, 0x1104
SP800_108_COUNTER_KDF = 0x03AC


@dataclass(frozen=True, slots=True)
class TokenFound:
    """A token as its module describes it. `mechanisms` holds numbers (PKCS#11 2.40 and 3.0)."""

    label: str
    serial: str
    maker: str
    model: str
    mechanisms: frozenset[int]
    has_pin: bool
    is_locked: bool


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """What a root key in a token may do. It never leaves the token, whatever it may do."""

    label: str
    encrypt: bool = False
    sign: bool = False
    derive: bool = False
    is_aes: bool = True
    """An AES key of 16 bytes; otherwise a secret of 32 bytes for HMAC."""


@dataclass(frozen=True, slots=True)
class DerivedKey:
    """A key that the token derives from a root key, and keeps for this session.

    It is E_K(data), 16 bytes; or with `by_counter` the counter KDF of `token_kdf` over the data.
    """

    parent: str
    data: bytes
    by_counter: bool = False


_started: dict[str, int] = {}
"""The modules that were loaded, and the process that started them."""


_locks: dict[tuple[str, int], AbstractContextManager[object]] = {}


def lock_of(module: str) -> AbstractContextManager[object]:
    """Return the lock of a module: the binding starts modules for one thread at a time.

    A child process has one of its own: a lock that another thread held at the fork stays held.
    """
    return _locks.setdefault((module, os.getpid()), RLock())


@cache
def package() -> ModuleType:
    """Import python-pkcs11. Raises CardKeyError when it is not installed."""
    try:
        import pkcs11
    except ImportError:
        raise CardKeyError(
            "tokens need the package python-pkcs11: run pip install 'rhcard[token]'"
        ) from None
    return pkcs11


def library(module: str) -> "Library":
    """Return a PKCS#11 module, started in this process: a child must start it anew.

    Raises CardKeyError when it cannot be loaded.
    """
    p11 = package()
    try:
        found: Library = p11.lib(module)
        if _started.setdefault(module, os.getpid()) != os.getpid():
            with suppress(p11.PKCS11Error):  # what the parent left behind
                found.finalize()
            found.initialize()
            _started[module] = os.getpid()
    except p11.PKCS11Error as error:
        raise CardKeyError(f"PKCS#11 module {module}: {_cannot_load(error)}") from None
    return found


def _cannot_load(error: Exception) -> str:
    if "OS exception" in str(error):
        return "it cannot be loaded. Give the path of the token's PKCS#11 library with --module"
    return words(type(error).__name__, str(error))


def tokens(module: str) -> list[TokenFound]:
    """Return the tokens that a PKCS#11 module finds, without a PIN.

    Raises CardKeyError when the module cannot be loaded or fails.
    """
    p11 = package()
    try:
        with lock_of(module):
            return [
                _described(slot.get_token(), frozenset(int(m) for m in slot.get_mechanisms()))
                for slot in library(module).get_slots(token_present=True)
            ]
    except p11.PKCS11Error as error:
        raise CardKeyError(
            f"PKCS#11 module {module}: {words(type(error).__name__, str(error))}"
        ) from None


def mechanism_name(number: int) -> str:
    """Return the name of a mechanism without CKM_, or its number in hex if it has none here."""
    try:
        return str(package().Mechanism(number).name).lstrip("_")
    except ValueError:
        return f"0x{number:08X}"


def _described(token: "Token", mechanisms: frozenset[int]) -> TokenFound:
    flag = package().TokenFlag
    return TokenFound(
        token.label,
        token.serial.decode("ascii", "replace"),
        token.manufacturer_id,
        token.model,
        mechanisms,
        has_pin=bool(token.flags & flag.USER_PIN_INITIALIZED),
        is_locked=bool(token.flags & flag.USER_PIN_LOCKED),
    )


def label_of(found: Any) -> str:
    """Return the label of an object in a token, or nothing if it has none that is UTF-8."""
    try:
        return str(found[package().Attribute.LABEL])
    except (UnicodeDecodeError, package().AttributeTypeInvalid):
        return ""


def mechanism(number: int) -> Any:
    """Return a mechanism for the binding, also one whose number it does not know."""
    kind = package().Mechanism
    try:
        return kind(number)
    except ValueError:
        unknown = int.__new__(kind, number)
        unknown._name_, unknown._value_ = f"0x{number:08X}", number
        return unknown


def attributes_of(template: KeyTemplate) -> dict[Any, Any]:
    """Return the attributes of a root key, all that matter."""
    a = package().Attribute
    return {
        a.LABEL: template.label, a.TOKEN: True, a.PRIVATE: True,
        a.SENSITIVE: True, a.EXTRACTABLE: False,
        a.ENCRYPT: template.encrypt, a.SIGN: template.sign, a.DERIVE: template.derive,
        a.DECRYPT: False, a.VERIFY: False, a.WRAP: False, a.UNWRAP: False,
    }  # fmt: skip


def made(
    make: Callable[[dict[Any, Any]], Any], attributes: dict[Any, Any], template: KeyTemplate
) -> None:
    """Make a key and read back what matters: some tokens leave attributes out without a word."""
    p11 = package()
    a = p11.Attribute
    # No check value over the zero block, no change and no copy later: not every token knows these.
    wished = {a.CHECK_VALUE: b"", a.MODIFIABLE: False}
    for extra in ({**wished, a.COPYABLE: False}, wished, {}):
        try:
            key = make({**attributes, **extra})
            break
        except p11.PKCS11Error as error:
            if not extra or type(error).__name__ not in NOT_TOLD:
                raise
    wanted = attributes_of(template)
    wrong = [each.name for each in wanted if key[each] != wanted[each]]
    if wrong:
        key.destroy()
        raise CardKeyError(
            f"the token does not keep {', '.join(wrong)} of key {template.label} as asked:"
            " do not use it for root keys"
        )
