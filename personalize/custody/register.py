"""The public register of operators: who they are, their roles, and who has left."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

from cardlib.errors import DAMAGE, CardKeyError, StorageError, file_error
from cardlib.regular_file import open_regular, read_to_end
from cardlib.unfinished import unfinished_file

from .operators import Operator

FORMAT = "rhcard operators 1"
_MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class OperatorRegister:
    """All operators by name. A name and a key stand for one person, also after they have left.

    Raises CardKeyError when two records have the same name or a key in common.
    """

    operators: Mapping[str, Operator] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        keys = [key for each in self for key in (each.signing, each.wrapping)]
        if len(set(keys)) != len(keys):
            raise CardKeyError("two operators have the same key: one person has one name")

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators.values())

    def of(self, name: str) -> Operator:
        """Return an operator in office. Raises CardKeyError when unknown or retired."""
        found = self.operators.get(name)
        if found is None:
            raise CardKeyError(f"there is no operator {name!r}: see `rhcard operator list`")
        if found.retired is not None:
            raise CardKeyError(f"operator {name} was retired on {found.retired}")
        return found

    def with_new(self, operator: Operator) -> "OperatorRegister":
        """Return the register with one more. Raises CardKeyError when the name or key is taken."""
        if operator.name in self.operators:
            raise CardKeyError(
                f"there is or was an operator {operator.name}: a name is never given twice"
            )
        return OperatorRegister(MappingProxyType({**self.operators, operator.name: operator}))

    def without(self, name: str, today: date) -> "OperatorRegister":
        """Return the register with an operator retired. Raises CardKeyError as `of` does."""
        retired = replace(self.of(name), retired=today)
        return OperatorRegister(MappingProxyType({**self.operators, name: retired}))


def read_register(path: Path, *, guarded: bool = False) -> OperatorRegister:
    """Read the register. `guarded`: as the agent does, only a file that nobody else may write.

    Raises CardKeyError when it is not there, is damaged, or other users may write it.
    """
    try:
        with open_regular(path) as file:
            if guarded:
                _check_guarded(os.fstat(file.fileno()), path)
            raw = read_to_end(file, path, _MOST_BYTES)
    except OSError as error:
        raise file_error(CardKeyError, error, f"register of operators {path}") from None
    try:
        entry = json.loads(raw)
        if entry["format"] != FORMAT:
            raise ValueError
        records = [Operator.from_dict(each) for each in entry["operators"]]
    except (CardKeyError, *DAMAGE):
        raise CardKeyError(f"{path} is not a register of operators, or is damaged") from None
    by_name = {each.name: each for each in records}
    if len(by_name) != len(records):
        raise CardKeyError(f"{path}: two operators have the same name")
    return OperatorRegister(MappingProxyType(by_name))


def _check_guarded(status: os.stat_result, path: Path) -> None:
    if status.st_uid not in (0, os.geteuid()) or stat.S_IMODE(status.st_mode) & 0o022:
        raise CardKeyError(
            f"{path}: other users may write the register of operators. Give it to the agent's user,"
            " mode 0644"
        )


def write_register(path: Path, registry: OperatorRegister) -> None:
    """Write the register (mode 0644) in place of the old one, whole or not at all.

    Raises StorageError when it cannot be written.
    """
    entry = {"format": FORMAT, "operators": [each.as_dict() for each in registry]}
    try:
        with unfinished_file(path) as place:
            with place.open("wb") as file:
                file.write(json.dumps(entry, indent=1).encode("ascii") + b"\n")
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())
            os.replace(place, path)
    except OSError as error:
        raise StorageError(error.errno, error.strerror, str(path)) from None
