"""What becomes of an upload: a small upright WebP of its pixels, or a refusal with its reason."""

import random
from io import BytesIO

import pytest
from PIL import Image, ImageCms

from accounts import images
from accounts.images import IMAGE_BYTES_MAX, SIDE_MAX_PX, InvalidImageError, image_normalise
from runtime.errors import BusyError
from tests.accounts_pages.samples import (
    BLUE,
    RED,
    bomb,
    chunks,
    near,
    opened,
    picture,
    text_bomb,
)

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidImageError) as caught:
        image_normalise(data=data)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_accepted_format_becomes_webp(kind):
    image = opened(image_normalise(data=picture(kind)))
    assert image.format == "WEBP"
    assert image.size == (64, 48)
    assert near(image.getpixel((10, 20)), RED)
    assert near(image.getpixel((54, 20)), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_a_png(mode):
    if mode == "I;16":
        data = grey_of_16_bits(32_768)
        assert opened(image_normalise(data=data)).getpixel((5, 5)) == (128, 128, 128)
        return
    before = opened(picture(mode=mode)).convert("RGB")
    after = opened(image_normalise(data=picture(mode=mode))).convert("RGB")
    assert near(after.getpixel((10, 20)), before.getpixel((10, 20)))


def grey_of_16_bits(level: int) -> bytes:
    output = BytesIO()
    Image.new("I;16", (16, 16), level).save(output, "PNG")
    return output.getvalue()


def test_cmyk_jpeg():
    image = opened(image_normalise(data=picture("JPEG", mode="CMYK")))
    assert image.mode == "RGB"


def test_keeps_transparency():
    data = picture(mode="RGBA")
    clear = opened(data)
    clear.putalpha(0)
    output = BytesIO()
    clear.save(output, "PNG")
    assert opened(image_normalise(data=output.getvalue())).getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((2000, 1000), (512, 256)),
        ((1000, 3000), (171, 512)),
        ((5000, 1), (512, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_fits_without_cropping(size, wanted):
    assert opened(image_normalise(data=picture(size=size))).size == wanted


def test_a_large_photo_is_small_afterwards():
    data = picture("JPEG", size=(4000, 3000), quality=60)
    image = opened(image_normalise(data=data))
    assert max(image.size) == SIDE_MAX_PX
    assert near(image.getpixel((10, 20)), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright(orientation):
    upright = opened(picture())
    # The camera stored it so that turning it by the tag makes it upright again.
    back = {6: 8, 8: 6}
    turn = images._UPRIGHT.get(back.get(orientation, orientation))
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    output = BytesIO()
    stored.save(output, "JPEG", exif=exif, quality=95)
    image = opened(image_normalise(data=output.getvalue()))
    assert image.size == upright.size
    assert near(image.getpixel((10, 20)), RED)
    assert near(image.getpixel((54, 20)), BLUE)


def test_no_metadata_stays():
    exif = Image.Exif()
    exif[0x010F] = "Camera of Alice"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("PNG", "JPEG", "WEBP"):
        data = picture(kind, exif=exif, icc_profile=profile)
        assert b"Camera of Alice" in data
        out = image_normalise(data=data)
        assert b"Alice" not in out
        assert set(chunks(out)) <= {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}


def test_a_second_file_behind_the_first_is_gone():
    for kind in ("PNG", "JPEG", "WEBP"):
        out = image_normalise(data=picture(kind) + HTML + b"PK\x03\x04")
        assert b"script" not in out
        assert b"PK\x03\x04" not in out


def test_of_a_moving_picture_the_first_frame():
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE)]
    for kind in ("PNG", "WEBP"):
        output = BytesIO()
        frames[0].save(output, kind, save_all=True, append_images=frames[1:])
        out = image_normalise(data=output.getvalue())
        assert getattr(opened(out), "n_frames", 1) == 1
        assert near(opened(out).getpixel((5, 5)), RED)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", SVG, HTML, b"GIF89a" + bytes(100), b"BM" + bytes(100), b"%PDF-1.7\n", b"\xff\xd8"],
)
def test_refuses_what_is_no_picture(data):
    assert refusal(data).startswith("image: ")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "AVIF"])
def test_refuses_pictures_of_other_formats(kind):
    assert refusal(picture(kind)) == "image: must be a PNG, JPEG or WebP picture"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_refuses_what_is_torn(kind):
    data = picture(kind, size=(300, 300))
    assert "torn" in refusal(data[: len(data) * 2 // 3]) or kind == "WEBP"
    refusal(data[: len(data) // 2])


@pytest.mark.parametrize("size", [(5001, 5000), (10_000, 9_000), (60_000, 60_000)])
def test_refuses_a_bomb_before_it_is_unpacked(size, monkeypatch):
    monkeypatch.setattr(images, "_shrunk", lambda image: pytest.fail("unpacked"))
    assert refusal(bomb(*size)) == "image: must have at most 25 megapixels"


def test_refuses_a_note_that_unpacks_to_much():
    assert refusal(text_bomb()).startswith("image: ")


def test_refuses_what_is_too_large():
    assert refusal(bytes(IMAGE_BYTES_MAX + 1)) == "image: must be at most 2 MiB"


# Pillow warns of damaged notes, and goes on without them.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_bytes_never_raise_anything_else(kind):
    """Five hundred damaged files each: a picture or a refusal, nothing that nobody expects."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Without the time at which it was made: the same files every time.
    profile = profile[:24] + bytes(12) + profile[36:]
    whole = picture(kind, size=(40, 30), exif=exif, icc_profile=profile)
    dice = random.Random(20_240_101)
    outcomes = set()
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 12)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            outcomes.add(opened(image_normalise(data=bytes(data))).format)
        except InvalidImageError as error:
            outcomes.add(str(error))
    assert "WEBP" in outcomes
    assert len(outcomes) > 1


def test_says_busy_when_all_places_are_taken(monkeypatch):
    monkeypatch.setattr(images, "_WAIT_S", 0.0)
    with images._place(), images._place(), pytest.raises(BusyError):
        image_normalise(data=picture())
    assert image_normalise(data=picture())
