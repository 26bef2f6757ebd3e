import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hardy.cli.predict import command
from hardy.core.errors import DataError, RegistryError
from tests.registry.conftest import model, shelf, stub_package  # noqa: F401
from tests.registry.helpers import CLASSES
from tests.registry.test_windows import predictor

pytestmark = pytest.mark.usefixtures("stub_package")


@pytest.fixture
def uri(shelf):  # noqa: F811
    return shelf.add(20).uri


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    path = tmp_path / "photos" / "b.png"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path)
    return path


def predict(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_text_names_the_file_and_its_top_classes(uri, photo):
    done = predict("--model", uri, "--param", "top_k=2", photo)
    assert done.exit_code == 0, done.exception
    file, *tops = done.stdout.splitlines()
    assert file == str(photo)
    assert len(tops) == 2
    assert all(top.split()[-1] in CLASSES for top in tops)
    assert float(tops[0].split()[0]) >= float(tops[1].split()[0])


def test_json_of_a_folder_adapted(uri, photo):
    Image.open(photo).save(photo.with_name("a.jpg"))
    photo.with_name("notes.txt").write_text("no image")
    done = predict("--model", uri, "--adapt", "--views", 2, "--format", "json", photo.parent)
    assert done.exit_code == 0, done.exception
    rows = json.loads(done.stdout)
    assert [row["file"] for row in rows] == [str(photo.with_name(n)) for n in ("a.jpg", "b.png")]
    assert rows[0]["label"] in CLASSES


def test_an_unreadable_picture_is_told_what_helps_here(uri, tmp_path):
    path = tmp_path / "torn.jpg"
    path.write_bytes(b"no image")
    done = predict("--model", uri, path)
    assert isinstance(done.exception, DataError)
    assert "torn.jpg: cannot be decoded" in done.exception.message
    assert "leave these out" in done.exception.hint
    assert "data." not in done.exception.hint  # there is no spec to set it in


def test_one_broken_image_does_not_take_the_others_answers(uri, photo):
    folder = photo.parent
    Image.open(photo).save(folder / "a.tif")
    (folder / "torn.png").write_bytes(photo.read_bytes()[:300])
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "phone.heic").write_bytes(b"....ftypheic")
    (folder / "deeper").mkdir()
    Image.open(photo).save(folder / "deeper" / "x.png")
    done = predict("--model", uri, folder)
    assert isinstance(done.exception, DataError)
    assert done.exception.exit_status == 1
    answered = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert answered == [str(folder / "a.tif"), str(photo)]
    assert "2 of 4 images have no answer" in done.exception.message
    assert "gone.jpg: a link to " in done.exception.message
    assert "no answer: " in done.stderr
    assert "torn.png: cannot be decoded" in done.stderr
    assert "2 not read: deeper/ (1 image), phone.heic" in done.stderr
    rows = json.loads(predict("--model", uri, "--format", "json", folder).stdout)
    assert [Path(row["file"]).name for row in rows] == ["a.tif", "b.png", "gone.jpg", "torn.png"]
    assert "label" in rows[0]
    assert "label" in rows[1]
    assert set(rows[2]) == set(rows[3]) == {"file", "error"}


def test_of_a_segmenter_too_the_others_masks_are_written(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("hardy.registry.load.load", lambda uri: predictor())
    (photo.parent / "a.png").write_bytes(photo.read_bytes()[:300])
    done = predict("--model", "models:/any/1", "--out", tmp_path / "out", photo.parent)
    assert isinstance(done.exception, DataError)
    assert "1 of 2 images have no answer: " in done.exception.message
    assert done.stdout.startswith(f"{photo}\n")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "b.mask.png" in names
    assert not any(name.startswith("a.") for name in names)


def test_where_none_can_be_read_all_are_named(uri, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    done = predict("--model", uri, tmp_path)
    assert "2 of 2 images have no answer" in done.exception.message
    assert "a.png: cannot be decoded: it is empty" in done.exception.message
    assert "b.png: cannot be decoded: it is empty" in done.stderr
    assert done.stdout == ""


def test_wrong_files_are_named_before_the_model_is_loaded(tmp_path):
    for name, content in (("absent.png", None), ("empty", "folder")):
        path = tmp_path / name
        if content:
            path.mkdir()
        done = predict("--model", "models:/none@none", path)
        assert isinstance(done.exception, DataError)
        assert str(path) in done.exception.message


def test_a_broken_file_is_named(uri, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"no image")
    done = predict("--model", uri, path)
    assert isinstance(done.exception, DataError)
    assert done.exception.exit_status == 1
    assert str(path) in done.exception.message


@pytest.mark.parametrize(
    ("reference", "reason", "hint"),
    [
        ("tiny", "does not name a registered model", "models:/NAME@ALIAS"),
        ("models:/tinny/1", "no registered model 'tinny'", "Did you mean 'tiny'?"),
        ("models:/tiny@champion", "no alias 'champion'", "Versions: 1."),
        ("models:/tiny/7", "no version '7'", "Versions: 1."),
    ],
)
def test_unknown_models(uri, photo, reference, reason, hint):
    done = predict("--model", reference, photo)
    assert isinstance(done.exception, RegistryError)
    assert reason in done.exception.message
    assert hint in done.exception.hint


def test_views_need_adapt(photo):
    done = predict("--model", "models:/tiny/1", "--views", 4, photo)
    assert done.exit_code == 2
    assert "--views needs --adapt" in done.stderr


@pytest.mark.parametrize(
    ("param", "reason"), [("top_k=two", "top_k is 'two'"), ("tpo_k=2", "no parameter 'tpo_k'")]
)
def test_a_parameter_that_the_task_does_not_take(uri, photo, param, reason):
    done = predict("--model", uri, "--param", param, photo)
    assert isinstance(done.exception, RegistryError)
    assert reason in done.exception.message
    assert predict("--model", uri, "--param", "top_k", photo).exit_code == 2


def test_pictures_are_written_where_there_are_any(uri, photo, tmp_path):
    done = predict("--model", uri, "--out", tmp_path / "out", photo)
    assert isinstance(done.exception, DataError)
    assert "makes no pictures" in done.exception.message
    other = photo.with_name("b.jpg")
    Image.open(photo).save(other)
    done = predict("--model", "models:/none@none", "--out", tmp_path / "out", photo, other)
    assert isinstance(done.exception, DataError)
    assert "the same name" in done.exception.message
