"""Batches of format 2, which an older version has made, are read; those of format 1 are refused.

The folder beside this file was made by that version, with the public test keys.
"""

import json
import shutil
from pathlib import Path

import pytest

from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from personalize.preparation.batch import Batch, BatchError, BatchHeader, read_header
from tests.preparation.test_batch import card

OLD = Path(__file__).parent / "batch_of_format_2"
ISSUER = LocalIssuer(KeyStore(public_test_roots()))


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "batch"))


def change(batch: Path, **members: object) -> None:
    fields = json.loads((batch / "batch.json").read_text(encoding="utf-8"))
    (batch / "batch.json").write_text(json.dumps(fields | members), encoding="utf-8")


def test_a_batch_of_format_2_is_read() -> None:
    opened = Batch.open(OLD, ISSUER)
    assert list(opened.cards()) == [card(1), card(2), card(3)]
    assert opened.header == read_header(OLD)
    assert sorted(opened.holders.values()) == [1, 2, 3]


def test_a_batch_of_format_1_says_what_to_do(batch: Path) -> None:
    (batch / "batch.json").write_text('{"format": "rhcard batch 1"}', encoding="utf-8")
    with pytest.raises(BatchError, match=r"older version.*prepare the list again"):
        read_header(batch)


def test_another_key_store_is_told_apart_by_name() -> None:
    with pytest.raises(BatchError, match=f"another key store.*{ISSUER.identity}"):
        Batch.open(OLD, LocalIssuer(KeyStore(new_roots())))


@pytest.mark.parametrize("name", sorted(set(BatchHeader.__dataclass_fields__) - {"profile"}))
def test_every_word_of_the_header_is_sealed(batch: Path, name: str) -> None:
    value = json.loads((batch / "batch.json").read_text(encoding="utf-8"))[name]
    last = "1" if str(value).endswith("0") else "0"
    change(batch, **{name: 3 - value if isinstance(value, int) else value[:-1] + last})
    with pytest.raises(BatchError, match=r"batch\.json: damaged"):
        Batch.open(batch, ISSUER)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "\xff", "[" * 60_000, '{"format": "rhcard batch 4"}', "{}", "1" * 5000],
    ids=range(9),
)
def test_a_header_that_is_none_is_told(batch: Path, text: str) -> None:
    (batch / "batch.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BatchError, match=r"batch\.json: damaged, or written by a newer version"):
        read_header(batch)


@pytest.mark.parametrize(
    "members", [{"count": "3"}, {"count": True}, {"more": 1}, {"seal": 1}, {"cipher": None}]
)
def test_a_header_of_wrong_types_is_told(batch: Path, members: dict[str, object]) -> None:
    change(batch, **members)
    with pytest.raises(BatchError, match="values are missing, unknown or of a wrong type"):
        read_header(batch)


@pytest.mark.parametrize(
    "members", [{"cipher": 9}, {"count": -1}, {"seal": "x"}, {"batch_id": "x"}, {"count": 1 << 40}]
)
def test_a_header_of_wrong_values_is_told(batch: Path, members: dict[str, object]) -> None:
    change(batch, **members)
    with pytest.raises(BatchError, match=r"batch\.json: damaged"):
        read_header(batch)


@pytest.mark.parametrize("name", ["batch.json", "records.bin", "holders.bin"])
def test_a_changed_byte_is_found(batch: Path, name: str) -> None:
    raw = bytearray((batch / name).read_bytes())
    raw[-3] ^= 1
    (batch / name).write_bytes(raw)
    with pytest.raises(BatchError, match=name):
        list(Batch.open(batch, ISSUER).cards())
