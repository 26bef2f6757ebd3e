"""The pictures of MEMO_PLUS: masks, and Grad-CAM before, after MEMO and after MEMO_PLUS."""

import fnmatch
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hardy.core.errors import SpecError
from hardy.data.open import open_dataset
from hardy.engine.analyses import check
from hardy.engine.answer import rows, table
from hardy.engine.device import make_fabric
from hardy.engine.pictures import draw, keep, title_of
from hardy.engine.setup import Setup
from hardy.methods.build import build_method
from hardy.models.weights import Located
from hardy.spec.experiment import Experiment
from hardy.tasks.build import task_on
from tests.contracts.method import small_model


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    rng = np.random.default_rng(0)
    for index in range(4):
        path = tmp_path / "images" / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(30, 40, 3)).astype(np.uint8)).save(path)
    return Experiment.model_validate(
        {
            "name": "pictures",
            "data": {"dataset": "folder", "root": str(tmp_path / "images")},
            "model": {"kind": "timm", "name": "resnet18", "weights": "random"},
            "method": {
                "kind": "memo_plus",
                "views": {"kind": "cut", "count": 3},
                "segmenter": {"kind": "superpixels", "segments": 4},
                "policy": {"min_area": 10},
            },
            "explain": {"gradcam": {"count": 2, "choose": "first"}},
            "compute": {"device": "cpu"},
        }
    )


def make_setup(experiment: Experiment) -> Setup:
    model, dataset = small_model(classes=2), open_dataset(experiment.data)
    task = task_on(experiment.task, dataset)
    method = build_method(experiment.method, [model], task)
    located = {"model.weights": Located(None, "random")}
    fabric = make_fabric(experiment)
    return Setup(experiment, located, fabric, task, {"answer": dataset}, (model,), method)


def records(setup: Setup) -> pd.DataFrame:
    return table(setup.task, [row for _, row in rows(setup, range(4), workers=0)])


def test_memo_plus_is_drawn_beside_memo(experiment, monkeypatch):
    setup = make_setup(experiment)
    before = {name: t.clone() for name, t in setup.model.state_dict().items()}
    frame = records(setup)
    drawn = []
    monkeypatch.setattr(
        "hardy.engine.pictures.gradcam_panel",
        lambda image, heats, truth, title: drawn.append(heats) or Image.new("RGB", (4, 4)),
    )
    paths = [path for path, _ in draw(setup, frame)]
    for folder in ("gradcam", "masks"):
        found = [path for path in paths if path.startswith(f"{folder}/")]
        assert len(found) == 2
        assert all(path.endswith(".png") for path in found)
    # What docs/memo-plus.md says of the files of the published scripts, there is.
    page = (Path(__file__).parents[2] / "docs" / "memo-plus.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`((?:report|views|masks|gradcam)/[^`]+)`", page))
    # The operations are one each, `cut`, which is no choice; runs side by side are a parent's.
    elsewhere = {"report/operations.csv", "report/classes-beside-1.png"}
    assert len(told) == 8
    assert [each for each in told - elsewhere if not fnmatch.filter(paths, each)] == []
    for row, heats in enumerate(drawn):
        assert list(heats) == ["before", "after memo", "after memo_plus"]
        # What is drawn is what was recorded.
        for caption, answer in (("before", "source"), ("after memo_plus", "memo_plus")):
            wanted = frame[f"{answer}.confidence"].iloc[row]
            assert heats[caption].confidence == pytest.approx(wanted, abs=1e-6)
            label = setup.task.names[frame[f"{answer}.prediction"].iloc[row]]
            assert heats[caption].name == label
    after = setup.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_canvas_reaches_the_method(experiment):
    setup = make_setup(experiment)
    frame = records(setup)
    # Points are on the 40 x 30 photographs, of which the network sees 16 x 16.
    points = np.array(frame["point"].tolist())
    assert points.max() >= 16
    assert (points < (40, 30)).all()
    assert (frame["masks"] >= 1).all()


@pytest.mark.parametrize("shown", ["box", "crop"])
def test_an_oblong_input_goes_the_whole_way(experiment, shown):
    policy = experiment.method.policy.model_copy(update={"show": shown})
    method = experiment.method.model_copy(update={"policy": policy})
    setup = make_setup(experiment.model_copy(update={"method": method}))
    setup.model.preprocess = replace(setup.model.preprocess, size=(12, 20), fit="pad", resize=None)
    assert (records(setup)["masks"] >= 1).all()
    pictures = dict(draw(setup, records(setup)))
    assert sum(path.startswith("gradcam/") for path in pictures) == 2
    assert sum(path.startswith("masks/") for path in pictures) == 2


def test_a_model_as_it_is_has_one_answer_under_its_own_name_and_no_views(experiment, monkeypatch):
    plain = Experiment.model_validate(
        experiment.model_dump(by_alias=True) | {"method": {"kind": "evaluate"}}
    )
    setup, drawn = make_setup(plain), []
    monkeypatch.setattr(
        "hardy.engine.pictures.gradcam_panel",
        lambda image, heats, truth, title: drawn.append(list(heats)) or Image.new("RGB", (4, 4)),
    )
    paths = [path for path, _ in draw(setup, records(setup))]
    assert drawn == [["evaluate"]] * 2
    assert not [path for path in paths if path.startswith("views/")]


def test_chosen_samples_are_drawn_and_others_refused(experiment):
    samples = make_setup(experiment).data["answer"].samples
    wanted = [samples[3].id, samples[1].id]

    def choosing(*ids: str) -> Setup:
        explain = {"gradcam": {"choose": {"ids": ids}}, "view_grids": 0}
        given = {"explain": explain, "method": {"kind": "evaluate"}}
        return make_setup(Experiment.model_validate(experiment.model_dump(by_alias=True) | given))

    setup = choosing(*wanted)
    check(setup)
    drawn = [path for path, _ in draw(setup, records(setup)) if path.startswith("gradcam/")]
    assert [path.partition("/")[2][:5] for path in drawn] == ["00003", "00001"]
    with pytest.raises(SpecError, match=r"gradcam.choose.ids: .* has no sample 'class0/9.png'"):
        check(choosing("class0/9.png"))


def test_a_picture_is_kept_below_its_title_and_a_file_as_it_is(tmp_path):
    kept: dict[str, bytes] = {}
    run = SimpleNamespace(
        artifact=lambda file, path: kept.update({path: file.read_bytes()}),
        text=lambda text, path: kept.update({path: text.encode()}),
    )
    title = "memo/try · memo · fog-3"
    contents = {"a/b.png": Image.new("RGB", (300, 40), "red"), "c.png": b"raw", "d.csv": "a,b"}
    for path, content in contents.items():
        keep(run, tmp_path, path, content, title)
    assert (kept["c.png"], kept["d.csv"]) == (b"raw", b"a,b")
    with Image.open(BytesIO(kept["a/b.png"])) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels[-40:] == (255, 0, 0)).all()
    assert pixels[:-40].min() < 200  # there is text above


def test_a_title_names_the_run_the_methods_and_the_shifts(experiment):
    assert title_of("pictures", [experiment]) == "pictures · memo_plus · no shift"

    def under(severity: int) -> Experiment:
        shift = {"kind": "fog", "severity": severity}
        given = experiment.model_dump(by_alias=True)
        return Experiment.model_validate(given | {"data": given["data"] | {"shift": shift}})

    some = [under(1), under(2), experiment]
    assert title_of("all", some) == "all · memo_plus · fog-1, fog-2, no shift"
    every = [under(n) for n in range(1, 6)]
    assert title_of("all", every) == "all · memo_plus · 5 shifts"
