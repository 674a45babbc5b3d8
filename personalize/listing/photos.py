"""Photos as JPEG that fit the photo file of the card."""

import errno
import hashlib
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from cardlib.errors import CardError, FileRefused
from cardlib.layout import FILE_BY_PATH
from cardlib.layout.tables import read_table
from cardlib.regular_file import read_regular

from .fault_codes import FaultCode
from .jpeg_end import is_cut_off
from .list_faults import Wrong

PHOTO_LIMIT = FILE_BY_PATH["DDF1/EF07"].fields[0].length - 2
"""Bytes of the largest picture: 3,070."""

_BOX = (179, 221)
"""Half the size of the photo on the identity card (358 × 441): what 3,070 bytes show well."""

_SMALLEST = (80, 100)
"""With fewer pixels nobody is recognized: the eyes are about 20 apart."""

_NOISE = 16
"""Of 255: from dark to light in a photo of a wall, or in 12 bits that say they are 16."""

# No EPS or PDF: Pillow hands those to other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
_LARGEST_FILE = 32 << 20
_MOST_PIXELS = 24_000_000
_SMALLER = "make the picture smaller: 358 × 441 pixels are enough"
_EIGHT_BITS = "save it as JPEG, or as PNG with 8 bits for each colour"
_DAMAGED = "not a picture that can be read: it is damaged or cut off"
_SAVE_AGAIN = "save it again as JPEG or PNG"
_FACE = "use a photo that shows the resident's face; 358 × 441 pixels are best"
_FAITHFUL = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"))
"""Modes of Pillow whose black and white are known, of 8 bits or less for each colour."""

_SCALES = (1.0, 0.84, 0.7, 0.58, 0.48, 0.4, 0.25)
_QUALITIES = (75, 65, 55, 45, 35)
_STEPS = [(scale, quality) for scale in _SCALES for quality in _QUALITIES]
_MOST_KEPT = 256
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_PHOTOMETRIC = ExifTags.Base.PhotometricInterpretation
"""A TIFF's tag that is 0 where 0 is white; Pillow inverts only what has 8 bits."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what turns the picture upright; from 5 on, height and width change places."""

_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What decoders raise on damaged files."""


class PhotoError(CardError):
    """A photo that cannot be put on a card; says what is wrong and what to do."""

    def __init__(self, code: FaultCode, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.wrong = Wrong(code, problem, remedy)

    @property
    def problem(self) -> str:
        """What is wrong."""
        return self.wrong.problem

    @property
    def remedy(self) -> str:
        """What to do."""
        return self.wrong.remedy


class Fitted(NamedTuple):
    """A JPEG that fits the card, and the step of `fitted` that gave it."""

    jpeg: bytes
    step: int


class Picture(NamedTuple):
    """A photo as a JPEG for the card, and the step of `fitted` that gave it.

    `fingerprint` is 32 bytes that two photos share if they are the same picture on the card. It is
    None for a photo of the sample, which is nobody's and may stand for many made-up residents.
    """

    jpeg: bytes
    step: int
    fingerprint: bytes | None


class PhotoShop:
    """The photos of one folder. Those that were asked for last need not be prepared again.

    In another process it begins anew, with the same folder.
    """

    def __init__(self, folder: Path, limit: int = PHOTO_LIMIT, place: Path | None = None) -> None:
        """Look for photos in `folder`, which is at `place`; make them fit `limit` bytes."""
        self._folder, self._limit = folder, limit
        self._place = folder if place is None else place
        self._by_name: dict[str, Picture | PhotoError] = {}
        self._by_content: dict[bytes, Fitted] = {}

    def __reduce__(self) -> tuple[Callable[..., "PhotoShop"], tuple[Path, int, Path]]:
        return _shop, (self._folder, self._limit, self._place.absolute())

    def picture(self, name: str, step: int = 0) -> Picture:
        """A photo, by its path in the folder; PhotoError when there is none.

        `step` is the one that gave it before, if it was prepared before.
        """
        found = self._by_name.get(name)
        if found is None:
            try:
                found = self._prepare(name, step)
            except PhotoError as error:
                found = error
            _keep(self._by_name, name, found)
        if isinstance(found, PhotoError):
            raise PhotoError(*found.wrong)
        return found

    def jpeg(self, name: str) -> bytes:
        """The JPEG of a photo; PhotoError as for `picture`."""
        return self.picture(name).jpeg

    def _prepare(self, name: str, step: int) -> Picture:
        raw = _read(self._folder, self._place, name)
        digest = hashlib.sha256(raw).digest()
        found = self._by_content.get(digest)
        if found is None:
            found = fitted(raw, self._limit, step)
            _keep(self._by_content, digest, found)
        is_sample = digest in _sample_photos()
        fingerprint = None if is_sample else hashlib.sha256(found.jpeg).digest()
        return Picture(*found, fingerprint)


@lru_cache(maxsize=16)
def _shop(folder: Path, limit: int, place: Path) -> PhotoShop:
    """The shop of a folder in this process, which came here from another one."""
    return PhotoShop(folder, limit, place)


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Keep a value with the last ones, and forget the oldest."""
    if len(kept) >= _MOST_KEPT:
        del kept[next(iter(kept))]
    kept[key] = value


