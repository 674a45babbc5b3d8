"""A Dask cluster prepares the same cards; one that is not safe for residents' data is refused."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dask.config
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import LocalCluster, Security

from personalize.preparation.cluster import ClientFiles, Cluster, ClusterError, ClusterRefused
from personalize.preparation.workers import WorkerFault
from tests import DATA
from tests.preparation.test_many_residents import found_by, found_in_memory
from tests.programs.rhcard import rhcard

MEMORY = "distributed.worker.memory"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ClientFiles:
    """A CA, and one certificate from it that all of the cluster and its client use."""
    folder = tmp_path_factory.mktemp("certificates")
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("CA", ca_key, "CA", ca_key, is_ca=True)
    found = ClientFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    found.ca.write_bytes(ca)
    found.certificate.write_bytes(_certificate("preparation", key, "CA", ca_key, is_ca=False))
    found.key.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))  # fmt: skip
    return found


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: str,
    by_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> bytes:
    now = datetime.now(UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, by)]
    made = x509.CertificateBuilder(names[1], names[0], key.public_key(),
        x509.random_serial_number(), now - timedelta(1), now + timedelta(1))  # fmt: skip
    made = made.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    return made.sign(by_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Lax(Security):
    """A cluster whose scheduler takes anybody."""

    def get_listen_args(self, role: str) -> dict[str, Any]:
        found: dict[str, Any] = super().get_listen_args(role)  # type: ignore[no-untyped-call]
        found["ssl_context"].verify_mode = ssl.CERT_NONE
        return found


@contextmanager
def cluster(
    files: ClientFiles | None, kind: type[Security] = Security, spill: float = 0
) -> Iterator[str]:
    """A cluster of two workers, and the address of its scheduler."""
    security = Security()
    if files:
        ca, certificate, key = map(str, (files.ca, files.certificate, files.key))
        own = {
            f"tls_{role}_{what}": path
            for role in ("scheduler", "worker", "client")
            for what, path in (("cert", certificate), ("key", key))
        }
        security = kind(tls_ca_file=ca, require_encryption=True, **own)
    config = {f"{MEMORY}.target": spill or False, f"{MEMORY}.spill": spill or False}
    # The workers are threads of a long run of tests, whose memory must not make them pause.
    config |= {f"{MEMORY}.pause": False, f"{MEMORY}.terminate": False}
    with dask.config.set(config), LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
        security=security, protocol="tls://" if files else "tcp://",
        host="127.0.0.1", memory_limit="1GB",
    ) as found:  # fmt: skip
        yield found.scheduler_address


@pytest.fixture(scope="module")
def with_tls(files: ClientFiles) -> Iterator[str]:
    with cluster(files) as address:
        yield address


@pytest.mark.parametrize("name", ["residents.jsonl", "residents_bad.csv"])
def test_a_cluster_gives_the_same_cards_and_faults(
    with_tls: str, files: ClientFiles, name: str
) -> None:
    assert with_tls.startswith("tls://")
    with Cluster(with_tls, files) as workers:
        assert found_by(workers, DATA / name) == found_in_memory(DATA / name)


def test_an_error_of_the_program_on_the_cluster_is_named_without_its_text(
    with_tls: str, files: ClientFiles
) -> None:
    with Cluster(with_tls, files) as workers, pytest.raises(WorkerFault) as caught:
        list(workers.run(int, ["1", "王小明"]))
    assert "王小明" not in str(caught.value)


def test_a_command_prepares_on_a_cluster_of_this_computer() -> None:
    words = ("prepare", DATA / "residents.jsonl", "--check", "--issue-date", "2026-11-23")
    with cluster(None) as address:
        done = rhcard(*words, "--dask", address, "--json")
    assert (done.code, done.json["residents"]) == (0, 200)
    done = rhcard(*words, "--dask", address)
    assert (done.code, "there is no Dask scheduler" in done.err) == (11, True)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://192.0.2.1:8786", "only tls:// is used"),
        ("tcp://localhost:8786", "only tls:// is used"),
        ("tcp://[::2]:8786", "only tls:// is used"),
        ("tcp://127.0.0.2:8786", "only tls:// is used"),
        ("tls://127.0.0.1:8786", "with client certificates"),
        ("inproc://127.0.0.1/1", "is no address"),
        ("127.0.0.1:8786", "is no address"),
        ("tls://", "is no address"),
        ("tcp://127.0.0.1:99999", "is no address"),
    ],
)
def test_an_address_that_is_not_safe_is_refused_before_anything_is_sent(
    address: str, why: str
) -> None:
    with pytest.raises(ClusterRefused, match=why):
        Cluster(address)
    assert rhcard("prepare", DATA / "residents.jsonl", "--check", "--dask", address).code == 2


def test_a_scheduler_that_asks_for_no_certificate_is_refused(files: ClientFiles) -> None:
    why = "asks for no client certificate"
    with cluster(files, Lax) as address, pytest.raises(ClusterRefused, match=why):
        Cluster(address, files).__enter__()


def test_a_certificate_of_another_ca_is_refused(
    with_tls: str, files: ClientFiles, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    other = tmp_path / "other.pem"
    other.write_bytes(_certificate("CA", key, "CA", key, is_ca=True))
    with pytest.raises(ClusterRefused, match="not from the CA of --dask-ca"):
        Cluster(with_tls, ClientFiles(other, files.certificate, files.key)).__enter__()
    other.write_bytes(_certificate("preparation", key, "CA", key, is_ca=False))
    ours = ClientFiles(files.ca, other, tmp_path / "key.pem")
    ours.key.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))  # fmt: skip
    with pytest.raises(ClusterError, match="no Dask scheduler to work with"):
        Cluster(with_tls, ours).__enter__()


def test_workers_that_may_write_photos_on_a_disk_are_refused() -> None:
    why = "writes photos on a disk"
    with cluster(None, spill=0.6) as address, pytest.raises(ClusterRefused, match=why):
        Cluster(address).__enter__()


def test_the_options_of_a_cluster_belong_together(files: ClientFiles) -> None:
    words = ("prepare", DATA / "residents.jsonl", "--check")
    for more, why in (
        (("--dask-ca", files.ca), "have no effect without --dask"),
        (("--dask", "tls://h:1", "--dask-ca", files.ca), "belong together"),
        (("--dask", "tls://h:1", "--jobs", 2), "--jobs has no effect with --dask"),
    ):
        done = rhcard(*words, *more)
        assert (done.code, why in done.err) == (2, True)
