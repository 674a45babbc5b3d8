"""The PIN of a token: from a file that only its owner can read, or from the environment.

It is never an option and never in the configuration: both can be read by other users.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ...errors import CardKeyError, file_error
from ...regular_file import open_regular, read_to_end

ENVIRONMENT = "RHCARD_TOKEN_PIN"
_MOST_BYTES = 4096


def pin_given(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """Return the PIN of a file, or else of the environment; None when neither is given.

    Raises CardKeyError as `pin_in_file` does, and StorageError when the file cannot be read.
    """
    if file is not None:
        return pin_in_file(file)
    return environment.get(ENVIRONMENT) or None


def pin_in_file(file: Path) -> str:
    """Return the PIN in the first line of a file.

    Raises CardKeyError when other users can read or write the file, it belongs to another user, or
    holds no PIN; StorageError when it cannot be read.
    """
    try:
        with open_regular(file) as opened:
            found = os.fstat(opened.fileno())
            raw = read_to_end(opened, file, _MOST_BYTES)
    except OSError as error:
        raise file_error(CardKeyError, error, f"token PIN file {file}") from None
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CardKeyError(
            f"token PIN file {file}: other users may use it. Run chmod 600 {file}, and if somebody"
            " may have read it, change the PIN"
        )
    if found.st_uid != os.geteuid():
        raise CardKeyError(f"token PIN file {file}: it belongs to another user")
    try:
        pin = raw.decode("utf-8-sig").partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        raise CardKeyError(f"token PIN file {file}: not UTF-8 text") from None
    if not pin:
        raise CardKeyError(f"token PIN file {file}: its first line is empty")
    return pin
