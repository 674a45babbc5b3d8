"""A list gives the same cards and the same faults, whoever prepares it, and in little memory."""

import csv
import shutil
import tracemalloc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardlib.issuance.local import LocalIssuer
from personalize.listing.list_faults import ListFault
from personalize.listing.photos import PhotoShop
from personalize.listing.source import ListChanged
from personalize.preparation import many_residents
from personalize.preparation.many_residents import check_list, made_cards
from personalize.preparation.prepare import all_faults, make_all, read_list, validate_all
from personalize.preparation.prepared import PreparedCard
from personalize.preparation.workers import InProcess, Processes, Workers
from tests import DATA
from tests.cards.bureau import issuer

ISSUED = date(2026, 11, 23)
ISSUER: LocalIssuer = issuer()
Found = tuple[list[ListFault], list[PreparedCard]]


@pytest.fixture(scope="module")
def everybody() -> Iterator[list[Workers]]:
    """1, 2 and 3 jobs, with three residents at a time: a short list has several chunks."""
    with (
        mock.patch.object(many_residents, "CHUNK", 3),
        Processes(2) as two,
        Processes(3) as three,
    ):
        yield [InProcess(), two, three]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("list")
    shutil.copytree(DATA / "photos", folder / "photos")
    return folder


def found_by(workers: Workers, path: Path) -> Found:
    residents, photos = read_list(path), PhotoShop(path.parent)
    checked = check_list(residents, photos, ISSUED, workers)
    if checked.faults:
        return checked.faults, []
    return [], list(made_cards(residents, checked, photos, ISSUER, ISSUED, workers))


def found_in_memory(path: Path) -> Found:
    residents, photos = read_list(path), PhotoShop(path.parent)
    validated = list(validate_all(residents, photos, ISSUED))
    if faults := all_faults(residents, validated):
        return faults, []
    return [], list(make_all(validated, photos, ISSUER, ISSUED))


def sample() -> list[list[str]]:
    with (DATA / "residents.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


LINES = sample()
CHANGES = {
    "name": ["", " 王  "],
    "sex": ["9", "1"],
    "resident_id_number": ["x", LINES[1][LINES[0].index("resident_id_number")]],
    "card_number": [LINES[2][LINES[0].index("card_number")].lower()],
    "photo_file": ["photos/none.jpg", "", LINES[1][LINES[0].index("photo_file")]],
}


@st.composite
def lists(draw: st.DrawFn) -> list[list[str]]:
    """Some residents, of whom some come twice, and some have a value that may be wrong."""
    picked = draw(st.lists(st.integers(1, 40), max_size=14, unique=draw(st.booleans())))
    rows = [LINES[number].copy() for number in picked]
    for row in rows if draw(st.booleans()) else ():
        column = draw(st.sampled_from(sorted(CHANGES)))
        row[LINES[0].index(column)] = draw(st.sampled_from(CHANGES[column]))
    return [LINES[0], *rows]


def write(path: Path, lines: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    return path


@given(lists())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_of_jobs_gives_the_same_cards_and_faults(
    everybody: list[Workers], folder: Path, lines: list[list[str]]
) -> None:
    path = write(folder / "list.csv", lines)
    expected = found_in_memory(path)
    for workers in everybody:
        assert found_by(workers, path) == expected


@pytest.mark.parametrize("name", ["residents_bad.csv", "residents.jsonl"])
def test_a_list_of_the_samples_gives_the_same_with_several_jobs(
    everybody: list[Workers], name: str
) -> None:
    assert found_by(everybody[1], DATA / name) == found_in_memory(DATA / name)


def test_a_list_that_changes_between_check_and_making_is_refused(folder: Path) -> None:
    path = write(folder / "changed.csv", LINES[:4])
    residents, photos = read_list(path), PhotoShop(folder)
    checked = check_list(residents, photos, ISSUED, InProcess())
    other = LINES[3].copy()
    other[LINES[0].index("address_1")] = "another"
    write(path, [*LINES[:3], other])
    for _ in range(2):
        with pytest.raises(ListChanged, match="was changed while it was read"):
            list(made_cards(residents, checked, photos, ISSUER, ISSUED, InProcess()))
        write(path, LINES[:6])
    with pytest.raises(ListChanged):
        check_list(residents, photos, ISSUED, InProcess())


def test_a_photo_that_changes_between_check_and_making_is_refused(folder: Path) -> None:
    path = write(folder / "photo.csv", LINES[:4])
    place = LINES[0].index("photo_file")
    line, name = next((n, row[place]) for n, row in enumerate(LINES[1:4], 2) if row[place])
    residents = read_list(path)
    checked = check_list(residents, PhotoShop(folder), ISSUED, InProcess())
    before = (folder / name).read_bytes()
    other = next(each for each in sorted((folder / "photos").iterdir()) if each.name not in name)
    try:
        for content in (other.read_bytes(), b"no picture"):
            (folder / name).write_bytes(content)
            again = made_cards(residents, checked, PhotoShop(folder), ISSUER, ISSUED, InProcess())
            with pytest.raises(ListChanged, match=f"the photo of line {line} was changed"):
                list(again)
    finally:
        (folder / name).write_bytes(before)


def test_a_list_of_ten_times_the_length_takes_no_more_memory_to_read(folder: Path) -> None:
    def peak(times: int) -> int:
        path = write(folder / "long.csv", [LINES[0], *LINES[1:51] * times])
        tracemalloc.start()
        for _ in read_list(path).rows:
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(4)
    assert peak(40) < peak(4) + 200_000
