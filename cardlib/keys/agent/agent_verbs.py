"""The verbs of the key agent: the members of each request and of its reply, as a table.

The agent is the issuer's side of SCP03 and the holder of all roots. No member is a root, a
transport, issuer or card key, or an input from which it would make one for somebody else.
"""

from collections.abc import Mapping

from ...layout import KEY_BY_NAME
from ...layout.sam_data import MEANINGS_OF_0, PIN_FORMS
from .agent_members import BATCH, CHIP, HANDLE, IDENTITY, NAME, RECORD_NUMBER, WHOSE, one
from .agent_wire import (
    Form,
    MemberKind,
    Members,
    choice,
    flag,
    list_of,
    number,
    octets,
    optional,
    pair,
    table_of,
    text,
)
from .batch_forms import OF_BATCHES

MOST_COMMANDS = 256
"""The most commands of one load."""


_SECRET = text(4096, unicode=False)
_REPLY = octets(2, 65_538)
_COMMAND = octets(4, 65_544)
_COMMANDS = list_of(_COMMAND, MOST_COMMANDS)
_KEY = choice(KEY_BY_NAME)
_CARD: Members = {**WHOSE, "key": _KEY, "chip": CHIP, "region": octets(8)}
_JOB: Members = {"batch": BATCH, "number": RECORD_NUMBER, "chip": CHIP}
_SESSION: Members = {"session": HANDLE}
_CALLER: Members = {
    "name": NAME,
    "cards": number(0, 1 << 62),
    "most": optional(number(0, 1 << 62)),
}
_VERSION: Members = {
    "identity": IDENTITY,
    "version": number(1, 7),
    "protocol": number(1, 2),
    "cipher": number(1, 2),
    "test_keys": flag(),
    "retired": flag(),
    "of_one_person": flag(),
    "names": list_of(_KEY, len(KEY_BY_NAME)),
}


def _line(value: object) -> str:
    """A line of text, which may be empty; text(…) is never empty."""
    return "" if value == "" else str(text(400).decode(value))


