"""The point of interest: where Grad-CAM is highest, whatever happens to the model."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.data.open import open_dataset
from hardy.data.pipeline import loader
from hardy.data.views.memo_plus import crop
from hardy.engine.setup import set_up
from hardy.explain.gradcam import heat_map
from hardy.explain.point import SourcePoint, point_as_shares, point_of_interest
from hardy.models.weights import locate
from tests.contracts.method import small_model, some_subject, some_views
from tests.plan.helpers import experiment


def test_the_point_is_the_grad_cams_first_maximum_for_the_predicted_class():
    model = small_model()
    image = some_subject(3).views[:1]
    with torch.no_grad():
        predicted = int(model(image).argmax())
    heat = heat_map(model, image, predicted)
    x, y = point_of_interest(model, image)
    assert heat[y, x] == heat.max()
    earlier = heat.reshape(-1)[: y * heat.shape[1] + x]
    assert (earlier < heat.max()).all()


def test_the_point_of_an_empty_map_is_the_middle(monkeypatch):
    monkeypatch.setattr("hardy.explain.point.heat_map", lambda *_: np.zeros((16, 16), np.float32))
    assert point_of_interest(small_model(), some_views(1)) == (8, 8)


def test_shares_are_of_the_middle_of_the_pixel():
    model = small_model()
    plain = photograph()
    image = torch.tensor(np.asarray(plain) / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)
    x, y = point_of_interest(model, image[None])
    assert point_as_shares(model, plain) == ((x + 0.5) / 16, (y + 0.5) / 16)


def test_adaptation_does_not_move_the_point_and_threads_may_ask_at_once():
    model = small_model()
    pictures = [photograph(seed) for seed in range(8)]
    expected = [point_as_shares(model, picture) for picture in pictures]
    assert len(set(expected)) > 1
    point = SourcePoint(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.neg_()
    assert [point_as_shares(model, picture) for picture in pictures] != expected
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(point, pictures)) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_views_are_cut_at_the_source_models_point(workers):
    views = {"kind": "operations", "names": ["crop"], "count": 2, "crop": "gradcam"}
    asked = experiment(
        data={"dataset": "imagenet-sample", "subset": {"count": 4}},
        model={"kind": "timm", "name": "test_efficientnet", "weights": "random"},
        method={"kind": "memo", "views": views},
    )
    located, data = {"model.weights": locate(asked.model)}, open_dataset(asked.data)
    setup = set_up(asked, located, {"answer": data})
    for prepared in loader(setup.pipeline("answer", range(4)), workers):
        plain = Image.fromarray(prepared.pixels[0].permute(1, 2, 0).numpy())
        expected = crop(plain, point_as_shares(setup.model, plain))
        assert np.array_equal(prepared.pixels[1].permute(1, 2, 0), np.asarray(expected))
        assert prepared.names == [[], ["crop"]]


def photograph(seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(256, size=(16, 16, 3)).astype(np.uint8))
