"""The same records bit for bit in one process and in two: of every method, fitted ones too."""

from dataclasses import dataclass, replace
from itertools import chain
from time import sleep

import pytest
import torch

from hardy.data.open import open_dataset
from hardy.engine import answer as answering
from hardy.engine.answer import AnswerJob, answer, blocks, rows, timed
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.executor import Inline, Processes
from hardy.engine.fit import fit, load_fitted
from hardy.engine.journal import Journal
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup, set_up
from hardy.measure.records import COST, TIMING, WALL
from hardy.methods import METHODS
from hardy.models.weights import Located
from hardy.spec.experiment import Experiment
from hardy.tasks.summary import summarise
from tests.engine.runs import KeptRun

SHAPES = {"dataset": "shapes", "split": "test", "shapes": {"count": 80, "size": 32}}
RESNET = {"kind": "hardy", "weights": "random", "classes": 6}
CLIP = {"kind": "open_clip", "name": "hardy-shapes", "weights": "random"}
CUT = {"kind": "cut", "count": 4}
SUPERPIXELS = {"kind": "superpixels", "segments": 4}
HELD_OUT = {"split": "train", "samples": 8}
MEMO = {"kind": "memo", "views": CUT, "optimizer": {"kind": "sgd", "lr": 0.1}}

CASES = {
    "source": (RESNET, {}),
    "evaluate": (RESNET, {}),
    "view_ensemble": (RESNET, {"views": CUT}),
    "memo": (RESNET, MEMO),
    "memo_plus": (RESNET, {"views": CUT, "segmenter": SUPERPIXELS, "policy": {"min_area": 5}}),
    "tpt": (CLIP, {"views": CUT, "select": 0.5}),
    "ensemble": (
        RESNET,
        {
            "temperatures": HELD_OUT,
            "members": [
                {"name": "a", "method": MEMO},
                {"name": "b", "model": CLIP, "method": {"kind": "source"}},
            ],
        },
    ),
    "contrastive": (
        CLIP,
        {"validate_on": {"split": "test", "samples": 8}, "epochs": 1, "batch": 8},
    ),
    "supervised": (
        RESNET,
        {"validate_on": {"split": "test", "samples": 8}, "epochs": 1, "batch": 64},
    ),
    "linear_probe": (
        RESNET,
        {
            "validate_on": {"split": "test", "samples": 8},
            "epochs": 2,
            "batch_norm": True,
            "noise": [0, 0.3],
        },
    ),
    "knn": (RESNET, {"bank_on": {"split": "train"}}),
    "byol": (
        RESNET,
        {"validate_on": {"split": "test", "samples": 8}, "epochs": 1, "batch": 40},
    ),
}


PLANES = ("segment", "reconstruct")
"""Tasks whose answers are planes, by the method `source`."""

VIT = {"kind": "hardy", "name": "vit", "patch": 8, "dim": 16, "depth": 2, "heads": 2, "mlp": 16}

PHOTOMETRIC = {"kind": "photometric", "count": 4}
ADAPTED = {
    "memo": {"views": PHOTOMETRIC, "select": 0.5, "optimizer": {"kind": "sgd", "lr": 0.1}},
    "view_ensemble": {"views": PHOTOMETRIC},
}
"""Methods that work on views, on the task `segment`."""

EVERY = (*CASES, *PLANES, *(f"segment-{kind}" for kind in ADAPTED), "represent")

# Three blocks of 32 and one that is smaller, or one by one.
FEW = dict.fromkeys(("source", "evaluate", "knn", "segment", "reconstruct", "represent"), 70)


def experiment(kind: str) -> Experiment:
    task, _, adapted = kind.partition("-")
    if task in PLANES:
        model = {"kind": "segmenter", "width": 8, "input": {"size": 40}}
        method = {"kind": adapted, **ADAPTED[adapted]} if adapted else {"kind": "source"}
        parts = {"task": {"kind": task}, "model": model, "method": method}
        shifted = {**SHAPES, "shift": {"kind": "gaussian_noise", "severity": 3}}
        device = {"compute": {"device": "cpu"}}
        return Experiment.model_validate({"name": kind, "data": shifted, **parts, **device})
    if kind == "represent":
        parts = {"task": {"kind": kind}, "model": VIT, "method": {"kind": "source"}}
        device = {"compute": {"device": "cpu"}}
        return Experiment.model_validate({"name": kind, "data": SHAPES, **parts, **device})
    model, method = CASES[kind]
    data = {**SHAPES, "split": "train"} if "validate_on" in method else SHAPES
    given = {"name": kind, "data": data, "model": model, "method": {"kind": kind, **method}}
    return Experiment.model_validate({**given, "compute": {"device": "cpu"}, "seed": 2})


def built(spec: Experiment) -> Setup:
    """Set a unit up anew, on a few samples to answer."""
    data = {}
    for role, other in spec.method.roles().items():
        dataset = open_dataset(other.data(spec.data, spec.seed) if other else spec.data)
        few = (
            dataset.samples[: FEW.get(spec.method.kind, 6)] if role == "answer" else dataset.samples
        )
        data[role] = replace(dataset, samples=few)
    models = {"model.weights": spec.model}
    models |= {f"method.{path}.weights": m for path, m in spec.method.further_models.items()}
    located = {path: Located(None, model.kind) for path, model in models.items()}
    return set_up(spec, located, data)


@dataclass(frozen=True)
class InTurn:
    """Several jobs in one process: its start is what takes long."""

    jobs: tuple[AnswerJob, ...]

    def __call__(self, send):
        for job in self.jobs:
            job(lambda sent, job=job: send((job.experiment.name, *sent)))


