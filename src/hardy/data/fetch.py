"""Fetches published files: checked, resumable, and unpacked in one step or not at all.

Archives are collected in a hidden folder beside the dataset's root and unpacked there; the root
appears by one rename once everything is in place. A fetch that was cut off goes on where it was.
"""

import errno
import hashlib
import json
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, cast

from filelock import FileLock

from hardy.core.errors import DataError
from hardy.core.hashing import file_sha256
from hardy.data.sources import Download

_CHUNK = 1 << 16  # at most this much is lost where a connection is cut
_ATTEMPTS = 4
_TIMEOUT = 60
_TARS = (".tar", ".tar.gz", ".tgz")
_RECORD = ".hardy-checksums.json"


def fetch_all(downloads: Sequence[Download], root: Path) -> None:
    """Fetch and unpack a dataset's archives, unless its root is there already.

    Args:
        downloads: The archives; each is unpacked below `root`, other files are put there.
        root: Folder to make.

    Raises:
        DataError: If an archive cannot be had, is not what its publisher states, or would write
            outside its folder; or if the folder cannot be written to.
    """
    with _incoming(root) as incoming:
        if root.is_dir() and any(root.iterdir()):  # another process has fetched it meanwhile
            return
        tree = incoming / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        for number, download in enumerate(downloads):
            # Two archives may have one name: Stanford's and Oxford's are both `images.tar`.
            archive = _get(download, incoming / f"{number}")
            _unpack(archive, tree / download.into)
        tree.replace(root)
        shutil.rmtree(incoming)


def fetch_file(download: Download, target: Path) -> None:
    """Fetch a single file, unless it is there already.

    Args:
        download: The file.
        target: Where it goes, whole or not at all.

    Raises:
        DataError: If it cannot be had or is not what its publisher states, one that is there
            included; or if the folder cannot be written to.
    """
    with _incoming(target) as incoming:
        if target.is_file():
            _check_same(download, target)
            return
        _get(download, incoming / "0").replace(target)
        shutil.rmtree(incoming)


@contextmanager
def _incoming(target: Path) -> Iterator[Path]:
    """Yield the hidden folder beside a target in which files are collected, by one at a time.

    Raises:
        DataError: If nothing can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            yield target.parent / f".{target.name}.incoming"
    except OSError as error:
        raise _unwritable(target.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> DataError:
    message = f"{folder}: cannot be written to: {error.strerror or error}"
    hint = "Set HARDY_DATA, or --root, to a folder that can be."
    if error.errno == errno.ENOSPC:
        message = f"{folder}: the disk is full, {shutil.disk_usage(folder).free / 1e6:,.0f} MB free"
        hint = "Make room and try again: what is fetched already is kept."
    return DataError(message, hint=hint)


def _check_same(download: Download, target: Path) -> None:
    """Raise if a file that is there is not the published one."""
    algorithm, _, wanted = download.checksum.partition(":")
    with target.open("rb") as stream:
        got = hashlib.file_digest(stream, algorithm).hexdigest()
    if got != wanted:
        message = f"{target}: is not {download.url}: its {algorithm} is {got}, expected {wanted}"
        raise DataError(message, hint="Move it away, and get it again.")


def _get(download: Download, folder: Path) -> Path:
    """Return the archive, fetched or left from an earlier try, once its checksum agrees."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    known = _known_checksums(folder.parents[1])
    checksum = download.checksum or known.get(download.url)
    try:
        path = Path(
            pooch.retrieve(
                download.url,
                known_hash=checksum,
                fname=download.file,
                path=folder,
                downloader=_Resuming(folder / f"{download.file}.part", download.size),
            )
        )
    except requests.ConnectionError as error:
        message = f"{download.url}: no connection to {download.host}"
        hint = "Check the network and try again: what is fetched already is kept."
        raise DataError(message, hint=hint) from error
    except (ValueError, requests.RequestException) as error:
        message = f"{download.url}: {str(error).strip() or repr(error)}"
        raise DataError(message, hint="Try again: what is fetched already is kept.") from error
    if not checksum:
        _first_time(download, path, known)
    return path


def _first_time(download: Download, path: Path, known: dict[str, str]) -> None:
    """Check the size where no checksum is published, and keep the SHA-256 for the next time."""
    size = path.stat().st_size
    if size != download.size:
        path.unlink()
        message = f"{download.url}: has {size} bytes, expected {download.size}"
        raise DataError(message, hint="The file has changed; fetch and check it by hand.")
    record = path.parents[2] / _RECORD
    record.write_text(json.dumps({**known, download.url: f"sha256:{file_sha256(path)}"}, indent=2))


def _known_checksums(folder: Path) -> dict[str, str]:
    record = folder / _RECORD
    if not record.is_file():
        return {}
    return cast("dict[str, str]", json.loads(record.read_text()))


class _Resuming:
    """A downloader for pooch that goes on where an earlier try was cut off.

    Args:
        part: Where the bytes are collected, across tries.
        size: Length of the whole, for the progress bar.
    """

    def __init__(self, part: Path, size: int | None) -> None:
        self.part = part
        self.size = size

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:  # noqa: ANN401 - pooch's
        """Fetch a URL into a file, as pooch asks a downloader to."""
        for attempt in range(_ATTEMPTS):
            try:
                self._once(url)
                break
            except _cut_off():
                if attempt == _ATTEMPTS - 1:
                    raise
        self.part.replace(output_file)

    def _once(self, url: str) -> None:
        import requests

        done = self.part.stat().st_size if self.part.exists() else 0
        # Encoded bytes could not be resumed: offsets would count something else.
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={done}-"}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                if _length(answer.headers.get("Content-Range", "")) == done:
                    return  # it was complete
                self.part.unlink()
                return self._once(url)
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            self._write(answer, "ab" if resumed else "wb", done if resumed else 0)

    def _write(self, answer: Any, mode: str, done: int) -> None:  # noqa: ANN401 - a Response
        from rich.console import Console
        from rich.progress import Progress

        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else self.size
        console = Console(stderr=True)
        quiet = not console.is_terminal
        with self.part.open(mode) as stream, Progress(console=console, disable=quiet) as bar:
            task = bar.add_task(self.part.stem, total=total, completed=done)
            for chunk in answer.iter_content(_CHUNK):
                stream.write(chunk)
                bar.update(task, advance=len(chunk))


def _cut_off() -> tuple[type[Exception], ...]:
    """Return the errors of a connection that was cut, after which one goes on."""
    from requests import ConnectionError, Timeout
    from requests.exceptions import ChunkedEncodingError

    return ConnectionError, Timeout, ChunkedEncodingError


def _length(content_range: str) -> int | None:
    total = content_range.rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def _unpack(archive: Path, target: Path) -> None:
    """Unpack an archive below a folder, or put a plain file there.

    Raises:
        DataError: If it is damaged, or a member's path leads out of the folder.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        if archive.name.endswith(_TARS):
            with tarfile.open(archive) as tar:
                # Python's own filter: no absolute paths, no links out, no devices.
                tar.extractall(target, filter="data")
        elif archive.suffix == ".zip":
            _unzip(archive, target)
        else:
            shutil.copyfile(archive, target / archive.name)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        message = f"{archive.name}: cannot be unpacked: {error}"
        raise DataError(message, hint=f"Remove {archive} and fetch it again.") from error


def _unzip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        for name in content.namelist():
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                message = f"{archive.name}: holds {name}, which leads out of its folder"
                raise DataError(message, hint="Do not use this archive.")
        content.extractall(target)  # noqa: S202 - the names are checked
