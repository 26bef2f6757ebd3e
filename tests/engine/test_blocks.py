"""Answers in blocks: the same rows wherever a run was stopped and however many processes share it.

The network here tells of its batch: an image's logits have the batch's mean in them, so that a
block that begins elsewhere, or has another image, gives other numbers and not only other digits.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hardy.core.errors import DataError
from hardy.engine.answer import answer, blocks, records, rows, timed
from hardy.engine.journal import Journal
from hardy.engine.progress import Reporter
from hardy.measure.records import COST, TIMING, WALL
from hardy.methods import METHODS
from hardy.methods.base_spec import MethodBase
from hardy.methods.byol.spec import ByolSpec
from hardy.methods.evaluate.spec import EvaluateSpec, SourceSpec
from hardy.methods.knn.spec import KnnSpec
from hardy.methods.linear_probe.spec import LinearProbeSpec
from hardy.methods.supervised.spec import SupervisedSpec
from tests.contracts.device import another_device
from tests.engine.test_left_out import broken_at
from tests.engine.test_processes import Unhurried, built, experiment, plain

COUNT, BLOCK, BAD = 8, 3, 4


class Mixed(nn.Module):
    """A network whose logits have the batch's mean in them, and which counts its batches."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        logits = self.network(images)
        return logits + 5 * logits.mean(0, keepdim=True).roll(1, 1)


class Stop(Exception):
    """The run is killed."""


class StopsAfter(Reporter):
    """Stops a run once it has some samples."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def sample(self, done, news):
        if done == self.count:
            raise Stop


@pytest.fixture
def setup(monkeypatch, tmp_path):
    """Eight samples in blocks of 3, 3 and 2."""
    monkeypatch.setenv("HARDY_HOME", str(tmp_path))
    monkeypatch.setattr(MethodBase, "block", lambda *_: BLOCK)
    found = built(experiment("source"))
    few = replace(found.data["answer"], samples=found.data["answer"].samples[:COUNT])
    found = in_processes(replace(found, data={"answer": few}), 1)
    found.model.network = Mixed(found.model.network)
    return found


def in_processes(setup, count):
    compute = setup.experiment.compute.model_copy(update={"processes": count})
    return replace(setup, experiment=setup.experiment.model_copy(update={"compute": compute}))


def skipping(setup, place=BAD):
    """Return a setup of which one sample is broken and may be left out."""
    spec = setup.experiment
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"on_bad_sample": "skip"})})
    return replace(setup, experiment=spec, data={"answer": broken_at(setup.data["answer"], place)})


def answered(setup, run="run", reporter=None):
    """Answer; return the table without times, and the journal's lines after its header."""
    with Journal(run, "f" * 32) as journal:
        try:
            frame = answer(setup, None, journal, reporter or Reporter(), "source")
        finally:
            journal.sync()
            lines = journal.path.read_text().splitlines()[1:]
    timings = [column for column in frame if column.startswith(TIMING)]
    return frame.drop(columns=timings), [plain(json.loads(line)) for line in lines]


@pytest.mark.parametrize("broken", [False, True])
def test_wherever_a_run_is_stopped_the_rows_are_the_same(setup, broken):
    setup = skipping(setup) if broken else setup
    whole, lines = answered(setup, "whole")
    assert len(whole) == COUNT - broken
    for count in range(1, COUNT + 1):
        with pytest.raises(Stop):
            answered(setup, f"run-{count}", StopsAfter(count))
        setup.model.network.sizes.clear()
        frame, again = answered(setup, f"run-{count}")
        assert frame.equals(whole), count
        assert again == lines, count  # none twice, in the manifest's order
        left = 0 if count == COUNT else COUNT - count + count % BLOCK
        assert sum(setup.model.network.sizes) == max(0, left - (broken and count < 6)), count


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_however_many_processes_share_the_blocks_the_rows_are_the_same(
    setup, monkeypatch, processes
):
    alone, lines = answered(setup, "alone")
    monkeypatch.setattr("hardy.engine.answer.Processes", Unhurried)
    monkeypatch.setattr("hardy.engine.answer.set_up", lambda *_: setup)
    monkeypatch.setattr("hardy.engine.answer.load_fitted", lambda *_: None)
    shared = in_processes(setup, processes)
    setup.model.network.sizes.clear()
    assert answered(shared, "shared")[0].equals(alone)
    assert answered(shared, "shared")[1] == lines
    assert sorted(setup.model.network.sizes) == [2, 3, 3]


