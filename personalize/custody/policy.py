"""The policy of the key agent: who may ask it for what, and how much. A TOML file."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cardlib.errors import DAMAGE, CardError, FormatError, KeysUnavailable
from cardlib.facts import ChipSerial
from cardlib.keys.agent.agent_verbs import FORMS
from cardlib.layout import KEY_BY_NAME
from cardlib.regular_file import read_regular

from .roles import Role

_LARGEST = 1 << 24
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_SHOWN = 60
ANY_CHIP = "any"
"""The value of `stock` that lets every chip in: for test keys only."""


class PolicyError(CardError):
    """The policy of the key agent is not right. The message names file and key, and what to do."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may ask the agent: known by the user id of the process.

    It has one role; with test keys it may have several. `verbs` are those of the role, or fewer. A
    limit that is None is none. `keys` are the card keys that it may use.
    """

    name: str
    uid: int
    roles: frozenset[Role]
    verbs: frozenset[str] | None = None
    cards: int | None = None
    cards_a_minute: int | None = None
    hashes_a_minute: int = 60_000
    give_ups: int = 0
    keys: frozenset[str] | None = None

    @property
    def role(self) -> str:
        """Its role in words."""
        return " and ".join(sorted(self.roles))


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may ask, which chips are in received stock, and after how long the agent locks itself.

    `stock` is None when every chip is let in, which is for test keys only.
    """

    path: Path
    callers: Mapping[int, Caller]
    stock: frozenset[bytes] | None = frozenset()
    stock_file: Path | None = None
    idle_minutes: int = 15
    operators: Path | None = None


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """A key of the file: what to write, whether a value is right, and its value then."""

    write: str
    decode: Callable[[Any], Any]
    needed: bool = False


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def decode(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return decode


def _names(known: Mapping[str, object]) -> Callable[[Any], frozenset[str]]:
    def decode(value: Any) -> frozenset[str]:
        if type(value) is not list or not set(value) <= known.keys():
            raise ValueError
        return frozenset(value)

    return decode


def _chips(value: Any) -> frozenset[bytes] | None:
    if value == ANY_CHIP:
        return None
    if type(value) is not list:
        raise ValueError
    return frozenset(ChipSerial.parse(each) for each in value)


def _roles(value: Any) -> frozenset[Role]:
    roles = frozenset(Role(each) for each in (value if type(value) is list else [value]))
    if not roles:
        raise ValueError
    return roles


def _path(value: Any) -> Path:
    if type(value) is not str or not os.path.isabs(value):
        raise ValueError
    return Path(value)


_A_COUNT = _whole(0, 1 << 40)
CALLER_KEYS: Mapping[str, PolicyKey] = {
    "uid": PolicyKey("the number that `id -u USER` prints", _whole(0, (1 << 32) - 2), needed=True),
    "role": PolicyKey(" or ".join(f'"{role}"' for role in Role), _roles, needed=True),
    "verbs": PolicyKey('a list of verbs, such as ["status"]', _names(FORMS)),
    "cards": PolicyKey("how many cards in all, such as 10000", _A_COUNT),
    "cards_a_minute": PolicyKey("how many cards in a minute, such as 20", _whole(0, 1 << 20)),
    "hashes_a_minute": PolicyKey("how many holder hashes in a minute, such as 1000", _A_COUNT),
    "give_ups": PolicyKey("how many chips may be given up in all, such as 100", _A_COUNT),
    "keys": PolicyKey('a list of card keys, such as ["RK1_DF02"]', _names(KEY_BY_NAME)),
}
"""The keys of one caller."""
POLICY_KEYS: Mapping[str, PolicyKey] = {
    "idle_minutes": PolicyKey("the minutes without a request, 1 to 1440", _whole(1, 1440)),
    "stock": PolicyKey('a list of chip serials, or "any" with test keys', _chips),
    "stock_file": PolicyKey("the full path of a file with one chip serial in each line", _path),
    "operators": PolicyKey("the full path of the list of operators", _path),
}
"""The keys outside the callers."""


def read_policy(path: Path) -> Policy:
    """Read a policy.

    Raises PolicyError when it is not right, or when others than its owner and root may change it.
    """
    try:
        raw = read_regular(path, _LARGEST)
        found = path.stat()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}. Give the policy with --policy FILE") from None
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PolicyError(
            f"{path}: others could change who may use the keys. Make the file yours, and run"
            f" `chmod go-w {path}`"
        )
    try:
        return _policy(path, _document(raw))
    except FormatError as error:
        raise PolicyError(f"{path}: {error}") from None


