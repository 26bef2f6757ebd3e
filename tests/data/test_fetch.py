import errno
import functools
import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from hardy.cli.main import run
from hardy.core.errors import DataError, WeightsError
from hardy.data import open as opening
from hardy.data.cards import DATASETS
from hardy.data.fetch import fetch_all, fetch_file
from hardy.data.imagenet import class_map, imagenet_synsets
from hardy.data.open import data_digest, fetch, open_dataset
from hardy.data.sources import CHECKPOINTS, DOWNLOADS, Download, how_to_get
from hardy.data.spec import DataSpec
from hardy.methods.memo_plus.spec import Sam
from hardy.models.sam import checkpoint_file


class Handler(SimpleHTTPRequestHandler):
    """Serves files, with ranges, and cuts connections where a test asks for it."""

    asked: ClassVar[list[tuple[str, str]]] = []
    cut_after: ClassVar[int | None] = None

    def do_GET(self):
        type(self).asked.append((self.path, self.headers.get("Range", "")))
        path = self.translate_path(self.path)
        try:
            content = Path(path).read_bytes()
        except OSError:
            self.send_error(404)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut, type(self).cut_after = type(self).cut_after, None
        self.wfile.write(content[start:] if cut is None else content[start : start + cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "cut_after", None)
    folder = tmp_path / "served"
    folder.mkdir()
    served = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    thread = threading.Thread(target=served.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    thread.join()
    served.server_close()


def tar_of(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as content:
        for name, data in members.items():
            content.writestr(name, data)


def checked(url, path):
    return Download(f"{url}/{path.name}", f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")


def test_archives_of_one_name_and_plain_files_are_put_in_their_places(server, tmp_path):
    folder, url = server
    (folder / "a").mkdir()
    tar_of(folder / "images.tar.gz", {"one/x.txt": b"1"})
    tar_of(folder / "a" / "images.tar.gz", {"two/y.txt": b"2"})
    (folder / "data.npy").write_bytes(b"3")
    zip_of(folder / "z.zip", {"three/z.txt": b"4"})
    second = folder / "a" / "images.tar.gz"
    downloads = (
        checked(url, folder / "images.tar.gz"),
        Download(f"{url}/a/images.tar.gz", size=second.stat().st_size, into="b"),
        checked(url, folder / "data.npy"),
        checked(url, folder / "z.zip"),
    )
    root = tmp_path / "data" / "set"
    fetch_all(downloads, root)
    found = {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}
    assert found == {"one/x.txt": "1", "b/two/y.txt": "2", "data.npy": "3", "three/z.txt": "4"}
    assert not (root.parent / ".set.incoming").exists()
    # Without a published checksum the first download's is kept, and holds from then on.
    second.write_bytes(second.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="images"):
        fetch_all(downloads, tmp_path / "data" / "again")


def test_a_cut_connection_goes_on_where_it_was(server, tmp_path, monkeypatch):
    folder, url = server
    (folder / "data.npy").write_bytes(bytes(range(256)) * 4096)
    monkeypatch.setattr(Handler, "cut_after", 300_000)
    fetch_all((checked(url, folder / "data.npy"),), tmp_path / "set")
    assert (tmp_path / "set" / "data.npy").read_bytes() == (folder / "data.npy").read_bytes()
    assert [asked for _, asked in Handler.asked] == [
        "bytes=0-",
        "bytes=262144-",
    ]  # whole chunks of 64 KiB


def test_a_later_try_goes_on_too_and_keeps_finished_archives(server, tmp_path):
    folder, url = server
    for name in ("one.npy", "two.npy"):
        (folder / name).write_bytes(name.encode() * 1000)
    downloads = tuple(checked(url, folder / name) for name in ("one.npy", "two.npy"))
    (folder / "two.npy").rename(folder / "away")
    root = tmp_path / "set"
    with pytest.raises(DataError, match="404"):
        fetch_all(downloads, root)
    assert not root.exists()
    (tmp_path / ".set.incoming" / "1" / "two.npy.part").write_bytes(b"two.npy" * 10)
    (folder / "away").rename(folder / "two.npy")
    Handler.asked.clear()
    fetch_all(downloads, root)
    assert Handler.asked == [("/two.npy", "bytes=70-")]
    assert (root / "two.npy").read_bytes() == b"two.npy" * 1000


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_a_wrong_checksum_or_size_leaves_nothing(server, tmp_path, extra):
    folder, url = server
    (folder / "x.npy").write_bytes(b"content" + extra)
    wrong = Download(f"{url}/x.npy", "" if extra else f"sha256:{'0' * 64}", size=7)
    with pytest.raises(DataError, match=r"x\.npy"):
        fetch_all((wrong,), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def link(path):
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("inside")
        info.type, info.linkname = tarfile.SYMTYPE, "../../outside"
        tar.addfile(info)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("t.tar", lambda path: tar_of(path, {"../../outside": b"x"})),
        ("t.tar", link),
        ("z.zip", lambda path: zip_of(path, {"../../outside": b"x"})),
        ("z.zip", lambda path: path.write_bytes(b"no archive")),
        ("t.tar.gz", lambda path: path.write_bytes(b"no archive")),
    ],
)
def test_paths_that_lead_out_and_damaged_archives_are_refused(server, tmp_path, name, make):
    folder, url = server
    make(folder / name)
    with pytest.raises(DataError, match=name):
        fetch_all((checked(url, folder / name),), tmp_path / "data" / "set")
    assert not (tmp_path / "data" / "set").exists()
    assert not list(tmp_path.rglob("outside"))


def test_download_true_makes_an_absent_dataset_usable(server, tmp_path, monkeypatch):
    folder, url = server
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG")
    synsets = [imagenet_synsets()[index] for index in class_map("imagenet-a")]
    tar_of(folder / "imagenet-a.tar", {f"imagenet-a/{s}/0.jpg": stream.getvalue() for s in synsets})
    card = DATASETS["imagenet-a"]
    local = type(card)(**{**vars(card), "downloads": (checked(url, folder / "imagenet-a.tar"),)})
    monkeypatch.setattr(opening, "DATASETS", {"imagenet-a": local})
    spec = DataSpec(dataset="imagenet-a", root=str(tmp_path / "set"), download=True)
    assert data_digest(spec) is None
    assert not Handler.asked
    fetch(spec)
    assert len(open_dataset(spec).samples) == 200
    assert data_digest(spec) == open_dataset(spec).digest
    assert len(Handler.asked) == 1


def test_every_published_download_can_be_checked():
    assert set(DOWNLOADS) == {name for name, card in DATASETS.items() if card.downloads}
    for download in (d for group in DOWNLOADS.values() for d in group):
        algorithm, _, value = download.checksum.partition(":")
        assert len(value) == {"md5": 32, "sha256": 64, "": 0}[algorithm]
        assert download.checksum or download.size


def test_a_checkpoint_is_fetched_with_its_checksum_where_a_spec_looks(
    server, tmp_path, monkeypatch, capsys
):
    folder, url = server
    monkeypatch.setenv("HARDY_DATA", str(tmp_path / "data"))
    content = b"tensors" * 1000
    (folder / "sam_vit_b_01ec64.pth").write_bytes(content)
    local = checked(url, folder / "sam_vit_b_01ec64.pth")
    monkeypatch.setitem(CHECKPOINTS, "sam-vit-b", local)
    absent = Sam().checkpoint
    with pytest.raises(WeightsError) as caught:
        checkpoint_file(absent, "vit_b")
    assert "`hardy data get sam-vit-b`" in caught.value.hint
    assert how_to_get(absent) == "hardy data get sam-vit-b"
    assert run(["data", "get", "sam-vit-b"]) == 0
    path = checkpoint_file(absent, "vit_b")
    assert path.read_bytes() == content
    assert str(path) in capsys.readouterr().out
    assert not (path.parent / f".{path.name}.incoming").exists()
    Handler.asked.clear()
    assert run(["data", "get", "sam-vit-b"]) == 0  # it is there, and is what it must be
    assert not Handler.asked
    path.write_bytes(content[:-1])
    assert run(["data", "get", "sam-vit-b"]) == 1
    assert "Move it away, and get it again." in capsys.readouterr().err
    elsewhere = tmp_path / "elsewhere" / "sam_vit_b_01ec64.pth"
    with pytest.raises(WeightsError, match="does not exist") as caught:
        checkpoint_file(str(elsewhere), "vit_b")
    assert f"hardy data get sam-vit-b --root {elsewhere.parent}" in caught.value.hint
    assert run(["data", "get", "sam-vit-b", "--root", str(elsewhere.parent)]) == 0
    assert elsewhere.read_bytes() == content


def test_a_checkpoint_that_was_exchanged_is_not_kept(server, tmp_path, monkeypatch, capsys):
    folder, url = server
    monkeypatch.setenv("HARDY_DATA", str(tmp_path / "data"))
    (folder / "x.pth").write_bytes(b"others")
    wrong = Download(f"{url}/x.pth", f"sha256:{'0' * 64}", 6)
    monkeypatch.setitem(CHECKPOINTS, "sam-vit-b", wrong)
    assert run(["data", "get", "sam-vit-b"]) == 1
    assert "x.pth" in capsys.readouterr().err
    assert not (tmp_path / "data" / "weights" / "x.pth").exists()


def test_a_dataset_is_fetched_by_name(server, tmp_path, monkeypatch, capsys):
    folder, url = server
    monkeypatch.setenv("HARDY_DATA", str(tmp_path / "data"))
    (folder / "v6.npy").write_bytes(b"3")
    card = DATASETS["cifar10.1"]
    local = type(card)(**{**vars(card), "downloads": (checked(url, folder / "v6.npy"),)})
    monkeypatch.setattr("hardy.cli.data.DATASETS", {"cifar10.1": local})
    assert run(["data", "get", "cifar10.1"]) == 0
    assert (tmp_path / "data" / "cifar10.1" / "v6.npy").read_bytes() == b"3"
    Handler.asked.clear()
    assert run(["data", "get", "cifar10.1"]) == 0
    assert not Handler.asked
    assert "`hardy data check cifar10.1` looks at it" in capsys.readouterr().out


def test_no_connection_and_no_room_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    gone = Download("http://127.0.0.1:9/x.npy", f"sha256:{'0' * 64}")
    with pytest.raises(DataError, match=r"no connection to 127\.0\.0\.1:9"):
        fetch_all((gone,), tmp_path / "data" / "set")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written to") as caught:
        fetch_all((gone,), tmp_path / "file" / "set")
    assert "HARDY_DATA" in caught.value.hint

    def full(self, url, output_file, pooch):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hardy.data.fetch._Resuming.__call__", full)
    with pytest.raises(DataError, match=r"data: the disk is full, [\d,]+ MB free"):
        fetch_file(gone, tmp_path / "data" / "x.npy")


def test_checkpoints_are_checked_by_their_sha256():
    for download in CHECKPOINTS.values():
        assert len(download.checksum.removeprefix("sha256:")) == 64
        assert download.size
    assert {name: each.file for name, each in CHECKPOINTS.items()} == {
        "sam-vit-b": "sam_vit_b_01ec64.pth",
        "sam-vit-l": "sam_vit_l_0b3195.pth",
        "sam-vit-h": "sam_vit_h_4b8939.pth",
    }
