"""The signed manifest: its form, its signer, its time; no byte of a batch can be another one."""

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cardlib.errors import CardError, FormatError
from cardlib.issuance.batches import LocalSealedBatch, cipher_of
from cardlib.issuance.local import LocalIssuer
from cardlib.pki.p256 import new_private_key
from cardlib.pki.self_issued import LocalSigner, parsed
from cardlib.pki.signed_data import sign
from personalize.preparation.batch import Batch, BatchError, read_header, write_batch
from personalize.preparation.batch_signature import (
    MANIFEST_FILE,
    Trust,
    read_manifest,
    trusted_in,
)
from personalize.preparation.manifest import Manifest
from tests.preparation.test_batch import ISSUER, OTHER_ISSUER, card, header

FILES = (MANIFEST_FILE, "records.bin", "holders.bin")
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "batch"
    write_batch(folder, header(3), map(card, range(1, 4)), LocalIssuer(ISSUER))
    return folder


@pytest.fixture
def batch(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "batch"))


def members(batch: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read_manifest(batch)[1].content)
    return found


def put(batch: Path, content: object, signer: LocalSigner | None = None) -> None:
    """Sign another manifest, as only who has the preparing keys can."""
    raw = content if isinstance(content, bytes) else canonical(content)
    signed = sign(raw, signer or ISSUER.preparation_signer)
    (batch / MANIFEST_FILE).write_bytes(signed)


def canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


# --- what outside programs say of it ------------------------------------------------------


def test_openssl_takes_the_signature_and_shows_the_manifest(made: Path, tmp_path: Path) -> None:
    certificate = x509.load_der_x509_certificate(ISSUER.preparation_signer.certificate)
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    words = (
        "openssl", "cms", "-verify", "-inform", "DER", "-in", made / MANIFEST_FILE, "-binary",
        "-CAfile", tmp_path / "ca.pem", "-purpose", "any",
    )  # fmt: skip
    done = subprocess.run(words, capture_output=True, check=True, timeout=60)
    assert done.stdout == read_manifest(made)[0].to_json()


# --- changed bytes ------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_no_changed_byte_opens(batch: Path, name: str) -> None:
    raw = (batch / name).read_bytes()
    chance = random.Random(name)
    for at in range(0, len(raw), 1 if name == MANIFEST_FILE else 3):
        changed = bytearray(raw)
        changed[at] ^= 1 << chance.randrange(8)
        (batch / name).write_bytes(changed)
        with pytest.raises(BatchError) as caught:
            Batch.open(batch, LocalIssuer(ISSUER))
        assert name in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda _: b""])
