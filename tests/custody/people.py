"""People for tests: operators with passphrases, their files and a register."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from unittest import mock

from cardlib.keys.store import passphrase
from personalize.custody.operators import OperatorKey, new_operator
from personalize.custody.register import OperatorRegister, write_register
from personalize.custody.roles import Role
from tests import QUICK_SCRYPT_N

DAY = date(2026, 11, 27)
CUSTODIANS = ("ann", "bob", "cai")


@dataclass(frozen=True)
class Person:
    """An operator as a test knows them."""

    key: OperatorKey
    file: bytes
    passphrase: str

    @property
    def name(self) -> str:
        return self.key.name


def person(name: str, *roles: Role) -> Person:
    words = f"{name} likes 马 and staples"
    with mock.patch.dict(passphrase.SCRYPT, n=QUICK_SCRYPT_N):  # also while tests are collected
        key, raw = new_operator(name, roles or (Role.CUSTODIAN,), words, DAY)
    return Person(key, raw, words)


def register(people: Iterable[Person]) -> OperatorRegister:
    registry = OperatorRegister()
    for each in people:
        registry = registry.with_new(each.key.operator)
    return registry


def public(folder: Path, who: Person) -> Path:
    """The public file of a person."""
    path = folder / f"{who.name}.json"
    path.write_text(json.dumps(who.key.operator.as_dict()), "utf-8")
    return path


def files(folder: Path, people: Iterable[Person]) -> Path:
    """The private and public files, a passphrase file beside each, and the register."""
    people = list(people)
    for each in people:
        public(folder, each)
        (folder / f"{each.name}.operator.json").write_bytes(each.file)
        (folder / f"{each.name}.passphrase").write_text(each.passphrase + "\n", "utf-8")
    write_register(folder / "operators.json", register(people))
    return folder / "operators.json"
