"""What all commands share: how they answer, and which keys they use."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import CardKeyError, file_error
from cardlib.regular_file import open_regular

from .exits import Exit
from .output import command_line, print_json, say

if TYPE_CHECKING:
    from cardlib.keys.issuer import Issuer
    from cardlib.keys.store import KeyStore
    from cardlib.keys.store.store_file import OpenStore

    from ..preparation.batch import Batch
    from ..preparation.batch_signature import Trust
    from ..production.station import BlankMaker
    from .configuration import Configuration

ENVIRONMENT = "RHCARD_PASSPHRASE"
NEW_ENVIRONMENT = "RHCARD_NEW_PASSPHRASE"
_LONGEST = 4096
_SHORTEST = 8
"""Characters of a new store's passphrase (NIST SP 800-63B 5.1.1.1)."""

_ONE_PERSON = (
    "{} is opened by one passphrase, so by one person alone. For residents' cards give it to"
    " custodians first: `rhcard keys migrate`. For a trial add --trial"
)


@dataclass(slots=True)
class Context:
    """The options that commands share. The main group makes it; each command gets it."""

    as_json: bool = False
    keys: Path | None = None
    passphrase_file: Path | None = None
    keys_from: str = ""
    agent: Path | None = None
    no_keys: bool = False
    profile: str | None = None
    settings: tuple[str, ...] = ()
    cipher: str | None = None
    key_version: int | None = None
    chip: str | None = None
    sam: str | None = None
    sam_pin_file: Path | None = None
    sam_reader: str | None = None
    trial: bool = False
    database: str | None = None
    station: str | None = None
    trusted: Path | None = None
    batch_store: "OpenStore | None" = field(default=None, repr=False)
    _configuration: "Configuration | None" = None

    @property
    def configuration(self) -> "Configuration":
        """The configuration, read when a command first asks for it. ConfigError when it is bad."""
        if self._configuration is None:
            from .configuration import load

            self._configuration = load()
        return self._configuration

    def take_configured_keys(self, *, roots: bool = False) -> None:
        """Without --keys, take the key store or the key agent that the configuration names.

        `keys_from` then says where a key store's name stands. CardKeyError when a token is named,
        or an agent and the command needs the `roots` in this process. UsageError when --keys and
        --no-keys are both given.
        """
        if self.keys is not None and self.no_keys:
            raise click.UsageError("--keys and --no-keys are both given: leave out one of them")
        if self.keys is not None or self.no_keys:
            return
        found = self.configuration.key_holder()
        if found.name == "agent" and not roots:
            self.agent = Path(str(found.value))
            return
        if found.name != "keys":
            raise CardKeyError(
                f"{found.name.partition('.')[0]} is set ({found.source}), and this command cannot"
                " use it: give --keys FILE"
            )
        if isinstance(found.value, Path):
            self.keys, self.keys_from = found.value, found.source

    def answer(self, document: Mapping[str, Any], code: Exit = Exit.GOOD) -> Exit:
        """Print the one JSON document of a command, with its exit code; return the code."""
        print_json({**document, "exit_code": int(code)})
        return code

    def suggest(self, *words: object, keys: bool = True, when: str = "") -> None:
        """Say which command comes next, as it can be pasted into a shell, and `when` it is right.

        It uses the same passphrase file, and with `keys` the same key store, as this call.
        """
        given = keys and self.keys and not self.keys_from
        shared: list[object] = ["--keys", self.keys] if given else []
        if self.passphrase_file:
            shared += ["--passphrase-file", self.passphrase_file]
        say(f"Next{when and f', {when}'}: {command_line(*words, *shared)}")

    def passphrase(self, *, new: bool = False) -> str:
        """The passphrase from a file, the environment or a prompt; twice at the prompt if `new`.

        CardKeyError when there is none.
        """
        if self.passphrase_file is not None:
            return first_line(self.passphrase_file)
        if passphrase := os.environ.get(ENVIRONMENT):
            return passphrase
        if not sys.stdin.isatty():
            raise CardKeyError(f"no passphrase: set {ENVIRONMENT} or give --passphrase-file FILE")
        text = "Passphrase for the new key store" if new else "Passphrase of the key store"
        return str(click.prompt(text, hide_input=True, confirmation_prompt=new, err=True))

    def new_passphrase(self) -> str:
        """The passphrase for a new store; CardKeyError when it is too short to protect one."""
        return long_enough(self.passphrase(new=True))

    def changed_passphrase(self, file: Path | None) -> str:
        """The passphrase that takes the place of the one of now: from a file, the environment or a
        prompt; CardKeyError when it is too short.
        """
        if file is not None:
            return long_enough(first_line(file))
        if passphrase := os.environ.get(NEW_ENVIRONMENT):
            return long_enough(passphrase)
        if not sys.stdin.isatty():
            raise CardKeyError(
                f"no new passphrase: set {NEW_ENVIRONMENT} or give --new-passphrase-file FILE"
            )
        text = "New passphrase of the key store"
        return long_enough(click.prompt(text, hide_input=True, confirmation_prompt=True, err=True))

    def open_store(self, path: Path | None = None) -> "OpenStore":
        """The key store of --keys, or the one at `path`, with all its versions.

        CardKeyError, before a passphrase is asked for, when there is none, when it is damaged, or
        when custodians open it.
        """
        from cardlib.keys.store.store_file import open_with_passphrase, read_header

        path = self.key_file(path)
        header = read_header(path)
        if header.is_production:
            raise CardKeyError(
                f"key store {path} is opened by two of its custodians, not by a passphrase:"
                f" {', '.join(header.custodians)}. Use the key agent: `rhcard agent unlock`"
            )
        return open_with_passphrase(path, self.passphrase())

    def store(self, path: Path | None = None) -> "KeyStore":
        """The newest version in the key store of --keys, or in the one at `path`.

        CardKeyError as `open_store` says.
        """
        return self.open_store(path).newest

    def key_file(self, path: Path | None = None) -> Path:
        """The path of a key store, as for `store`; CardKeyError when no file is there."""
        path = path or self.keys
        if path is None:
            raise CardKeyError("no key store: give --keys FILE")
        if not path.is_file():
            raise CardKeyError(f"no key store at {path}{self._whence(path)}: give --keys FILE")
        return path

    def issuer(self) -> "tuple[Issuer, BlankMaker]":
        """The issuer with the keys of --keys or of the key agent, and who makes blanks for it."""
        if self.agent is not None:
            from cardlib.issuance.agent_issuer import AgentIssuer

            from ..production.blanks import AgentBlanks

            issuer = AgentIssuer.at(self.agent)
            return issuer, AgentBlanks(issuer)
        from cardlib.issuance.local import LocalIssuer
        from cardlib.issuance.site_key_files import SiteKeyFolder

        store, path = self.store(), self.key_file()
        return LocalIssuer(store, SiteKeyFolder(path)), store

    def batch(
        self, folder: Path, *, issuing: bool = False, for_residents: bool = False
    ) -> "tuple[Batch, Issuer, BlankMaker]":
        """A batch with its issuer: of --keys, else of the key store that it was prepared with.

        It is the version of the keys that the batch was prepared with. CardKeyError when the store
        does not hold it, or when it is retired and the batch is for `issuing`, or when one person
        opens it, its keys are not published, and real cards are made `for_residents`.
        """
        from cardlib.issuance.agent_issuer import AgentIssuer
        from cardlib.issuance.local import LocalIssuer
        from cardlib.issuance.site_key_files import SiteKeyFolder

        from ..preparation.batch import Batch, read_header
        from ..production.blanks import AgentBlanks

        header = read_header(folder)
        trust = self.trust(at=datetime.now(UTC) if issuing else None)
        self.take_configured_keys()
        path = self.keys or Path(header.key_store_hint)
        if self.agent is not None:
            agent = AgentIssuer.at(self.agent, header.key_store_identity, issuing=issuing)
            if for_residents and agent.is_of_one_person and not agent.is_test:
                raise CardKeyError(_ONE_PERSON.format("the key agent's store"))
            batch = Batch.open(folder, agent, trust)
            if issuing:
                batch.refuse_foreign()
            return batch, agent, AgentBlanks(agent)
        store, wanted = self.open_store(path), header.key_store_identity
        self.batch_store = store
        known = [each.identity for each in store.header.versions]
        if wanted not in known:
            raise CardKeyError(
                f"{path}{self._whence(path)} is not the key store of this batch: it is"
                f" {', '.join(known)}, the batch was prepared with {wanted}; give --keys FILE"
            )
        keys = store.for_issuing(wanted) if issuing else store.of(wanted)
        if for_residents and not (keys.is_test or store.is_production):
            raise CardKeyError(_ONE_PERSON.format(path))
        issuer = LocalIssuer(keys, SiteKeyFolder(path))
        batch = Batch.open(folder, issuer, trust)
        if issuing:
            batch.refuse_foreign()
        return batch, issuer, keys

    def trust(self, at: datetime | None = None) -> "Trust":
        """The certificates in the folder of --trusted; `at` is now when cards are made."""
        from ..preparation.batch_signature import Trust, trusted_in

        return Trust(trusted_in(self.trusted) if self.trusted else (), at=at)

    def _whence(self, path: Path) -> str:
        """Where a path is from, in brackets, if the configuration named it."""
        return f" ({self.keys_from})" if self.keys_from and path == self.keys else ""


def long_enough(passphrase: str) -> str:
    """A new passphrase; CardKeyError when it is too short to protect anything."""
    if len(passphrase) < _SHORTEST:
        raise CardKeyError(
            f"the passphrase is too short: use {_SHORTEST} characters or more. It protects the"
            " keys of all cards"
        )
    return passphrase


def _is_own_pipe(file: Path) -> bool:
    """Whether it is a pipe that the shell made for us: /dev/stdin, or <(…). It has a writer."""
    return bool(re.fullmatch(r"/proc/\d+/fd/pipe:\[\d+\]", os.path.realpath(file)))


def first_line(file: Path, what: str = "passphrase file") -> str:
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
