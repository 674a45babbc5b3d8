"""The signed manifest in the folder of a batch: reading it, and whose signature is taken."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cardlib.errors import FormatError, file_error
from cardlib.pki import SignatureRefused
from cardlib.pki.self_issued import SignerCertificate, parsed
from cardlib.pki.signed_data import SignedContent
from cardlib.pki.signed_data import opened as opened_signed
from cardlib.regular_file import read_regular
from cardlib.unfinished import wanted_name

from .batch_files import RESTORE
from .manifest import BatchError, Manifest
from .old_batch import HEADER_FILE

MANIFEST_FILE = "manifest.cms"
LARGEST_MANIFEST = 192 * 1024
_LARGEST_CERTIFICATE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates whose signatures are taken: each as it is, or whatever its key has signed.

    `at` is when a batch is issued; None when it is only read: then the time of the signature counts
    alone.
    """

    certificates: tuple[SignerCertificate, ...] = ()
    own: SignerCertificate | None = None
    at: datetime | None = None

    def with_own(self, certificate: bytes) -> "Trust":
        """The same, with whatever the key of a certificate has signed."""
        return Trust(self.certificates, parsed(certificate), self.at)

    def check(self, signed: SignedContent) -> None:
        """Raise SignatureRefused unless the signer is one of these, and its certificate is valid.

        The time is that of the signature, and `at`.
        """
        signer = signed.signer
        is_own = self.own is not None and self.own.point == signer.point
        if not is_own and all(each.tbs != signer.tbs for each in self.certificates):
            raise SignatureRefused(
                f"the certificate {signer.name} is unknown here: it is not that of these keys, and"
                " no file of --trusted DIR is this certificate"
            )
        for at in (signed.time, self.at):
            if at is not None:
                signer.check_time(at)


def trusted_in(folder: Path) -> tuple[SignerCertificate, ...]:
    """Read the certificates in a folder: every file of it, PEM or DER.

    Raises BatchError for a file that is no certificate of a signer.
    """
    return tuple(_certificates(sorted(folder.iterdir())))


def _certificates(paths: Iterable[Path]) -> Iterable[SignerCertificate]:
    from asn1crypto import pem

    for path in paths:
        try:
            raw = read_regular(path, _LARGEST_CERTIFICATE)
            der = pem.unarmor(raw)[2] if pem.detect(raw) else raw
            yield parsed(der)
        except OSError as error:
            raise file_error(BatchError, error, path) from None
        except (SignatureRefused, ValueError):
            raise BatchError(
                f"{path} is no certificate of a signer: take it out of the folder of trusted"
                " certificates"
            ) from None


def read_manifest(folder: Path) -> tuple[Manifest, SignedContent]:
    """Read a manifest and check its signature, but not whose it is. BatchError for damage."""
    path = folder / MANIFEST_FILE
    try:
        signed = opened_signed(read_regular(path, LARGEST_MANIFEST))
        return Manifest.from_json(signed.content), signed
    except FileNotFoundError:
        raise BatchError(
            f"{folder} is not a batch: there is no {MANIFEST_FILE} in it. Give the folder that was"
            " --out of `rhcard prepare`"
        ) from None
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    except (SignatureRefused, FormatError) as error:
        raise BatchError(f"{path}: damaged: {error}; {RESTORE}") from None


def refuse_unfinished(folder: Path) -> None:
    """BatchError when a folder was left by a `rhcard prepare` that was stopped."""
    if name := wanted_name(folder):
        raise BatchError(
            f"{folder} is not a batch: `rhcard prepare` was stopped while it made {name} here."
            " No card can be issued from it; prepare the list again"
        )


def is_old(folder: Path) -> bool:
    """Whether a folder has a batch of an older format."""
    return not (folder / MANIFEST_FILE).exists() and (folder / HEADER_FILE).exists()
