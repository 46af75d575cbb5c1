"""Turns whatever somebody uploads as a picture into one that is safe to keep and to show.

Nothing of the upload is kept as it is: it is decoded as PNG, JPEG or WebP, whatever its name or
type say, and its pixels are encoded anew. So what hides in a picture (scripts, places, camera
serials, a second file behind the first) never reaches the store. Pure: bytes in, bytes out.
"""

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image, ImageCms, UnidentifiedImageError

from accounts.errors import InvalidFieldError
from runtime.errors import BusyError

IMAGE_BYTES_MAX = 2 * 1024 * 1024
# The longer side of what is kept; twice what the pages show, for screens that are twice as fine.
SIDE_MAX_PX = 512
# The largest photo of common phones. Decoded it takes 4 bytes a pixel: 100 MB.
PIXELS_MAX = 25_000_000
SUFFIX = ".webp"
CONTENT_TYPE = "image/webp"

_FORMATS = ("PNG", "JPEG", "WEBP")
_QUALITY = 85
# Each takes up to 200 MB, and a core: more at once would be slower for all.
_AT_ONCE = 2
_WAIT_S = 5.0
_places = threading.BoundedSemaphore(_AT_ONCE)

# What Pillow raises for files that are torn or made to harm.
_BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, AssertionError, struct.error),
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_ORIENTATION_TAG = 0x0112
# How to turn a photo upright, by what the camera wrote: EXIF 2.32, section 4.6.4 A.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class InvalidImageError(InvalidFieldError):
    """The upload is no picture that is accepted."""

    def __init__(self, problem: str) -> None:
        super().__init__("image", problem)


def image_normalise(*, data: bytes) -> bytes:
    """The picture in `data`, upright, at most `SIDE_MAX_PX` a side, without metadata, as WebP.

    Of a moving picture the first frame. InvalidImageError when it is larger than
    `IMAGE_BYTES_MAX`, no PNG, JPEG or WebP, torn, or has more than `PIXELS_MAX` pixels, which is
    seen before any is decoded. BusyError when others are being decoded for seconds already.
    """
    if len(data) > IMAGE_BYTES_MAX:
        limit_mib = IMAGE_BYTES_MAX // (1024 * 1024)
        raise InvalidImageError(f"must be at most {limit_mib} MiB")
    with _place():
        return _encoded(_decoded(data))


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=_WAIT_S):
        raise BusyError("image: too many are being read just now, try again")
    try:
        yield
    finally:
        _places.release()


def _decoded(data: bytes) -> Image.Image:
    """The pixels, small and upright, as RGB or RGBA in sRGB."""
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            _check_size(image)
            turn = _UPRIGHT.get(_orientation(image))
            profile = image.info.get("icc_profile")
            small = _shrunk(image)
    except _BOMB:
        raise _too_many_pixels() from None
    except UnidentifiedImageError:
        raise InvalidImageError("must be a PNG, JPEG or WebP picture") from None
    except _BROKEN:
        raise InvalidImageError("is torn, it cannot be read to its end") from None
    return _in_srgb(small.transpose(turn) if turn is not None else small, profile)


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > PIXELS_MAX:
        raise _too_many_pixels()


def _too_many_pixels() -> InvalidImageError:
    return InvalidImageError(f"must have at most {PIXELS_MAX // 1_000_000} megapixels")


def _orientation(image: Image.Image) -> int:
    """How the camera was held; 1, upright, when the picture's notes cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _BROKEN:
        return 1


def _shrunk(image: Image.Image) -> Image.Image:
    """A copy that fits, as RGB or RGBA. A JPEG is decoded at a fraction of its size."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode in ("P", "PA", "1", "LA", "La", "RGBa") or image.mode.startswith("I"):
        # These cannot be scaled smoothly.
        image = _eight_bits(image).convert(mode)
    image.thumbnail((SIDE_MAX_PX, SIDE_MAX_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Sixteen bits of grey as eight: converting alone would clip them to white."""
    if not image.mode.startswith("I"):
        return image
    return image.convert("I").point(lambda value: value / 256).convert("L")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The same colours without the profile that they needed; as they are when it is unusable."""
    if profile and image.mode == "RGB":
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target)
        except (ImageCms.PyCMSError, *_BROKEN):
            return image
        return converted if converted is not None else image
    return image


def _encoded(image: Image.Image) -> bytes:
    output = BytesIO()
    # Empty, or Pillow would copy what the upload had.
    image.save(
        output, format="WEBP", quality=_QUALITY, method=4, exif=b"", icc_profile=b"", xmp=b""
    )
    return output.getvalue()
