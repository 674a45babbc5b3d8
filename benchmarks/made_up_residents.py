"""Lists of made-up residents of any length: each has numbers, names and a photo of its own.

They are the sample's residents again and again, with all values changed that differ in real lists.
"""

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from PIL import Image
from stdnum.cn import ric

from personalize.listing.holders import NUMBER_COLUMNS
from personalize.sample.sample_batch import SAMPLE

_REGION = "990121"
_FIRST_BIRTH, _BIRTHS = date(1940, 1, 1), 25_000
_FIRST_VACCINATION, _VACCINATIONS = date(2024, 1, 1), 900
_FIRST_HAN = 0x4E00
_MARKS, _MARK_PIXELS, _BETWEEN = 8, 16, 20


def write_list(path: Path, count: int, *, first: int = 0, photos: bool = False) -> Path:
    """Write a list of residents `first` and on; with `photos` each names photos/nnnnn.jpg."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for number, row in enumerate(_residents(first, count), first):
            row["photo_file"] = f"photos/{number:05}.jpg" if photos else ""
            if writer is None:
                writer = csv.DictWriter(file, [*row])
                writer.writeheader()
            writer.writerow(row)
    return path


def draw_photos(folder: Path, count: int) -> None:
    """Draw `count` photos of 358 × 441 pixels: the sample's, each with its number in 24 marks."""
    folder.mkdir(exist_ok=True)
    portraits = [
        Image.open(path).convert("RGB") for path in sorted((SAMPLE.parent / "photos").iterdir())
    ]
    for number in range(count):
        picture = portraits[number % len(portraits)].copy()
        for bit in range(3 * _MARKS):
            if number >> bit & 1:
                x, y = (8 + _BETWEEN * place for place in (bit % _MARKS, bit // _MARKS))
                picture.paste("white", (x, y, x + _MARK_PIXELS, y + _MARK_PIXELS))
        picture.save(folder / f"{number:05}.jpg", quality=85)


def _residents(first: int, count: int) -> Iterator[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number in range(first, first + count):
        yield _resident(dict(rows[number % len(rows)]), number)


def _resident(row: dict[str, str], number: int) -> dict[str, str]:
    """A resident of the sample with other numbers, names, dates and address."""
    born = f"{_FIRST_BIRTH + timedelta(days=7 * number % _BIRTHS):%Y%m%d}"
    serial = 2 * (number + number // _BIRTHS) % 1000 + int(row["sex"]) % 2
    identity = f"{_REGION}{born}{serial:03}"
    identity += ric.calc_check_digit(f"{identity}0")
    old = row["resident_id_number"]
    vaccinated = _FIRST_VACCINATION + timedelta(days=number % _VACCINATIONS)
    changed = {
        "birth_date": born,
        "name": f"{row['name'][0]}{_han(number)}{_han(number // 7)}",
        "address_1": f"{row['address_1']}{number}室",
        "health_record_number": f"9901{number:013}",
        "contact_name_1": f"{_han(number)}{_han(number // 3)}",
    }
    changed |= {name: f"{vaccinated:%Y%m%d}" for name in row if name.startswith("vaccination_date")}
    changed |= {name: f"1990{number:07}" for name in row if "phone" in name}
    changed |= {name: f"P{number:09}" for name in row if name.startswith("hospital_patient")}
    changed |= {name: identity if row[name] == old else f"E{number:08}" for name in NUMBER_COLUMNS}
    return row | {name: text for name, text in changed.items() if row[name]}


def _han(number: int) -> str:
    return chr(_FIRST_HAN + number % 2000)