@cache
def _sample_photos() -> frozenset[bytes]:
    """The SHA-256 of each file of the sample's photos."""
    rows = read_table(Path(__file__).with_name("sample_photos.csv"))
    return frozenset(bytes.fromhex(row["sha256"]) for row in rows)


def _read(folder: Path, place: Path, name: str) -> bytes:
    """A photo file's bytes; it must be a plain file inside the folder."""
    relative = PurePosixPath(name.replace("\\", "/"))
    inside = "name a file inside the photo folder, such as photos/0001.jpg"
    if relative.is_absolute() or ".." in relative.parts or ":" in name:
        raise PhotoError(FaultCode.PHOTO_PATH, "not a path inside the photo folder", inside)
    try:
        path = (place / relative).resolve()
        if not path.is_relative_to(place.resolve()):
            raise PhotoError(
                FaultCode.PHOTO_PATH, "a link that leads out of the photo folder", inside
            )
        return read_regular(path, _LARGEST_FILE)
    except FileRefused as error:
        raise _refused(error) from None
    except FileNotFoundError:
        remedy = f"put the file in {folder}, or leave the value blank"
        raise PhotoError(FaultCode.NO_PHOTO, "no such file", remedy) from None
    except (OSError, ValueError, RuntimeError) as error:
        problem = f"no such file to read: {getattr(error, 'strerror', None) or 'no such file'}"
        remedy = "allow your user to read the file, or leave the value blank"
        raise PhotoError(FaultCode.NO_PHOTO, problem, remedy) from None


def _refused(error: FileRefused) -> PhotoError:
    if error.errno == errno.EFBIG:
        remedy = f"make it smaller than {_LARGEST_FILE >> 20} MiB"
        return PhotoError(FaultCode.PHOTO_TOO_LARGE, "too large a file", remedy)
    return PhotoError(FaultCode.NO_PHOTO, f"not a file: {error.strerror}", "name a picture file")


def fit(raw: bytes, limit: int = PHOTO_LIMIT) -> bytes:
    """The JPEG alone that `fitted` gives."""
    return fitted(raw, limit).jpeg


def fitted(raw: bytes, limit: int = PHOTO_LIMIT, step: int = 0) -> Fitted:
    """A picture of any common format as a JPEG of at most `limit` bytes, without its metadata.

    The same bytes give the same JPEG. A picture that was fitted before is fitted again in less time
    with its `step`. PhotoError for what is no picture, cannot be so small, cannot be converted
    without a guess, or shows no face: too few pixels, one colour.
    """
    with warnings.catch_warnings():
        # Damaged metadata is worth no word on stderr: it is left behind anyway.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = _opened(raw)
        try:
            picture = _picture(image, raw)
        except _UNREADABLE:
            raise PhotoError(FaultCode.NOT_A_PICTURE, _DAMAGED, _SAVE_AGAIN) from None
    _check_face(picture)
    scaled, at = picture, 1.0
    for number in range(step, len(_STEPS)):
        scale, quality = _STEPS[number]
        if scale != at:
            size = tuple(max(1, round(side * scale)) for side in picture.size)
            scaled, at = picture.resize((size[0], size[1])), scale
        jpeg = _encoded(scaled, quality)
        if len(jpeg) <= limit:
            return Fitted(jpeg, number)
    problem = f"does not fit {limit} bytes"
    remedy = "use a photo with a plain background"
    raise PhotoError(FaultCode.PHOTO_DOES_NOT_FIT, problem, remedy)


