"""Work on chunks of rows on a Dask cluster, with the results in order.

Who reaches a port of Dask runs programs there, beside residents' data, and its results run ours.
So beyond this computer a cluster is used only with TLS and client certificates, and only if it
keeps nothing on a disk: a worker that is short of memory would write photos there.
"""

import ipaddress
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from cardlib.errors import CardError

from .. import __version__
from ..listing.extras import ExtraMissing
from .workers import Failed, WorkerDied, result_of

if TYPE_CHECKING:
    from distributed import Client, Future, Scheduler, Worker

_Chunk = TypeVar("_Chunk")
_Result = TypeVar("_Result")
_SECONDS, _PATIENCE = 10, 30
_HELD = 4
"""How many chunks for each thread of the cluster may be given and not yet used."""

_NO_SPILL = (
    "start them with the Dask settings distributed.worker.memory.target and"
    " distributed.worker.memory.spill set to false"
)


class ClusterError(CardError):
    """A Dask cluster cannot be reached, or does not do what is needed."""


class ClusterRefused(ClusterError):
    """A Dask cluster that is not safe for residents' data."""


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """PEM files: the CA of the cluster, and our certificate with its key."""

    ca: Path
    certificate: Path
    key: Path


class Cluster:
    """The workers of a Dask cluster, in a block."""

    def __init__(self, address: str, files: ClientFiles | None = None) -> None:
        """Use the cluster of a scheduler. Raises ClusterRefused for an address that is not safe."""
        self._address, self._files = address, files
        self._host, self._port = _checked(address, files)
        self._client: Client | None = None

    def __enter__(self) -> "Cluster":
        try:
            from distributed import Client, Security
        except ImportError:
            raise ExtraMissing("--dask", "distributed", "dask") from None
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        security = None
        _check_reachable(self._host, self._port)
        if self._files:
            _check_asks_for_certificates(self._host, self._port, self._files)
            ca, certificate, key = map(str, (self._files.ca, self._files.certificate,
                                             self._files.key))  # fmt: skip
            security = Security(tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key,
                                require_encryption=True)  # fmt: skip
        try:
            self._client = Client(
                self._address, security=security, timeout=_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TypeError):
            raise ClusterError(
                f"there is no Dask scheduler to work with at {self._address}"
            ) from None
        try:
            self._check(self._client)
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client:
            self._client.close()

    def _check(self, client: "Client") -> None:
        """Raise ClusterRefused when it is not safe; ClusterError when it has no fitting workers."""
        workers = client.run(_about_worker)
        if not workers:
            raise ClusterError(f"the Dask scheduler at {self._address} has no workers: start some")
        addresses = [*workers, *client.run_on_scheduler(_addresses)]
        for each in addresses if self._files else ():
            if not each.startswith("tls://"):
                raise ClusterRefused(f"the Dask cluster also listens at {each}, without TLS")
        for address, (version, spills) in workers.items():
            if version != __version__:
                raise ClusterError(
                    f"the Dask worker {address} has rhcard {version}, not {__version__}: install"
                    " the same there"
                )
            if spills:
                raise ClusterRefused(
                    f"the Dask worker {address} writes photos on a disk when memory is short:"
                    f" {_NO_SPILL}"
                )

    def run(
        self, work: Callable[[_Chunk], _Result], chunks: Iterable[_Chunk]
    ) -> Iterator[tuple[_Chunk, _Result]]:
        """Give each chunk with its result, in order.

        Raises WorkerDied when the cluster is gone, and what `work` raised if it is a CardError.
        """
        client = self._client
        assert client
        try:
            everywhere = client.scatter(work, broadcast=True, hash=False)
        except (TimeoutError, ValueError):
            raise WorkerDied(
                f"the Dask cluster at {self._address} has no worker that takes work: they may have"
                " too little memory. Start the command again when there are some"
            ) from None
        most = _HELD * max(1, sum(client.nthreads().values()))
        held: deque[tuple[_Chunk, Future[Any]]] = deque()
        for chunk in chunks:
            held.append((chunk, client.submit(result_of, everywhere, chunk, pure=False)))
            if len(held) >= most:
                yield self._taken(client, *held.popleft())
        while held:
            yield self._taken(client, *held.popleft())

    def _taken(self, client: "Client", chunk: _Chunk, future: "Future[Any]") -> tuple[_Chunk, Any]:
        from distributed import CancelledError, KilledWorker

        while True:
            try:
                result = future.result(timeout=_PATIENCE)
                break
            except TimeoutError:
                if client.status == "running" and client.nthreads():
                    continue
            except (CancelledError, KilledWorker, OSError):
                pass
            raise WorkerDied(
                f"the Dask cluster at {self._address} ended, or its workers, before the list was"
                " done. Start the command again when it is there"
            ) from None
        if isinstance(result, Failed):
            raise result.raised()
        return chunk, result


def _checked(address: str, files: ClientFiles | None) -> tuple[str, int]:
    """The host and port of a scheduler; ClusterRefused unless it is safe to work with."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        host, port = "", 0
    if not host or not port or parts.scheme not in ("tcp", "tls"):
        raise ClusterRefused(f"--dask {address} is no address: write tls://HOST:PORT")
    if parts.scheme == "tls" and files is None:
        raise ClusterRefused(
            "a Dask cluster is used with client certificates: add --dask-ca, --dask-cert and"
            " --dask-key"
        )
    if parts.scheme == "tcp" and (files is not None or not _is_this_computer(host)):
        raise ClusterRefused(
            f"--dask {address} is without TLS: who reaches a Dask port runs programs beside"
            " residents' data. Beyond 127.0.0.1 and ::1 only tls:// is used"
        )
    return host, port


def _is_this_computer(host: str) -> bool:
    """Whether a host is 127.0.0.1 or ::1. A name such as localhost may be anything."""
    try:
        return ipaddress.ip_address(host) in map(ipaddress.ip_address, ("127.0.0.1", "::1"))
    except ValueError:
        return False


def _check_reachable(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except OSError as error:
        why = error.strerror or "it does not answer"
        raise ClusterError(f"there is no Dask scheduler at {host}:{port}: {why}") from None


def _check_asks_for_certificates(host: str, port: int, files: ClientFiles) -> None:
    """Raise ClusterRefused when the scheduler speaks to a client that has no certificate."""
    try:
        context = ssl.create_default_context(cafile=files.ca)
        context.check_hostname = False  # Dask's certificates name no host; the CA is the cluster's
        with (
            socket.create_connection((host, port), _SECONDS) as plain,
            context.wrap_socket(plain) as channel,
        ):
            channel.settimeout(_SECONDS)
            if not channel.recv(1):
                return
    except ssl.SSLCertVerificationError:
        raise ClusterRefused(f"the certificate of {host} is not from the CA of --dask-ca") from None
    except (ssl.SSLError, ConnectionResetError):
        return
    except TimeoutError:
        pass
    except OSError as error:
        why = error.strerror or "it does not answer"
        raise ClusterError(f"there is no Dask scheduler at {host}:{port}: {why}") from None
    raise ClusterRefused(
        f"the Dask scheduler at {host}:{port} asks for no client certificate: who reaches it runs"
        " programs beside residents' data"
    )


def _about_worker(dask_worker: "Worker") -> tuple[str, bool]:
    """The version of this program at a worker, and whether it may write its data on a disk."""
    return __version__, type(dask_worker.data) is not dict


def _addresses(dask_scheduler: "Scheduler") -> list[str]:
    """Where the scheduler listens."""
    return [each.listen_address for each in dask_scheduler.listeners]
