"""Which root keys the key agent takes: all of a bureau's own, or all public ones for tests."""

from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial
from cardlib.keys import RootKeys
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore

_CHIP = ChipSerial(bytes.fromhex("5248430000000000"))
_REGION = b"41000000"


def check_roots(keys: RootKeys, *, test_keys: bool) -> None:
    """Refuse roots that are partly public, and public ones without `test_keys`.

    Who knows the transport keys of a blank reads the issuer keys that replace them, and with these
    the card keys: a public transport root would give all other roots' keys away. Roots are told by
    the check values of the keys of one chip. Raises CardKeyError.
    """
    public = [name for name, is_public in _compared(keys).items() if is_public]
    own = [name for name, is_public in _compared(keys).items() if not is_public]
    if public and own:
        raise CardKeyError(
            f"the roots {', '.join(public[:3])} are public test keys and {', '.join(own[:3])} are"
            " not. Such a store is not used: whoever knows the public ones could read the keys of"
            " every card that is made. Make a new store with `rhcard keys new`"
        )
    if keys.is_test and not test_keys:
        raise CardKeyError(
            "these are public test keys. For a trial, start the agent with --test-keys; real cards"
            " need keys of your own"
        )


def _compared(keys: RootKeys) -> dict[str, bool]:
    """Whether each root is the public one, by its name."""
    public = KeyStore(public_test_roots(keys.spec.protocol, keys.cipher, keys.key_version))
    found = {
        "transport": _same(keys, public, "transport_keys"),
        "issuer": _same(keys, public, "issuer_keys"),
    }
    ours = keys.terminal_keys.for_card(_CHIP, _REGION)
    theirs = public.terminal_keys.for_card(_CHIP, _REGION)
    for name in sorted(keys.terminal_keys.names):
        found[name] = ours.key_check_value(name) == theirs.key_check_value(name)
    return found


def _same(one: RootKeys, other: RootKeys, method: str) -> bool:
    mine, public = (getattr(each, method)(_CHIP).key_check_values for each in (one, other))
    return bool(mine == public)
