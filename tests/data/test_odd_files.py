"""Files as they turn up in the wild, through the code that a user runs."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data import files
from hardy.data.item import BadSample, Prepared
from hardy.data.leaks import leaks
from hardy.data.loader import broken
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.spec import DataSpec

HALF = (0.5, 0.5, 0.5)
PREPROCESS = Preprocess(16, 16, "bilinear", HALF, HALF)


def bomb(side):
    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture
def odd(tmp_path):
    folder = tmp_path / "set" / "thing"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    photograph = Image.fromarray(noise)
    photograph.save(folder / "whole.jpg", quality=95)
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:300])
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(levels).save(folder / "grey16.png")
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(folder / "cmyk.jpg")
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("lime", "blue")]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    turned = np.zeros((16, 16, 3), np.uint8)
    turned[8:] = 255
    Image.fromarray(turned).save(folder / "rotated.jpg", exif=exif)
    Image.fromarray(noise).save(folder / "scan.tif")
    Image.fromarray(noise[..., 0].astype(np.float32)).save(folder / "real.tiff")
    (folder / "gone.jpg").symlink_to(tmp_path / "unmounted.jpg")
    (folder / "empty.jpg").touch()
    (folder / "bomb.png").write_bytes(bomb(20_000))
    return tmp_path / "set"


def test_each_odd_file_is_read_or_refused_by_name(odd):
    found = open_dataset(DataSpec(dataset="folder", root=str(odd)))
    pipeline = SamplePipeline(found, PREPROCESS)
    items = {item.id.rpartition("/")[2]: item for item in (pipeline[n] for n in range(11))}
    bad = {name: item.reason for name, item in items.items() if isinstance(item, BadSample)}
    assert set(bad) == {"truncated.jpg", "empty.jpg", "bomb.png", "gone.jpg", "real.tiff"}
    assert all(name in reason for name, reason in bad.items())
    assert "pixels" in bad["bomb.png"]
    assert "it is empty" in bad["empty.jpg"]
    assert "unmounted.jpg, which does not exist" in bad["gone.jpg"]
    assert "real numbers" in bad["real.tiff"]
    assert "Scale" in items["bomb.png"].hint
    pixels = {
        name: item.pixels[0].permute(1, 2, 0).numpy()
        for name, item in items.items()
        if isinstance(item, Prepared)
    }
    assert np.array_equal(pixels["grey16.png"][..., 0], np.arange(256).reshape(16, 16))
    assert np.array_equal(pixels["scan.tif"], np.asarray(Image.open(odd / "thing/scan.tif")))
    assert pixels["animated.gif"][0, 0].tolist() == [0, 255, 0]
    assert pixels["rotated.jpg"][:6].min() > 240
    assert pixels["rotated.jpg"][-6:].max() < 15
    red = pixels["cmyk.jpg"].mean((0, 1))
    assert red[0] > 200
    assert red[1:].max() < 60


def test_without_skipping_the_reader_raises_with_the_way_out(odd):
    found = open_dataset(DataSpec(dataset="folder", root=str(odd)))
    (empty,) = (sample for sample in found.samples if "empty" in sample.id)
    with pytest.raises(DataError, match=r"empty\.jpg") as caught:
        found.read(empty)
    assert caught.value.hint == "Fetch the file again."
    bad = broken(BadSample(0, empty.id, caught.value.message, caught.value.hint))
    assert bad.hint == "Fetch the file again. Or set data.on_bad_sample: skip."


def test_a_link_that_leads_somewhere_again_is_another_dataset(odd):
    spec = DataSpec(dataset="folder", root=str(odd))
    before = open_dataset(spec)
    (gone,) = (sample for sample in before.samples if not sample.content)
    assert gone.id == "thing/gone.jpg"
    assert gone.id not in {id_ for id_, _ in leaks(before, before)}  # nothing is known of it
    (odd / "thing" / "whole.jpg").rename(odd.parent / "unmounted.jpg")
    assert all(sample.content for sample in open_dataset(spec).samples)


def test_a_link_to_nothing_in_a_large_set_has_no_size(odd, monkeypatch):
    monkeypatch.setattr(files, "HASHED_BYTES", 1)
    found = open_dataset(DataSpec(dataset="folder", root=str(odd)))
    assert [sample.id for sample in found.samples if not sample.content] == ["thing/gone.jpg"]


def test_a_pipe_that_is_named_like_an_image_is_not_waited_for(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to("nothing.png")
    Image.new("RGB", (8, 8)).save(folder / "whole.png")
    taken, others = files.found_in(folder)
    assert [file.name for file in taken] == ["link.png", "whole.png"]
    assert others == ["pipe.png"]