def plain(row):
    return {key: value for key, value in row.items() if not key.startswith(TIMING)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Records by method: of this process, and of two others."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARDY_HOME", str(tmp_path_factory.mktemp("home")))
        here, jobs = {}, []
        for kind in EVERY:
            spec = experiment(kind)
            fitted = fit(built(spec), Checkpoint(kind, "f" * 32), KeptRun(kind), Reporter())
            setup = built(spec)
            load_fitted(setup.method, fitted)
            places = range(len(setup.data["answer"].samples))
            here[kind] = {place: plain(row) for place, row in rows(setup, places, workers=0)}
            parts = (setup.experiment, setup.located, setup.data["answer"], fitted)
            by_block = blocks(places, setup.block)
            jobs.append([AnswerJob(*parts, tuple(chain(*by_block[k::2]))) for k in range(2)])
        there = {kind: {} for kind in EVERY}

        def hear(_, sent):
            kind, place, row = sent
            there[kind][place] = plain(row)

        turns = [InTurn(tuple(each)) for each in zip(*jobs, strict=True)]
        Processes(2).run(turns, hear)
        yield here, there
    torch.set_num_threads(threads)


def test_every_method_has_a_case():
    assert set(CASES) == {method.model_fields["kind"].default for method in METHODS}
    of_planes = {m.model_fields["kind"].default for m in METHODS if set(PLANES) & set(m.tasks)}
    assert set(ADAPTED) == of_planes


@pytest.mark.parametrize("kind", EVERY)
def test_records_are_the_same_in_one_process_and_in_two(made, kind):
    here, there = made
    assert set(here[kind]) == set(range(FEW.get(kind, 6)))
    assert here[kind] == there[kind]


def test_costs_of_answers_are_in_the_records_where_they_are_known():
    """What was encoded before took no time here, and masks may lie in the cache."""
    known = {
        "source": {"source"},
        "evaluate": {"evaluate"},
        "view_ensemble": {"source", "view_ensemble", "majority_vote"},
        "memo": {"source", "view_ensemble", "majority_vote", "memo"},
        "memo_plus": {"source"},
        "tpt": {"view_ensemble", "majority_vote", "tpt"},
        "ensemble": {"source", "a", "b", "simple_ensemble", "ensemble"},
        "contrastive": {"source", "contrastive"},
    }
    for kind, wanted in known.items():
        setup = built(experiment(kind))
        ((_, row),) = rows(setup, [0], workers=0)
        costs = {key.removeprefix(COST): v for key, v in row.items() if key.startswith(COST)}
        assert set(costs) == wanted, kind
    setup = built(experiment("tpt"))
    list(rows(setup, [0], workers=0))
    ((_, again),) = rows(setup, [0], workers=0)
    assert not [key for key in again if key.startswith(COST)]


def test_costs_and_wall_time_are_shared_alike_by_processes():
    made = [(0, {WALL: 0.0, f"{COST}memo": 6.0, f"{TIMING}adapt": 6.0, "loss": 6.0})]
    for processes in (1, 3):
        ((_, row),) = timed(iter([[(0, dict(made[0][1]))]]), processes)
        assert row[f"{COST}memo"] == 6 / processes
        assert row[f"{TIMING}adapt"] == row["loss"] == 6  # what one process saw


class Unhurried(Inline):
    """Jobs in this process, in place of processes."""

    def __init__(self, count):
        del count


def test_the_start_of_a_process_is_no_time_of_a_sample(tmp_path, monkeypatch):
    monkeypatch.setenv("HARDY_HOME", str(tmp_path))
    spec = experiment("source")
    compute = spec.compute.model_copy(update={"processes": 2})
    setup = built(spec.model_copy(update={"compute": compute}))

    def slow(*parts):
        sleep(1.5)
        return set_up(*parts)

    monkeypatch.setattr("hardy.engine.answer.Processes", Unhurried)
    monkeypatch.setattr("hardy.engine.answer.set_up", slow)
    with Journal("run", "f" * 32) as journal:
        frame = answer(setup, None, journal, Reporter(), "source")
    assert len(frame) == FEW["source"]
    assert 0 < summarise(setup.task, frame, "source")["seconds_per_sample"] < 0.2


@pytest.mark.parametrize("kind", ["ensemble", "contrastive", "linear_probe"])
def test_what_was_fitted_is_in_the_records_of_both(made, kind):
    """Without it the numbers are others: temperatures of 1, a network as it began."""
    setup = built(experiment(kind))
    bare = {place: plain(row) for place, row in rows(setup, range(6), workers=0)}
    for found in made:
        confidences = [
            [row[f"{kind}.confidence"] for row in r.values()] for r in (bare, found[kind])
        ]
        assert all(a != b for a, b in zip(*confidences, strict=True))


@pytest.mark.parametrize("kind", CASES)
def test_a_method_gives_the_answers_that_its_schema_names(made, kind):
    row = made[0][kind][0]
    found = [key.removesuffix(".prediction") for key in row if key.endswith(".prediction")]
    assert sorted(found) == sorted(experiment(kind).method.answer_names())


@pytest.mark.parametrize(
    ("kind", "samples", "stated", "jobs"),
    [
        ("evaluate", 200, None, 1),
        ("evaluate", 9_000, None, 2),
        ("evaluate", 200, 2, 2),
        ("memo", 200, None, 2),
    ],
)
def test_few_quick_answers_are_given_here(kind, samples, stated, jobs, monkeypatch):
    """Processes take seconds to load libraries; a thousand small images take one."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    spec = experiment(kind)
    compute = spec.compute.model_copy(update={"processes": stated})
    setup = built(spec.model_copy(update={"compute": compute}))
    found, _ = answering._jobs(setup, None, range(samples))
    assert len(found) == jobs
