"""The photo on the card shows what the file shows, or the file is refused.

Expected values are computed by hand from TIFF 6.0 (tags 258, 262, 274) and PNG (11.2.1, 11.3.1.1).
"""

import io
import random
import struct
import zlib
from itertools import pairwise
from typing import Any

import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile

from personalize.listing.photos import PhotoError, fit
from tests import DATA

CASES = DATA / "cases"
RED, GREEN, BLUE, WHITE, BLACK = (254, 0, 0), (0, 255, 0), (0, 0, 254), (255, 255, 255), (0, 0, 0)
COLOURS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": WHITE}
SIZE = 120, 160


def picture_of(raw: bytes) -> Image.Image:
    return Image.open(io.BytesIO(fit(raw)))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def quarters(picture: Image.Image) -> list[tuple[int, ...]]:
    """The colours of the four quarters: above left and right, below left and right."""
    width, height = picture.size
    places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    rgb = picture.convert("RGB")
    return [tuple(rgb.crop((x, y, x + 1, y + 1)).tobytes()) for x, y in places]


def about(*colours: tuple[int, ...]) -> list[object]:
    return [pytest.approx(colour, abs=6) for colour in colours]


def refusal(raw: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        fit(raw)
    assert caught.value.remedy
    return caught.value.problem


# --- upright ----------------------------------------------------------------------------


def test_a_turned_tiff_is_upright_once() -> None:
    picture = picture_of((CASES / "photo-tiff-orientation6.tif").read_bytes())
    assert picture.width / picture.height == pytest.approx(240 / 320, abs=0.005)
    found = quarters(picture)
    assert ["RGB"[colour.index(max(colour))] for colour in found[:3]] == ["R", "G", "B"]
    assert min(found[3]) > 240


STORED = {
    1: "RGBW",
    2: "GRWB",
    3: "WBGR",
    4: "BWRG",
    5: "RBGW",
    6: "GWRB",
    7: "WGBR",
    8: "BRWG",
}
"""TIFF 6.0, Orientation: the four quarters as stored, of a picture that is upright RG over BW."""


def stored(orientation: int, kind: str, **options: Any) -> bytes:
    size = SIZE if orientation < 5 else SIZE[::-1]
    image = Image.new("RGB", size)
    for place, letter in enumerate(STORED[orientation]):
        left, top = place % 2 * size[0] // 2, place // 2 * size[1] // 2
        image.paste(COLOURS[letter], (left, top, left + size[0] // 2, top + size[1] // 2))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(image, kind, exif=exif, **options)


def chunks(png: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(png):
        size = 12 + int.from_bytes(png[at : at + 4], "big")
        found.append(png[at : at + size])
        at += size
    return found


def with_exif_at_the_end(png: bytes) -> bytes:
    (exif,) = (chunk for chunk in chunks(png) if chunk[4:8] == b"eXIf")
    others = [chunk for chunk in chunks(png) if chunk != exif]
    return png[:8] + b"".join([*others[:-1], exif, others[-1]])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 98, "subsampling": 0}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg", "quality": 98}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_each_orientation_of_each_format_is_turned_upright(
    orientation: int, kind: str, options: dict[str, object]
) -> None:
    picture = picture_of(stored(orientation, kind, **options))
    assert picture.size == SIZE
    assert quarters(picture) == about(RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_png_that_tells_its_orientation_last_is_turned_upright(orientation: int) -> None:
    picture = picture_of(with_exif_at_the_end(stored(orientation, "PNG")))
    assert picture.size == SIZE
    assert quarters(picture) == about(RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_does_not_exist_turns_nothing(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    upright = Image.open(io.BytesIO(stored(1, "PNG")))
    found = quarters(picture_of(encoded(upright, kind, exif=exif)))
    assert ["RGB"[colour.index(max(colour))] for colour in found[:3]] == ["R", "G", "B"]
    assert min(found[3]) > 240


# --- greys of more than 8 bits ----------------------------------------------------------


def test_a_16_bit_ramp_goes_from_black_to_white() -> None:
    picture = picture_of((CASES / "photo-16bit-grey.png").read_bytes()).convert("L")
    width, height = picture.size
    across = picture.crop((0, height // 2, width, height // 2 + 1)).tobytes()
    down = picture.crop((width // 2, 0, width // 2 + 1, height)).tobytes()
    line = max(across, down, key=lambda line: abs(line[-1] - line[0]))
    assert sorted((line[0], line[-1])) == [pytest.approx(0, abs=8), pytest.approx(255, abs=8)]
    step = 1 if line[-1] > line[0] else -1
    assert all(step * (after - before) >= -4 for before, after in pairwise(line))
    assert line[len(line) // 2] == pytest.approx(128, abs=8)


def grey_tiff(values: bytes, bits: int, *, photometric: int = 1, order: str = "<") -> bytes:
    """A grey TIFF of 100 × 120 in one strip, from its bytes; TIFF 6.0, section 4."""
    tags = [
        (256, 100), (257, 120), (258, bits), (259, 1), (262, photometric),
        (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 120), (279, len(values)),
    ]  # fmt: skip
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    return head + struct.pack(order + "H", len(tags)) + entries + bytes(4) + values


QUARTERS = [0, 20, 140, 255]
"""Above left and right, below left and right, of 255."""


def grey_values(most: int) -> list[int]:
    quarter = [value * most // 255 for value in QUARTERS]
    return [quarter[(y >= 60) * 2 + (x >= 50)] for y in range(120) for x in range(100)]


def packed_12(values: list[int]) -> bytes:
    pairs = zip(values[::2], values[1::2], strict=True)
    return b"".join((first << 12 | second).to_bytes(3, "big") for first, second in pairs)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_16_bit_grey_tiff_keeps_its_greys(order: str) -> None:
    values = struct.pack(order + "12000H", *grey_values(65535))
    found = quarters(picture_of(grey_tiff(values, 16, order=order)))
    assert found == about(*[(grey,) * 3 for grey in QUARTERS])


def test_a_12_bit_grey_tiff_keeps_its_greys() -> None:
    found = quarters(picture_of(grey_tiff(packed_12(grey_values(4095)), 12)))
    assert found == about(*[(grey,) * 3 for grey in QUARTERS])


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_in_which_0_is_white_is_no_negative(bits: int) -> None:
    greys = grey_values((1 << bits) - 1)
    values = bytes(greys) if bits == 8 else struct.pack("<12000H", *greys)
    found = quarters(picture_of(grey_tiff(values, bits, photometric=0)))
    assert found == about(*[(255 - grey,) * 3 for grey in QUARTERS])


@pytest.mark.parametrize("mode", ["I", "F"])
def test_greys_that_do_not_say_what_is_white_are_refused(mode: str) -> None:
    raw = encoded(Image.linear_gradient("L").convert(mode), "TIFF")
    assert refusal(raw) == "grey values whose black and white are not known"


# --- transparency -----------------------------------------------------------------------


def png(depth: int, kind: int, row: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 100 × 120 whose rows are all alike; chunks `more` stand before the pixels."""
    header = struct.pack(">IIBBBBB", 100, 120, depth, kind, 0, 0, 0)
    data = zlib.compress((b"\0" + row) * 120)
    listed = [(b"IHDR", header), *more, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in listed
    )


def grey_row(depth: int, left: int, right: int) -> bytes:
    """50 pixels of one grey and 50 of another, packed."""
    bits = "".join(f"{grey:0{depth}b}" for grey in [left] * 50 + [right] * 50)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_a_transparent_grey_becomes_white(depth: int) -> None:
    """Black and a third of white; one of them is named as transparent."""
    third = ((1 << depth) - 1) // 3
    row = grey_row(depth, 0, third)
    black_is_clear = picture_of(png(depth, 0, row, (b"tRNS", struct.pack(">H", 0))))
    assert quarters(black_is_clear)[:2] == about(WHITE, (85, 85, 85))
    third_is_clear = picture_of(png(depth, 0, row, (b"tRNS", struct.pack(">H", third))))
    assert quarters(third_is_clear)[:2] == about(BLACK, WHITE)


def test_a_transparent_black_of_1_bit_becomes_white() -> None:
    assert refusal(png(1, 0, grey_row(1, 0, 1), (b"tRNS", b"\0\0"))) == "one colour"


def test_a_transparent_colour_becomes_white() -> None:
    raw = png(8, 2, bytes(150) + bytes((255, 0, 0)) * 50, (b"tRNS", bytes(6)))
    assert quarters(picture_of(raw))[:2] == about(WHITE, RED)


@pytest.mark.parametrize("alphas", [b"\0", b"\0\xff"])
def test_a_transparent_entry_of_a_palette_becomes_white(alphas: bytes) -> None:
    palette = (b"PLTE", bytes(3) + bytes((255, 0, 0)))
    raw = png(8, 3, bytes(50) + b"\1" * 50, palette, (b"tRNS", alphas))
    assert quarters(picture_of(raw))[:2] == about(WHITE, RED)


def test_an_entry_of_a_palette_that_is_half_transparent_is_lighter() -> None:
    palette = (b"PLTE", bytes(6))
    raw = png(8, 3, bytes(50) + b"\1" * 50, palette, (b"tRNS", b"\x80\xff"))
    assert quarters(picture_of(raw))[:2] == about((127, 127, 127), BLACK)


@pytest.mark.parametrize(("mode", "clear"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0))])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_is_transparent_becomes_white(mode: str, clear: tuple[int, ...], kind: str) -> None:
    image = Image.new(mode, (100, 120), (*(0,) * (len(clear) - 1), 255))
    image.paste(clear, (0, 0, 50, 120))
    assert quarters(picture_of(encoded(image, kind)))[:2] == about(WHITE, BLACK)


def test_what_is_transparent_in_a_gif_becomes_white() -> None:
    image = Image.new("P", (100, 120), 0)
    image.putpalette([0, 0, 0] + [255, 0, 0] * 255)
    image.paste(200, (50, 0, 100, 120))
    assert quarters(picture_of(encoded(image, "GIF", transparency=0)))[:2] == about(WHITE, RED)


def test_what_is_transparent_in_a_grey_gif_becomes_white() -> None:
    """A GIF whose palette is every grey in order is read as grey, not as a palette."""
    image = Image.linear_gradient("L").resize((256, 512))
    image.paste(0, (0, 0, 128, 512))
    raw = encoded(image, "GIF", transparency=0)
    assert Image.open(io.BytesIO(raw)).mode == "L"
    clear, dark, _, light = quarters(picture_of(raw))
    assert [clear, dark, light] == about(WHITE, (64,) * 3, (191,) * 3)


@pytest.mark.parametrize(("kind", "samples"), [(0, 1), (2, 3)])
def test_a_transparent_colour_of_16_bits_is_refused(kind: int, samples: int) -> None:
    row = (bytes(100) + b"\xff" * 100) * samples
    raw = png(16, kind, row, (b"tRNS", bytes(2 * samples)))
    assert refusal(raw) == "a transparent colour of 16 bits"


def test_16_bits_for_each_of_three_colours_become_8() -> None:
    row = struct.pack(">3H", 65535, 0, 0) * 50 + struct.pack(">3H", 0, 32768, 0) * 50
    assert quarters(picture_of(png(16, 2, row)))[:2] == about(RED, (0, 128, 0))


# --- what shows no face -----------------------------------------------------------------


def ramp(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height))


@pytest.mark.parametrize("size", [(1, 1), (79, 100), (80, 99), (4000, 3), (1000, 300)])
def test_a_picture_too_small_for_a_face_is_refused(size: tuple[int, int]) -> None:
    """Also one that is too small only when it fits the card's 179 × 221."""
    assert refusal(encoded(ramp(*size))).startswith("smaller than 80 × 100 pixels")


@pytest.mark.parametrize("size", [(80, 100), (1920, 1080), (640, 480), (480, 640)])
def test_a_picture_large_enough_for_a_face_is_taken(size: tuple[int, int]) -> None:
    assert min(picture_of(encoded(ramp(*size))).size) >= 80


def test_the_size_counts_when_the_picture_is_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert picture_of(encoded(ramp(100, 80), "TIFF", exif=exif)).size == (80, 100)
    assert refusal(encoded(ramp(80, 100), "TIFF", exif=exif)).startswith("smaller than")


def noisy(grey: int, by: float) -> Image.Image:
    chance = random.Random(2)
    values = (min(255, max(0, round(chance.gauss(grey, by)))) for _ in range(179 * 221))
    return Image.frombytes("L", (179, 221), bytes(values))


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_of_one_colour_is_refused(grey: int, kind: str) -> None:
    assert refusal(encoded(Image.new("RGB", (358, 441), (grey, 90, 7)), kind)) == "one colour"
    assert refusal(encoded(noisy(grey, 2), kind)) == "one colour"


def test_a_speck_makes_no_face() -> None:
    image = Image.new("L", (358, 441), 200)
    image.paste(0, (10, 10, 40, 40))
    assert refusal(encoded(image)) == "one colour"


def test_nothing_but_transparency_is_one_colour() -> None:
    assert refusal(encoded(Image.new("RGBA", (100, 120), (9, 99, 199, 0)))) == "one colour"


def test_12_bits_that_say_they_are_16_are_refused() -> None:
    """The picture would be black: nothing is lighter than 16 of 255."""
    values = struct.pack("<12000H", *grey_values(4095))
    assert refusal(grey_tiff(values, 16)) == "one colour"


def test_a_dull_photo_is_taken() -> None:
    dull = Image.linear_gradient("L").resize((179, 221)).point(lambda value: 100 + value // 6)
    assert picture_of(encoded(dull)).size == (179, 221)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_a_file_that_was_cut_off_is_refused(kind: str, kept: float) -> None:
    with Image.open(DATA / "photos" / "00.jpg") as image:
        whole = encoded(image, kind)
    assert fit(whole)
    assert refusal(whole[: int(len(whole) * kept)]).startswith("not a picture")


def test_a_bomb_is_refused_before_its_pixels_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = encoded(Image.new("1", (6000, 6000)))

    def read(image: PngImageFile) -> None:
        raise AssertionError("the pixels were read")

    monkeypatch.setattr(PngImageFile, "load", read)
    assert refusal(raw) == "too many pixels"
