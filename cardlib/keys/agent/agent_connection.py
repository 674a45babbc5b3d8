"""The connection to the key agent, which holds the root keys in a process of its own."""

import errno
import os
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ...errors import FormatError, KeysUnavailable, StorageError
from .agent_verbs import FORMS
from .agent_wire import (
    ERRORS,
    Document,
    ErrorForm,
    decoded,
    error_of,
    from_frame,
    read_frame,
    to_frame,
)

_LONGEST_ANSWER = 60.0
"""Seconds: unlocking takes one or two, and other callers may be before us."""
_WHY = {
    errno.ENOENT: "no key agent runs there. Start it with `rhcard agent run`",
    errno.ECONNREFUSED: "no key agent runs there any more. Start it with `rhcard agent run`",
    errno.EACCES: "your user may not speak to it. Ask for membership in its group",
    errno.EPERM: "your user may not speak to it. Ask for membership in its group",
    errno.ENOTSOCK: "it is no socket. Correct RHCARD_AGENT, or `agent` in rhcard.toml",
    errno.EAGAIN: "it has too many callers, or is too slow. Try again later",
}


class AgentConnection:
    """A connection to the key agent; threads may share it. It is made when it is first needed.

    If the agent ended it in the meantime, it is made again once: what was open at the agent, such
    as a session with a card, is gone then, and the agent says so.
    """

    def __init__(self, path: Path, errors: Iterable[ErrorForm] = ()) -> None:
        """Take the path of the agent's socket, and more errors that may come from it."""
        self.path, self._errors = path, (*ERRORS, *errors)
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self._drop()

    def __repr__(self) -> str:
        return f"<key agent {self.path}>"

    def call(self, verb: str, **members: object) -> Document:
        """Ask the agent for something; return the members of its answer, decoded.

        Raises KeysUnavailable when the agent is not there, locked or full, and CardKeyError when it
        refuses. Raises what the agent raised for what a card answered.
        """
        form = FORMS[verb]
        given = {name: value for name, value in members.items() if value is not None}
        reply = self._exchanged(to_frame({"verb": verb, **given}))
        if "error" in reply:
            error = error_of(reply["error"], self._errors)
            if isinstance(error, StorageError):
                raise KeysUnavailable(f"the key agent refuses, because it cannot write: {error}")
            raise error
        try:
            return decoded(form.returns, reply.get("ok"), verb)
        except FormatError as error:
            raise self._broken(f"its answer is not valid: {error}") from None

    def close(self) -> None:
        """End the connection, and with it what is open at the agent."""
        with self._lock:
            self._drop()

    def _exchanged(self, frame: bytes) -> Document:
        with self._lock:
            before = self._socket
            try:
                raw = self._sent(before or self._connected(), frame)
                if raw is None and before is not None:
                    raw = self._sent(self._connected(), frame)
            except OSError as error:
                self._drop()
                raise self._broken(_words(error)) from None
            except FormatError as error:
                self._drop()
                raise self._broken(f"its answer is not valid: {error}") from None
            if raw is None:
                self._drop()
                raise self._broken("it ended the connection. Look at its log")
        try:
            return from_frame(raw)
        except FormatError as error:
            raise self._broken(f"its answer is not valid: {error}") from None

    def _sent(self, to: socket.socket, frame: bytes) -> bytes | None:
        """Send a frame and read the answer; None when the other side has ended the connection.

        An agent with too many callers says so before it ends the connection.
        """
        with suppress(BrokenPipeError, ConnectionResetError):
            to.sendall(frame)
        try:
            return read_frame(to.recv)
        except (BrokenPipeError, ConnectionResetError):
            return None

    def _connected(self) -> socket.socket:
        self._drop()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(_LONGEST_ANSWER)
            made.connect(os.fspath(self.path))
        except BaseException:
            made.close()
            raise
        self._socket = made
        return made

    def _drop(self) -> None:
        held, self._socket = self._socket, None
        if held is not None:
            held.close()

    def _broken(self, why: str) -> KeysUnavailable:
        return KeysUnavailable(f"the key agent at {self.path} does not answer: {why}")


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"it took more than {_LONGEST_ANSWER:.0f} seconds"
    return _WHY.get(error.errno or 0) or (error.strerror or str(error))
