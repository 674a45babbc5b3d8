"""Photos become small upright JPEGs with nothing but pixels in them."""

import io
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from personalize.listing.photos import PHOTO_LIMIT, PhotoError, PhotoShop, fit
from tests import DATA

PHOTOS = DATA / "photos"
SAMPLE = (PHOTOS / "00.jpg").read_bytes()


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    assert image.format == "JPEG"
    return image


def noise(width: int, height: int) -> Image.Image:
    raw = random.Random(1).randbytes(width * height * 3)
    return Image.frombytes("RGB", (width, height), raw)


def half_white(mode: str = "RGB", size: tuple[int, int] = (358, 441)) -> Image.Image:
    """Black on the left, white on the right."""
    image = Image.new("L", size)
    image.paste(255, (size[0] // 2, 0, *size))
    if mode == "LAB":
        middle = Image.new("L", size, 128)
        return Image.merge("LAB", (image, middle, middle))
    if mode == "PA":
        return image.convert("P").convert("PA")
    if mode == "I;16":
        twice = bytes(value for value in image.tobytes() for _ in range(2))
        return Image.frombytes("I;16", size, twice)
    return image.convert(mode)


@pytest.mark.parametrize("name", [f"{n:02}.jpg" for n in range(12)])
def test_the_samples_fit_at_half_size(name: str) -> None:
    jpeg = fit((PHOTOS / name).read_bytes())
    assert len(jpeg) <= PHOTO_LIMIT == 3070
    assert opened(jpeg).size == (179, 221)
    assert opened(jpeg).mode == "RGB"


def test_the_same_bytes_give_the_same_picture() -> None:
    assert fit(SAMPLE) == fit(SAMPLE)


@pytest.mark.parametrize("size", [(2000, 3000), (300, 400), (80, 100)])
def test_noise_of_any_size_fits(size: tuple[int, int]) -> None:
    assert len(fit(encoded(noise(*size)))) <= PHOTO_LIMIT


def test_what_cannot_fit_is_told() -> None:
    with pytest.raises(PhotoError, match="does not fit 300 bytes"):
        fit(SAMPLE, 300)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("L", "JPEG"),
        ("LA", "PNG"),
        ("P", "GIF"),
        ("PA", "TIFF"),
        ("RGBA", "WEBP"),
        ("CMYK", "JPEG"),
        ("YCbCr", "JPEG"),
        ("I;16", "PNG"),
        ("LAB", "TIFF"),
        ("RGB", "BMP"),
    ],
)
def test_black_stays_black_and_white_white_in_every_mode(mode: str, kind: str) -> None:
    picture = opened(fit(encoded(half_white(mode), kind)))
    assert picture.mode in ("L", "RGB")
    grey = picture.convert("L")
    assert grey.getpixel((40, 110)) == pytest.approx(0, abs=3)
    assert grey.getpixel((140, 110)) == pytest.approx(255, abs=3)


def test_a_grey_photo_stays_grey() -> None:
    assert opened(fit(encoded(half_white("L"), "JPEG"))).mode == "L"


def test_metadata_is_left_behind() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "SECRET place"
    exif[ExifTags.Base.Orientation] = 1
    image = half_white()
    raw = encoded(
        image, "JPEG", exif=exif, comment=b"SECRET comment", icc_profile=b"SECRET profile"
    )
    assert raw.count(b"SECRET") == 3
    assert b"SECRET" not in fit(raw)
    assert set(opened(fit(raw)).info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("exif", [b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_metadata_does_no_harm(exif: bytes) -> None:
    raw = encoded(half_white(), "JPEG", exif=exif)
    assert opened(fit(raw)).size == (179, 221)


@pytest.mark.parametrize("raw", [b"", b"not a picture at all", b"%!PS-Adobe", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_told(raw: bytes) -> None:
    with pytest.raises(PhotoError, match="not a picture"):
        fit(raw)


@pytest.mark.parametrize("length", [700, 2000, len(SAMPLE) // 2])
def test_a_truncated_picture_is_told(length: int) -> None:
    with pytest.raises(PhotoError, match="not a picture") as caught:
        fit(SAMPLE[:length])
    assert caught.value.remedy


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_picture_fits_or_is_told(damage: list[tuple[int, int]]) -> None:
    raw = bytearray(SAMPLE)
    for place, value in damage:
        raw[place] = value
    try:
        assert len(fit(bytes(raw))) <= PHOTO_LIMIT
    except PhotoError as error:
        assert error.remedy


@pytest.mark.parametrize("size", [(6000, 6000), (30_000, 30_000)])
def test_a_decompression_bomb_is_told(size: tuple[int, int]) -> None:
    """A few kilobytes that claim many million pixels; never decoded."""
    raw = bytearray(encoded(Image.new("1", (8, 8)), "BMP"))
    raw[18:26] = size[0].to_bytes(4, "little") + size[1].to_bytes(4, "little")
    with pytest.raises(PhotoError, match="too many pixels"):
        fit(bytes(raw))


# --- finding them -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "list" / "photos").mkdir(parents=True)
    (tmp_path / "list" / "photos" / "a.jpg").write_bytes(SAMPLE)
    (tmp_path / "list" / "photos" / "copy.jpg").write_bytes(SAMPLE)
    (tmp_path / "secret.jpg").write_bytes(SAMPLE)
    return tmp_path / "list"


@pytest.mark.parametrize("name", ["photos/a.jpg", r"photos\a.jpg", "./photos//a.jpg"])
def test_paths_are_relative_to_the_folder(folder: Path, name: str) -> None:
    assert PhotoShop(folder).jpeg(name) == fit(SAMPLE)


def test_one_picture_is_prepared_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = PhotoShop(folder)
    first = shop.jpeg("photos/a.jpg")
    monkeypatch.setattr("personalize.listing.photos.fitted", None)
    assert shop.jpeg("photos/a.jpg") is first
    assert shop.jpeg("photos/copy.jpg") is first


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("photos/none.jpg", "no such file"),
        ("photos/a.jpg/b.jpg", "no such file"),
        ("photos", "not a file"),
        (".", "not a file"),
        ("../secret.jpg", "not a path inside"),
        ("photos/../../secret.jpg", "not a path inside"),
        ("/etc/passwd", "not a path inside"),
        (r"\\server\share\a.jpg", "not a path inside"),
        (r"C:\photos\a.jpg", "not a path inside"),
        ("photos/link.jpg", "a link that leads out"),
        ("photos/loop.jpg", "no such file"),
        ("photos/pipe", "not a file"),
        ("a" * 5000, "no such file"),
        ("a\0b", "no such file"),
        ("\udcff", "no such file"),
        ("photos/large.jpg", "too large a file"),
    ],
)
def test_photos_that_cannot_be_had_are_told(folder: Path, name: str, problem: str) -> None:
    (folder / "photos" / "link.jpg").symlink_to(folder.parent / "secret.jpg")
    (folder / "photos" / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "photos" / "pipe")
    with (folder / "photos" / "large.jpg").open("wb") as large:
        large.truncate(33 << 20)
    shop = PhotoShop(folder)
    for _ in range(2):
        with pytest.raises(PhotoError) as caught:
            shop.jpeg(name)
        assert caught.value.problem.startswith(problem)
        assert caught.value.remedy
