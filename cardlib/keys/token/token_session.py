"""One session with one token: its keys are used in it, and never come out of it."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import CardKeyError
from .pkcs11 import (
    AES_ECB_DERIVE,
    SP800_108_COUNTER_KDF,
    DerivedKey,
    KeyTemplate,
    attributes_of,
    label_of,
    library,
    lock_of,
    made,
    mechanism,
    package,
)  # fmt: skip
from .token_errors import LOST, words, wrong_pin
from .token_kdf import CounterKdf

if TYPE_CHECKING:
    from .pkcs11 import Session, Token

T = TypeVar("T")
KeyName = str | DerivedKey
"""A key in the token: by its label, or by how the token derives it."""
_MOST_DERIVED = 512
"""Keys that are derived in the token and kept there for this session."""


class _KeyMissing(CardKeyError):
    """A key was not found. A session that lost its login does not find it either."""


class TokenSession:
    """One session with one token. It is opened when it is used, and once more when it was lost.

    After a fork the child opens its own. Every method raises CardKeyError when the token fails.
    All sessions of a process share one login (PKCS#11 2.40): while another session with the token
    is open, the PIN is not checked.
    """

    def __init__(self, module: str, label: str, pin: str) -> None:
        self.module, self.label = module, label
        self._pin: str | None = pin
        self._refused = False
        self._session: Session | None = None
        self._process = os.getpid()
        self._keys: dict[KeyName, Any] = {}

    def __repr__(self) -> str:
        return f"<token {self.label!r}>"

    def open(self) -> None:
        """Log in now. Raises CardKeyError when the PIN is wrong, or the token is not there."""
        self._run(lambda _: None)

    @property
    def mechanisms(self) -> frozenset[int]:
        """The mechanisms that the token offers."""
        return self._run(
            lambda session: frozenset(int(m) for m in session.token.slot.get_mechanisms())
        )

    def may_derive(self, label: str) -> bool:
        """Whether the token derives keys from a root key inside itself."""
        right = package().Attribute.DERIVE
        return self._run(lambda session: bool(self._key(session, label)[right]))

    def encrypt(self, key: KeyName, blocks: bytes) -> bytes:
        """Encrypt whole blocks by AES-ECB inside the token."""
        how = package().Mechanism.AES_ECB
        return self._run(lambda s: bytes(self._key(s, key).encrypt(blocks, mechanism=how)))

    def encrypt_cbc(self, key: KeyName, blocks: bytes) -> bytes:
        """Encrypt whole blocks by AES-CBC, IV 0, inside the token."""
        options = {"mechanism": package().Mechanism.AES_CBC, "mechanism_param": bytes(16)}
        return self._run(lambda s: bytes(self._key(s, key).encrypt(blocks, **options)))

    def cmac(self, key: KeyName, message: bytes) -> bytes:
        """Return the AES-CMAC of a message, 16 bytes, made inside the token."""
        how = package().Mechanism.AES_CMAC
        return self._run(lambda s: bytes(self._key(s, key).sign(message, mechanism=how)))

    def hmac(self, label: str, message: bytes) -> bytes:
        """Return the HMAC-SHA-256 of a message, 32 bytes, made inside the token."""
        how = package().Mechanism.SHA256_HMAC
        return self._run(lambda s: bytes(self._key(s, label).sign(message, mechanism=how)))

    def key_labels(self) -> list[str]:
        """Return the labels of all secret keys in the token, each as often as it is there."""
        kind = {package().Attribute.CLASS: package().ObjectClass.SECRET_KEY}
        return self._list(lambda session: sorted(label_of(o) for o in session.get_objects(kind)))

    def import_key(self, template: KeyTemplate, value: bytes) -> None:
        """Put a key into the token. Raises CardKeyError when the token would let it out again."""
        p11 = package()
        a, kinds = p11.Attribute, p11.KeyType
        always = {
            a.CLASS: p11.ObjectClass.SECRET_KEY,
            a.KEY_TYPE: kinds.AES if template.is_aes else kinds.GENERIC_SECRET,
            a.VALUE: value,
            **attributes_of(template),
        }
        self._write(lambda session: made(session.create_object, always, template))

    def generate_key(self, template: KeyTemplate) -> None:
        """Make a random key inside the token: AES-128, or a secret of 32 bytes."""
        p11 = package()
        kind, bits = (
            (p11.KeyType.AES, 128) if template.is_aes else (p11.KeyType.GENERIC_SECRET, 256)
        )

        none = p11.MechanismFlag(0)

        def work(session: "Session") -> None:
            def generate(attributes: dict[Any, Any]) -> Any:
                return session.generate_key(kind, bits, capabilities=none, template=attributes)

            made(generate, attributes_of(template), template)

        self._write(work)

    def put_data(self, label: str, application: str, value: bytes) -> None:
        """Put a data object into the token that only who knows the PIN can read."""
        p11 = package()
        a = p11.Attribute
        attributes = {
            a.CLASS: p11.ObjectClass.DATA, a.TOKEN: True, a.PRIVATE: True,
            a.MODIFIABLE: False, a.LABEL: label, a.APPLICATION: application, a.VALUE: value,
        }  # fmt: skip
        self._write(lambda session: session.create_object(attributes))

    def data(self, application: str) -> list[tuple[str, bytes]]:
        """Return label and value of each data object of an application."""
        p11 = package()
        a = p11.Attribute
        wanted = {a.CLASS: p11.ObjectClass.DATA, a.APPLICATION: application}
        return self._list(
            lambda session: [(label_of(o), bytes(o[a.VALUE])) for o in session.get_objects(wanted)]
        )

    def remove(self, labels: frozenset[str], *, data: bool = False) -> int:
        """Remove the keys (or data objects) with these labels; return how many there were."""
        p11 = package()
        kind = p11.ObjectClass.DATA if data else p11.ObjectClass.SECRET_KEY

        def work(session: "Session") -> int:
            objects = list(session.get_objects({p11.Attribute.CLASS: kind}))
            found = [each for each in objects if label_of(each) in labels]
            for each in found:
                each.destroy()
            self._keys.clear()
            return len(found)

        return self._write(work)

    def lock(self) -> None:
        """Log out, and forget the PIN: the session cannot be used any more."""
        self.close()
        self._pin = None

    def close(self) -> None:
        """Log out and end the session. The next use opens it again."""
        with lock_of(self.module):
            session, self._session = self._session, None
            self._keys.clear()
            if session is not None and self._process == os.getpid():
                with suppress(package().PKCS11Error):  # it may be lost already
                    session.close()

    def _run(self, work: "Callable[[Session], T]") -> T:
        """Do some work in the session; when the session is found lost, once more in a new one."""
        if self._process != os.getpid():
            self._session, self._process = None, os.getpid()
            self._keys.clear()
        p11 = package()
        with lock_of(self.module):
            try:
                return work(self._opened())
            except _KeyMissing:
                pass  # or the login was lost: then private keys are not found
            except p11.PKCS11Error as error:
                if type(error).__name__ not in LOST:
                    raise self._failed(error) from None
            self.close()
            try:
                return work(self._opened())
            except p11.PKCS11Error as error:
                raise self._failed(error) from None

    def _list(self, work: "Callable[[Session], T]") -> T:
        """Do some work in a new session: one that lost its login would find nothing and not say."""
        self.close()
        return self._run(work)

    def _write(self, work: "Callable[[Session], T]") -> T:
        """Do some work that changes the token, in a session of its own. It is never repeated."""
        p11 = package()
        self.open()
        with lock_of(self.module):
            try:
                session = self._token().open(rw=True)
                try:
                    return work(session)
                finally:
                    session.close()
            except p11.PKCS11Error as error:
                raise self._failed(error) from None

    def _token(self) -> "Token":
        return library(self.module).get_token(token_label=self.label)

    def _opened(self) -> "Session":
        if self._session is None:
            if self._pin is None:
                raise CardKeyError(f"token {self.label} is locked: its PIN is needed again")
            if self._refused:
                raise CardKeyError(
                    f"token {self.label}: its PIN was refused; it is not tried again"
                )
            self._session = self._login(self._token())
        return self._session

    def _login(self, token: "Token") -> "Session":
        p11 = package()
        try:
            return token.open(user_pin=self._pin)
        except p11.UserAlreadyLoggedIn:
            return token.open()  # another session of this process; the login is the process's
        except (p11.PinIncorrect, p11.PinLocked, p11.PinLenRange, p11.PinInvalid):
            self._refused = True
            raise

    def _failed(self, error: Exception) -> CardKeyError:
        p11 = package()
        said = words(type(error).__name__, str(error))
        if isinstance(error, p11.PinIncorrect):
            flag, flags = p11.TokenFlag, p11.TokenFlag(0)
            with suppress(p11.PKCS11Error):  # the token may be gone by now
                flags = self._token().flags
            said = wrong_pin(
                locked=bool(flags & flag.USER_PIN_LOCKED),
                last=bool(flags & flag.USER_PIN_FINAL_TRY),
                low=bool(flags & flag.USER_PIN_COUNT_LOW),
            )
        return CardKeyError(f"token {self.label}: {said}")

    def _key(self, session: "Session", name: KeyName) -> Any:
        key = self._keys.get(name)
        if key is None:
            if isinstance(name, DerivedKey):
                key = self._derived(session, name)
            else:
                key = self._found(session, name)
            self._keys[name] = key
        return key

    def _found(self, session: "Session", label: str) -> Any:
        p11 = package()
        a = p11.Attribute
        with suppress(p11.RandomNoRNG, p11.FunctionNotSupported):
            session.generate_random(8 * 8)  # a lost session is told here and not in the search
        found = list(session.get_objects({a.CLASS: p11.ObjectClass.SECRET_KEY, a.LABEL: label}))
        if not found:
            raise _KeyMissing(f"token {self.label}: key {label} is not there")
        if len(found) > 1:
            raise CardKeyError(f"token {self.label}: key {label} is there {len(found)} times")
        return found[0]

    def _derived(self, session: "Session", name: DerivedKey) -> Any:
        derived = [each for each in self._keys if isinstance(each, DerivedKey)]
        if len(derived) >= _MOST_DERIVED:
            for each in derived:
                self._keys.pop(each).destroy()
        p11 = package()
        root = self._key(session, name.parent)
        kdf = CounterKdf(name.data) if name.by_counter else None
        rights = p11.MechanismFlag.ENCRYPT | (p11.MechanismFlag.SIGN if kdf else 0)
        return root.derive_key(
            p11.KeyType.AES,
            128,
            capabilities=p11.MechanismFlag(rights),
            mechanism=mechanism(SP800_108_COUNTER_KDF if kdf else AES_ECB_DERIVE),
            mechanism_param=kdf.parameters if kdf else name.data,
            template={p11.Attribute.SENSITIVE: True, p11.Attribute.EXTRACTABLE: False},
        )
