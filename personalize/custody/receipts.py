"""Receipts: what people did with root keys, on a page that can be printed. They hold no secret."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cardlib.errors import DAMAGE, CardError, CardKeyError, StorageError
from cardlib.keys.token.token_change import ChangeUnknown
from cardlib.regular_file import read_regular
from cardlib.unfinished import sync_folder, unfinished_file, unfinished_in

from .statement import ACTIONS, Statement

_FILE = re.compile(r"([0-9]{4,9})\.json")
_MOST_BYTES = 2**20
_LINE = "_" * 40


@dataclass(frozen=True, slots=True)
class Receipt:
    """Who did what with root keys, when, and how the keys can be recognized.

    `statement` is what was signed, as JSON members; `signatures` and `fingerprints` are by
    operator, `components` the check values of what each operator entered or got, `check_values`
    those of the keys.
    """

    number: int
    time: str
    statement: Mapping[str, Any]
    signatures: Mapping[str, str]
    fingerprints: Mapping[str, str]
    version: int
    identity: str
    components: Mapping[str, str]
    check_values: Mapping[str, str]

    def text(self) -> str:
        """The receipt as a page of text, to be printed and signed by hand."""
        signed = Statement.from_dict(self.statement)
        lines = [
            f"Receipt {self.number}: {signed.action}",
            "",
            f"{ACTIONS[signed.action].words}.",
            f"Time (UTC)      {self.time}",
            f"Key store       {signed.store}",
            f"Key version     {self.version}",
            f"Identity        {self.identity}",
            f"Statement       {signed.digest}",
            "",
            "Operators, with the fingerprint of their keys:",
            *(f"  {name:<32}  {print_}" for name, print_ in self.fingerprints.items()),
        ]
        lines += _custodian_lines(signed)
        if self.components:
            lines += ["", "Check values of the components:"]
            lines += [f"  {name:<32}  {value}" for name, value in self.components.items()]
        if self.check_values:
            lines += ["", "Check values of the keys:"]
            lines += [f"  {name:<32}  {value}" for name, value in self.check_values.items()]
        lines += ["", *(f"Signed by hand, {name}: {_LINE}" for name in self.fingerprints)]
        return "\n".join(lines)


def _custodian_lines(signed: Statement) -> list[str]:
    if signed.action != "exchange-custodians":
        return []
    return [
        "",
        "Custodians before:",
        *(f"  {name}" for name in signed.parameters["before"]),
        "",
        "Custodians from then on, with the fingerprint of their keys:",
        *(f"  {name:<32}  {print_}" for name, print_ in signed.parameters["custodians"].items()),
    ]


class Receipts:
    """The receipts in the agent's folder, numbered from 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self) -> list[int]:
        """Return the numbers of all receipts, the oldest first."""
        if not self.folder.is_dir():
            return []
        found = (_FILE.fullmatch(name) for name in os.listdir(self.folder))
        return sorted(int(match[1]) for match in found if match)

    def read(self, number: int) -> Receipt:
        """Read a receipt. Raises CardKeyError when there is none of this number."""
        try:
            raw = read_regular(self._path(number), _MOST_BYTES)
            return Receipt(**json.loads(raw))
        except OSError:
            raise CardKeyError(f"there is no receipt {number}: see `rhcard keys receipt`") from None
        except DAMAGE:
            raise CardKeyError(f"receipt {number} is damaged") from None

    @contextmanager
    def kept(self, make: Callable[[int], Receipt]) -> Iterator[Receipt]:
        """Write a receipt, do the block, and then give the receipt its name.

        If the block fails, there is no receipt; if there is no room for one, the block is not done.
        If nobody can say whether the block was done, or the name cannot be given, `finish` decides.
        Raises StorageError, and ChangeUnknown when `finish` must be called.
        """
        number = max(self.numbers(), default=0) + 1
        receipt, path = make(number), self._path(number)
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with unfinished_file(path, left_by=ChangeUnknown) as place:
                with place.open("wb") as file:
                    file.write(json.dumps(asdict(receipt), indent=1).encode("ascii") + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                yield receipt
                _name(place, path)
            sync_folder(self.folder)
        except CardError:
            raise
        except OSError as error:
            raise StorageError(error.errno, error.strerror, str(path)) from None

    def finish(self, was_done: Callable[[Receipt], bool]) -> list[Receipt]:
        """Give its name to each receipt that a killed agent left, if what it says was done.

        The others are removed. Returns those that have a name now. Raises StorageError.
        """
        finished = []
        for place in unfinished_in(self.folder):
            try:
                receipt = Receipt(**json.loads(read_regular(place, _MOST_BYTES)))
                path = self._path(receipt.number)
                if was_done(receipt) and not path.exists():
                    os.rename(place, path)
                    sync_folder(self.folder)
                    finished.append(receipt)
                else:
                    place.unlink()
            except DAMAGE:
                place.unlink()  # The cut came while it was written, so before the change.
            except OSError as error:
                raise StorageError(error.errno, error.strerror, str(place)) from None
        return finished

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04}.json"


def _name(place: Path, path: Path) -> None:
    try:
        os.rename(place, path)
    except OSError as error:
        raise ChangeUnknown(
            f"{path}: {error.strerror}. Mend that. Then lock the agent, and unlock it:"
            " if the keys were changed, it writes the receipt then"
        ) from None
