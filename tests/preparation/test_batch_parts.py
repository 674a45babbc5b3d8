"""Parts, sites and transfers of a batch: each record at one site, and every wrong one is told."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cardlib.errors import CardError, FormatError
from cardlib.issuance.local import LocalIssuer
from cardlib.issuance.offers import offer_from_json
from cardlib.issuance.site_key_files import SiteKeyFolder
from cardlib.keys.issuer import RecordRefused, Share, SiteOffer
from cardlib.pki.p256 import new_private_key
from cardlib.pki.self_issued import LocalSigner
from cardlib.pki.signed_data import opened as opened_signed
from cardlib.pki.signed_data import sign
from personalize.preparation.batch import Batch, BatchError, write_batch
from personalize.preparation.batch_signature import Trust, read_manifest
from personalize.preparation.batch_split import merge, split, whole_or_part
from personalize.preparation.batch_transfers import (
    NoRegister,
    TransferRegister,
    read_transfers,
    transfer_records,
)
from personalize.preparation.sites import parse_share, read_offer, shares_of
from personalize.production.journal import batch_journal
from tests.preparation.test_batch import ISSUER, OTHER_ISSUER, card, header, records
from tests.preparation.test_old_batch import OLD

COUNT = 9
PARTS = ((1, 3), (4, 4), (5, 9))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "batch"
    write_batch(folder, header(COUNT), map(card, range(1, COUNT + 1)), LocalIssuer(ISSUER))
    return folder


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    made = []
    for first, last in PARTS:
        made.append(tmp_path / f"{first}-{last}")
        split(whole, made[-1], first, last)
    return made


def opened(folder: Path) -> Batch:
    return Batch.open(folder, LocalIssuer(ISSUER))


# --- split --------------------------------------------------------------------------------


def test_a_part_has_its_records_and_holders_and_no_others(parts: list[Path]) -> None:
    for folder, (first, last) in zip(parts, PARTS, strict=True):
        batch = opened(folder)
        assert list(batch.cards()) == [card(number) for number in range(first, last + 1)]
        assert batch.numbers == range(first, last + 1)
        assert sorted(batch.holders.values()) == list(batch.numbers)
        with pytest.raises(BatchError, match=f"no record {last + 1}, this part has {first} to"):
            batch.card(last + 1)


def test_the_journal_of_a_part_has_its_cards_alone(parts: list[Path]) -> None:
    with batch_journal(opened(parts[2])) as journal:
        assert [entry.number for entry in journal.entries()] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(("first", "last"), [(a, b) for a in range(1, 10) for b in range(a, 10)])
def test_every_part_proves_its_place(whole: Path, tmp_path: Path, first: int, last: int) -> None:
    split(whole, tmp_path / "part", first, last)
    _, contents = whole_or_part(tmp_path / "part")
    assert (contents.first, contents.last) == (first, last)


def change_part(folder: Path, **members: object) -> None:
    path = folder / "part.json"
    found = json.loads(path.read_text("ascii")) | members
    path.write_text(json.dumps(found, sort_keys=True, separators=(",", ":")), "ascii")


def test_no_changed_byte_of_a_part_opens(parts: list[Path]) -> None:
    folder = parts[1]
    for name in ("manifest.cms", "records.bin", "holders.bin", "part.json"):
        raw = (folder / name).read_bytes()
        for at in range(0, len(raw), 1 if name == "part.json" else 7):
            (folder / name).write_bytes(raw[:at] + bytes((raw[at] ^ 4,)) + raw[at + 1 :])
            with pytest.raises(BatchError):
                opened(folder)
        (folder / name).write_bytes(raw)
    opened(folder)


def test_a_holder_cannot_be_left_out_of_a_part(parts: list[Path], whole: Path) -> None:
    """Without its last holder the range of entries would still be proven: its neighbour is not."""
    folder = parts[2]
    raw = (folder / "holders.bin").read_bytes()
    (folder / "holders.bin").write_bytes(raw[:-36])
    change_part(folder, after=raw[-36:].hex())
    with pytest.raises(BatchError, match=r"holders\.bin: damaged"):
        opened(folder)


def test_records_of_another_place_are_no_part(parts: list[Path]) -> None:
    change_part(parts[0], first=4, last=6)
    with pytest.raises(BatchError):
        opened(parts[0])
    change_part(parts[0], first=8, last=10)
    with pytest.raises(BatchError, match="damaged: it has records 8 to 10"):
        opened(parts[0])


def test_what_cannot_be_split_is_told(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BatchError, match="is a part already, of records 5 to 9"):
        split(parts[2], out, 5, 6)
    with pytest.raises(BatchError, match="records 8 to 10 are not in one range"):
        split(whole, out, 8, 10)
    with pytest.raises(BatchError, match=r"of format 2.*prepare the list again"):
        split(OLD, out, 1, 1)
    with pytest.raises(BatchError, match="exists already"):
        split(whole, parts[0], 1, 1)
    assert not out.exists()


# --- merge --------------------------------------------------------------------------------


def test_parts_in_any_order_make_the_whole_batch(
    whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    merge(parts[::-1], tmp_path / "again")
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == names
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (whole / name).read_bytes()


def test_some_parts_make_a_larger_part(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    for some, (first, last) in ((parts[:2], (1, 4)), (parts[1:], (4, 9))):
        out = tmp_path / f"merged {first}"
        merge(some, out)
        split(whole, tmp_path / f"split {first}", first, last)
        for path in out.iterdir():
            assert path.read_bytes() == (tmp_path / f"split {first}" / path.name).read_bytes()
        assert [each.number for each in opened(out).cards()] == list(range(first, last + 1))


def of_another_batch(parts: list[Path], whole: Path, place: Path) -> list[Path]:
    write_batch(place / "b", header(COUNT), map(card, range(1, COUNT + 1)), LocalIssuer(ISSUER))
    split(place / "b", place / "foreign", 4, 4)
    return [parts[0], place / "foreign", parts[2]]


def damaged(parts: list[Path], whole: Path, place: Path) -> list[Path]:
    raw = (parts[1] / "records.bin").read_bytes()
    (parts[1] / "records.bin").write_bytes(raw[:-1] + bytes((raw[-1] ^ 1,)))
    return parts


MERGES: dict[str, tuple[Callable[[list[Path], Path, Path], list[Path]], str]] = {
    "missing": (lambda p, w, d: [p[0], p[2]], "records 4 to 4 are missing between"),
    "doubled": (lambda p, w, d: [p[0], p[1], p[1], p[2]], "has record 4, and .* has it too"),
    "doubled by the whole": (lambda p, w, d: [w, p[2]], "has record 5, and .* has it too"),
    "foreign": (of_another_batch, "is a part of another batch"),
    "altered": (damaged, "the records are not those that were signed"),
}


@pytest.mark.parametrize(("take", "message"), MERGES.values(), ids=MERGES)
def test_parts_that_do_not_fit_are_told(
    whole: Path,
    parts: list[Path],
    tmp_path: Path,
    take: Callable[[list[Path], Path, Path], list[Path]],
    message: str,
) -> None:
    folders = take(parts, whole, tmp_path)
    with pytest.raises(BatchError, match=message):
        merge(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- sites --------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path) -> LocalIssuer:
    return LocalIssuer(ISSUER, SiteKeyFolder(tmp_path / "here.json"))


@pytest.fixture
def north(tmp_path: Path) -> LocalIssuer:
    return LocalIssuer(ISSUER, SiteKeyFolder(tmp_path / "north.json"))


def offered(site: LocalIssuer, name: str = "north") -> SiteOffer:
    return offer_from_json(opened_signed(site.offer_site_key(name)).content)


def of_two_sites(folder: Path, here: LocalIssuer, north: LocalIssuer) -> Path:
    shares = shares_of([(offered(north), 4, 6)], COUNT)
    write_batch(folder, header(COUNT), map(card, range(1, COUNT + 1)), here, shares)
    return folder


def has(folder: Path, site: LocalIssuer) -> list[int]:
    """The records that a site can open."""
    batch, found = Batch.open(folder, site), []
    for number in batch.numbers:
        try:
            assert batch.card(number) == card(number)
            found.append(number)
        except RecordRefused:
            pass
    return found


def test_the_records_of_a_site_open_there(
    tmp_path: Path, here: LocalIssuer, north: LocalIssuer
) -> None:
    folder = of_two_sites(tmp_path / "batch", here, north)
    assert [(each.site, each.first, each.last) for each in read_manifest(folder)[0].ranges] == [
        ("here", 1, 3), ("north", 4, 6), ("here", 7, 9),
    ]  # fmt: skip
    assert 4 in has(folder, north) and has(folder, here) == [1, 2, 3, 7, 8, 9]
    batch = Batch.open(folder, here)
    with pytest.raises(RecordRefused, match="records 4 to 6 are for site north, and its key"):
        batch.card(4)
    with pytest.raises(BatchError, match="records 3 to 4 are not in one range"):
        split(folder, tmp_path / "part", 3, 4)
    split(folder, tmp_path / "part", 4, 6)
    assert has(tmp_path / "part", north) == [4, 5, 6]


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(1, 5), (5, 9)], "twice"), ([(1, 10)], "the batch has 1 to 9"),
        ([(0, 3)], "twice"), ([(4, 3)], "the batch has 1 to 9"),
    ],
)  # fmt: skip
def test_shares_that_do_not_fit_are_told(
    north: LocalIssuer, spans: list[tuple[int, int]], message: str
) -> None:
    with pytest.raises(BatchError, match=message):
        shares_of([(offered(north), *span) for span in spans], COUNT)


@pytest.mark.parametrize("text", ["", "a", "a:1", "a:1-", "a:-1", ":1-2", "a:1-2-", "a:x-y"])
def test_a_share_that_is_written_in_another_way_is_told(text: str) -> None:
    with pytest.raises(FormatError, match="is not OFFER:FIRST-LAST"):
        parse_share(text)


def test_an_offer_that_a_stranger_has_signed_is_refused(tmp_path: Path, north: LocalIssuer) -> None:
    """Or he would get the residents' data, which are enveloped for the key in it."""
    path, known = tmp_path / "north.offer", Trust().with_own(north.preparation_certificate)
    raw = north.offer_site_key("north")
    path.write_bytes(raw)
    assert read_offer(path, known).site == "north"
    content = opened_signed(raw).content
    path.write_bytes(sign(content, LocalSigner(new_private_key(), "a stranger")))
    with pytest.raises(BatchError, match="the certificate a stranger is unknown here"):
        read_offer(path, known)
    for wrong in (b"{}", content.replace(b"north", b"north "), content.replace(b'"04', b'"05')):
        path.write_bytes(sign(wrong, ISSUER.preparation_signer))
        if wrong != content.replace(b"north", b"north "):
            with pytest.raises(BatchError, match="no offer of the format"):
                read_offer(path, known)