def _document(raw: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise FormatError("not UTF-8 text: save it as UTF-8") from None
    except DAMAGE as error:
        raise FormatError(f"not TOML: {error}. Correct it there") from None


def _policy(path: Path, document: Mapping[str, Any]) -> Policy:
    rest = {name: value for name, value in document.items() if name != "callers"}
    values = _values(POLICY_KEYS, rest, "")
    if "stock" in values and "stock_file" in values:
        raise FormatError("stock and stock_file are both there: leave one of them out")
    tables = document.get("callers")
    if not isinstance(tables, dict) or not tables:
        raise FormatError("no caller: write [callers.NAME], with uid and role")
    callers: dict[int, Caller] = {}
    for name, table in tables.items():
        caller = _caller(name, table)
        if caller.uid in callers:
            other = callers[caller.uid].name
            raise FormatError(
                f"callers.{name}.uid is {caller.uid}, which is that of callers.{other} too: each"
                " caller needs a user of its own"
            )
        callers[caller.uid] = caller
    return Policy(path, callers, **values)


def _caller(name: str, table: Any) -> Caller:
    where = f"callers.{name}"
    if not _NAME.fullmatch(name):
        raise FormatError(f"{_short(where)}: name it by a to z, digits and -, 32 at most")
    if not isinstance(table, dict):
        raise FormatError(f"{where} must be a table: write [{where}]")
    values = _values(CALLER_KEYS, table, f"{where}.")
    return Caller(name, roles=values.pop("role"), **values)


def _values(keys: Mapping[str, PolicyKey], table: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name in table:
        if name not in keys:
            known = ", ".join(keys)
            raise FormatError(f"{where}{_short(name)} is no key of a policy: use {known}")
    found = {}
    for name, key in keys.items():
        if name not in table:
            if key.needed:
                raise FormatError(f"{where}{name} is missing: write {key.write}")
            continue
        try:
            found[name] = key.decode(table[name])
        except DAMAGE:
            value = _short(table[name])
            raise FormatError(f"{where}{name} is {value}: write {key.write}") from None
    return found


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@dataclass(slots=True)
class Stock:
    """The chips that were received: of the policy, or of its stock file, as that is now."""

    policy: Policy
    _seen: tuple[int, int] | None = None
    _chips: frozenset[bytes] = field(default=frozenset(), repr=False)

    def __contains__(self, chip: bytes) -> bool:
        """Whether a chip was received. Raises KeysUnavailable when the stock file is not right."""
        if self.policy.stock is None:
            return True
        if self.policy.stock_file is None:
            return chip in self.policy.stock
        return chip in self._of_file(self.policy.stock_file)

    def _of_file(self, path: Path) -> frozenset[bytes]:
        try:
            found = path.stat()
            seen = (found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._chips = _read_stock(path, read_regular(path, _LARGEST))
                self._seen = seen
        except OSError as error:
            raise KeysUnavailable(
                f"stock_file {path}: {error.strerror}. Correct stock_file in {self.policy.path}"
            ) from None
        return self._chips


def _read_stock(path: Path, raw: bytes) -> frozenset[bytes]:
    chips = set()
    for line, text in enumerate(raw.decode("utf-8-sig", "replace").splitlines(), 1):
        words = text.partition("#")[0].strip()
        try:
            if words:
                chips.add(bytes(ChipSerial.parse(words)))
        except FormatError as error:
            raise KeysUnavailable(f"stock_file {path} line {line}: {error}") from None
    return frozenset(chips)
