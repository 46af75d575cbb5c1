"""Pictures to upload: ordinary ones, and files made to harm."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(
    kind: str = "PNG", size: tuple[int, int] = (64, 48), mode: str = "RGB", **given: Any
) -> bytes:
    """A picture, red on the left and blue on the right, in the format `kind`."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, size[0], size[1]))
    output = BytesIO()
    image.convert(mode).save(output, kind, **given)
    return output.getvalue()


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    image = Image.open(BytesIO(data))
    image.load()
    return image


def near(pixel: Any, colour: Any) -> bool:
    """Whether a pixel is that colour, but for what encoding costs."""
    return all(abs(a - b) <= 24 for a, b in zip(pixel, colour, strict=False))


def chunks(webp: bytes) -> list[bytes]:
    """The names of a WebP file's chunks; the whole file is chunks."""
    assert webp[:4] == b"RIFF"
    assert webp[8:12] == b"WEBP"
    names, at = [], 12
    while at < len(webp):
        (length,) = struct.unpack_from("<I", webp, at + 4)
        names.append(webp[at : at + 4])
        at += 8 + length + length % 2
    assert at == len(webp)
    return names


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is large."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        + _png_chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    """A PNG with a note that is 200 MB once unpacked."""
    whole: bytes = picture()
    note = _png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9))
    return whole[:33] + note + whole[33:]
