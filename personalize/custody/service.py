"""Answers requests to the key agent: who asks, may it, is it right; then it is done and logged."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from traceback import extract_tb
from typing import TypeVar

from cardlib.errors import CardError, CardKeyError, FormatError, KeysUnavailable, StorageError
from cardlib.issuance.agent_issuer import AGENT_ERRORS
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.agent.agent_verbs import FORMS
from cardlib.keys.agent.agent_wire import (
    Document,
    decoded,
    error_document,
    from_frame,
    plain,
    to_frame,
)

from .jobs import JobBook
from .limits import HashLimit
from .log import AgentLog, LogDamaged, open_log
from .policy import Caller, Policy, Stock
from .receipts import Receipts
from .roles import Role
from .site_key_book import SiteKeyBook
from .statement import Nonces
from .vault import LOCKED, Vault

_LONGEST_RESULT = 200
MOST_OPEN = 64
"""What one connection can have open at once: sessions, batches and the like."""


Answer = Mapping[str, object]
"""The members of a reply."""
T = TypeVar("T")


@dataclass(slots=True)
class Desk:
    """What one connection has open at the agent: it ends with the connection, or when it locks.

    A thing that is open has a number, its handle. The oldest makes room for a new one.
    """

    caller: Caller
    opened: dict[int, object] = field(default_factory=dict, repr=False)
    batch: object = field(default=None, repr=False)
    last: int = 0

    def put(self, thing: object) -> int:
        """Keep something open; return its handle."""
        if len(self.opened) >= MOST_OPEN:
            self.opened.pop(next(iter(self.opened)))
        self.last += 1
        self.opened[self.last] = thing
        return self.last

    def get(self, kind: type[T], handle: int) -> T:
        """What is open under a handle. Raises CardKeyError when it is not, or of another kind."""
        found = self.opened.get(handle)
        if not isinstance(found, kind):
            raise CardKeyError(
                f"{handle} is nothing that is open at the key agent: it was ended, or the agent was"
                " locked or started again. Begin again"
            )
        return found

    def take(self, kind: type[T], handle: int) -> T:
        """What is open under a handle, which then is not open any more."""
        found = self.get(kind, handle)
        del self.opened[handle]
        return found

    def clear(self) -> None:
        """Drop all that is open."""
        self.opened.clear()
        self.batch = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way: the agent, who asks, and what with."""

    service: "AgentService"
    desk: Desk
    given: Document

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.desk.caller

    @property
    def issuer(self) -> LocalIssuer:
        """The issuer with the key version that the request names."""
        keys = self.service.vault.of(self.given["identity"].hex())
        return LocalIssuer(keys, self.service.site_keys)

    @property
    def maker(self) -> LocalIssuer:
        """The same issuer, to make cards. Raises CardKeyError when its key version is retired."""
        keys = self.service.vault.for_issuing(self.given["identity"].hex())
        return LocalIssuer(keys, self.service.site_keys)


@dataclass(frozen=True, slots=True)
class Verb:
    """What the agent does at a verb, and for whom.

    `logged` are the members that the log shows. `handle` is the member that names what is used of
    all that is open: it is over after any error. `locked_too` says that it needs no keys. A verb
    that only `continues` what was logged when it was begun is logged when it is refused.
    """

    handler: Callable[[Call], Answer]
    roles: frozenset[Role]
    logged: tuple[str, ...] = ()
    handle: str = ""
    locked_too: bool = False
    continues: bool = False


