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

from hardy.core.errors import DataError
from hardy.data import open as opening
from hardy.data.cards import DATASETS
from hardy.data.fetch import fetch_all
from hardy.data.imagenet import class_map, imagenet_synsets
from hardy.data.open import data_digest, fetch, open_dataset
from hardy.data.sources import DOWNLOADS, Download
from hardy.data.spec import DataSpec


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
