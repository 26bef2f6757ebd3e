"""Reconstruction: the contract of tasks, its measures against another library, what it serves."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional.image import peak_signal_noise_ratio

from hardy.core.errors import DataError, MethodError
from hardy.data.item import Targets
from hardy.data.preprocess import Preprocess
from hardy.tasks.build import build_task
from hardy.tasks.reconstruct.spec import ReconstructSpec
from tests.contracts.device import another_device
from tests.contracts.task import TaskContract

TASK = build_task(ReconstructSpec())


class TestReconstruct(TaskContract):
    def task(self):
        return TASK

    def targets(self, count):
        generator = torch.Generator().manual_seed(1)
        return Targets(image=torch.randint(0, 256, (count, 3, 33, 41), generator=generator))

    def outputs(self, targets, skill):
        shape, generator = targets.image.shape, torch.Generator().manual_seed(2)
        return skill * targets.image / 255 + (1 - skill) * torch.rand(shape, generator=generator)


def test_measures_are_those_of_torchmetrics_and_numpy():
    targets = TestReconstruct().targets(6)
    answers = TASK.answer(TestReconstruct().outputs(targets, 0.7))
    truth = targets.image / 255
    found = TASK.metrics(TestReconstruct().frame(6, own=0.7), "own")
    errors = (answers - truth).double().numpy()
    assert found["mse"] == pytest.approx((errors**2).mean())
    assert found["l1"] == pytest.approx(np.abs(errors).mean())
    whole = peak_signal_noise_ratio(answers, truth, data_range=1.0)
    assert found["psnr"] == pytest.approx(float(whole), rel=1e-5)
    each = [peak_signal_noise_ratio(a, b, 1.0) for a, b in zip(answers, truth, strict=True)]
    assert found["image_psnr"] == pytest.approx(float(np.mean(each)), rel=1e-5)
    assert found["psnr"] < found["image_psnr"]


def test_an_exact_image_has_100_db():
    found = TASK.metrics(TestReconstruct().frame(own=1.0), "own")
    assert found == {"mse": 0, "psnr": 100, "image_psnr": 100, "l1": 0}


def test_an_answer_is_cut_off_where_no_level_is_and_the_loss_is_not():
    outputs = torch.tensor([-1.0, 0.5, 3.0]).view(1, 3, 1, 1).requires_grad_()
    assert TASK.answer(outputs).flatten().tolist() == [0, 0.5, 1]
    loss = TASK.loss(outputs, Targets(image=torch.tensor([0, 51, 255]).view(1, 3, 1, 1)))
    assert loss.tolist() == pytest.approx([(1 + 0.3**2 + 4) / 3])
    loss.sum().backward()
    assert (outputs.grad != 0).all()


def test_the_loss_is_the_same_on_another_device_and_has_no_classes():
    targets = TestReconstruct().targets(2)
    outputs = TestReconstruct().outputs(targets, 0.4)
    with another_device() as device:
        found = TASK.loss(outputs.to(device), Targets(image=targets.image.to(device))).cpu()
    torch.testing.assert_close(found, TASK.loss(outputs, targets))
    assert TASK.spec.loss_options == {"only"}
    with pytest.raises(MethodError, match="no classes"):
        TASK.loss(outputs, targets, smoothing=0.1)


def test_what_does_not_fit_is_refused():
    answers = torch.zeros(1, 3, 4, 4)
    with pytest.raises(MethodError, match=r"\(1, 3, 4, 4\)"):
        TASK.columns("own", answers, Targets(image=torch.zeros(1, 3, 8, 8)))
    with pytest.raises(MethodError, match="not finite"):
        TASK.columns("own", answers * float("nan"), Targets(image=torch.zeros(1, 3, 4, 4)))
    with pytest.raises(DataError, match="before the shift"):
        TASK.truth(Targets())


def test_a_served_image_has_the_photographs_size():
    preprocess = Preprocess(8, None, "bilinear", (0.5,) * 3, (0.5,) * 3, "squeeze")
    answer = torch.tensor([0.2, 0.4, 1.0]).view(3, 1, 1).expand(3, 8, 8)
    row = TASK.served(answer, lambda plane: preprocess.back(plane, 30, 20), {"window": "whole"})
    image = Image.open(io.BytesIO(base64.b64decode(row["image"])))
    assert image.size == (row["width"], row["height"]) == (30, 20)
    assert (np.asarray(image) == (51, 102, 255)).all()
    assert TASK.told(row) == ["30 x 20 pixels", "seen: whole"]
    assert list(TASK.files(row, image)) == ["image.png"]


def test_a_report_has_the_worst_first():
    report = dict(TASK.report(TestReconstruct().frame(source=0.2, own=0.6), "own", "source"))
    assert set(report) == {"report/psnr.csv", "report/psnr.png"}
    ratios = [float(line.split(",")[-1]) for line in report["report/psnr.csv"].splitlines()[1:]]
    assert ratios == sorted(ratios)
