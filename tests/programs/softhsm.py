"""SoftHSM 2 in a temporary folder: a real PKCS#11 token in software."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pkcs11
import pytest

from tests.custody.agents import folder_in_memory

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN, SO_PIN = "Wm4!tokenpin", "Wm4!officer"
_numbers = count(1)


class SoftHsm:
    """A folder with tokens. The environment variable SOFTHSM2_CONF names its configuration."""

    module = MODULE
    pin = PIN

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tokens"
        self.folder.mkdir()
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(
            f"directories.tokendir = {self.folder}\n"
            "objectstore.backend = file\n"
            "log.level = ERROR\n"
            "slots.removable = false\n"
        )

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.configuration)}

    def new_token(self, label: str | None = None) -> str:
        """Make a token with a PIN; return its label."""
        label = label or f"token-{next(_numbers)}"
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label,
             "--pin", PIN, "--so-pin", SO_PIN],
            env={**os.environ, **self.environment}, capture_output=True, check=True,
        )  # fmt: skip
        self.begin_again()
        return label

    def begin_again(self) -> None:
        """Let the library of this process look at the folder anew. All its sessions are gone."""
        pkcs11.lib(MODULE).reinitialize()

    def folder_of(self, label: str) -> Path:
        """The folder in which SoftHSM has the objects of a token."""
        (found,) = (
            folder
            for folder in self.folder.iterdir()
            if label.encode() in (folder / "token.object").read_bytes()
        )
        return found

    def put_back(self, label: str, saved: Path) -> None:
        """Let a token be as it was when its folder was copied."""
        folder = self.folder_of(label)
        shutil.rmtree(folder)
        shutil.copytree(saved, folder)
        self.begin_again()

    def session(self, label: str) -> pkcs11.Session:
        """A raw session with the PIN, as any program may open one."""
        token = pkcs11.lib(MODULE).get_token(token_label=label)
        try:
            return token.open(rw=True, user_pin=PIN)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open(rw=True)


@pytest.fixture(scope="session")
def softhsm() -> Iterator[SoftHsm]:
    """SoftHSM for this process and all that it starts."""
    with pytest.MonkeyPatch.context() as patch, folder_in_memory() as folder:
        hsm = SoftHsm(folder)
        patch.setenv("SOFTHSM2_CONF", str(hsm.configuration))
        pkcs11.lib(MODULE)
        hsm.begin_again()
        yield hsm
        pkcs11.lib(MODULE).finalize()
