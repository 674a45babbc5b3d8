"""What all commands share: how they answer, and which keys they use."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import CardKeyError, file_error
from cardlib.issuance.local import LocalIssuer
from cardlib.regular_file import open_regular

from .exits import Exit
from .output import command_line, print_json, say

if TYPE_CHECKING:
    from cardlib.keys import KeySet
    from cardlib.keys.issuer import Issuer
    from cardlib.keys.store import KeyStore

    from ..preparation.batch import Batch
    from ..production.station import BlankMaker

ENVIRONMENT = "RHCARD_PASSPHRASE"
_LONGEST = 4096
_SHORTEST = 8
"""Characters of a new store's passphrase (NIST SP 800-63B 5.1.1.1)."""


@dataclass(slots=True)
class Context:
    """The options that commands share. The main group makes it; each command gets it."""

    as_json: bool = False
    keys: Path | None = None
    passphrase_file: Path | None = None
    profile: str = "rhcard"
    settings: tuple[str, ...] = ()
    cipher: str | None = None
    key_version: int | None = None
    chip: str | None = None
    sam: str | None = None
    sam_pin_file: Path | None = None
    sam_reader: str | None = None

    def answer(self, document: Mapping[str, Any], code: Exit = Exit.GOOD) -> Exit:
        """Print the one JSON document of a command, with its exit code; return the code."""
        print_json({**document, "exit_code": int(code)})
        return code

    def suggest(self, *words: object, keys: bool = True, when: str = "") -> None:
        """Say which command comes next, as it can be pasted into a shell, and `when` it is right.

        It uses the same passphrase file, and with `keys` the same key store, as this call.
        """
        shared: list[object] = ["--keys", self.keys] if keys and self.keys else []
        if self.passphrase_file:
            shared += ["--passphrase-file", self.passphrase_file]
        say(f"Next{when and f', {when}'}: {command_line(*words, *shared)}")

    def passphrase(self, *, new: bool = False) -> str:
        """The passphrase from a file, the environment or a prompt; twice at the prompt if `new`.

        CardKeyError when there is none.
        """
        if self.passphrase_file is not None:
            return first_line(self.passphrase_file, "passphrase file")
        if passphrase := os.environ.get(ENVIRONMENT):
            return passphrase
        if not sys.stdin.isatty():
            raise CardKeyError(f"no passphrase: set {ENVIRONMENT} or give --passphrase-file FILE")
        text = "Passphrase for the new key store" if new else "Passphrase of the key store"
        return str(click.prompt(text, hide_input=True, confirmation_prompt=new, err=True))

    def new_passphrase(self) -> str:
        """The passphrase for a new store; CardKeyError when it is too short to protect one."""
        passphrase = self.passphrase(new=True)
        if len(passphrase) < _SHORTEST:
            raise CardKeyError(
                f"the passphrase is too short: use {_SHORTEST} characters or more. It protects the"
                " keys of all cards"
            )
        return passphrase

    def store(self, path: Path | None = None) -> "KeyStore":
        """The key store of --keys, or the one at `path`.

        CardKeyError when there is none, before a passphrase is asked for.
        """
        from cardlib.keys.store import KeyStore

        path = self.key_file(path)
        return KeyStore.open(path, self.passphrase())

    def key_file(self, path: Path | None = None) -> Path:
        """The path of a key store, as for `store`; CardKeyError when no file is there."""
        path = path or self.keys
        if path is None:
            raise CardKeyError("no key store: give --keys FILE")
        if not path.is_file():
            raise CardKeyError(f"no key store at {path}: give --keys FILE")
        return path

    def terminal_keys(self) -> "KeySet | None":
        """The keys of --sam or --keys as a terminal uses them; None without either."""
        if self.sam:
            from .sam_choice import sam_keys

            if self.keys:
                raise click.UsageError("give one of --sam and --keys")
            return sam_keys(self)
        return self.store().terminal_keys if self.keys else None

    def issuer(self, path: Path | None = None) -> "tuple[Issuer, BlankMaker]":
        """The issuer with the key store of --keys or at `path`, and who makes blanks for it."""

        store = self.store(path)
        return LocalIssuer(store), store

    def batch(self, folder: Path) -> "tuple[Batch, Issuer, BlankMaker]":
        """A batch with its issuer: of --keys, else of the key store that it was prepared with.

        CardKeyError when it is another store than the one that the batch was prepared with.
        """
        from ..preparation.batch import Batch, read_header

        header = read_header(folder)
        path = self.keys or Path(header.key_store_hint)
        issuer, maker = self.issuer(path)
        if issuer.identity != header.key_store_identity:
            raise CardKeyError(
                f"{path} is not the key store of this batch: it is {issuer.identity}, the batch was"
                f" prepared with {header.key_store_identity}; give --keys FILE"
            )
        return Batch.open(folder, issuer), issuer, maker


def _is_own_pipe(file: Path) -> bool:
    """Whether it is a pipe that the shell made for us: /dev/stdin, or <(…). It has a writer."""
    return bool(re.fullmatch(r"/proc/\d+/fd/pipe:\[\d+\]", os.path.realpath(file)))


def first_line(file: Path, what: str) -> str:
    """The first line of a file with a secret; CardKeyError when there is none."""
    try:
        opened = file.open("rb") if _is_own_pipe(file) else open_regular(file)
        with TextIOWrapper(opened, encoding="utf-8-sig") as lines:
            secret = lines.readline(_LONGEST).rstrip("\r\n")
    except OSError as error:
        raise file_error(CardKeyError, error, f"{what} {file}") from None
    except UnicodeDecodeError:
        raise CardKeyError(f"{what} {file}: not UTF-8 text") from None
    if not secret:
        raise CardKeyError(f"{what} {file}: its first line is empty")
    return secret
