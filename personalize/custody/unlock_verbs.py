"""The agent's verbs to unlock it: by one person where that is enough, else by two custodians."""

from collections.abc import Mapping

from cardlib.errors import CardKeyError
from cardlib.keys import RootKeys
from cardlib.keys.store.custodians import opened_pair, pair_of

from .after_a_cut import finish_what_was_cut
from .roles import AT_A_DESK
from .service import Answer, Call, Verb
from .signed import expect, store_name, verified

_IN_A_TOKEN = (
    "the root keys are in a token, and two custodians unlock them together: `rhcard agent unlock`"
    " with --operator FILE for each of the two. The PIN was not tried"
)
_NO_TOKEN = "the root keys are in a key store: two custodians open it with their shares, not a PIN"


def _unlock(call: Call) -> Answer:
    if call.service.vault.needs_two:
        raise CardKeyError(_IN_A_TOKEN)
    return _opened(call, call.service.vault.unlock(call.given["passphrase"]))


def _unlock_token(call: Call) -> Answer:
    if not call.service.vault.is_token:
        raise CardKeyError(_NO_TOKEN)
    # The statement comes first: a token counts wrong PINs, and blocks itself.
    expect(verified(call, "unlock"), {})
    return _opened(call, call.service.vault.unlock(call.given["pin"]))


def _opened(call: Call, keys: RootKeys) -> Answer:
    finish_what_was_cut(call.service)
    return {"identity": keys.identity, "test_keys": keys.is_test}


def _nonce(call: Call) -> Answer:
    nonce, expires = call.service.nonces.new()
    return {"nonce": nonce, "expires": expires.isoformat(), "store": store_name(call)}


def _custodians_wrap(call: Call) -> Answer:
    one, two = _two(call.given["operators"])
    wrap = pair_of(call.service.vault.store_source.header(), one, two)
    return {"public": wrap.public, "keys": list(wrap.keys)}


def _two(names: list[str]) -> tuple[str, str]:
    if len(names) != 2:
        raise CardKeyError("two different custodians open the key store together")
    return names[0], names[1]


def _unlock_together(call: Call) -> Answer:
    signed = verified(call, "unlock")
    expect(signed, {})
    shares = {each["operator"]: each["share"] for each in call.given["shares"]}
    wrap = pair_of(
        call.service.vault.store_source.header(), *_two(list(signed.statement.operators))
    )
    if shares.keys() != set(wrap.operators):
        raise CardKeyError("the shares must be of those two who signed")
    one, two = (shares[name] for name in wrap.operators)
    return _opened(call, call.service.vault.unlock_together(lambda: opened_pair(wrap, one, two)))


UNLOCK_VERBS: Mapping[str, Verb] = {
    "unlock": Verb(_unlock, AT_A_DESK, locked_too=True),
    "nonce": Verb(_nonce, AT_A_DESK, locked_too=True),
    "custodians-wrap": Verb(_custodians_wrap, AT_A_DESK, ("operators",), locked_too=True),
    "unlock-together": Verb(_unlock_together, AT_A_DESK, ("statement",), locked_too=True),
    "unlock-token": Verb(_unlock_token, AT_A_DESK, ("statement",), locked_too=True),
}
"""Each verb by its name; `cardlib.keys.agent.agent_verbs` has its members."""
