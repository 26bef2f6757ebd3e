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
    assert "hardy list datasets" in told
