"""A JPEG that lacks pixels is refused, though it has an end; a whole one never is."""

import io
from pathlib import Path

import pytest
from PIL import Image

from personalize.listing.fault_codes import FaultCode
from personalize.listing.photos import PhotoError, fit
from tests import DATA

END = b"\xff\xd9"
PORTRAITS = sorted((DATA / "photos").glob("[01]?.jpg"))
WAYS: dict[str, dict[str, object]] = {
    "baseline": {},
    "full colour": {"subsampling": 0},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_rows": 1},
    "optimized": {"optimize": True},
}


def encoded(picture: Image.Image, way: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88, **WAYS[way])
    return file.getvalue()


def portrait(path: Path = PORTRAITS[0], mode: str = "RGB") -> Image.Image:
    return Image.open(path).convert("RGB").resize((358, 441)).convert(mode)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_a_picture_that_ends_early_is_refused(way: str, mode: str, share: float) -> None:
    """A decoder makes the rest grey, without a word: a card would show half a face."""
    raw = encoded(portrait(mode=mode), way)
    with pytest.raises(PhotoError) as told:
        fit(raw[: int(len(raw) * share)] + END)
    assert told.value.wrong.code is FaultCode.NOT_A_PICTURE


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("path", PORTRAITS, ids=lambda path: path.stem)
def test_a_whole_picture_is_taken(path: Path, mode: str, way: str) -> None:
    assert fit(encoded(portrait(path, mode), way))


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_that_is_really_grey_below_is_taken(way: str) -> None:
    picture = portrait()
    picture.paste((128, 128, 128), (0, 330, 358, 441))
    assert fit(encoded(picture, way))


@pytest.mark.parametrize("after", [b"\0" * 100, b"\xff\xd8\xff\xd9", b"a motion picture"])
def test_what_follows_the_picture_makes_no_difference(after: bytes) -> None:
    raw = encoded(portrait(), "progressive")
    assert fit(raw + after) == fit(raw)


def test_a_filled_marker_is_no_end() -> None:
    """FF may be repeated before a marker (ITU-T T.81, B.1.1.2)."""
    raw = encoded(portrait(), "progressive")
    assert fit(raw[:2] + b"\xff\xff" + raw[2:]) == fit(raw)
