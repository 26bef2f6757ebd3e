from pathlib import Path

import pytest
from PIL import Image

from hardy.cli.main import run


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), "red").save(path)


def test_check_counts_and_names_the_classes(tmp_path, capsys):
    put(tmp_path / "set", "cat/1.png", "cat/2.png", "dog/3.png")
    assert run(["data", "check", "folder", "--root", str(tmp_path / "set"), "--decode"]) == 0
    out = capsys.readouterr().out
    for words in ("3 samples", "2: cat, dog", "1 to 2 samples", "decoded   3 of 3", "digest"):
        assert words in out


def test_broken_files_are_named_and_fail_the_check(tmp_path, capsys):
    put(tmp_path / "set", "cat/1.png")
    (tmp_path / "set" / "cat" / "2.png").write_bytes(b"no image")
    arguments = ["data", "check", "folder", "--root", str(tmp_path / "set")]
    assert run(arguments) == 0
    assert run([*arguments, "--decode"]) == 1
    assert "2.png: cannot be decoded" in capsys.readouterr().out


def test_a_mask_of_another_size_fails_the_check(tmp_path, capsys):
    put(tmp_path / "set", "images/a.jpg")
    (tmp_path / "set" / "masks").mkdir()
    Image.new("L", (8, 7)).save(tmp_path / "set" / "masks" / "a.png")
    (tmp_path / "set" / "labels.txt").write_text("ground")
    assert run(["data", "check", "folder", "--root", str(tmp_path / "set"), "--decode"]) == 1
    assert "8 x 7 pixels, but its image has 8 x 6" in capsys.readouterr().out


def test_an_absent_set_says_what_to_fetch_from_where(capsys, monkeypatch):
    monkeypatch.delenv("HARDY_DATA", raising=False)
    assert run(["data", "check", "cifar10"]) == 1
    out = capsys.readouterr().out
    assert out.count("not usable") == 2  # both parts
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in out
    assert "md5:c32a1d4ab5d03f1284b67883e8d87530" in out
    assert run(["data", "check", "cifar10", "--split", "train"]) == 1
    assert capsys.readouterr().out.count("not usable") == 1


def test_an_absent_folder_is_told_the_option(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HARDY_DATA", str(tmp_path))
    assert run(["data", "check", "folder"]) == 1
    assert "hardy data check folder --root FOLDER" in capsys.readouterr().out
    assert run(["data", "check", "folder", "--root", str(tmp_path / "none")]) == 1
    assert "--root FOLDER" not in capsys.readouterr().out


def test_a_spec_is_checked_once_for_all_its_units(tmp_path, capsys):
    put(tmp_path / "set", "cat/1.png", "dog/2.png")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: x\n"
        f"data: {{dataset: folder, root: '{tmp_path / 'set'}', shift: {{severity: 1}}}}\n"
        "matrix: {data.shift.kind: [fog, snow]}\n"
        "model: {kind: hardy}\nmethod: {kind: source}\n"
    )
    assert run(["data", "check", str(spec)]) == 0
    assert capsys.readouterr().out.count("2 samples") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["imagenet-b"], "Did you mean 'imagenet-"),
        (["imagenet-c"], "needs data.split"),
        (["digits", "--split", "train"], "it is one whole"),
        (["shapes", "--root", "/tmp"], "takes no root"),
    ],
)
def test_wrong_words_are_answered(arguments, says, capsys):
    assert run(["data", "check", *arguments]) in (1, 2)
    captured = capsys.readouterr()
    assert says in captured.out + captured.err