OF_EVERYBODY: Mapping[str, Form] = {
    "status": Form(
        "Say how the agent is: locked or not, whose keys it has, the newest entry of its log",
        {},
        {
            "locked": flag(),
            "store": text(4096),
            "identity": optional(text(64)),
            "test_keys": flag(),
            "idle_minutes": number(1, 1 << 20),
            "entries": number(0, 1 << 62),
            "head": text(64),
            "caller": text(64),
            "role": text(128),
            "callers": list_of(table_of(_CALLER), 10_000),
        },
    ),
    "unlock": Form(
        "Open a key store that one passphrase protects, or with --test-keys a token",
        one("passphrase", _SECRET),
        {"identity": text(64), "test_keys": flag()},
    ),
    "lock": Form("Forget the keys, and end all that is open", {}, {}),
    "versions": Form(
        "Name the key versions, the newest first, and the card keys that the caller may use",
        {},
        one("versions", list_of(table_of(_VERSION), 16)),
    ),
}
OF_CARDS: Mapping[str, Form] = {
    "session": Form(
        "Begin a session with a chip that was received: make INITIALIZE UPDATE",
        {**WHOSE, "key_set": choice(("transport", "issuer")), "chip": CHIP},
        {"session": HANDLE, "command": _COMMAND},
    ),
    "session-answer": Form(
        "Check the card's cryptogram and make EXTERNAL AUTHENTICATE",
        {**_SESSION, "reply": _REPLY},
        one("command", _COMMAND),
    ),
    "session-opened": Form(
        "Check the reply to EXTERNAL AUTHENTICATE", {**_SESSION, "reply": _REPLY}, {}
    ),
    "replace-keys": Form(
        "Claim a job and make PUT KEY, in an open session of the chip's transport keys",
        {**_SESSION, **_JOB},
        one("commands", _COMMANDS),
    ),
    "load": Form(
        "Claim a job and make STORE DATA of a whole card, in an open session of its issuer keys",
        {
            **_SESSION,
            **_JOB,
            "records": list_of(pair(number(0, 0xFFFF), octets(0, 65_535)), 1000),
            "region": octets(8),
            "pin": text(6),
        },
        one("commands", _COMMANDS),
    ),
    "activate": Form(
        "Make ACTIVATE, in an open session of the issuer keys",
        _SESSION,
        one("commands", _COMMANDS),
    ),
    "reset-tries": Form(
        "Make RESET KEY TRIES, in an open session of the issuer keys",
        {**_SESSION, "key": _KEY},
        one("commands", _COMMANDS),
    ),
    "session-done": Form(
        "Check the replies to the commands that were made last",
        {**_SESSION, "replies": list_of(_REPLY, MOST_COMMANDS)},
        {},
    ),
    "give-up": Form("Let a record have another chip, because its own is spoiled", _JOB, {}),
}
_CHECK_VALUE = octets(3)
OF_TERMINALS: Mapping[str, Form] = {
    "authenticate": Form(
        "Begin a version-2 authentication by one card key: make its cryptogram",
        {**_CARD, "challenge": octets(8), "binding": octets(6)},
        {"authentication": HANDLE, "cryptogram": octets(40), "check_value": _CHECK_VALUE},
    ),
    "session-keys": Form(
        "Check the card's answer to an authentication, and give the keys of that session, once",
        {"authentication": HANDLE, "reply": octets(0, 256), "chaining": octets(16)},
        {"enc": octets(16), "mac": octets(16)},
    ),
    "process-key": Form(
        "Begin to use a version-1 process key, for as much as its usage allows",
        {**_CARD, "challenge": octets(8)},
        {"process": HANDLE, "check_value": _CHECK_VALUE},
    ),
    "process-encrypt": Form(
        "Encrypt with a process key. Usage 7: one block that ends in eight zero bytes, once",
        {"process": HANDLE, "blocks": octets(16, 256)},
        one("blocks", octets(16, 256)),
    ),
    "process-mac": Form(
        "Make a MAC with a process key. Usage 7: refused",
        {"process": HANDLE, "message": octets(1, 512)},
        one("mac", octets(4)),
    ),
}
_PERSON = text(32)
_PEOPLE = list_of(_PERSON, 3)
_WHAT = text(32)
_KEY_VERSION = number(1, 7)
_VALUES = list_of(table_of({"name": _WHAT, "value": text(20)}), 64)
_SIGNED: Members = {
    "statement": text(1 << 16),
    "signatures": list_of(table_of({"operator": _PERSON, "signature": octets(64)}), 3),
}
_FINGERPRINT: Members = {"fingerprint": optional(text(20))}
_CEREMONY: Members = {"ceremony": HANDLE}
_NEW_VERSION: Members = {
    "version": _KEY_VERSION,
    "identity": text(32),
    "check_values": _VALUES,
    "receipt": number(1, 1 << 30),
}
OF_CUSTODIANS: Mapping[str, Form] = {
    "nonce": Form(
        "Give a nonce for a statement, with its end and the name of the key store",
        {},
        {"nonce": text(32), "expires": text(32), "store": text(64)},
    ),
    "custodians-wrap": Form(
        "Say with which public key two custodians make their shares",
        one("operators", _PEOPLE),
        {"public": octets(32), "keys": list_of(octets(32), 2)},
    ),
    "unlock-together": Form(
        "Open a key store of custodians with the shares of two of them",
        {**_SIGNED, "shares": list_of(table_of({"operator": _PERSON, "share": octets(32)}), 2)},
        {"identity": text(64), "test_keys": flag()},
    ),
    "unlock-token": Form(
        "Open the keys of a token with its PIN, which is tried only if two custodians signed",
        {**_SIGNED, "pin": _SECRET},
        {"identity": text(64), "test_keys": flag()},
    ),
    "ceremony-begin": Form(
        "Begin a ceremony, in which operators enter components one after the other",
        {
            "action": choice(("import", "export")),
            "what": _WHAT,
            "operators": _PEOPLE,
            "cipher": optional(choice(("SM4", "AES"))),
        },
        {**_CEREMONY, "id": text(32), "cipher": choice(("SM4", "AES"))},
    ),
    "ceremony-component": Form(
        "Enter one operator's component; `refused` says what is wrong with it",
        {
            **_CEREMONY,
            "operator": _PERSON,
            "number": number(1, 3),
            "component": octets(16, 1024),
            "check_value": text(20),
            "signature": octets(64),
        },
        {"refused": optional(text(400)), "left": _PEOPLE, "check_values": _VALUES},
    ),
    "ceremony-import": Form(
        "Put what the components made into a new version of the keys",
        {**_CEREMONY, **_SIGNED},
        _NEW_VERSION,
    ),
    "ceremony-export": Form(
        "Give keys under the exchange key that the components made",
        {**_CEREMONY, **_SIGNED},
        {
            "blocks": list_of(
                table_of({"what": _WHAT, "check_value": text(20), "text": text(1024)}), 64
            ),
            "receipt": number(1, 1 << 30),
        },
    ),
    "export-components": Form(
        "Split a key or all keys of a version; each component is sealed for one operator",
        _SIGNED,
        {
            "components": list_of(
                table_of(
                    {
                        "operator": _PERSON,
                        "cipher": choice(("SM4", "AES")),
                        "check_value": text(20),
                        "sealed": octets(64, 4096),
                    }
                ),
                3,
            ),
            "check_values": _VALUES,
            "receipt": number(1, 1 << 30),
        },
    ),
    "rotate": Form("Make a new version of the keys, at random", _SIGNED, _NEW_VERSION),
    "retire": Form("Retire a version of the keys", _SIGNED, _NEW_VERSION),
    "custodians": Form(
        "Name the custodians of the key store, and what the register says of each",
        {},
        one(
            "custodians",
            list_of(table_of({**_FINGERPRINT, "name": _PERSON, "state": text(64)}), 20),
        ),
    ),
    "exchange-custodians": Form(
        "Let others be the custodians of the key store, under a new data key",
        _SIGNED,
        {
            "keys": text(4096),
            "kept": text(4096),
            "custodians": list_of(_PERSON, 20),
            "receipt": number(1, 1 << 30),
        },
    ),
    "receipts": Form(
        "Name the receipts that are kept", {}, one("receipts", list_of(number(1, 1 << 30), 10_000))
    ),
    "receipt": Form(
        "Give a receipt, line by line",
        one("number", number(1, 1 << 30)),
        {"lines": list_of(MemberKind("text of up to 400 characters", _line), 400)},
    ),
}
OF_SAMS: Mapping[str, Form] = {
    "sam-begin": Form(
        "Begin to load the SAM that two custodians signed for: chip, roles and limit (0: none)",
        _SIGNED,
        one("sam", HANDLE),
    ),
    "sam-session": Form(
        "Begin a session with that SAM: make INITIALIZE UPDATE",
        {"sam": HANDLE, "key_set": choice(("transport", "issuer"))},
        {"session": HANDLE, "command": _COMMAND},
    ),
    "sam-replace-keys": Form(
        "Make PUT KEY, in an open session of the SAM's transport keys",
        _SESSION,
        one("commands", _COMMANDS),
    ),
    "sam-load": Form(
        "Make STORE DATA of the whole SAM, once, in an open session of its issuer keys",
        {
            **_SESSION,
            "pin": text(6),
            "pin_form": choice(PIN_FORMS),
            "meaning_of_0": choice(MEANINGS_OF_0),
        },
        one("commands", _COMMANDS),
    ),
}
FORMS: Mapping[str, Form] = {
    **OF_EVERYBODY,
    **OF_CARDS,
    **OF_BATCHES,
    **OF_TERMINALS,
    **OF_CUSTODIANS,
    **OF_SAMS,
}
"""Each verb by its name."""
