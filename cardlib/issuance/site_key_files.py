"""The private keys of a site beside its key store: one file each, sealed with the root keys."""

from pathlib import Path
from uuid import UUID

from ..errors import CardKeyError, file_error
from ..regular_file import read_regular
from ..unfinished import write_new

_LARGEST = 1024


class SiteKeyFolder:
    """The `SiteKeys` of a key store in a file: the folder FILE.sites beside it."""

    keeps_all = False

    def __init__(self, store: Path) -> None:
        """Take the path of the key store's file."""
        self.folder = store.with_name(f"{store.name}.sites")

    def __repr__(self) -> str:
        return f"<site keys in {self.folder}>"

    def keep(self, key_id: UUID, batch: UUID | None, sealed: bytes) -> None:
        """Write a key that was made for a batch. Raises CardKeyError when it cannot be written."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_new(self._path(key_id), sealed)
        except OSError as error:
            raise file_error(CardKeyError, error, self.folder) from None

    def find(self, key_id: UUID, batch: UUID) -> bytes | None:
        """Return a key; None when it is not here."""
        try:
            return read_regular(self._path(key_id), _LARGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise file_error(CardKeyError, error, self._path(key_id)) from None

    def _path(self, key_id: UUID) -> Path:
        return self.folder / f"{key_id}.key"