class AgentService:
    """The key agent without its socket. Acts happen one by one, each with its log entry."""

    def __init__(
        self,
        vault: Vault,
        policy: Policy,
        jobs: JobBook,
        log: AgentLog,
        verbs: Mapping[str, Verb],
    ) -> None:
        """Take the parts. Raises LogDamaged when the file of jobs knows a longer log."""
        self.vault, self.policy, self.jobs, self.log = vault, policy, jobs, log
        self.stock, self.hashes = Stock(policy), HashLimit()
        self.site_keys = SiteKeyBook(jobs)
        self.nonces, self.receipts = Nonces(), Receipts(log.path.parent / "receipts")
        self._verbs, self._acts = verbs, threading.RLock()
        self._desks: dict[int, Desk] = {}

    def __repr__(self) -> str:
        return f"<key agent, {self.vault!r}, {self.log!r}>"

    def answer(self, raw: bytes, desk: Desk) -> bytes:
        """Do what a request says, if it may be done; return the frame of the reply."""
        with self._acts:
            return to_frame(self._reply(raw, desk))

    def refuse(self, uid: int, why: str) -> bytes:
        """Log that somebody unknown asked; return the frame of the refusal."""
        with self._acts:
            error = CardKeyError(why)
            try:
                self._entered(uid, "", "", {}, str(error))
            except StorageError as full:
                return to_frame({"error": error_document(full)})
            return to_frame({"error": error_document(error)})

    def note(self, event: str) -> None:
        """Log something that nobody asked for, such as the start."""
        with self._acts:
            self._entered(-1, "", event, {}, "done")

    def enter(self, caller: Caller) -> Desk:
        """Make a desk for a connection."""
        with self._acts:
            desk = Desk(caller)
            self._desks[id(desk)] = desk
            return desk

    def leave(self, desk: Desk) -> None:
        """Drop what is open at a desk: its connection has ended."""
        with self._acts:
            desk.clear()
            self._desks.pop(id(desk), None)

    def lock(self) -> None:
        """Forget the keys, and what is open at every desk."""
        with self._acts:
            for desk in self._desks.values():
                desk.clear()
            self.vault.lock()

    def forget_batches(self) -> None:
        """Drop the batches that were opened at every desk, with their keys."""
        for desk in self._desks.values():
            desk.batch = None

    def lock_if_idle(self) -> None:
        """Lock if nobody used the keys for long enough, and log that."""
        with self._acts:
            if self.vault.is_idle:
                self.lock()
                self.note("locked, because it was idle")

    def _reply(self, raw: bytes, desk: Desk) -> Document:
        name, about = "", {}
        given: Document = {}
        entry = 0
        try:
            name, given = self._request(raw)
            verb = self._allowed(name, desk.caller)
            about = {each: plain(given[each]) for each in verb.logged if given[each] is not None}
            with self.jobs.transaction():
                result = verb.handler(Call(self, desk, given))
                if self.jobs.has_changed:
                    entry = self._log(desk.caller, name, about, "done", counted=True)
                    self.jobs.note_log(entry)
                elif not verb.continues:
                    self._log(desk.caller, name, about, "done")
            return {"ok": result}
        except CardError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a caller must not end the agent
            failure = CardError(_fault(error))
        if name and (handle := given.get(self._verbs[name].handle)) is not None:
            desk.opened.pop(handle, None)
        # With an entry it was done and logged, and then the file of jobs could not be written.
        more = {"uncounted": entry} if entry else {}
        return self._refused(desk.caller, name, about, failure, **more)

    def _request(self, raw: bytes) -> tuple[str, Document]:
        document = from_frame(raw)
        name = document.pop("verb", None)
        if not isinstance(name, str) or name not in self._verbs:
            raise FormatError("the request names no verb of the key agent")
        return name, decoded(FORMS[name].takes, document, name)

    def _allowed(self, name: str, caller: Caller) -> Verb:
        verb = self._verbs[name]
        if not caller.roles & verb.roles:
            raise CardKeyError(f"{caller.name} may not use {name}: its role is {caller.role}")
        if caller.verbs is not None and name not in caller.verbs:
            raise CardKeyError(f"{caller.name} may not use {name}: its policy does not list it")
        if self.vault.is_locked and not verb.locked_too:
            raise KeysUnavailable(LOCKED)
        return verb

    def _refused(
        self,
        caller: Caller,
        verb: str,
        about: Mapping[str, object],
        error: CardError,
        **more: object,
    ) -> Document:
        try:
            self._log(caller, verb, about, str(error), **more)
        except StorageError as full:
            error = full
        return {"error": error_document(error, AGENT_ERRORS)}

    def _log(
        self,
        caller: Caller,
        verb: str,
        about: Mapping[str, object],
        result: str,
        **more: object,
    ) -> int:
        return self._entered(caller.uid, caller.name, verb, about, result, **more)

    def _entered(
        self,
        uid: int,
        caller: str,
        verb: str,
        about: Mapping[str, object],
        result: str,
        **more: object,
    ) -> int:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        short = result[:_LONGEST_RESULT]
        entry = {"time": time, "uid": uid, "caller": caller, "verb": verb, "about": about}
        return self.log.append({**entry, "result": short, **more})


def open_files(state: Path, head: Path) -> tuple[JobBook, AgentLog]:
    """Open the files of an agent in its state folder, and check that they fit.

    Raises LogDamaged when the file of jobs knows a longer log than there is.
    """
    log = open_log(state / "agent.log", head)
    jobs = JobBook(state / "jobs.sqlite")
    try:
        with jobs.transaction():
            _check_jobs(jobs, log)
    except BaseException:
        jobs.close()
        log.close()
        raise
    return jobs, log


def _check_jobs(jobs: JobBook, log: AgentLog) -> None:
    """Raise LogDamaged unless the file of jobs was changed last by the entry that the log names."""
    known, counted = jobs.log_number(), log.counted
    if known > log.number:
        raise LogDamaged(
            f"{log.path}: its newest entry is {log.number}, and {jobs.path} knows of {known}. The"
            " log was put back from a copy, or removed. Put the newest one back"
        )
    if known == (counted[-1] if counted else 0):
        return
    if counted[-1:] == [log.number] and known == (counted[0] if len(counted) > 1 else 0):
        jobs.note_log(log.number)  # a cut came after the entry: nobody got an answer to it
        return
    raise LogDamaged(
        f"{jobs.path}: it was put back from a copy, or removed: its last change is that of entry"
        f" {known} of the log, and the log says {counted[-1] if counted else 0}. Put the newest one"
        " back. If it is lost, keep log and head, and move all three away: then the agent begins"
        " anew, and knows no jobs"
    )


def _fault(error: Exception) -> str:
    """The kind of an error and its place, but not its text: that may hold a secret."""
    frames = extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"an error in the key agent itself, please report it: {type(error).__name__}{place}"