def test_a_shorter_or_longer_file_does_not_open(
    batch: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    (batch / name).write_bytes(change((batch / name).read_bytes()))
    with pytest.raises(BatchError, match=name):
        Batch.open(batch, LocalIssuer(ISSUER))


def test_records_that_were_sealed_by_a_forger_with_the_range_key_do_not_open(batch: Path) -> None:
    """A site has the key of its range: only the signed root shows that a record is not hers."""
    manifest = read_manifest(batch)[0]
    forged = LocalIssuer(ISSUER).sealed_batch(
        Batch.open(batch, LocalIssuer(ISSUER)).uuid, 3, manifest.ranges
    )
    assert isinstance(forged, LocalSealedBatch)
    cipher = cipher_of(forged.record_key(2))
    batch_id = Batch.open(batch, LocalIssuer(ISSUER)).uuid
    bound = batch_id.bytes + (2).to_bytes(4, "big") + (3).to_bytes(4, "big")
    sealed = cipher.encrypt(bytes(12), card(2).to_bytes(), bound)
    assert sealed in (batch / "records.bin").read_bytes()
    other = bytearray(card(2).to_bytes())
    other[-1] ^= 1
    wrong = cipher.encrypt(bytes(12), bytes(other), bound)
    raw = (batch / "records.bin").read_bytes().replace(sealed, wrong)
    (batch / "records.bin").write_bytes(raw)
    with pytest.raises(BatchError, match="the records are not those that were signed"):
        Batch.open(batch, LocalIssuer(ISSUER))


# --- the signer ---------------------------------------------------------------------------


def of_year(year: int) -> LocalSigner:
    signer = ISSUER.preparation_signer
    assert isinstance(signer, LocalSigner)
    made = LocalSigner(new_private_key(), signer.name, year)
    made._key = signer._key
    return made


def test_a_batch_signed_by_others_is_refused_and_taken_from_those_that_are_trusted(
    batch: Path, tmp_path: Path
) -> None:
    others = LocalSigner(new_private_key(), "another bureau")
    put(batch, members(batch), others)
    with pytest.raises(BatchError, match="the certificate another bureau is unknown here"):
        Batch.open(batch, LocalIssuer(ISSUER))
    folder = tmp_path / "trusted"
    folder.mkdir()
    pem = x509.load_der_x509_certificate(others.certificate).public_bytes(Encoding.PEM)
    (folder / "a.pem").write_bytes(pem)
    (folder / "b.der").write_bytes(OTHER_ISSUER.preparation_signer.certificate)
    trust = Trust(trusted_in(folder))
    assert trust.certificates[0].name == "another bureau"
    assert Batch.open(batch, LocalIssuer(ISSUER), trust).card(1) == card(1)
    (folder / "c.pem").write_text("no certificate")
    with pytest.raises(BatchError, match=r"c\.pem is no certificate of a signer"):
        trusted_in(folder)


def test_a_forger_with_a_certificate_of_the_same_name_is_unknown(batch: Path) -> None:
    known = LocalSigner(new_private_key(), "preparation")
    put(batch, members(batch), LocalSigner(new_private_key(), "preparation"))
    with pytest.raises(BatchError, match="unknown here"):
        Batch.open(batch, LocalIssuer(ISSUER), Trust((parsed(known.certificate),)))


@pytest.mark.parametrize(
    ("year", "message"),
    [
        (NOW.year - 3, f"expired on {NOW.year - 1}-01-01"),
        (NOW.year + 1, f"is valid from {NOW.year + 1}-01-01 on"),
    ],
)
def test_an_expired_certificate_and_one_that_is_not_yet_valid_are_refused(
    batch: Path, year: int, message: str
) -> None:
    put(batch, members(batch), of_year(year))
    with pytest.raises(BatchError, match=message):
        Batch.open(batch, LocalIssuer(ISSUER))


def test_a_signature_counts_when_it_was_made_and_for_issuing_also_now(made: Path) -> None:
    """A batch is read for ever, and issued until the certificate ends."""
    late = datetime(NOW.year + 3, 1, 1, tzinfo=UTC)
    assert len(list(Batch.open(made, LocalIssuer(ISSUER), Trust()).cards())) == 3
    assert len(list(Batch.open(made, LocalIssuer(ISSUER), Trust(at=NOW)).cards())) == 3
    with pytest.raises(BatchError, match="expired"):
        Batch.open(made, LocalIssuer(ISSUER), Trust(at=late))


# --- the form -----------------------------------------------------------------------------


def range_with(**members: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda found: found | {"ranges": [found["ranges"][0] | members]}


WRONG: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda found: found | {"format": "rhcard batch 4"},
    "no object": lambda found: [found],
    "a missing member": lambda found: {n: v for n, v in found.items() if n != "records_root"},
    "an unknown member": lambda found: found | {"more": 1},
    "a wrong type": lambda found: found | {"count": "3"},
    "a truth as a number": lambda found: found | {"count": True},
    "a negative count": lambda found: found | {"count": -1},
    "an unknown cipher": lambda found: found | {"cipher": 9},
    "no batch id": lambda found: found | {"batch_id": "x"},
    "a batch id in capitals": lambda found: found | {"batch_id": found["batch_id"].upper()},
    "a short root": lambda found: found | {"records_root": "00"},
    "a tree of another size": lambda found: found | {"tree_size": 2},
    "no range": lambda found: found | {"ranges": []},
    "a range that is none": lambda found: found | {"ranges": [1]},
    "a doubled range": lambda found: found | {"ranges": found["ranges"] * 2},
    "a range too short": range_with(last=2),
    "a range too long": range_with(last=4),
    "a range from 0": range_with(first=0),
    "a range without a key": range_with(key_id="x"),
    "a range with more": range_with(more=1),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_signed_manifest_that_is_none_is_told(
    batch: Path, wrong: Callable[[dict[str, Any]], object]
) -> None:
    put(batch, wrong(members(batch)))
    with pytest.raises(BatchError, match=r"manifest\.cms: damaged: "):
        read_header(batch)


def test_the_manifest_has_one_way_to_be_written(batch: Path) -> None:
    content = members(batch)
    for text in (json.dumps(content, indent=1), json.dumps(content, sort_keys=True)):
        with pytest.raises(FormatError, match="canonical"):
            Manifest.from_json(text.encode())
    assert Manifest.from_json(canonical(content)).to_json() == canonical(content)


@pytest.mark.parametrize("raw", [b"", b"{", b"\x30\x80", b"0" * 70_000, b"\x30\x03\x02\x01\x01"])
def test_what_is_no_signed_data_is_told(batch: Path, raw: bytes) -> None:
    (batch / MANIFEST_FILE).write_bytes(raw)
    with pytest.raises(BatchError, match=r"manifest\.cms: damaged"):
        read_header(batch)


def test_a_manifest_that_is_too_large_is_told(batch: Path) -> None:
    (batch / MANIFEST_FILE).write_bytes(bytes(1 << 20))
    with pytest.raises(CardError, match=r"manifest\.cms"):
        read_header(batch)


def test_roots_that_were_signed_for_other_records_are_told(batch: Path) -> None:
    put(batch, members(batch) | {"records_root": "00" * 32})
    with pytest.raises(BatchError, match="the records are not those that were signed"):
        Batch.open(batch, LocalIssuer(ISSUER))
    put(batch, members(batch) | {"holders_root": "00" * 32})
    with pytest.raises(BatchError, match=r"holders\.bin: damaged, or copied from another batch"):
        Batch.open(batch, LocalIssuer(ISSUER))
