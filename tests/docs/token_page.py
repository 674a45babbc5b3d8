"""docs/explanation/keys-in-a-token.md: the rights of each key, and the mechanisms that are needed.

python -m tests.docs.token_page --write
"""

from cardlib.keys.token.pkcs11 import AES_ECB_DERIVE, SP800_108_COUNTER_KDF
from cardlib.keys.token.token_making import NEEDED, NEEDED_TO_MAKE, template
from cardlib.keys.token.token_version import KEY_NAMES
from cardlib.layout import KEY_BY_NAME

from .generated import REFERENCE, write

PAGE = REFERENCE.parent / "explanation" / "keys-in-a-token.md"
_OWN = {"transport": "transport root", "issuer": "issuer root", "cvk": "CVK", "secret": "secret"}
_OFFERED = {
    AES_ECB_DERIVE: "CKM_AES_ECB_ENCRYPT_DATA",
    SP800_108_COUNTER_KDF: "CKM_SP800_108_COUNTER_KDF",
}


def _group(name: str) -> str:
    if name in _OWN:
        return _OWN[name]
    return f"card roots, {KEY_BY_NAME[name].levels}-level"


def _rights(name: str) -> str:
    bare = template(name, "", frozenset())
    rights = [right for right in ("encrypt", "sign") if getattr(bare, right)]
    rights += [
        f"derive, if the token offers `{offer}`"
        for number, offer in _OFFERED.items()
        if template(name, "", frozenset({number})).derive
    ]
    return "; ".join(rights)


def rights_table() -> str:
    """One row a kind of key; all keys of a kind have the same rights."""
    groups: dict[str, list[str]] = {}
    for name in KEY_NAMES:
        groups.setdefault(_group(name), []).append(name)
    rows = []
    for group, names in groups.items():
        (rights,) = {_rights(name) for name in names}
        kind = "AES-128" if template(names[0], "", frozenset()).is_aes else "32 bytes, for HMAC"
        rows.append(f"| {group} | {len(names)} | {kind} | {rights} |")
    head = ["| key | how many | kind | what it may do |", "| --- | ---: | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def mechanisms_table() -> str:
    """One row a mechanism."""
    rows = [f"| `{name}` | always |" for name in NEEDED.values()]
    rows += [f"| `{name}` | to make keys inside the token |" for name in NEEDED_TO_MAKE.values()]
    rows += [f"| `{name}` | if it is there: fewer keys leave |" for name in _OFFERED.values()]
    return "\n".join(["| mechanism | needed |", "| --- | --- |", *rows]) + "\n"


PARTS = {"rights of keys": rights_table, "mechanisms": mechanisms_table}

if __name__ == "__main__":
    for part_name, part in PARTS.items():
        write(PAGE, part_name, part)
