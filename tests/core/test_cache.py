"""The cache under two writers, kill, damage, full disks and small budgets; real processes."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from hardy.core import cache as module
from hardy.core.cache import DEFAULT_BUDGET, Cache, default_cache
from hardy.core.errors import HardyError, SpecError
from hardy.core.files import write_whole

SPAWN = multiprocessing.get_context("spawn")
FULL = OSError(28, "No space left on device")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file" / "cache"


def start(target, *arguments):
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    return process


def finished(*processes):
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def eventually(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def files(folder: Path) -> set[str]:
    """Return the names of all files of kinds, drafts too."""
    return {f"{file.parent.name}/{file.name}" for file in folder.glob("[!.]*/*") if file.is_file()}


def age(folder: Path, *names: str) -> None:
    """Make files as if they had been used in this order, long ago."""
    for second, name in enumerate(names):
        os.utime(folder / name, (second, second))


@pytest.mark.parametrize("content", [b"", b"a", bytes(range(256)) * 999])
def test_what_was_put_comes_back(folder, content):
    cache = Cache(folder)
    assert cache.get("masks", "k") is None
    cache.put("masks", "k", b"before")
    cache.put("masks", "k", content)
    assert Cache(folder).get("masks", "k") == content
    assert cache.get("masks", "other") is cache.get("other", "k") is None
    cache.drop("masks", "k")
    assert cache.get("masks", "k") is None
    cache.drop("masks", "k")


def test_a_value_is_made_where_it_is_absent_alone(folder):
    cache, made = Cache(folder), []

    def make() -> bytes:
        made.append(1)
        return b"value"

    for once in (False, True, False):
        assert cache.through("masks", "k", make, once=once) == b"value"
    assert made == [1]


def test_an_error_while_making_passes_and_nothing_is_kept(folder):
    cache = Cache(folder)
    for once in (False, True):
        with pytest.raises(OSError, match="disk of my own"):
            cache.through("a", "k", failing, once=once)
    with pytest.raises(OSError, match="disk of my own"):
        cache.file("a", "k", failing)
    assert not files(folder)


def failing() -> bytes:
    message = "disk of my own"
    raise OSError(message)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "/tmp", "a\0", "ä", "-a"])
def test_names_that_lead_elsewhere_are_refused(folder, name):
    cache = Cache(folder)
    for pair in ((name, "k"), ("masks", name)):
        for call in (
            lambda pair: cache.get(*pair),
            lambda pair: cache.put(*pair, b"x"),
            lambda pair: cache.through(*pair, lambda: b"x", once=True),
            lambda pair: cache.file(*pair, lambda: b"x"),
            lambda pair: cache.drop(*pair),
        ):
            with pytest.raises(SpecError, match="part of a path"):
                call(pair)
    assert not folder.exists()


CONTENT = bytes(range(200))


@pytest.mark.parametrize("length", [0, 1, 16, 31, 32, 33, 100, 199, 200, 231])
def test_a_torn_file_is_made_anew(folder, length):
    cache = Cache(folder)
    cache.put("a", "k", CONTENT)
    os.truncate(folder / "a" / "k", length)
    assert cache.get("a", "k") is None
    assert cache.through("a", "k", lambda: b"anew") == b"anew"
    assert cache.get("a", "k") == b"anew"


@pytest.mark.parametrize("place", [0, 150, 199, 200, 231])
def test_an_altered_or_longer_file_is_absent(folder, place):
    cache, file = Cache(folder), folder / "a" / "k"
    cache.put("a", "k", CONTENT)
    whole = file.read_bytes()
    for content in (whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], whole + b"x"):
        file.write_bytes(content)
        assert cache.get("a", "k") is None
    file.write_bytes(whole)
    assert cache.get("a", "k") == CONTENT


def test_what_was_used_longest_ago_goes_first_of_all_kinds(folder):
    cache = Cache(folder)
    for kind, key in (("b", "1"), ("a", "2"), ("b", "3"), ("a", "4")):
        cache.put(kind, key, bytes(100 - 32))
    age(folder, "b/1", "a/2", "b/3", "a/4")
    cache.get("b", "1")  # written first, used last
    Cache(folder, 299).trim()
    assert files(folder) == {"b/1", "a/4"}
    Cache(folder, 200).trim()
    assert files(folder) == {"b/1", "a/4"}
    cache.file("a", "4", failing)
    os.utime(folder / "b" / "1", (9, 9))
    del cache
    Cache(folder, 100).trim()
    assert files(folder) == {"a/4"}


def test_the_budget_is_kept_by_each_put_to_a_part(folder):
    cache, budget = Cache(folder, 10_000), 10_000
    for n in range(300):
        cache.put("ab"[n % 2], f"k{n}", bytes(n % 50 * 10))
        assert sum(entry.size for entry in cache.entries()) <= budget * (1 + 1 / 32)
        assert n % 50 == 0 or cache.get("ab"[n % 2], f"k{n}") is not None
    cache.trim()
    assert 9_000 < sum(entry.size for entry in cache.entries()) <= budget


def test_with_no_budget_nothing_stays(folder):
    cache = Cache(folder, 0)
    assert cache.through("a", "k", lambda: b"value") == b"value"
    assert not files(folder)


def test_files_are_not_summed_up_at_each_put(folder, monkeypatch):
    cache, walks = Cache(folder, 32_000), []
    monkeypatch.setattr(module, "_scan", lambda folder: walks.append(folder) or [])
    for n in range(100):
        cache.put("a", f"k{n}", bytes(100 - 32))
    assert 8 <= len(walks) <= 12  # one at first, and one after each 1,000 bytes


def write_one(folder: Path, letter: bytes, count: int) -> None:
    cache = Cache(folder)
    for n in range(count):
        cache.put("a", "k", letter * (50_000 + 1_000 * (n % 7)))


def test_two_writers_of_one_key_leave_one_whole_value_at_any_time(folder):
    cache = Cache(folder)
    cache.put("a", "k", b"x" * 9)
    writers = [start(write_one, folder, letter, 300) for letter in (b"x", b"y")]
    seen = set()
    while any(writer.is_alive() for writer in writers):
        value = cache.get("a", "k")
        assert value is not None
        assert value == value[:1] * len(value)
        seen.add(value[:1])
    finished(*writers)
    assert seen == {b"x", b"y"}
    assert files(folder) == {"a/k"}


def write_many(folder: Path, budget: int, seed: int) -> None:
    cache = Cache(folder, budget)
    for n in range(400):
        key = (n * 7 + seed) % 60  # so that both write, read and evict the same keys
        content = f"{key} ".encode() * 500
        assert cache.through("a", f"k{key}", lambda content=content: content) == content


def test_two_writers_of_many_keys_keep_a_small_budget(folder):
    budget = 20_000
    writers = [start(write_many, folder, budget, seed) for seed in (0, 1)]
    finished(*writers)
    cache = Cache(folder, budget)
    # While one of them trims, the other waits: at most a value of each is over the budget.
    assert sum(entry.size for entry in cache.entries()) < 2 * budget
    cache.trim()
    entries = cache.entries()
    assert budget / 2 < sum(entry.size for entry in entries) <= budget
    for entry in entries:
        key = entry.key.removeprefix("k")
        assert cache.get("a", entry.key) == f"{key} ".encode() * 500
    assert files(folder) == {f"a/{entry.key}" for entry in entries}


def die_before_the_rename(folder: Path) -> None:
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    Cache(folder).put("a", "k", bytes(1000))


def test_a_killed_writer_leaves_nothing_to_be_seen(folder):
    writer = start(die_before_the_rename, folder)
    writer.join(60)
    assert writer.exitcode == -signal.SIGKILL
    (draft,) = files(folder)
    cache = Cache(folder)
    assert cache.get("a", "k") is None
    assert cache.entries() == []
    cache.empty()  # as long as its writer may live it stays, and afterwards it goes
    assert files(folder) == {draft}
    age(folder, draft)
    cache.trim()
    assert not files(folder)


def make_slowly(folder: Path, log: Path, once: bool) -> None:
    def make() -> bytes:
        with log.open("a") as stream:
            stream.write("made\n")
        eventually((folder.parent / "go").exists)
        return b"value"

    (folder.parent / f"started-{os.getpid()}").touch()
    assert Cache(folder).through("a", "k", make, once=once) == b"value"


@pytest.mark.parametrize(("once", "times"), [(True, 1), (False, 2)])
def test_once_is_once_in_two_processes(folder, once, times):
    log, home = folder.parent / "log", folder.parent
    both = [start(make_slowly, folder, log, once) for _ in range(2)]
    eventually(lambda: len(list(home.glob("started-*"))) == 2)
    eventually(lambda: log.exists() and len(log.read_text().splitlines()) == times)
    time.sleep(0.2)
    (home / "go").touch()
    finished(*both)
    assert log.read_text().splitlines() == ["made"] * times
    assert not list((folder / ".locks").glob("a.k*"))  # a lock a key would add up


def make_and_die(folder: Path) -> None:
    Cache(folder).through("a", "k", lambda: os.kill(os.getpid(), signal.SIGKILL), once=True)


def test_a_maker_that_was_killed_holds_up_nobody(folder):
    maker = start(make_and_die, folder)
    maker.join(60)
    assert maker.exitcode == -signal.SIGKILL
    assert Cache(folder).through("a", "k", lambda: b"value", once=True) == b"value"


def test_a_file_is_as_it_was_made_and_made_once(folder):
    cache = Cache(folder)
    path = cache.file("weights", "k.safetensors", lambda: b"content")
    assert path == folder / "weights" / "k.safetensors"
    assert path.read_bytes() == b"content"
    age(folder, "weights/k.safetensors")
    assert cache.file("weights", "k.safetensors", failing) == path
    assert path.stat().st_mtime > 1000
    cache.drop("weights", "k.safetensors")
    assert cache.file("weights", "k.safetensors", lambda: b"anew").read_bytes() == b"anew"


def use_a_file(folder: Path) -> None:
    Cache(folder).file("a", "other", lambda: b"goes: its cache lives no longer")
    cache = Cache(folder, 0)
    path = cache.file("a", "k", lambda: b"used")
    (folder.parent / "used").touch()
    eventually((folder.parent / "go").exists)
    assert path.read_bytes() == b"used"
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_file_that_a_living_process_was_given_stays(folder):
    user = start(use_a_file, folder)
    eventually((folder.parent / "used").exists)
    cache = Cache(folder, 0)
    cache.put("a", "new", b"value")
    cache.trim()
    assert cache.empty() == cache.empty("a") == 0
    assert files(folder) == {"a/k"}
    (folder.parent / "go").touch()
    user.join(60)
    assert user.exitcode == -signal.SIGKILL
    assert cache.empty() == len(b"used")
    assert not files(folder)
    assert not list((folder / ".held").iterdir())


def test_where_nothing_can_be_written_values_are_made_all_the_same(unwritable):
    cache = Cache(unwritable)
    cache.put("a", "k", b"value")
    assert cache.get("a", "k") is None
    for once in (False, True):
        assert cache.through("a", "k", lambda: b"value", once=once) == b"value"
    assert cache.file("a", "k.bin", lambda: b"value").read_bytes() == b"value"
    cache.drop("a", "k")
    cache.trim()
    assert cache.entries() == []
    assert cache.budget == DEFAULT_BUDGET
    with pytest.raises(OSError, match="Not a directory"):
        cache.bound(3)


def test_on_a_full_disk_values_are_made_and_no_draft_stays(folder, monkeypatch):
    cache = Cache(folder)
    cache.put("a", "old", b"old")

    def full(*_: object, **__: object) -> None:
        raise FULL

    monkeypatch.setattr(Path, "replace", full)
    assert cache.through("a", "k", lambda: b"value", once=True) == b"value"
    path = cache.file("a", "k", lambda: b"value")
    assert path.read_bytes() == b"value"
    assert not path.is_relative_to(folder)
    assert files(folder) == {"a/old"}
    assert cache.get("a", "old") == b"old"
    monkeypatch.setattr(module, "mkdtemp", full)
    with pytest.raises(HardyError, match=r"no room for k \(5 bytes\): .*No space left"):
        cache.file("a", "k", lambda: b"value")


def test_a_stored_budget_holds_for_all_processes(folder):
    running, other = Cache(folder), Cache(folder)
    assert running.budget == DEFAULT_BUDGET == 8 * 2**30
    for n in range(9):
        running.put("a", f"k{n}", bytes(100 - 32))
    age(folder, *(f"a/k{n}" for n in range(9)))
    other.bound(500)
    assert files(folder) == {f"a/k{n}" for n in range(4, 9)}
    assert running.budget == Cache(folder).budget == 500
    assert Cache(folder, 7).budget == 7


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"bytes": null}', '{"bytes": 1e999}'])
def test_a_damaged_budget_is_the_default(folder, content):
    write_whole(folder / "budget.json", content.encode())
    assert Cache(folder).budget == DEFAULT_BUDGET


def test_empty_takes_one_kind_or_all(folder):
    cache = Cache(folder)
    for kind in "ab":
        cache.put(kind, "k", bytes(100 - 32))
    assert cache.empty("a") == 100
    assert files(folder) == {"b/k"}
    assert cache.empty() == 100
    assert not files(folder)


def test_a_value_that_is_taken_away_while_it_is_read_is_absent(folder, monkeypatch):
    cache = Cache(folder)
    cache.put("a", "k", b"value")
    real = Path.open

    def late(path: Path, *arguments: object) -> object:
        path.unlink(missing_ok=True)
        return real(path, *arguments)

    monkeypatch.setattr(Path, "open", late)
    assert cache.get("a", "k") is None


def test_the_default_lies_below_the_home_and_is_made_on_first_use(isolated_home, monkeypatch):
    cache = default_cache()
    assert cache is default_cache()
    assert cache.folder == isolated_home / ".hardy" / "cache"
    assert cache.get("a", "k") is None
    assert not (isolated_home / ".hardy").exists()
    monkeypatch.setenv("HARDY_HOME", str(isolated_home / "other"))
    assert default_cache() is not cache
