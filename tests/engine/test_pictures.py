"""The pictures of MEMO_PLUS: masks, and Grad-CAM before, after MEMO and after MEMO_PLUS."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hardy.data.open import open_dataset
from hardy.engine.answer import rows, table
from hardy.engine.device import make_fabric
from hardy.engine.pictures import draw
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
