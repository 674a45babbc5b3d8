"""One session with a token over PKCS#11 2.40. Nothing else imports the package `pkcs11`.

The package is python-pkcs11, the extra `rhcard[token]`. It is imported when a token is first used.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import CardKeyError
from .token_errors import LOST, NOT_TOLD, words, wrong_pin

if TYPE_CHECKING:
    from pkcs11 import Session, Token
    from pkcs11._pkcs11 import lib as Library

T = TypeVar("T")
AES_ECB, AES_CMAC, HMAC_SHA256 = 0x1081, 0x108A, 0x0251
AES_KEY_GEN, SECRET_KEY_GEN, AES_ECB_DERIVE = 0x1080, 0x0350, 0x1104
SP800_108_COUNTER_KDF = 0x03AC
_MOST_DERIVED = 512
"""Keys that are derived in the token and kept there for this session."""


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


_started: dict[str, int] = {}
"""The modules that were loaded, and the process that started them."""


@cache
def _pkcs11() -> ModuleType:
    try:
        import pkcs11
    except ImportError:
        raise CardKeyError(
            "tokens need the package python-pkcs11: run pip install 'rhcard[token]'"
        ) from None
    return pkcs11


def _library(module: str) -> "Library":
    """The module, started in this process. A child must start it anew (PKCS#11 2.40, 6.6.1)."""
    package = _pkcs11()
    try:
        library: Library = package.lib(module)
        if _started.setdefault(module, os.getpid()) != os.getpid():
            with suppress(package.PKCS11Error):  # what the parent left behind
                library.finalize()
            library.initialize()
            _started[module] = os.getpid()
    except package.PKCS11Error as error:
        raise CardKeyError(f"PKCS#11 module {module}: {_cannot_load(error)}") from None
    return library


def _cannot_load(error: Exception) -> str:
    if "OS exception" in str(error):
        return "it cannot be loaded. Give the path of the token's PKCS#11 library with --module"
    return words(type(error).__name__, str(error))


def tokens(module: str) -> list[TokenFound]:
    """Return the tokens that a PKCS#11 module finds, without a PIN.

    Raises CardKeyError when the module cannot be loaded or fails.
    """
    package = _pkcs11()
    library = _library(module)
    try:
        return [
            _described(slot.get_token(), frozenset(int(m) for m in slot.get_mechanisms()))
            for slot in library.get_slots(token_present=True)
        ]
    except package.PKCS11Error as error:
        raise CardKeyError(
            f"PKCS#11 module {module}: {words(type(error).__name__, str(error))}"
        ) from None


def _described(token: "Token", mechanisms: frozenset[int]) -> TokenFound:
    flag = _pkcs11().TokenFlag
    return TokenFound(
        token.label,
        token.serial.decode("ascii", "replace"),
        token.manufacturer_id,
        token.model,
        mechanisms,
        has_pin=bool(token.flags & flag.USER_PIN_INITIALIZED),
        is_locked=bool(token.flags & flag.USER_PIN_LOCKED),
    )


class _KeyMissing(CardKeyError):
    """A key was not found. A session that lost its login does not find it either."""


class TokenSession:
    """One session with one token. It is opened when it is used, and once more when it was lost.

    After a fork the child opens its own. Every method raises CardKeyError when the token fails.
    """

    def __init__(self, module: str, label: str, pin: str) -> None:
        self.module, self.label = module, label
        self._pin = pin
        self._refused = False
        self._session: Session | None = None
        self._process = os.getpid()
        self._lock = RLock()
        self._keys: dict[object, Any] = {}

    def __repr__(self) -> str:
        return f"<token {self.label!r}>"

    @property
    def mechanisms(self) -> frozenset[int]:
        """The mechanisms that the token offers."""
        return self._run(
            lambda session: frozenset(int(m) for m in session.token.slot.get_mechanisms())
        )

    def encrypt(self, label: str, blocks: bytes) -> bytes:
        """Encrypt whole blocks by AES-ECB inside the token."""
        mechanism = _pkcs11().Mechanism.AES_ECB
        return self._run(lambda s: bytes(self._key(s, label).encrypt(blocks, mechanism=mechanism)))

    def encrypt_below(self, label: str, data16: bytes, blocks: bytes) -> bytes:
        """Encrypt under the key E_K(data16), which is made in the token and stays there."""
        mechanism = _pkcs11().Mechanism.AES_ECB
        return self._run(
            lambda s: bytes(self._key_below(s, label, data16).encrypt(blocks, mechanism=mechanism))
        )

    def cmac(self, label: str, message: bytes) -> bytes:
        """Return the AES-CMAC of a message, 16 bytes, made inside the token."""
        mechanism = _pkcs11().Mechanism.AES_CMAC
        return self._run(lambda s: bytes(self._key(s, label).sign(message, mechanism=mechanism)))

    def hmac(self, label: str, message: bytes) -> bytes:
        """Return the HMAC-SHA-256 of a message, 32 bytes, made inside the token."""
        mechanism = _pkcs11().Mechanism.SHA256_HMAC
        return self._run(lambda s: bytes(self._key(s, label).sign(message, mechanism=mechanism)))

    def key_labels(self) -> list[str]:
        """Return the labels of all secret keys in the token, each as often as it is there."""
        kind = {_pkcs11().Attribute.CLASS: _pkcs11().ObjectClass.SECRET_KEY}
        return self._list(lambda session: sorted(_label(o) for o in session.get_objects(kind)))

    def import_key(self, template: KeyTemplate, value: bytes) -> None:
        """Put a key into the token. Raises CardKeyError when the token would let it out again."""
        package = _pkcs11()
        a, kinds = package.Attribute, package.KeyType
        always = {
            a.CLASS: package.ObjectClass.SECRET_KEY,
            a.KEY_TYPE: kinds.AES if template.is_aes else kinds.GENERIC_SECRET,
            a.VALUE: value,
            **_attributes(template),
        }
        self._write(lambda session: _made(session.create_object, always, template))

    def generate_key(self, template: KeyTemplate) -> None:
        """Make a random key inside the token: AES-128, or a secret of 32 bytes."""
        package = _pkcs11()
        kind, bits = (
            (package.KeyType.AES, 128) if template.is_aes else (package.KeyType.GENERIC_SECRET, 256)
        )

        none = package.MechanismFlag(0)

        def work(session: "Session") -> None:
            def generate(attributes: dict[Any, Any]) -> Any:
                return session.generate_key(kind, bits, capabilities=none, template=attributes)

            _made(generate, _attributes(template), template)

        self._write(work)

    def put_data(self, label: str, application: str, value: bytes) -> None:
        """Put a data object into the token that only who knows the PIN can read."""
        package = _pkcs11()
        a = package.Attribute
        attributes = {
            a.CLASS: package.ObjectClass.DATA, a.TOKEN: True, a.PRIVATE: True,
            a.MODIFIABLE: False, a.LABEL: label, a.APPLICATION: application, a.VALUE: value,
        }  # fmt: skip
        self._write(lambda session: session.create_object(attributes))

    def data(self, application: str) -> list[tuple[str, bytes]]:
        """Return label and value of each data object of an application."""
        package = _pkcs11()
        a = package.Attribute
        wanted = {a.CLASS: package.ObjectClass.DATA, a.APPLICATION: application}
        return self._list(
            lambda session: [(_label(o), bytes(o[a.VALUE])) for o in session.get_objects(wanted)]
        )

    def remove(self, labels: frozenset[str], *, data: bool = False) -> int:
        """Remove the keys (or data objects) with these labels; return how many there were."""
        package = _pkcs11()
        kind = package.ObjectClass.DATA if data else package.ObjectClass.SECRET_KEY

        def work(session: "Session") -> int:
            objects = list(session.get_objects({package.Attribute.CLASS: kind}))
            found = [each for each in objects if _label(each) in labels]
            for each in found:
                each.destroy()
            self._keys.clear()
            return len(found)

        return self._write(work)

    def close(self) -> None:
        """Log out and end the session. The next use opens it again."""
        with self._lock:
            session, self._session = self._session, None
            self._keys.clear()
            if session is not None and self._process == os.getpid():
                with suppress(_pkcs11().PKCS11Error):  # it may be lost already
                    session.close()

    def _run(self, work: "Callable[[Session], T]") -> T:
        """Do some work in the session; when the session is found lost, once more in a new one."""
        if self._process != os.getpid():
            self._lock, self._session, self._process = RLock(), None, os.getpid()
            self._keys.clear()
        package = _pkcs11()
        with self._lock:
            try:
                return work(self._opened())
            except _KeyMissing:
                pass  # or the login was lost: then private keys are not found
            except package.PKCS11Error as error:
                if type(error).__name__ not in LOST:
                    raise self._failed(error) from None
            self.close()
            try:
                return work(self._opened())
            except package.PKCS11Error as error:
                raise self._failed(error) from None

    def _list(self, work: "Callable[[Session], T]") -> T:
        """Do some work in a new session: one that lost its login would find nothing and not say."""
        self.close()
        return self._run(work)

    def _write(self, work: "Callable[[Session], T]") -> T:
        """Do some work that changes the token, in a session of its own. It is never repeated."""
        package = _pkcs11()
        self._run(lambda _: None)
        with self._lock:
            try:
                session = self._token().open(rw=True)
                try:
                    return work(session)
                finally:
                    session.close()
            except package.PKCS11Error as error:
                raise self._failed(error) from None

    def _token(self) -> "Token":
        return _library(self.module).get_token(token_label=self.label)

    def _opened(self) -> "Session":
        if self._session is None:
            if self._refused:
                raise CardKeyError(
                    f"token {self.label}: its PIN was refused; it is not tried again"
                )
            self._session = self._login(self._token())
        return self._session

    def _login(self, token: "Token") -> "Session":
        package = _pkcs11()
        try:
            return token.open(user_pin=self._pin)
        except package.UserAlreadyLoggedIn:
            return token.open()  # another session of this process; the login is the process's
        except (package.PinIncorrect, package.PinLocked, package.PinLenRange, package.PinInvalid):
            self._refused = True
            raise

    def _failed(self, error: Exception) -> CardKeyError:
        package = _pkcs11()
        said = words(type(error).__name__, str(error))
        if isinstance(error, package.PinIncorrect):
            flags, flag = self._token().flags, package.TokenFlag
            said = wrong_pin(
                locked=bool(flags & flag.USER_PIN_LOCKED),
                last=bool(flags & flag.USER_PIN_FINAL_TRY),
                low=bool(flags & flag.USER_PIN_COUNT_LOW),
            )
        return CardKeyError(f"token {self.label}: {said}")

    def _key(self, session: "Session", label: str) -> Any:
        key = self._keys.get(label)
        if key is None:
            package = _pkcs11()
            a = package.Attribute
            wanted = {a.CLASS: package.ObjectClass.SECRET_KEY, a.LABEL: label}
            session.generate_random(8 * 8)  # a lost session is told here and not in the search
            found = list(session.get_objects(wanted))
            if not found:
                raise _KeyMissing(f"token {self.label}: key {label} is not there")
            if len(found) > 1:
                raise CardKeyError(f"token {self.label}: key {label} is there {len(found)} times")
            key = self._keys[label] = found[0]
        return key

    def _key_below(self, session: "Session", label: str, data16: bytes) -> Any:
        place = (label, data16)
        key = self._keys.get(place)
        if key is None:
            package = _pkcs11()
            derived = [each for each in self._keys if isinstance(each, tuple)]
            if len(derived) >= _MOST_DERIVED:
                for each in derived:
                    self._keys.pop(each).destroy()
            key = self._keys[place] = self._key(session, label).derive_key(
                package.KeyType.AES,
                128,
                capabilities=package.MechanismFlag.ENCRYPT,
                mechanism=package.Mechanism.AES_ECB_ENCRYPT_DATA,
                mechanism_param=data16,
                template={package.Attribute.EXTRACTABLE: False},
            )
        return key


def _label(found: Any) -> str:
    return str(found[_pkcs11().Attribute.LABEL])


def _attributes(template: KeyTemplate) -> dict[Any, Any]:
    a = _pkcs11().Attribute
    return {
        a.LABEL: template.label, a.TOKEN: True, a.PRIVATE: True,
        a.SENSITIVE: True, a.EXTRACTABLE: False,
        a.ENCRYPT: template.encrypt, a.SIGN: template.sign, a.DERIVE: template.derive,
        a.DECRYPT: False, a.VERIFY: False, a.WRAP: False, a.UNWRAP: False,
    }  # fmt: skip


def _made(
    make: Callable[[dict[Any, Any]], Any], attributes: dict[Any, Any], template: KeyTemplate
) -> None:
    """Make a key and read back what matters: some tokens leave attributes out without a word."""
    package = _pkcs11()
    a = package.Attribute
    # No check value over the zero block, no change and no copy later: not every token knows these.
    wished = {a.CHECK_VALUE: b"", a.MODIFIABLE: False, a.COPYABLE: False}
    try:
        key = make({**attributes, **wished})
    except package.PKCS11Error as error:
        if type(error).__name__ not in NOT_TOLD:
            raise
        key = make(attributes)
    wanted = _attributes(template)
    wrong = [each.name for each in wanted if key[each] != wanted[each]]
    if wrong:
        key.destroy()
        raise CardKeyError(
            f"the token does not keep {', '.join(wrong)} of key {template.label} as asked:"
            " do not use it for root keys"
        )
