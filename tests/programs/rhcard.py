"""Run the command rhcard in this process or in one of its own, for tests of the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from click.testing import CliRunner

from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.keys.store import KeyStore
from personalize.cli import main
from personalize.sample.sample_batch import ISSUE_DATE, SAMPLE
from tests import QUICK_SCRYPT_N, ROOT
from tests.custody.people import person

PASSPHRASE = "correct horse"
IMPORT_MAIN = f"""
from cardlib.keys.store import passphrase
passphrase.SCRYPT["n"] = {QUICK_SCRYPT_N}
from personalize.cli import main
"""
"""How a process of its own gets `main`, with the scrypt of test stores."""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def rhcard(*words: object, passphrase: str | None = PASSPHRASE) -> Ran:
    """Run it here; nothing but a SystemExit may come out."""
    result = CliRunner(env={"RHCARD_PASSPHRASE": passphrase}).invoke(main, [*map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return Ran(result.exit_code, result.stdout, result.stderr)


def spawned(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
    program: str = f"{IMPORT_MAIN}main()",
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[str] = subprocess.PIPE,
) -> "subprocess.Popen[str]":
    """Start it as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        pass_fds=pass_fds,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RHCARD_PASSPHRASE": PASSPHRASE, **(env or {})},
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="strict" if "--json" in words else "replace",
    )


def ran(*words: object, **options: Any) -> Ran:
    """Run it as a process of its own, to its end; the options are those of `spawned`."""
    process = spawned(*words, **options)
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err)


def key_file(
    folder: Path, *, test: bool = False, name: str = "keys.json", protocol: int = 2
) -> Path:
    """A key store file that opens quickly."""
    KeyStore.create(folder / name, PASSPHRASE, test, protocol, Cipher.SM4)
    return folder / name


def public_operator(folder: Path, name: str, **more: object) -> Path:
    """The public file of a custodian; `more` are other members than theirs."""
    path = folder / f"{name}.json"
    record = person(name).key.operator.as_dict()
    path.write_text(json.dumps({**record, **more}), "utf-8")
    return path


def residents(folder: Path, count: int, skip: int = 0) -> Path:
    """A CSV of some residents of the sample."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    source = folder / f"residents {skip}.csv"
    source.write_text("\n".join([lines[0], *lines[1 + skip : 1 + skip + count]]) + "\n", "utf-8")
    return source


def prepare(folder: Path, keys: Path, count: int, *, skip: int = 0, name: str = "batch") -> Path:
    """A batch by rhcard prepare."""
    done = rhcard(
        "prepare", residents(folder, count, skip), "--keys", keys, "--out", folder / name,
        "--photos", SAMPLE.parent, "--issue-date", f"{ISSUE_DATE:%Y-%m-%d}",
    )  # fmt: skip
    assert done.code == 0, done.err
    return folder / name


def saved(card: SoftwareCard, path: Path) -> Path:
    """A card as a file that no program has in use."""
    card.save(path)
    card.close()
    return path
