"""Put a software card into a virtual reader of pcscd, so that any PC/SC program can use it.

The driver is vpcd of the vsmartcard project. While pcscd runs it listens on one TCP port for each
slot. A message is its length (2 bytes, big-endian) and its bytes: one byte is an order of the
reader, anything else a command APDU. Only commands and the order for the ATR are answered. The
order "power off" (0) needs no action.
"""

import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ...errors import TransportError
from ...exchange import Connection
from ..chip.refusal import PowerCut

HOST = "127.0.0.1"
FIRST_PORT = 35963
"""The port of the first slot; the next slot has the next port (Debian's reader has two)."""
NOT_LISTENING = "pcscd not running: systemctl start pcscd"
INSERTED = "in the reader"
NO_ANSWER = "the reader does not answer: check whether another card is in it"
POWER_CUT = "power failed during a command"
NO_REPLY = "no reply"

_POWER_ON, _RESET, _GET_ATR = 1, 2, 4
_FIRST_RETRY, _LAST_RETRY = 0.1, 1.0
_GREETING_TIME = 3.0
_AWAY_TIME = 0.6
"""Seconds between two insertions: pcscd looks every 0.4 s and would not notice a shorter time."""


def _say_nothing(_: str) -> None: ...


class VirtualReader:
    """One slot of the virtual reader. A thread serves the card in it until it is removed.

    When pcscd stops and starts, the card is inserted again. A card that raises TransportError or
    PowerCut (`FaultyCard`) is removed, and inserted again when its `reset` works. The thread calls
    `report` with each change of state, in words. `failure` is any other exception of the card,
    which ended the thread.
    """

    def __init__(
        self,
        port: int = FIRST_PORT,
        host: str = HOST,
        report: Callable[[str], None] = _say_nothing,
    ) -> None:
        self._address = (host, port)
        self._report = report
        self._reported = ""
        self._empty_since = -math.inf
        self._removed = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None

    def insert(self, card: Connection) -> None:
        """Put a card into the slot; a card that is in it is removed first."""
        self.remove()
        self._removed.clear()
        self.failure = None
        self._thread = threading.Thread(
            target=self._run, args=(card,), name=f"virtual reader {self._address[1]}", daemon=True
        )
        self._thread.start()

    def remove(self) -> None:
        """Remove the card, after the running command was answered."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._lock:
            self._removed.set()
            if self._socket is not None:
                self._hang_up(self._socket)
        thread.join()

    def __enter__(self) -> "VirtualReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _run(self, card: Connection) -> None:
        try:
            self._stay_inserted(card)
        except Exception as error:  # noqa: BLE001  # for whoever watches the thread
            self.failure = error

    def _stay_inserted(self, card: Connection) -> None:
        while connection := self._wait_for_reader():
            self._talk(connection, card)
            self._empty_since = time.monotonic()
            self._wait_for_card(card)

    def _wait_for_reader(self) -> socket.socket | None:
        """Connect to the driver; return None if the card is removed before."""
        pause = max(0.0, self._empty_since + _AWAY_TIME - time.monotonic())
        while not self._removed.wait(pause):
            connection = connect(self._address)
            if connection is not None:
                return connection if self._attach(connection) else None
            self._tell(NOT_LISTENING)
            pause = min(max(2 * pause, _FIRST_RETRY), _LAST_RETRY)
        return None

    def _wait_for_card(self, card: Connection) -> None:
        """Reset the card, and try again while a fault keeps it from starting."""
        while True:
            try:
                card.reset()
            except (TransportError, PowerCut) as fault:
                self._tell(str(fault) or POWER_CUT)
            else:
                return
            if self._removed.wait(_LAST_RETRY):
                return

    def _attach(self, connection: socket.socket) -> bool:
        """Keep the connection that `remove` closes; return False if the card is removed already."""
        with self._lock:
            if self._removed.is_set():
                connection.close()
                return False
            self._socket = connection
            return True

    def _talk(self, connection: socket.socket, card: Connection) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wait_for_greeting(connection)
            self._tell(INSERTED)
            serve(connection, card)
        except (TransportError, PowerCut) as fault:
            self._tell(str(fault) or POWER_CUT)
        except ConnectionError:
            pass
        finally:
            with self._lock:
                self._socket = None
            connection.close()

    def _wait_for_greeting(self, connection: socket.socket) -> None:
        """Wait until the reader asks for the ATR, as it does unless another card is in it."""
        connection.settimeout(_GREETING_TIME)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            self._tell(NO_ANSWER)
            connection.settimeout(None)
            connection.recv(1, socket.MSG_PEEK)
        connection.settimeout(None)

    def _tell(self, state: str) -> None:
        if state != self._reported:
            self._reported = state
            self._report(state)

    @staticmethod
    def _hang_up(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def connect(address: tuple[str, int]) -> socket.socket | None:
    """Connect to the driver; return None while it does not listen."""
    try:
        connection = socket.create_connection(address)
    except OSError:
        return None
    # The port is in the range for outgoing connections: the socket may connect to itself.
    if connection.getsockname() == address:
        connection.close()
        return None
    return connection


def serve(connection: socket.socket, card: Connection) -> None:
    """Answer the reader until it closes the connection.

    Raises what the card raises, TransportError when the card's answer is empty (the driver would
    wait for it without end), and ConnectionError when the connection breaks.
    """
    receive, send, transmit = connection.recv, connection.sendall, card.transmit
    set_option, tcp, quick_ack = connection.setsockopt, socket.IPPROTO_TCP, socket.TCP_QUICKACK
    whole = socket.MSG_WAITALL
    while True:
        # The driver sends length and body separately: otherwise the body waits 44 ms for an ACK.
        set_option(tcp, quick_ack, 1)
        header = receive(2, whole)
        length = int.from_bytes(header, "big")
        message = receive(length, whole)
        if len(header) < 2 or len(message) < length:
            return
        response = transmit(message) if length != 1 else _obey(card, message[0])
        if response:
            send(len(response).to_bytes(2, "big") + response)
        elif length != 1:
            raise TransportError(NO_REPLY)


def _obey(card: Connection, order: int) -> bytes:
    if order == _GET_ATR:
        return card.atr
    if order in (_POWER_ON, _RESET):
        card.reset()
    return b""
