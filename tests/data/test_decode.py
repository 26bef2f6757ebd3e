import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.decode import decode


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def gradient(width=6, height=4):
    pixels = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3) * 3
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation):
    # EXIF's own definition: which stored row and column hold the visual top and left side.
    upright = np.asarray(gradient())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert np.array_equal(np.asarray(decode(data, name="x")), upright)


def test_sixteen_bit_grey_keeps_its_levels():
    levels = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    image = decode(encoded(Image.fromarray(levels), "PNG"), name="x")
    assert image.mode == "RGB"
    assert np.asarray(image)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("P", "GIF")]
)
def test_any_mode_becomes_rgb(mode, kind):
    image = Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode)
    result = decode(encoded(image, kind), name="x")
    assert (result.mode, result.size) == ("RGB", (8, 8))
    assert np.asarray(result).min() >= 253


def test_alpha_is_dropped_and_not_composited():
    image = Image.new("RGBA", (2, 2), (10, 200, 30, 0))
    assert decode(encoded(image, "PNG"), name="x").getpixel((0, 0)) == (10, 200, 30)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, name="x").getpixel((1, 1)) == (255, 0, 0)


def test_palette_with_transparency_gives_no_warning():
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0] * 256)
    data = encoded(image, "PNG", transparency=bytes([0] * 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data, name="x").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<html>not found</html>",
        encoded(gradient(64, 64), "JPEG")[:400],
        encoded(gradient(64, 64), "PNG")[:90],
        encoded(gradient(64, 64), "WEBP")[:60],
        encoded(gradient(64, 64), "BMP")[:60],
    ],
    ids=["empty", "header", "html", "jpeg", "png", "webp", "bmp"],
)
def test_a_broken_file_is_named(data, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"photo\.jpg: cannot be decoded"):
        decode(path, name=str(path))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg: no such file"):
        decode(tmp_path / "gone.jpg", name="gone.jpg")


@pytest.mark.parametrize("side", [10_001, 60_000])
def test_a_bomb_is_refused_by_name_before_decoding(side):
    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    # Warnings are errors here, so Pillow's own warning about large images would show.
    with pytest.raises(DataError, match=r"bomb\.png.* pixels"):
        decode(data, name="bomb.png")


def test_damaged_exif_does_not_sink_sound_pixels():
    data = encoded(gradient(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert decode(data, name="x").size == (6, 4)


def test_threads_decode_at_once_and_leave_the_filters_of_warnings_as_they_were(
    tmp_path, monkeypatch
):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    together, plain = threading.Barrier(2, timeout=20), Image.open
    monkeypatch.setattr(
        "hardy.data.decode.Image.open", lambda source: (together.wait(), plain(source))[1]
    )
    before = list(warnings.filters)
    with ThreadPoolExecutor(2) as pool:
        images = list(pool.map(lambda n: decode(tmp_path / "a.png", name=str(n)), range(4)))
    assert [image.size for image in images] == [(4, 4)] * 4
    assert warnings.filters == before
