"""pcsc-tools' scriptor, run on a script: at a software card by a socket, or at a real reader."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from cardlib.exchange import Connection

_READER_MODULE = Path(__file__).with_name("scriptor_reader")
_TIMEOUT = 30


class Said(NamedTuple):
    """What scriptor says of one line: the command, empty for a reset, and the answer's bytes."""

    command: bytes
    answer: bytes


class Ran(NamedTuple):
    """One run of scriptor: its exit code, what it exchanged, and what it complained of."""

    code: int
    exchanges: list[Said]
    complaints: str


def run_on_reader(script: Path, reader: str) -> Ran:
    """Run a script on the card in a PC/SC reader; pcscd must be running."""
    return _run([_scriptor(), "-r", reader, str(script)], {})


def run_on_card(script: Path, card: Connection) -> Ran:
    """Run a script on a card of this process, with no reader and no pcscd."""
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder, "reader"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            thread = threading.Thread(target=_serve, args=(listener, card), daemon=True)
            thread.start()
            perl = ["perl", f"-I{_READER_MODULE}", "-MSoftwareReader", _scriptor(), str(script)]
            ran = _run(perl, {"SOFTWARE_READER": address})
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(_TIMEOUT)
    return ran


def _scriptor() -> str:
    found = shutil.which("scriptor")
    assert found, "scriptor is needed: apt-get install pcsc-tools"
    return found


def _serve(listener: socket.socket, card: Connection) -> None:
    """Answer one reader's lines until it hangs up."""
    try:
        connection, _ = listener.accept()
    except OSError:
        return
    with connection, connection.makefile("rw", encoding="ascii") as lines:
        for line in lines:
            word = line.strip()
            answer = card.reset() if word == "reset" else card.transmit(bytes.fromhex(word))
            lines.write(answer.hex() + "\n")
            lines.flush()


def _run(command: list[str], environment: dict[str, str]) -> Ran:
    done = subprocess.run(
        command,
        env={**os.environ, **environment, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_TIMEOUT,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith(_NOT_COMPLAINTS)]
    return Ran(done.returncode, _exchanges(done.stdout), "\n".join(said))


_NOT_COMPLAINTS = ("Using given ", "No reader given: using ", "Reading commands from STDIN")
# Not anchored: after a last line without its end, scriptor goes on in the same line.
_EXCHANGE = re.compile(
    r"> (?:(?P<reset>RESET)\n< OK: (?P<atr>[0-9A-F \n]*?)\n"
    r"|(?P<command>[0-9A-Fa-f ]+)\n< (?P<answer>[0-9A-F \n]+?) :)"
)


def _exchanges(printed: str) -> list[Said]:
    return [
        Said(bytes.fromhex(found["command"] or ""), bytes.fromhex(found["atr"] or found["answer"]))
        for found in _EXCHANGE.finditer(printed)
    ]
