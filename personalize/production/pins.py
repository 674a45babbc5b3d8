"""The sealed PIN file: one random PIN for each card, for the PIN letters.

A PIN is on the disk before the card has it. Each line is JSON for one card, sealed by the issuer
and bound to the batch and to the card's number in it, so that lines cannot be swapped or copied.
To open the file changes nothing. Only a new PIN is written, and only to a regular file.
"""

import errno
import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cardlib.errors import DAMAGE, CardKeyError, FormatError, KeysUnavailable, StorageError
from cardlib.facts import Pin
from cardlib.keys.issuer import Issuer, PinOf
from cardlib.regular_file import read_regular
from cardlib.unfinished import sync_folder

NAME = "pins.sealed"
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LARGEST = 128 << 20
"""Bytes of a PIN file: some 800,000 cards."""
_ASCENDING, _DESCENDING = "01234567890", "09876543210"


def random_pin() -> Pin:
    """Make a random PIN of six digits that is not trivial."""
    while True:
        pin = Pin(f"{secrets.randbelow(10**Pin.LENGTH):0{Pin.LENGTH}d}")
        if not is_trivial(pin):
            return pin


def is_trivial(pin: str) -> bool:
    """Whether a PIN is a run such as 123456, or repeats one, two or three digits."""
    runs = pin in _ASCENDING or pin in _DESCENDING
    return runs or any(pin == pin[:size] * (Pin.LENGTH // size) for size in (1, 2, 3))


@dataclass(slots=True)
class _Content:
    """What a PIN file holds. `ends_whole` is False when its last newline is missing.

    `whole` is the length of the file in bytes without a last line that a cut left incomplete.
    `doubled` says for each card with two different PINs what is wrong. `turns` counts how often
    that was settled by a new PIN: only the lines of the highest turn of a card count.
    """

    pins: dict[int, Pin] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    size: int | None = None
    whole: int = 0
    ends_whole: bool = True
    doubled: dict[int, str] = field(default_factory=dict)
    turns: dict[int, int] = field(default_factory=dict)


class PinFile:
    """The PINs of one batch by card number in the batch; its repr shows none of them.

    `faults` names each damaged line and each card with two PINs, or says why the file cannot be
    used at all.
    """

    def __init__(self, path: Path, batch: UUID, issuer: Issuer, content: _Content) -> None:
        """Use `open_pins`."""
        self.path, self._batch, self._issuer = path, batch, issuer
        self._content, self._pins = content, content.pins

    def __repr__(self) -> str:
        return f"<PINs of {len(self._pins)} cards>"

    def __len__(self) -> int:
        return len(self._pins)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the file now."""
        return (*self._content.faults, *self._content.doubled.values())

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the cards that have a PIN here, or two."""
        return frozenset((*self._pins, *self._content.doubled))

    @property
    def is_used(self) -> bool:
        """Whether anything was ever written to the file, readable or not."""
        return bool(self._content.size or self.faults)

    @property
    def name(self) -> str:
        """The file, for a person."""
        return str(self.path)

    def has(self, number: int) -> bool:
        """Whether a card has a PIN, and only one."""
        return number in self._pins

    def get(self, number: int) -> Pin | None:
        """The PIN of a card, six digits; None if it has none yet."""
        return self._pins.get(number)

    def without_pin(self, number: int) -> str:
        """What to say about an active card that has no PIN here."""
        return (
            f"{self.path}: the PIN of card {number} is missing or damaged, so there is no PIN"
            f" letter for it. Put {NAME} back from the newest copy of the batch folder"
        )

    def keep_rest(self) -> None:
        """Do not remove an incomplete last line: it may be the lost PIN of a card."""
        self._content.whole = self._content.size or 0

    def assign(self, number: int) -> Pin:
        """Give a card that waits its PIN: the one it has, or a new one, which is then on the disk.

        A card with two PINs gets a new one that replaces both: while it waits, no chip has either.
        FormatError when another program changed the file.
        """
        pin = self._pins.get(number)
        if pin is None:
            pin, content = random_pin(), self._content
            turn = content.turns.get(number, 0) + (number in content.doubled)
            self._append(_line(self._issuer, self._batch, number, turn, pin))
            self._pins[number], content.turns[number] = pin, turn
            content.doubled.pop(number, None)
        return pin

    def _append(self, line: bytes) -> None:
        content = self._content
        new = content.size is None
        flags = os.O_WRONLY | os.O_APPEND | _SAFELY | (os.O_CREAT | os.O_EXCL if new else 0)
        handle = os.open(self.path, flags, 0o600)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size != (content.size or 0):
                raise FormatError(f"{self.path}: another program has changed it. Start again")
            self._write(handle, line)
        finally:
            os.close(handle)
        if new:
            sync_folder(self.path.parent)

    def _write(self, handle: int, line: bytes) -> None:
        """Write a line after the last whole one. The rest of a cut write goes only now."""
        content = self._content
        if content.whole < (content.size or 0) and not self.faults:
            os.ftruncate(handle, content.whole)
            content.size, content.ends_whole = content.whole, True
        before = content.size or 0
        text = line if content.ends_whole else b"\n" + line
        if os.write(handle, text) != len(text):
            os.ftruncate(handle, before)
            content.size = before
            raise StorageError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fsync(handle)
        content.size = content.whole = before + len(text)
        content.ends_whole = True


def open_pins(folder: Path, batch: UUID, issuer: Issuer) -> PinFile:
    """Open the PIN file of a batch. Nothing is written; a new PIN begins the file.

    A damaged line does not hide the others: `faults` of the result names it. A last line that is
    incomplete after a power failure is no fault: its card never had that PIN.
    """
    path = folder / NAME
    content = _Content()
    try:
        raw = _read_regular(path)
    except FileNotFoundError:
        return PinFile(path, batch, issuer, content)
    except FormatError as error:
        content.faults.append(str(error))
        return PinFile(path, batch, issuer, content)
    *lines, last = raw.split(b"\n")
    content.size, content.whole, content.ends_whole = len(raw), len(raw), not last
    for line, text in enumerate(lines, 1):
        _take(content, issuer, batch, text, f"{path} line {line}")
    if last and _is_json(last):
        _take(content, issuer, batch, last, f"{path} line {len(lines) + 1}")
    elif last:
        content.whole = len(raw) - len(last)
    return PinFile(path, batch, issuer, content)


def _read_regular(path: Path) -> bytes:
    """The bytes of a regular file; FormatError for a link, a device, a pipe or a folder."""
    try:
        return read_regular(path, _LARGEST, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        why = f"{error.strerror}. Put the file itself in its place"
        raise FormatError(f"{path}: {why}") from None


def _take(content: _Content, issuer: Issuer, batch: UUID, text: bytes, where: str) -> None:
    """Add the PIN of a line to the content, or what is wrong with the line."""
    try:
        number, turn, pin = _read(issuer, batch, text, where)
    except KeysUnavailable:
        raise
    except (CardKeyError, FormatError) as error:
        content.faults.append(str(error))
        return
    newest = content.turns.get(number, 0)
    if turn < newest:
        return
    if turn > newest:
        content.doubled.pop(number, None)
        content.pins[number], content.turns[number] = pin, turn
    elif number in content.doubled or content.pins.get(number, pin) != pin:
        content.doubled[number] = (
            f"{where}: card {number} has two PINs. If the card is not active, `rhcard issue` gives"
            f" it a new one. Else put {NAME} back from the newest copy of the batch folder"
        )
        content.pins.pop(number, None)
    else:
        content.pins[number] = pin


def _is_json(text: bytes) -> bool:
    """Whether a line is whole: no part of a line that ends early is JSON."""
    try:
        json.loads(text)
    except DAMAGE:
        return False
    return True


def _line(issuer: Issuer, batch: UUID, number: int, turn: int, pin: Pin) -> bytes:
    sealed = issuer.seal_pin(PinOf(batch, number, turn), pin)
    entry = {"card": number, "sealed": sealed.hex()} | ({"turn": turn} if turn else {})
    return json.dumps(entry).encode() + b"\n"


def _read(issuer: Issuer, batch: UUID, text: bytes, where: str) -> tuple[int, int, Pin]:
    try:
        entry = json.loads(text)
        number, turn, sealed = entry["card"], entry.get("turn", 0), bytes.fromhex(entry["sealed"])
        if type(number) is not int or type(turn) is not int:
            raise FormatError("no number")
        return number, turn, issuer.unseal_pin(PinOf(batch, number, turn), sealed)
    except KeysUnavailable:
        raise
    except CardKeyError:
        raise CardKeyError(
            f"{where}: damaged, or sealed for another batch or with another key store"
        ) from None
    except DAMAGE:
        raise FormatError(f"{where}: this line is damaged") from None