# --- transfers ----------------------------------------------------------------------------


def give(
    folder: Path,
    issuer: LocalIssuer,
    to: Share,
    register: TransferRegister | None = None,
) -> Path:
    manifest, _ = read_manifest(folder)
    taken = read_transfers(folder, manifest, lambda _: None)
    return transfer_records(folder, manifest, taken, issuer, to, register or NoRegister())


def test_transferred_records_are_the_other_sites(
    tmp_path: Path, here: LocalIssuer, north: LocalIssuer
) -> None:
    folder = of_two_sites(tmp_path / "batch", here, north)
    at_north = Path(shutil.copytree(folder, tmp_path / "at north"))
    path = give(folder, here, Share("north", 8, 9, offered(north)))
    assert (path.name, has(folder, here)) == ("transfer-1.cms", [1, 2, 3, 7])
    with pytest.raises(RecordRefused, match="records 8 to 9 are for site north"):
        Batch.open(folder, here).card(8)
    shutil.copy(path, at_north)
    assert {8, 9} <= set(has(at_north, north))
    # And back, by a transfer of the transfer.
    back = give(at_north, north, Share("here", 9, 9, offered(here, "here")))
    shutil.copy(back, folder)
    assert (back.name, has(folder, here)) == ("transfer-2.cms", [1, 2, 3, 7, 9])