def test_a_broken_sample_leaves_a_smaller_block(setup):
    setup = skipping(setup)
    found = dict(rows(setup, range(COUNT), workers=0))
    assert setup.model.network.sizes == [3, 2, 2]
    assert set(found[BAD]) == {"skipped", "reason"}
    pipeline = setup.pipeline("answer", [3, 5])
    images = torch.cat([item.pixels for item in pipeline])
    with torch.no_grad():
        logits = setup.model(setup.model.preprocess.normalise(images))
    for place, expected in zip((3, 5), logits.softmax(-1), strict=True):
        assert found[place]["source.confidence"] == pytest.approx(float(expected.max()), rel=1e-5)


def test_where_none_may_be_left_out_a_broken_sample_ends_the_run(setup):
    data = {"answer": broken_at(setup.data["answer"], BAD)}
    with pytest.raises(DataError, match="truncated"):
        answered(replace(setup, data=data))


def test_a_block_gives_the_answers_that_its_images_get_one_by_one(setup, monkeypatch):
    setup.model.network = setup.model.network.network
    together = dict(rows(setup, range(COUNT), workers=0))
    monkeypatch.setattr(MethodBase, "block", lambda *_: 1)
    alone = dict(rows(setup, range(COUNT), workers=0))
    for place, row in together.items():
        for field in ("confidence", "entropy", "label_probability"):
            name = f"source.{field}"
            assert row[name] == pytest.approx(alone[place][name], rel=1e-5), name
        assert row["source.prediction"] == alone[place]["source.prediction"]


def test_samples_that_were_answered_together_share_the_time(setup, monkeypatch):
    made = [list(block) for block in records(setup, range(COUNT), workers=0)]
    assert [[place for place, _ in block] for block in made] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    for block in made:
        assert len({row[f"{TIMING}predict"] for _, row in block}) == 1
        assert all(f"{COST}source" in row for _, row in block)
    clock = iter([0, 0.3, 0.9, 1.9])
    monkeypatch.setattr("hardy.engine.answer.perf_counter", lambda: next(clock))
    walls = [row[WALL] for _, row in timed(iter(made))]
    assert walls == pytest.approx([100, 100, 100, 200, 200, 200, 500, 500])


def test_a_block_goes_to_the_device_in_levels_and_at_once(setup):
    items = list(setup.pipeline("answer", range(BLOCK)))
    expected = setup.images(items)
    assert expected.is_contiguous(memory_format=torch.channels_last)
    moved = []
    with pytest.MonkeyPatch.context() as patch, another_device() as device:
        to = torch.Tensor.to

        def noted(self, *args, **kwargs):
            if args and args[0] == device:
                moved.append((self.dtype, len(self)))
            return to(self, *args, **kwargs)

        patch.setattr(torch.Tensor, "to", noted)
        found = replace(setup, fabric=SimpleNamespace(device=device)).images(items)
        assert found.device.type == device.type
        patch.undo()
        torch.testing.assert_close(found.cpu(), expected)
    assert moved[0] == (torch.uint8, BLOCK)


def test_blocks_lie_at_fixed_places():
    assert blocks(range(7), 3) == [(0, 1, 2), (3, 4, 5), (6,)]
    assert blocks(range(3, 7), 3) == [(3, 4, 5), (6,)]
    assert blocks((1, 2, 8), 3) == [(1, 2), (8,)]


@pytest.mark.parametrize("spec", [SourceSpec(), EvaluateSpec()])
def test_how_large_a_block_is(spec):
    assert spec.block(224, 224, "cuda") == 32
    assert spec.block(32, 32, "cuda") == 256
    assert spec.block(448, 448, "cuda") == 8
    assert spec.block(2000, 3000, "cuda") == 1
    assert [spec.block(side, side, "cpu") for side in (32, 64, 224, 448, 1000)] == [32, 32, 4, 1, 1]


def test_what_is_answered_one_by_one_has_blocks_of_one():
    """Its fingerprint says nothing of blocks."""
    for schema in METHODS:
        if schema.answer_batch == 1:
            assert schema.block(schema.model_construct(), 32, 32, "cuda") == 1
    in_blocks = {schema for schema in METHODS if schema.answer_batch > 1}
    assert in_blocks == {
        SourceSpec,
        EvaluateSpec,
        SupervisedSpec,
        LinearProbeSpec,
        KnnSpec,
        ByolSpec,
    }