def _opened(raw: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(raw), formats=_FORMATS)
    except UnidentifiedImageError:
        raise PhotoError(
            FaultCode.NOT_A_PICTURE, "not a picture", "save it as JPEG or PNG"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PhotoError(FaultCode.PHOTO_TOO_LARGE, "too many pixels", _SMALLER) from None
    except _UNREADABLE:
        raise PhotoError(
            FaultCode.NOT_A_PICTURE, "not a picture", "save it as JPEG or PNG"
        ) from None
    return image


def _picture(image: Image.Image, raw: bytes) -> Image.Image:
    """The upright picture, small, in colour or grey, and nothing but its pixels."""
    if isinstance(image, JpegImageFile):
        # JPEG decoders scale by 1/2, 1/4, 1/8 for free, but to no less than is asked for: 441 / 2.
        width, height = _box(_orientation(image))
        image.draft(None, (width - 1, height - 1))
    if image.width * image.height > _MOST_PIXELS:
        raise PhotoError(FaultCode.PHOTO_TOO_LARGE, "too many pixels", _SMALLER)
    bits = _bits(image)
    image.load()
    if isinstance(image, JpegImageFile) and is_cut_off(raw, image):
        raise PhotoError(FaultCode.NOT_A_PICTURE, _DAMAGED, _SAVE_AGAIN)
    # Only now: a PNG may say it after the pixels, and Pillow turns a TIFF itself.
    orientation = _orientation(image)
    picture = _flat(image, bits)
    picture.thumbnail(_box(orientation), reducing_gap=2.0)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    picture.info = {}
    return picture


def _box(orientation: int) -> tuple[int, int]:
    """The largest width and height of a picture before it is turned upright."""
    return _BOX if orientation < 5 else (_BOX[1], _BOX[0])


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 when the metadata says nothing that can be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _UNREADABLE:
        return 1
    return value if value in _UPRIGHT else 1


def _flat(image: Image.Image, bits: int) -> Image.Image:
    """In grey or RGB, on white where it is transparent; the file has `bits` for each colour."""
    key = image.info.get("transparency")
    if bits == 16 and key is not None:
        raise PhotoError(FaultCode.PHOTO_COLOURS, "a transparent colour of 16 bits", _EIGHT_BITS)
    if image.mode.startswith("I;16") or (image.format, image.mode) == ("PNG", "I"):
        return _grey(image, bits)
    if image.mode not in _FAITHFUL:
        problem = "grey values whose black and white are not known"
        raise PhotoError(FaultCode.PHOTO_COLOURS, problem, _EIGHT_BITS)
    if image.mode in ("LA", "PA", "RGBA") or key is not None:
        if image.mode == "L" and isinstance(key, int):
            # A PNG of 2 or 4 bits names the colour before Pillow spreads it over 0 to 255.
            image.info["transparency"] = key * 255 // ((1 << bits) - 1)
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "L" else image.convert("L" if image.mode == "1" else "RGB")


def _grey(image: Image.Image, bits: int) -> Image.Image:
    """8 bits of the 12 or 16 of each grey, rounded; Pillow's own `convert` cuts off at 255."""
    white = (1 << bits) - 1
    grey = image.convert("I").point(lambda value: value * (255 / white) + 0.5).convert("L")
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0:
        return ImageOps.invert(grey)
    return grey


def _bits(image: Image.Image) -> int:
    """Bits for each colour, as a PNG or TIFF says before it is loaded; 8 for the other formats."""
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))[0])
    if isinstance(image, PngImageFile):
        told = re.search(r";(\d+)", str(image.tile[0][3]))
        return int(told[1]) if told else 8
    return 8


def _check_face(picture: Image.Image) -> None:
    """PhotoError for an upright picture, scaled to fit, in which no face can be seen."""
    if picture.width < _SMALLEST[0] or picture.height < _SMALLEST[1]:
        size = f"{_SMALLEST[0]} × {_SMALLEST[1]} pixels"
        problem = f"smaller than {size} when it fits the card"
        raise PhotoError(FaultCode.NO_FACE, problem, _FACE)
    counts = picture.histogram()
    hundredth = picture.width * picture.height // 100
    bands = (counts[start : start + 256] for start in range(0, len(counts), 256))
    if all(_span(band, hundredth) <= _NOISE for band in bands):
        raise PhotoError(FaultCode.NO_FACE, "one colour", _FACE)


def _span(counts: list[int], left_out: int) -> int:
    """From the darkest to the lightest value of a band, 0 to 255, but for a few pixels at ends."""
    dark, light = _passed(counts, left_out), _passed(reversed(counts), left_out)
    return 255 - light - dark


def _passed(counts: Iterable[int], left_out: int) -> int:
    return next(n for n, pixels in enumerate(accumulate(counts)) if pixels > left_out)


def _encoded(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