def test_what_cannot_be_transferred_is_told(
    tmp_path: Path, here: LocalIssuer, north: LocalIssuer
) -> None:
    folder = of_two_sites(tmp_path / "batch", here, north)
    with pytest.raises(RecordRefused, match="for site north"):
        give(folder, here, Share("south", 5, 5, offered(here, "south")))
    with pytest.raises(BatchError, match="not all of one range or transfer"):
        give(folder, here, Share("north", 3, 4, offered(north)))
    with pytest.raises(BatchError, match="no record 10"):
        give(folder, here, Share("north", 9, 10, offered(north)))
    assert read_transfers(folder, read_manifest(folder)[0], lambda _: None) == []


def test_a_transfer_is_entered_in_the_register_before_it_is_given(
    tmp_path: Path, here: LocalIssuer, north: LocalIssuer
) -> None:
    folder = of_two_sites(tmp_path / "batch", here, north)

    class InWork(NoRegister):
        def enter(self, transfer: object, *, giving: bool) -> None:
            raise CardError(f"record 8 is in work, giving {giving}")

    with pytest.raises(CardError, match="record 8 is in work, giving True"):
        give(folder, here, Share("north", 8, 9, offered(north)), InWork())
    assert has(folder, here) == [1, 2, 3, 7, 8, 9]