@pytest.mark.parametrize("name", ["shapes", "digits"])
def test_a_preview_is_a_picture_of_the_samples_drawn(name, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert run(["data", "preview", name, "--out", str(out), "--count", "7"]) == 0
    with Image.open(out) as sheet:
        sheet.load()
        assert sheet.width == 6 * 176 + 16  # six tiles of 160 and their gaps
    assert "7 of" in capsys.readouterr().out
    assert run(["data", "preview", name, "--out", str(tmp_path / "no" / "x.png")]) == 1


def test_a_name_of_nothing_is_told_of_both_lists(capsys):
    assert run(["data", "check", "zzzzzz"]) == 2
    told = capsys.readouterr().err
    assert "there is neither a dataset nor an experiment 'zzzzzz'" in told
    assert "Datasets are imagenet-sample, " in told
    assert "`hardy list` shows experiments" in told


def test_an_experiment_is_found_whose_name_is_near_a_datasets(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MLproject").touch()
    (tmp_path / "experiments").mkdir()
    put(tmp_path / "set", "cat/1.png")
    (tmp_path / "experiments" / "shape.yaml").write_text(
        "name: x\ndata: {dataset: folder, root: set}\n"
        "model: {kind: hardy}\nmethod: {kind: source}\n"
    )
    assert run(["data", "check", "shape"]) == 0
    assert "1 samples" in capsys.readouterr().out
    assert run(["data", "check", "shapez"]) == 2
    assert "Did you mean 'shapes'?" in capsys.readouterr().err


def test_what_is_not_read_is_counted_and_named(tmp_path, capsys):
    root = tmp_path / "set"
    put(root, "cat/1.png", "cat/2.tif", "cat/more/3.png", "dog/4.TIFF", "above.png")
    (root / "cat" / "phone.heic").write_bytes(b"....ftypheic")
    (root / "dog" / "notes.txt").touch()
    arguments = ["data", "check", "folder", "--root", str(root)]
    assert run([*arguments, "--decode"]) == 0
    out = capsys.readouterr().out
    assert "3 samples" in out
    assert "decoded   3 of 3" in out
    aside = "cat/more/ (1 image), cat/phone.heic, dog/notes.txt, above.png (beside the class"
    assert f"4 not read: {aside}" in out
    (root / "dog" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "dog" / "torn.png").write_bytes((root / "cat" / "1.png").read_bytes()[:40])
    assert run(arguments) == 1  # a link to nothing needs no decoding to be seen
    out = capsys.readouterr().out
    assert "5 samples" in out
    assert "gone.png: a link to " in out
    assert "torn" not in out
    assert run([*arguments, "--decode"]) == 1
    out = capsys.readouterr().out
    assert "torn.png: cannot be decoded" in out
    assert "decoded   3 of 5" in out


def test_of_a_division_only_what_is_no_sample_of_any_part_is_not_read(tmp_path, capsys):
    put(tmp_path / "set", *(f"{name}/{n}.png" for name in ("cat", "dog") for n in range(4)))
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"name: x\ndata: {{dataset: folder, root: '{tmp_path / 'set'}', "
        "partition: {fractions: {a: 0.5, b: 0.5}, part: b}}\n"
        "model: {kind: hardy}\nmethod: {kind: source}\n"
    )
    assert run(["data", "check", str(spec)]) == 0
    out = capsys.readouterr().out
    assert "2 samples" in out
    assert "not read" not in out


def test_what_can_be_fetched_is_listed_with_its_size(capsys):
    assert run(["data", "get"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sam-vit-b", "375", "MB", "dl.fbaipublicfiles.com"] in lines
    assert ["cifar10", "170", "MB", "www.cs.toronto.edu"] in lines


@pytest.mark.parametrize(
    ("name", "says", "hint"),
    [
        ("sam-vit-x", "nothing to fetch named 'sam-vit-x'", "Did you mean 'sam-vit-"),
        ("zzz", "nothing to fetch named 'zzz'", "There are imagenet-a, "),
        ("imagenet-val", "nothing that hardy can fetch", "image-net.org (after registering)"),
        ("shapes", "nothing that hardy can fetch", "It is drawn when it is used."),
    ],
)
def test_what_cannot_be_fetched_says_where_it_comes_from(name, says, hint, capsys):
    assert run(["data", "get", name]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert hint in told
