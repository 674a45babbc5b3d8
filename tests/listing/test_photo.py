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


@pytest.mark.parametrize("name", [f"{n:02}.jpg" for n in range(12)])
def test_the_samples_fit_at_half_size(name: str) -> None:
    jpeg = fit((PHOTOS / name).read_bytes())
    assert len(jpeg) <= PHOTO_LIMIT == 3070
    assert opened(jpeg).size == (179, 221)
    assert opened(jpeg).mode == "RGB"


def test_the_same_bytes_give_the_same_picture() -> None:
    assert fit(SAMPLE) == fit(SAMPLE)


@pytest.mark.parametrize("size", [(2000, 3000), (300, 400), (90, 60), (1, 1), (4000, 3)])
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
        ("I", "TIFF"),
        ("F", "TIFF"),
        ("LAB", "TIFF"),
        ("RGB", "BMP"),
    ],
)
def test_every_mode_becomes_grey_or_rgb(mode: str, kind: str) -> None:
    source = Image.new("L", (80, 100), 77)
    image = source.convert("P").convert("PA") if mode == "PA" else _in_mode(source, mode)
    assert opened(fit(encoded(image, kind))).mode in ("L", "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.new("LAB", image.size)
    return image.convert(mode)


def test_a_grey_photo_stays_grey() -> None:
    assert opened(fit(encoded(Image.new("L", (80, 100)), "JPEG"))).mode == "L"


def test_what_is_transparent_becomes_white() -> None:
    image = Image.new("RGBA", (80, 100), (0, 0, 0, 0))
    assert opened(fit(encoded(image))).getpixel((40, 50)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation: int) -> None:
    """A picture with a white top left corner, stored in each of the eight ways."""
    upright = Image.new("RGB", (358, 441))
    upright.paste((255, 255, 255), (0, 0, 150, 150))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright
    if orientation in back:
        stored = upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    found = opened(fit(encoded(stored, "JPEG", exif=exif, quality=95)))
    assert found.size == (179, 221)
    assert [found.convert("L").getpixel(at) for at in ((9, 9), (170, 9), (9, 210), (170, 210))] == [
        pytest.approx(255, abs=9),
        *[pytest.approx(0, abs=9)] * 3,
    ]


def test_metadata_is_left_behind() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "SECRET place"
    exif[ExifTags.Base.Orientation] = 1
    image = Image.new("RGB", (358, 441))
    raw = encoded(
        image, "JPEG", exif=exif, comment=b"SECRET comment", icc_profile=b"SECRET profile"
    )
    assert raw.count(b"SECRET") == 3
    assert b"SECRET" not in fit(raw)
    assert set(opened(fit(raw)).info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("exif", [b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_metadata_does_no_harm(exif: bytes) -> None:
    raw = encoded(Image.new("RGB", (358, 441)), "JPEG", exif=exif)
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
    monkeypatch.setattr("personalize.listing.photos.fit", None)
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
