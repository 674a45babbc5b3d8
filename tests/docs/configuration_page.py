"""docs/reference/configuration.md: the settings, the keys of a profile, and what each may be.

python -m tests.docs.configuration_page --write
"""

import json

from cardlib.layout.card_profile import SETTINGS
from personalize.cli.config_settings import SETTINGS as CONFIG_SETTINGS
from personalize.cli.own_profiles import KEYS

from .generated import REFERENCE, write

PAGE = REFERENCE / "configuration.md"
_MEANINGS = {
    "base": "the profile that this one is built on",
    "cipher": "the cipher of the cards' keys, as `--cipher`. Default: that of `--keys`",
    "key_version": "the version of the cards' keys, as `--key-version`. Default: that of `--keys`",
    **{each.name: each.meaning for each in SETTINGS},
}


def profile_keys() -> str:
    """The table of keys: the values that each may have, and what it means."""
    lines = ["| key | values | meaning |", "| --- | --- | --- |"]
    for key, values in KEYS.items():
        shown = ", ".join(f"`{json.dumps(value)}`" for value in values)
        lines.append(f"| `{key}` | {shown} | {_MEANINGS[key]} |")
    return "\n".join(lines) + "\n"


def settings() -> str:
    """The table of settings: what each means, which commands use it, and its variable."""
    lines = ["| setting | meaning | used by | variable |", "| --- | --- | --- | --- |"]
    for each in CONFIG_SETTINGS:
        used = ", ".join(f"`{name}`" for name in each.used_by)
        variable = f"`{each.environment}`" if each.environment else ""
        lines.append(f"| `{each.name}` | {each.meaning} | {used} | {variable} |")
    return "\n".join(lines) + "\n"


PARTS = {"settings": settings, "profile keys": profile_keys}

if __name__ == "__main__":
    for name, part in PARTS.items():
        write(PAGE, name, part)
