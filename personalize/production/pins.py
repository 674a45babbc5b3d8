"""The sealed PIN file: one random PIN for each card, for the PIN letters.

A PIN is on the disk before the card has it. Each line is JSON for one card, sealed by the issuer
and bound to the batch and to the card's number in it, so that lines cannot be swapped or copied.
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
    """Make a random PIN of six digits that is not trivial."""
    while True:
        pin = Pin(f"{secrets.randbelow(10**Pin.LENGTH):0{Pin.LENGTH}d}")
        if not is_trivial(pin):
            return pin


def is_trivial(pin: str) -> bool:
    """Whether a PIN is a run such as 123456, or repeats one, two or three digits."""
    runs = pin in _ASCENDING or pin in _DESCENDING
    return runs or any(pin == pin[:size] * (Pin.LENGTH // size) for size in (1, 2, 3))


class PinFile:
    """The PINs of one batch by card number in the batch; its repr shows none of them."""

    def __init__(self, path: Path, batch: str, issuer: Issuer, pins: Mapping[int, Pin]) -> None:
        """Use `open_pins`."""
        self.path, self._batch, self._issuer = path, batch, issuer
        self._pins = dict(pins)

    def __repr__(self) -> str:
        return f"<PINs of {len(self._pins)} cards>"

    def __len__(self) -> int:
        return len(self._pins)

    def get(self, number: int) -> Pin | None:
        """The PIN of a card, six digits; None if it has none yet."""
        return self._pins.get(number)

    def assign(self, number: int) -> Pin:
        """Give a card its PIN: the one it has, or a new one, which is then on the disk."""
        pin = self._pins.get(number)
        if pin is None:
            pin = random_pin()
            self._append(_line(self._issuer, self._batch, number, pin))
            self._pins[number] = pin
        return pin

    def _append(self, line: bytes) -> None:
        new = not self.path.exists()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(handle).st_size
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, size)
                raise StorageError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(handle)
        finally:
            os.close(handle)
        if new:
            sync_folder(self.path.parent)


def open_pins(folder: Path, batch: str, issuer: Issuer) -> PinFile:
    """Open the PIN file of a batch (its id), or begin one.

    If the last line is incomplete after a power failure, it is removed: its card never had that
    PIN. FormatError for other damage; CardKeyError for PINs of another batch or key store.
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
            raise FormatError(f"{path} line {line}: card {number} has two PINs")
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
        raise CardKeyError(
            f"{where}: sealed for another batch, or with another key store"
        ) from None
    except (ValueError, TypeError, KeyError, FormatError):
        raise FormatError(f"{where}: this line is damaged") from None


def _bound_to(batch: str, number: int) -> bytes:
    return f"{_FORMAT}\n{batch}\n{number}".encode()
