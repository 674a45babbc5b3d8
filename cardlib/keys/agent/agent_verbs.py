"""The verbs of the key agent: the members of each request and of its reply, as a table.

The agent is the issuer's side of SCP03 and the holder of all roots. No member is a root, a
transport, issuer or card key, or an input from which it would make one for somebody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...layout import KEY_BY_NAME
from ...layout.sam_data import MEANINGS_OF_0, PIN_FORMS
from .agent_wire import (
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

MOST_COMMANDS = 256
MOST_HASHES = 1000
"""The most commands of one load; the most numbers of `holder-hashes` and `security-codes`."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a verb does, in one line; the members that it takes, and those of its reply."""

    does: str
    takes: Members
    returns: Members


_NAME = text(64)
_SECRET = text(4096, unicode=False)
_IDENTITY = octets(16)
_CHIP, _BATCH = octets(8), octets(16)
_HANDLE = number(1, 1 << 53)
_RECORD_NUMBER = number(1, (1 << 32) - 1)
_COUNT = number(0, (1 << 32) - 1)
_LARGE = 1 << 18
_REPLY = octets(2, 65_538)
_COMMAND = octets(4, 65_544)
_COMMANDS = list_of(_COMMAND, MOST_COMMANDS)
_KEY = choice(KEY_BY_NAME)
_WHOSE: Members = {"identity": _IDENTITY}
_CARD: Members = {**_WHOSE, "key": _KEY, "chip": _CHIP, "region": octets(8)}
_JOB: Members = {"batch": _BATCH, "number": _RECORD_NUMBER, "chip": _CHIP}
_SESSION: Members = {"session": _HANDLE}
_OF_BATCH: Members = {**_WHOSE, "batch": _BATCH, "count": _COUNT}
_SEALED_BATCH: Members = {**_OF_BATCH, "sealed_key": octets(28, 1024)}
_PIN: Members = {
    **_WHOSE, "batch": _BATCH, "number": _COUNT, "turn": _COUNT,
}  # fmt: skip
_CALLER: Members = {
    "name": _NAME,
    "cards": number(0, 1 << 62),
    "most": optional(number(0, 1 << 62)),
}
_VERSION: Members = {
    "identity": _IDENTITY,
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


def _one(name: str, kind: MemberKind) -> Members:
    return {name: kind}


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
        _one("passphrase", _SECRET),
        {"identity": text(64), "test_keys": flag()},
    ),
    "lock": Form("Forget the keys, and end all that is open", {}, {}),
    "versions": Form(
        "Name the key versions, the newest first, and the card keys that the caller may use",
        {},
        _one("versions", list_of(table_of(_VERSION), 16)),
    ),
}
OF_CARDS: Mapping[str, Form] = {
    "session": Form(
        "Begin a session with a chip that was received: make INITIALIZE UPDATE",
        {**_WHOSE, "key_set": choice(("transport", "issuer")), "chip": _CHIP},
        {"session": _HANDLE, "command": _COMMAND},
    ),
    "session-answer": Form(
        "Check the card's cryptogram and make EXTERNAL AUTHENTICATE",
        {**_SESSION, "reply": _REPLY},
        _one("command", _COMMAND),
    ),
    "session-opened": Form(
        "Check the reply to EXTERNAL AUTHENTICATE", {**_SESSION, "reply": _REPLY}, {}
    ),
    "replace-keys": Form(
        "Claim a job and make PUT KEY, in an open session of the chip's transport keys",
        {**_SESSION, **_JOB},
        _one("commands", _COMMANDS),
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
        _one("commands", _COMMANDS),
    ),
    "activate": Form(
        "Make ACTIVATE, in an open session of the issuer keys",
        _SESSION,
        _one("commands", _COMMANDS),
    ),
    "reset-tries": Form(
        "Make RESET KEY TRIES, in an open session of the issuer keys",
        {**_SESSION, "key": _KEY},
        _one("commands", _COMMANDS),
    ),
    "session-done": Form(
        "Check the replies to the commands that were made last",
        {**_SESSION, "replies": list_of(_REPLY, MOST_COMMANDS)},
        {},
    ),
    "give-up": Form("Let a record have another chip, because its own is spoiled", _JOB, {}),
}
OF_BATCHES: Mapping[str, Form] = {
    "security-codes": Form(
        "Calculate the security codes of cards by their card numbers",
        {**_WHOSE, "card_numbers": list_of(text(64), MOST_HASHES), "issue_date": text(8)},
        _one("codes", list_of(text(3), MOST_HASHES)),
    ),
    "holder-hashes": Form(
        "Calculate the holder hash of each number",
        {**_WHOSE, "numbers": list_of(text(256, 0), MOST_HASHES)},
        _one("hashes", list_of(octets(32), MOST_HASHES)),
    ),
    "new-batch": Form(
        "Begin a batch, whose records can be sealed on this connection, each once",
        _OF_BATCH,
        {"sealing": _HANDLE, "sealed_key": octets(28, 1024)},
    ),
    "seal-record": Form(
        "Seal the next record of a batch that was begun on this connection",
        {"sealing": _HANDLE, "number": _RECORD_NUMBER, "record": octets(1, _LARGE)},
        _one("sealed", octets(16, _LARGE + 16)),
    ),
    "seal-header": Form(
        "Seal the header of a batch, after its last record",
        {"sealing": _HANDLE, "header": octets(1, _LARGE)},
        _one("seal", octets(16)),
    ),
    "check-header": Form(
        "Check the header of a batch",
        {**_SEALED_BATCH, "header": octets(1, _LARGE), "seal": octets(16)},
        {},
    ),
    "unseal-record": Form(
        "Open one record of a batch",
        {**_SEALED_BATCH, "number": _RECORD_NUMBER, "sealed": octets(16, _LARGE + 16)},
        _one("record", octets(0, _LARGE)),
    ),
    "seal-pin": Form(
        "Seal the PIN of a record", {**_PIN, "pin": text(6)}, _one("sealed", octets(1, 256))
    ),
    "unseal-pin": Form(
        "Open the PIN of a record", {**_PIN, "sealed": octets(0, 256)}, _one("pin", text(6))
    ),
}
_CHECK_VALUE = octets(3)
OF_TERMINALS: Mapping[str, Form] = {
    "authenticate": Form(
        "Begin a version-2 authentication by one card key: make its cryptogram",
        {**_CARD, "challenge": octets(8), "binding": octets(6)},
        {"authentication": _HANDLE, "cryptogram": octets(40), "check_value": _CHECK_VALUE},
    ),
    "session-keys": Form(
        "Check the card's answer to an authentication, and give the keys of that session, once",
        {"authentication": _HANDLE, "reply": octets(0, 256), "chaining": octets(16)},
        {"enc": octets(16), "mac": octets(16)},
    ),
    "process-key": Form(
        "Begin to use a version-1 process key, for as much as its usage allows",
        {**_CARD, "challenge": octets(8)},
        {"process": _HANDLE, "check_value": _CHECK_VALUE},
    ),
    "process-encrypt": Form(
        "Encrypt with a process key. Usage 7: one block that ends in eight zero bytes, once",
        {"process": _HANDLE, "blocks": octets(16, 256)},
        _one("blocks", octets(16, 256)),
    ),
    "process-mac": Form(
        "Make a MAC with a process key. Usage 7: refused",
        {"process": _HANDLE, "message": octets(1, 512)},
        _one("mac", octets(4)),
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
_CEREMONY: Members = {"ceremony": _HANDLE}
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
        _one("operators", _PEOPLE),
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
        _one(
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
        "Name the receipts that are kept", {}, _one("receipts", list_of(number(1, 1 << 30), 10_000))
    ),
    "receipt": Form(
        "Give a receipt, line by line",
        _one("number", number(1, 1 << 30)),
        {"lines": list_of(MemberKind("text of up to 400 characters", _line), 400)},
    ),
}
OF_SAMS: Mapping[str, Form] = {
    "sam-begin": Form(
        "Begin to load the SAM that two custodians signed for: chip, roles and limit (0: none)",
        _SIGNED,
        _one("sam", _HANDLE),
    ),
    "sam-session": Form(
        "Begin a session with that SAM: make INITIALIZE UPDATE",
        {"sam": _HANDLE, "key_set": choice(("transport", "issuer"))},
        {"session": _HANDLE, "command": _COMMAND},
    ),
    "sam-replace-keys": Form(
        "Make PUT KEY, in an open session of the SAM's transport keys",
        _SESSION,
        _one("commands", _COMMANDS),
    ),
    "sam-load": Form(
        "Make STORE DATA of the whole SAM, once, in an open session of its issuer keys",
        {
            **_SESSION,
            "pin": text(6),
            "pin_form": choice(PIN_FORMS),
            "meaning_of_0": choice(MEANINGS_OF_0),
        },
        _one("commands", _COMMANDS),
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
