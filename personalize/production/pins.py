"""The sealed PIN file: one random PIN a card, on disk before the card has it, read by the mailer.

A line of JSON a card, appended and synced. The issuer seals each, bound to the batch and to the
card's number in it: lines cannot be swapped or carried over.
"""

import errno
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cardlib.errors import CardKeyError, FormatError, StorageError
from cardlib.facts import Pin
from cardlib.keys import Issuer, Purpose

from ..preparation.batch import sync_folder

NAME = "pins.sealed"
_FORMAT = "rhcard pins 1"
_ASCENDING, _DESCENDING = "01234567890", "09876543210"


def random_pin() -> Pin:
    """Six random digits that nobody would try first."""
    while True:
        pin = Pin(f"{secrets.randbelow(10**Pin.LENGTH):0{Pin.LENGTH}d}")
        if not is_trivial(pin):
            return pin


def is_trivial(pin: str) -> bool:
    """Whether a PIN is a run, or one, two or three digits over and over."""
    runs = pin in _ASCENDING or pin in _DESCENDING
    return runs or any(pin == pin[:size] * (Pin.LENGTH // size) for size in (1, 2, 3))


class PinFile:
    """The PINs of one batch by card number in the batch; its repr shows none of them."""

    def __init__(self, path: Path, batch: str, issuer: Issuer, pins: Mapping[int, Pin]) -> None:
        """Use `open_pins`."""
        self._path, self._batch, self._issuer = path, batch, issuer
        self._pins = dict(pins)

    def __repr__(self) -> str:
        return f"<PINs of {len(self._pins)} cards>"

    def __len__(self) -> int:
        return len(self._pins)

    def get(self, number: int) -> Pin | None:
        """The PIN of a card, six digits; None if it has none yet."""
        return self._pins.get(number)

    def assign(self, number: int) -> Pin:
        """The PIN of a card: its old one, else a new one, which is on the disk on return."""
        pin = self._pins.get(number)
        if pin is None:
            pin = random_pin()
            self._append(_line(self._issuer, self._batch, number, pin))
            self._pins[number] = pin
        return pin

    def _append(self, line: bytes) -> None:
        new = not self._path.exists()
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(handle).st_size
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, size)
                raise StorageError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(handle)
        finally:
            os.close(handle)
        if new:
            sync_folder(self._path.parent)


def open_pins(folder: Path, batch: str, issuer: Issuer) -> PinFile:
    """Open the PIN file of a batch (its id), or begin one.

    A last line that a cut left unfinished is dropped: its card never had that PIN. FormatError for
    any other damage, CardKeyError when the PINs were sealed under other keys or for another batch.
    """
    path = folder / NAME
    raw = path.read_bytes() if path.exists() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
    pins: dict[int, Pin] = {}
    for line, text in enumerate(whole.splitlines(), 1):
        number, pin = _read(issuer, batch, text, f"{path} line {line}")
        if number in pins:
            raise FormatError(f"{path} line {line}: card {number} has a PIN already")
        pins[number] = pin
    return PinFile(path, batch, issuer, pins)


def _line(issuer: Issuer, batch: str, number: int, pin: Pin) -> bytes:
    sealed = issuer.seal(Purpose.PIN, pin.digits, _bound_to(batch, number))
    return json.dumps({"card": number, "sealed": sealed.hex()}).encode() + b"\n"


def _read(issuer: Issuer, batch: str, text: bytes, where: str) -> tuple[int, Pin]:
    try:
        entry = json.loads(text)
        number, sealed = int(entry["card"]), bytes.fromhex(entry["sealed"])
        pin = issuer.unseal(Purpose.PIN, sealed, _bound_to(batch, number))
        return number, Pin(pin.decode("ascii"))
    except CardKeyError:
        raise CardKeyError(f"{where}: not sealed for this batch under these keys") from None
    except (ValueError, TypeError, KeyError, FormatError):
        raise FormatError(f"{where}: not a line of a PIN file") from None


def _bound_to(batch: str, number: int) -> bytes:
    return f"{_FORMAT}\n{batch}\n{number}".encode()
