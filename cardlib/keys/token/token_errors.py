"""What a token's errors mean, in one line each. They are named: nothing is imported here."""

from collections.abc import Mapping

LOST = frozenset(
    {
        "DeviceError", "DeviceRemoved", "KeyHandleInvalid", "ObjectHandleInvalid", "SessionClosed",
        "SessionHandleInvalid", "TokenNotPresent", "UserNotLoggedIn",
    }
)  # fmt: skip
"""The errors after which a new session is opened, once: the session or its keys are gone."""

NOT_TOLD = frozenset(
    {"AttributeTypeInvalid", "AttributeValueInvalid", "GeneralError", "TemplateInconsistent"}
)
"""What a token answers that does not know an attribute. NSS says GeneralError."""

_PUT_BACK = "put the token in, then run the same command again"
_WORDS: Mapping[str, str] = {
    "AttributeValueInvalid": (
        "the token refuses what we write: it keeps no data objects, or not such keys. Use another"
        " kind of token"
    ),
    "DeviceMemory": "the token is full: remove keys from it that are not used any more",
    "DeviceRemoved": f"the token was removed: {_PUT_BACK}",
    "HostMemory": "this computer or the token has no memory left",
    "KeyHandleInvalid": "the key is not in the token any more: run `rhcard keys token`",
    "MechanismInvalid": "the token does not offer what is needed: run `rhcard keys token`",
    "NoSuchToken": "there is no token with this label: run `rhcard keys token`, and check --token",
    "MultipleTokensReturned": "several tokens have this label: remove the other ones",
    "ObjectHandleInvalid": "the key is not in the token any more: run `rhcard keys token`",
    "PinExpired": "the PIN is too old: set a new one with the tool of the token",
    "PinInvalid": "the PIN has characters that the token does not take",
    "PinLenRange": "the PIN is too short or too long for this token",
    "PinLocked": "the PIN is locked: the token's security officer must set a new one",
    "SessionCount": "too many programs use the token: close one, then run the same command again",
    "SessionReadOnly": "the token does not let us write",
    "TokenNotPresent": f"the token is not there: {_PUT_BACK}",
    "TokenNotRecognised": "the module does not know this kind of token: check --module",
    "TokenWriteProtected": "the token does not let us write: it is write-protected",
    "UserPinNotInitialized": "the token has no PIN yet: set one with the tool of the token",
    "UserTooManyTypes": "another user is logged in to the token",
}


def words(name: str, detail: str = "") -> str:
    """Return what an error of PKCS#11 means and what to do. `name` is that of its class."""
    known = _WORDS.get(name)
    if known:
        return known
    return f"the token or its module failed ({name}{f': {detail}' if detail else ''})"


def wrong_pin(*, locked: bool, last: bool, low: bool) -> str:
    """Return what to say after a wrong PIN, by the flags of C_GetTokenInfo (PKCS#11 2.40).

    PKCS#11 does not tell the number of tries: only whether it is low, and whether it is one.
    """
    if locked:
        return words("PinLocked")
    if last:
        return "the PIN is wrong, and ONE try is left: do not guess. Ask who set it"
    if low:
        return "the PIN is wrong. The token says that few tries are left, not how many"
    return "the PIN is wrong"
