"""Sealed batches: what goes in comes out, and every damage is told by file and record."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.errors import CardError, FormatError
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, encode_record
from personalize.preparation.batch import Batch, BatchError, BatchHeader, read_header, write_batch
from personalize.preparation.prepared import PreparedCard
from personalize.production.journal import batch_journal
from tests.cards.bureau import new_batch

ISSUER, OTHER_ISSUER = KeyStore(new_roots()), KeyStore(new_roots())
ISSUER_FILE, PERSON = FILE_BY_PATH["DDF1/EF05"], FILE_BY_PATH["DDF1/EF06"]


def header(count: int) -> BatchHeader:
    return BatchHeader(
        source_name="居民.csv",
        source_sha256="00" * 32,
        count=count,
        issue_date="20261123",
        spec_version="1.0",
        cipher=Cipher.SM4,
        key_store_identity="ab" * 8,
        key_version=1,
        key_store_hint="keys.json",
    )


def card(number: int) -> PreparedCard:
    return PreparedCard(
        number=number,
        line=number + 1,
        groupings=(
            (0x0101, b"\x01\x01\x31"),
            (0x0107, encode_record(ISSUER_FILE, 7, {"card_number": f"99010119551205{number:04}"})),
            (0x010A, encode_record(ISSUER_FILE, 10, {"city_code": "990100"})),
            (0x0201, encode_record(PERSON, 1, {"name": "王䶮"})),
            (0x0300, bytes(300)),
        ),
    )


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    folder = tmp_path / "batch"
    write_batch(folder, header(3), map(card, range(1, 4)), LocalIssuer(ISSUER))
    return folder


def test_what_goes_in_comes_out(batch: Path) -> None:
    opened = Batch.open(batch, LocalIssuer(ISSUER))
    assert list(opened.cards()) == [card(1), card(2), card(3)]
    assert opened.card(2) == card(2)
    assert opened.header.count == 3
    assert opened.header.cipher is Cipher.SM4


def test_what_is_known_of_a_resident_is_read_from_the_groupings() -> None:
    assert (card(7).card_number, card(7).name) == ("990101195512050007", "王䶮")
    assert (card(7).region, card(7).value("sex")) == (b"99000000", "")


def test_opening_decrypts_no_record_and_knows_every_holder(
    batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decrypted: list[int] = []
    real = PreparedCard.from_bytes

    def counted(raw: bytes) -> PreparedCard:
        decrypted.append(1)
        return real(raw)

    monkeypatch.setattr(PreparedCard, "from_bytes", counted)
    opened = Batch.open(batch, LocalIssuer(ISSUER))
    with batch_journal(opened) as journal:
        assert len(journal.entries()) == 3
    assert opened.holders == {
        ISSUER.holder_hash(f"99010119551205{number:04}"): number for number in (1, 2, 3)
    }
    assert decrypted == []
    list(opened.cards())
    assert decrypted == [1, 1, 1]


def test_two_cards_for_one_holder_are_refused(tmp_path: Path) -> None:
    double = replace(card(1), number=2)
    with pytest.raises(BatchError, match="cards 1 and 2 are for the same resident"):
        write_batch(tmp_path / "b", header(2), [card(1), double], LocalIssuer(ISSUER))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [
    lambda raw: raw[:-1] + bytes((raw[-1] ^ 1,)), lambda raw: raw[36:72] + raw[:36] + raw[72:],
    lambda raw: raw[:-36], lambda raw: raw + raw[-36:], lambda raw: b"", lambda raw: raw[:-1],
])  # fmt: skip
def test_every_bit_of_the_holders_is_signed(batch: Path, change: Callable[[bytes], bytes]) -> None:
    path = batch / "holders.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BatchError, match=r"holders\.bin: damaged"):
        Batch.open(batch, LocalIssuer(ISSUER))


def test_the_header_shows_without_a_key(batch: Path) -> None:
    assert read_header(batch) == Batch.open(batch, LocalIssuer(ISSUER)).header
    assert read_header(batch).source_name == "居民.csv"


def test_an_empty_batch_is_a_batch(tmp_path: Path) -> None:
    write_batch(tmp_path / "b", header(0), [], LocalIssuer(ISSUER))
    assert list(Batch.open(tmp_path / "b", LocalIssuer(ISSUER)).cards()) == []


def test_nothing_personal_is_readable(batch: Path) -> None:
    raw = b"".join(path.read_bytes() for path in batch.iterdir())
    assert "王䶮".encode() not in raw
    assert b"99010119551205" not in raw


def test_only_the_owner_may_read(batch: Path) -> None:
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (batch, *batch.iterdir())]
    assert modes == [0o700, 0o600, 0o600, 0o600]


def test_no_repr_shows_personal_data(batch: Path) -> None:
    shown = repr(card(1)) + repr(Batch.open(batch, LocalIssuer(ISSUER)))
    assert "王" not in shown
    assert "99010119551205" not in shown


def test_an_existing_folder_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(BatchError, match="exists already"):
        write_batch(tmp_path / "b", header(0), [], LocalIssuer(ISSUER))
    assert list((tmp_path / "b").iterdir()) == []


def test_a_folder_that_appears_meanwhile_is_refused(tmp_path: Path) -> None:
    def cards() -> Iterator[PreparedCard]:
        (tmp_path / "b").mkdir()
        yield card(1)

    with pytest.raises(BatchError, match="exists already"):
        write_batch(tmp_path / "b", header(1), cards(), LocalIssuer(ISSUER))
    assert [path.name for path in tmp_path.rglob("*")] == ["b"]


def test_a_missing_parent_is_told(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="No such file"):
        write_batch(tmp_path / "none" / "b", header(0), [], LocalIssuer(ISSUER))


class _PowerCutError(Exception):
    pass


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def cards() -> Iterator[PreparedCard]:
        yield card(1)
        raise _PowerCutError

    with pytest.raises(_PowerCutError):
        write_batch(tmp_path / "b", header(2), cards(), LocalIssuer(ISSUER))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("numbers", [[1], [1, 2, 3], [2, 1], [1, 1]])
def test_cards_that_are_not_those_counted_are_refused(tmp_path: Path, numbers: list[int]) -> None:
    with pytest.raises(BatchError):
        write_batch(tmp_path / "b", header(2), map(card, numbers), LocalIssuer(ISSUER))
    assert list(tmp_path.iterdir()) == []


def test_another_key_store_is_told_apart_by_name(batch: Path) -> None:
    with pytest.raises(BatchError, match=f"unknown here.*another key store.*{'ab' * 8}"):
        Batch.open(batch, LocalIssuer(OTHER_ISSUER))


def records(folder: Path) -> list[bytes]:
    raw, found = (folder / "records.bin").read_bytes(), []
    while raw:
        end = 4 + int.from_bytes(raw[:4], "big")
        found.append(raw[:end])
        raw = raw[end:]
    return found


def flip(raw: bytes) -> bytes:
    return raw[:-1] + bytes((raw[-1] ^ 1,))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: [r[0], flip(r[1]), r[2]], "records.bin: record 2 is damaged"),
        (lambda r: [r[0], r[2], r[1]], "records.bin: record 2 is damaged"),
        (lambda r: [r[0], r[0], r[2]], "records.bin: record 2 is damaged"),
        (lambda r: [r[0], r[1]], "records.bin: record 3 of 3 is damaged or inc"),
        (lambda r: [r[0], r[1], r[2][:-1]], "records.bin: record 3 of 3 is damaged or inc"),
        (
            lambda r: [r[0], b"\xff" + r[1][1:], r[2]],
            "records.bin: record 2 of 3 is damaged or inc",
        ),
        (
            lambda r: [r[0], bytes(4) + r[1][4:], r[2]],
            "records.bin: record 2 of 3 is damaged or inc",
        ),
        (lambda r: [*r, r[0]], "records.bin: damaged: .* bytes follow the last record, 3"),
        (lambda _: [], "records.bin: record 1 of 3 is damaged or inc"),
    ],
)
def test_damage_to_records_is_told(
    batch: Path, damage: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    (batch / "records.bin").write_bytes(b"".join(damage(records(batch))))
    with pytest.raises(BatchError, match=message) as caught:
        list(Batch.open(batch, LocalIssuer(ISSUER)).cards())
    assert isinstance(caught.value, CardError)


def test_a_record_of_another_batch_is_refused(batch: Path, tmp_path: Path) -> None:
    write_batch(tmp_path / "other", header(3), map(card, range(1, 4)), LocalIssuer(ISSUER))
    mixed = [*records(batch)[:2], records(tmp_path / "other")[2]]
    (batch / "records.bin").write_bytes(b"".join(mixed))
    with pytest.raises(BatchError, match="record 3 is damaged, or another record is in its place"):
        list(Batch.open(batch, LocalIssuer(ISSUER)).cards())


def test_a_folder_without_a_batch_is_told(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="is not a batch"):
        read_header(tmp_path)


def test_lost_records_are_told(batch: Path) -> None:
    (batch / "records.bin").unlink()
    with pytest.raises(BatchError, match=r"records\.bin: No such file"):
        Batch.open(batch, LocalIssuer(ISSUER))


def test_records_lost_after_opening_are_told(batch: Path) -> None:
    opened = Batch.open(batch, LocalIssuer(ISSUER))
    (batch / "records.bin").unlink()
    with pytest.raises(BatchError, match=r"records\.bin: No such file"):
        opened.card(1)


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_card_that_is_not_there_is_told(batch: Path, number: int) -> None:
    with pytest.raises(BatchError, match=f"no record {number}, the batch has 3"):
        Batch.open(batch, LocalIssuer(ISSUER)).card(number)


@pytest.mark.parametrize("raw", [b"", bytes(7), bytes(9), card(1).to_bytes()[:-1]])
def test_a_flat_record_that_is_none_is_told(raw: bytes) -> None:
    with pytest.raises(FormatError):
        PreparedCard.from_bytes(raw)


def test_the_records_of_the_sample_cost_at_most_a_tenth_more_than_what_they_hold(
    tmp_path: Path,
) -> None:
    """Length, tag and holders' entries; the manifest is there once, whatever the count."""
    made = new_batch(tmp_path, 50)
    payload = sum(len(each.to_bytes()) for each in made.cards())
    files = sum((made.folder / name).stat().st_size for name in ("records.bin", "holders.bin"))
    assert payload < files <= 1.10 * payload
    assert (made.folder / "manifest.cms").stat().st_size < 4096
