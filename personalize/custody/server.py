"""The socket of the key agent: who calls, one thread for each connection, and an end in order."""

import os
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from cardlib.errors import CardKeyError, FormatError, KeysUnavailable, StorageError
from cardlib.keys.agent.agent_wire import error_document, read_frame, to_frame

from .policy import Caller
from .process import socket_folder
from .service import AgentService

MOST_CONNECTIONS, MOST_OF_ONE = 64, 16
"""Connections at once: in all, and of one user."""
FRAME_SECONDS, SILENT_SECONDS = 10.0, 3600.0
"""How long a message may take from its first byte to its last; how long a caller may be silent."""
_WAITING, _TICK, _LAST_ANSWERS = 16, 1.0, 30.0
_CREDENTIALS = struct.Struct("3i")
_REFUSED_PAUSE = 0.2


class AgentServer:
    """Listens on the socket until it is told to stop."""

    def __init__(self, service: AgentService, path: Path, *, own_user_too: bool = False) -> None:
        """Make the socket: mode 0660, in a folder of mode 0750.

        `own_user_too` lets callers of the agent's own user in. Raises CardKeyError when another
        agent listens there, StorageError when it cannot be made.
        """
        self.service, self.path, self._own_user_too = service, path, own_user_too
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._of_user = Counter[int]()
        self._state = threading.Lock()
        self._woken, self._wake = socket.socketpair()
        self._listening = _listen(path)

    def __repr__(self) -> str:
        return f"<key agent at {self.path}>"

    def stop(self) -> None:
        """Tell `run` to end; a signal handler may call this."""
        with suppress(OSError):
            self._wake.send(b"!")

    def run(self) -> None:
        """Answer callers until `stop`; what is being done is finished first."""
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(self._listening, selectors.EVENT_READ)
                ready.register(self._woken, selectors.EVENT_READ)
                while True:
                    found = [key.fileobj for key, _ in ready.select(_TICK)]
                    if self._woken in found:
                        return
                    with suppress(StorageError):
                        self.service.lock_if_idle()
                    if found:
                        self._accept()
        finally:
            self._end()

    def _accept(self) -> None:
        try:
            made, _ = self._listening.accept()
        except OSError:
            return
        uid = _uid_of(made)
        with self._state:
            full = len(self._threads) >= MOST_CONNECTIONS or self._of_user[uid] >= MOST_OF_ONE
            if not full:
                thread = threading.Thread(target=self._serve, args=(made, uid), daemon=True)
                self._threads[thread] = made
                self._of_user[uid] += 1
        if full:
            _say(made, to_frame({"error": error_document(KeysUnavailable(_FULL))}))
            made.close()
        else:
            thread.start()

    def _serve(self, made: socket.socket, uid: int) -> None:
        try:
            if (caller := self._caller(uid)) is None:
                _say(made, self.service.refuse(uid, _stranger(uid)))
                time.sleep(_REFUSED_PAUSE)
            else:
                self._answer_all(made, caller)
        except OSError:
            pass  # The caller has gone, or was silent for too long.
        finally:
            made.close()
            with self._state:
                self._threads.pop(threading.current_thread(), None)
                self._of_user[uid] -= 1

    def _caller(self, uid: int) -> Caller | None:
        if uid == os.geteuid() and not self._own_user_too:
            return None
        return self.service.policy.callers.get(uid)

    def _answer_all(self, made: socket.socket, caller: Caller) -> None:
        desk = self.service.enter(caller)
        try:
            while True:
                receive = _Receiver(made)
                try:
                    raw = read_frame(receive.some)
                except FormatError as error:
                    _say(made, to_frame({"error": error_document(error)}))
                    return
                if raw is None:
                    return
                _say(made, self.service.answer(raw, desk))
        finally:
            self.service.leave(desk)

    def _end(self) -> None:
        """Take no more callers, finish what is being done, and remove the socket."""
        self._listening.close()
        with suppress(OSError):
            self.path.unlink()
        with self._state:
            left = dict(self._threads)
        for made in left.values():
            with suppress(OSError):
                made.shutdown(socket.SHUT_RD)
        until = time.monotonic() + _LAST_ANSWERS
        for thread in left:
            thread.join(max(0.0, until - time.monotonic()))
        self._woken.close()
        self._wake.close()


class _Receiver:
    """Reads one message: its first byte may take long, the rest may not."""

    def __init__(self, made: socket.socket) -> None:
        self._socket, self._until = made, 0.0

    def some(self, most: int) -> bytes:
        if not self._until:
            self._socket.settimeout(SILENT_SECONDS)
            found = self._socket.recv(most)
            self._until = time.monotonic() + FRAME_SECONDS
            return found
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv(most)


_FULL = "the key agent has as many callers as it takes. Try again later"


def _stranger(uid: int) -> str:
    return f"user id {uid} is not in the key agent's policy. Whoever keeps the policy can add it"


def _say(to: socket.socket, frame: bytes) -> None:
    to.settimeout(FRAME_SECONDS)
    to.sendall(frame)


def _uid_of(made: socket.socket) -> int:
    raw = made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def _listen(path: Path) -> socket.socket:
    group = socket_folder(path.parent)
    _remove_old(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        made.bind(os.fspath(path))
        os.chown(path, -1, group)
        made.listen(_WAITING)
    except OSError as error:
        made.close()
        raise StorageError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        os.umask(before)
    made.setblocking(False)
    return made


def _remove_old(path: Path) -> None:
    """Remove the socket that a killed agent left; CardKeyError if an agent still listens there."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(os.fspath(path))
        except OSError:
            with suppress(OSError):
                path.unlink()
            return
    raise CardKeyError(f"another key agent listens at {path}. Stop it first")
