"""The agent's verbs for a terminal: authentications with a card that is there.

They end in the session keys of one card (version 2), or in what a process key makes (version 1,
with the usage rule of a SAM: card specification 3). No card key and no process key leaves the
agent. What begins one tells the check value of its key, for the message when the card refuses it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cardlib.crypto import BLOCK_SIZE
from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial, SpecVersion
from cardlib.keys import CardKeys, ProcessKey
from cardlib.keys.mutual import SoftwareAuthentication
from cardlib.layout import KEY_BY_NAME
from cardlib.messaging.v2 import binding

from .card_verbs import check_known
from .roles import Role
from .service import Answer, Call, Verb

_AUTHENTICATES = 7
"""The usage (low digit) of a key that authenticates; 8 encrypts and makes MACs."""
READING = frozenset(name for name in KEY_BY_NAME if name.startswith(("RK", "IRK")))
"""The card keys that a terminal may use unless its policy lists others."""


@dataclass(slots=True)
class CardAuthentication:
    """A version-2 authentication whose answer is awaited."""

    attempt: SoftwareAuthentication


@dataclass(slots=True)
class CardProcess:
    """A process key and what it may be used for."""

    key: ProcessKey
    authenticates: bool
    used: bool = False


def allowed_keys(call: Call) -> frozenset[str]:
    """The card keys that a caller may use."""
    if call.caller.keys is not None:
        return call.caller.keys
    return READING if call.caller.roles == {Role.TERMINAL} else frozenset(KEY_BY_NAME)


def _card_keys(call: Call) -> CardKeys:
    name, chip = call.given["key"], ChipSerial(call.given["chip"])
    if name not in allowed_keys(call):
        raise CardKeyError(f"{call.caller.name} may not use {name}")
    if Role.STATION in call.caller.roles:
        check_known(call, chip)
    call.service.jobs.count(call.caller, chip)
    return call.issuer.terminal_keys.for_card(chip, call.given["region"])


def _authenticate(call: Call) -> Answer:
    given, name = call.given, call.given["key"]
    keys = _card_keys(call)
    _check_binding(name, keys, given["binding"])
    attempt = keys.authentication(name, given["challenge"], given["binding"])
    if not isinstance(attempt, SoftwareAuthentication):
        raise CardKeyError("these keys cannot authenticate for another program")
    handle = call.desk.put(CardAuthentication(attempt))
    return {
        "authentication": handle,
        "cryptogram": attempt.cryptogram,
        "check_value": keys.key_check_value(name),
    }


def _check_binding(name: str, keys: CardKeys, given: bytes) -> None:
    """Refuse a B that is not this key's, as a SAM does (card specification 10, amendments 4, 6)."""
    told = bytes((SpecVersion.of_protocol(keys.protocol), keys.cipher, keys.version))
    if KEY_BY_NAME[name].name.startswith("IRK") or given != binding(KEY_BY_NAME[name], told):
        raise CardKeyError(f"the B of this authentication is not that of {name}")


def _session_keys(call: Call) -> Answer:
    pending = call.desk.take(CardAuthentication, call.given["authentication"])
    enc, mac = pending.attempt.session_key_bytes(call.given["reply"], call.given["chaining"])
    return {"enc": enc, "mac": mac}


def _process_key(call: Call) -> Answer:
    name = call.given["key"]
    keys = _card_keys(call)
    key = keys.process_key(name, call.given["challenge"])
    authenticates = KEY_BY_NAME[name].sam_usage & 0x0F == _AUTHENTICATES
    handle = call.desk.put(CardProcess(key, authenticates))
    return {"process": handle, "check_value": keys.key_check_value(name)}


def _encrypt(call: Call) -> Answer:
    process, blocks = call.desk.get(CardProcess, call.given["process"]), call.given["blocks"]
    if len(blocks) % BLOCK_SIZE:
        raise CardKeyError("whole blocks of 16 bytes are needed")
    if process.authenticates:
        if process.used or len(blocks) != BLOCK_SIZE or any(blocks[8:]):
            raise CardKeyError("this key encrypts one block that ends in eight zero bytes, once")
        process.used = True
    return {"blocks": process.key.encrypt(blocks)}


def _mac(call: Call) -> Answer:
    process = call.desk.get(CardProcess, call.given["process"])
    if process.authenticates:
        raise CardKeyError("this key makes no MAC: it authenticates")
    return {"mac": process.key.mac(call.given["message"])}


_READS = frozenset((Role.TERMINAL, Role.STATION))


def _continued(handler: Callable[[Call], Answer], handle: str) -> Verb:
    return Verb(handler, _READS, (handle,), handle=handle, continues=True)


_CARD = ("key", "chip")

TERMINAL_VERBS: Mapping[str, Verb] = {
    "authenticate": Verb(_authenticate, _READS, _CARD),
    "session-keys": _continued(_session_keys, "authentication"),
    "process-key": Verb(_process_key, _READS, _CARD),
    "process-encrypt": _continued(_encrypt, "process"),
    "process-mac": _continued(_mac, "process"),
}
