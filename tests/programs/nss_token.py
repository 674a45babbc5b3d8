"""Mozilla's softokn as a second token: unlike SoftHSM it has SP 800-108 inside."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest

SOURCE = Path(__file__).with_name("nss_token.c")
LABEL, PIN = "softokn", "Wm4!nss pin"


@pytest.fixture(scope="session")
def nss_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The path of its module, with one token that has a PIN."""
    folder = tmp_path_factory.mktemp("nss")
    module = str(folder / "nss_token.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", module, SOURCE, "-ldl"], check=True)
    parameters = (
        f"configdir='sql:{folder}' certPrefix='' keyPrefix='' secmod='' flags="
        f" dbTokenDescription='{LABEL}'"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHCARD_NSS_PARAMETERS", parameters)
        token = pkcs11.lib(module).get_token(token_label=LABEL)
        officer = token.open(rw=True, so_pin="")
        officer.init_pin(PIN)
        officer.close()
        yield module
        pkcs11.lib(module).finalize()