def test_transfers_that_are_none_are_told(
    tmp_path: Path, here: LocalIssuer, north: LocalIssuer
) -> None:
    folder = of_two_sites(tmp_path / "batch", here, north)
    other = of_two_sites(tmp_path / "other", here, north)
    path = give(folder, here, Share("north", 8, 9, offered(north)))
    good = path.read_bytes()
    again = other / "transfer-1.cms"
    again.write_bytes(good)
    with pytest.raises(BatchError, match="is a transfer of another batch"):
        Batch.open(other, here)
    shutil.copy(path, folder / "transfer-2.cms")
    with pytest.raises(BatchError, match="record 8 is of site north, and another site gives it"):
        Batch.open(folder, here)
    (folder / "transfer-2.cms").unlink()
    content = opened_signed(good).content
    for raw, message in (
        (sign(content, OTHER_ISSUER.preparation_signer), "is unknown here"),
        (sign(b"{}", ISSUER.preparation_signer), "no statement of the format"),
        (good[:-1], "damaged"),
        (good[:900] + bytes((good[900] ^ 1,)) + good[901:], "transfer-1"),
    ):
        path.write_bytes(raw)
        with pytest.raises(BatchError, match=message):
            Batch.open(folder, here)


def test_the_names_of_the_sites_are_signed(
    tmp_path: Path, here: LocalIssuer, north: LocalIssuer
) -> None:
    folder = of_two_sites(tmp_path / "batch", here, north)
    manifest, _ = read_manifest(folder)
    moved = replace(manifest, ranges=(replace(manifest.ranges[0], site="x"), *manifest.ranges[1:]))
    raw = (folder / "manifest.cms").read_bytes()
    assert manifest.to_json() in raw
    (folder / "manifest.cms").write_bytes(raw.replace(manifest.to_json(), moved.to_json()))
    with pytest.raises(BatchError, match="damaged"):
        Batch.open(folder, here)
    assert len(records(folder)) == COUNT
