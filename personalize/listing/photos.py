"""Photos as JPEG that fit the photo file of the card."""

import hashlib
import io
import struct
import warnings
from pathlib import Path, PurePosixPath

from PIL import ExifTags, Image, UnidentifiedImageError

from cardlib.errors import CardError
from cardlib.layout import FILE_BY_PATH

PHOTO_LIMIT = FILE_BY_PATH["DDF1/EF07"].fields[0].length - 2
"""Bytes of the largest picture: 3,070."""

_BOX = (179, 221)
"""Half the size of the photo on the identity card (358 × 441): what 3,070 bytes show well."""

# No EPS or PDF: Pillow hands those to other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
_LARGEST_FILE = 32 << 20
_MOST_PIXELS = 24_000_000
_SMALLER = "make the picture smaller: 358 × 441 pixels are enough"
_SCALES = (1.0, 0.84, 0.7, 0.58, 0.48, 0.4, 0.25)
_QUALITIES = (75, 65, 55, 45, 35)
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

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


class PhotoShop:
    """The photos of one folder, each file read once and each picture prepared once."""

    def __init__(self, folder: Path, limit: int = PHOTO_LIMIT) -> None:
        """Look for photos in `folder`; make them fit `limit` bytes."""
        self._folder = folder
        self._limit = limit
        self._by_name: dict[str, bytes | PhotoError] = {}
        self._by_content: dict[bytes, bytes] = {}

    def jpeg(self, name: str) -> bytes:
        """The JPEG of a photo, by its path in the folder; PhotoError when there is none."""
        found = self._by_name.get(name)
        if found is None:
            try:
                found = self._prepare(name)
            except PhotoError as error:
                found = error
            self._by_name[name] = found
        if isinstance(found, PhotoError):
            raise PhotoError(found.problem, found.remedy)
        return found

    def _prepare(self, name: str) -> bytes:
        raw = _read(self._folder, name)
        digest = hashlib.sha256(raw).digest()
        if digest not in self._by_content:
            self._by_content[digest] = fit(raw, self._limit)
        return self._by_content[digest]


def _read(folder: Path, name: str) -> bytes:
    """A photo file's bytes; it must be a plain file inside the folder."""
    relative = PurePosixPath(name.replace("\\", "/"))
    inside = "name a file inside the photo folder, such as photos/0001.jpg"
    if relative.is_absolute() or ".." in relative.parts or ":" in name:
        raise PhotoError("not a path inside the photo folder", inside)
    try:
        path = (folder / relative).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise PhotoError("a link that leads out of the photo folder", inside)
        if not path.is_file():
            problem = "not a file" if path.exists() else "no such file"
            raise PhotoError(problem, f"put the file in {folder}, or leave the value blank")
        if path.stat().st_size > _LARGEST_FILE:
            raise PhotoError("too large a file", f"make it smaller than {_LARGEST_FILE >> 20} MiB")
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "no such file"
        raise PhotoError(
            f"no such file to read: {why}",
            "allow your user to read the file, or leave the value blank",
        ) from None


def fit(raw: bytes, limit: int = PHOTO_LIMIT) -> bytes:
    """A picture of any common format as a JPEG of at most `limit` bytes, without its metadata.

    The same bytes give the same JPEG. PhotoError for what is no picture, or cannot be so small.
    """
    with warnings.catch_warnings():
        # Damaged metadata is worth no word on stderr: it is left behind anyway.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = _opened(raw)
        try:
            picture = _picture(image)
        except _UNREADABLE:
            problem = "not a picture that can be read: it is damaged or cut off"
            raise PhotoError(problem, "save it again as JPEG or PNG") from None
    for scale in _SCALES:
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        scaled = picture if scale == 1.0 else picture.resize((size[0], size[1]))
        for quality in _QUALITIES:
            jpeg = _encoded(scaled, quality)
            if len(jpeg) <= limit:
                return jpeg
    raise PhotoError(f"does not fit {limit} bytes", "use a photo with a plain background")


def _opened(raw: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(raw), formats=_FORMATS)
    except UnidentifiedImageError:
        raise PhotoError("not a picture", "save it as JPEG or PNG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PhotoError("too many pixels", _SMALLER) from None
    except _UNREADABLE:
        raise PhotoError("not a picture", "save it as JPEG or PNG") from None
    return image


def _picture(image: Image.Image) -> Image.Image:
    """The upright picture, small, in colour or grey, and nothing but its pixels."""
    orientation = _orientation(image)
    box = _BOX if orientation < 5 else (_BOX[1], _BOX[0])
    # JPEG decoders scale by 1/2, 1/4, 1/8 for free, but to no less than is asked for: 441 / 2 is.
    image.draft(None, (box[0] - 1, box[1] - 1))
    if image.width * image.height > _MOST_PIXELS:
        raise PhotoError("too many pixels", _SMALLER)
    image.load()
    picture = _flat(image)
    picture.thumbnail(box, reducing_gap=2.0)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    picture.info = {}
    return picture


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 when the metadata says nothing that can be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _UNREADABLE:
        return 1
    return value if value in _UPRIGHT else 1


def _flat(image: Image.Image) -> Image.Image:
    """In grey or RGB, on white where it is transparent."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("1", "I", "F") or image.mode.startswith("I;16"):
        return image.convert("L")
    if "A" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _encoded(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
