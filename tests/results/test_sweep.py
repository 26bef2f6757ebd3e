"""Sweeps: which axes are curves, their points, areas and intervals by formulas in numpy."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hardy.plan.tracker import PastRun
from hardy.results.stored import StoredUnit
from hardy.results.sweep import (
    Sweep,
    sweep_markdown,
    sweep_metrics,
    sweep_report,
    sweeps,
    trapezoid,
)
from hardy.spec import Resolved, resolve
from hardy.tasks.build import build_task
from hardy.tasks.reconstruct.spec import ReconstructSpec
from hardy.tasks.represent.spec import RepresentSpec
from hardy.tasks.summary import summarise
from tests.contracts.records import CLASSIFY, answer_columns, as_frame

SIGMAS = [0, 0.2, 0.4, 1.0]
COUNT = 60
BODY = """
data:
  dataset: cifar10
  shift: {kind: gaussian_sigma, sigma: 0, space: normalised}
model: {kind: hardy}
method: {kind: memo}
matrix:
"""


def right(name: str, sigma: float, strength: float) -> np.ndarray:
    """Return which samples are right: the same hard ones at every strength, and chance."""
    rng = np.random.default_rng([len(name), round(100 * sigma), round(100 * strength)])
    hard = np.random.default_rng(0).random(COUNT)
    return hard * 0.7 + rng.random(COUNT) * 0.3 > 0.1 + sigma * strength


def records(strength: float, sigma: float, main: str, names: list[str]) -> pd.DataFrame:
    good = {
        answer: right(answer, sigma, 0.8 if answer == "source" else strength)
        for answer in dict.fromkeys(("source", main))
    }
    sure, off = np.log([0.8, 0.2]), np.log([0.2, 0.8])
    return as_frame(
        {"sample": name, "dataset": "d", "shift": f"{sigma:g}", "label": 0}
        | {
            k: v
            for answer, own in good.items()
            for k, v in answer_columns(answer, sure if own[n] else off, 0).items()
        }
        for n, name in enumerate(names)
    )


def stored(planned, frame: pd.DataFrame) -> StoredUnit:
    spec = planned.experiment
    main, baseline = spec.method.kind, spec.method.baseline
    metrics = summarise(CLASSIFY, frame, main, baseline if main != baseline else None)
    run = PastRun(spec.name, spec.name, finished=True, metrics=metrics)
    unit = StoredUnit(None, run, SimpleNamespace(unit=planned))
    unit.frame = frame
    return unit


def made(resolved: Resolved, names: list[str] | None = None) -> list[StoredUnit]:
    """Return a run of each unit; a method's strength is that of its name."""
    units = []
    for planned in resolved.units:
        spec = planned.experiment
        strength = len(spec.method.kind) / 12 + spec.seed / 20
        sigma = spec.data.shift.sigma
        samples = names or [f"{n}.png" for n in range(COUNT)]
        units.append(stored(planned, records(strength, sigma, spec.method.kind, samples)))
    return units


@pytest.fixture
def spec(tmp_path):
    def write(matrix: str, name: str = "swept") -> Resolved:
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"name: {name}{BODY}{matrix}")
        return resolve(str(path))

    return write


def only(found: list[Sweep]) -> Sweep:
    (sweep,) = found
    return sweep


AXIS = f"  data.shift.sigma: {SIGMAS}\n"


def test_a_curve_is_each_runs_headline_with_its_own_interval(spec) -> None:
    resolved = spec(AXIS)
    units = made(resolved)
    sweep = only(sweeps(resolved, units))
    assert sweep.axis == "data.shift.sigma"
    assert sweep.about == (
        "data.shift.sigma: standard deviation, in the units of space: normalised"
    )
    own = sweep.table[~sweep.table["baseline"]]
    assert own["value"].tolist() == SIGMAS
    assert own["level"].tolist() == [unit.metrics["accuracy"] for unit in units]
    assert own["low"].tolist() == [unit.metrics["accuracy.low"] for unit in units]
    before = sweep.table[sweep.table["baseline"]]
    assert before["answer"].unique().tolist() == ["source"]
    assert before["level"].tolist() == [unit.metrics["source/accuracy"] for unit in units]
    wilson = [CLASSIFY.interval(unit.frame, "source") for unit in units]
    assert list(zip(before["low"], before["high"], strict=True)) == wilson


def test_the_area_is_the_trapezoids_and_its_interval_draws_photographs_whole(spec) -> None:
    resolved = spec(AXIS)
    units = made(resolved)
    row = only(sweeps(resolved, units)).table.iloc[0]
    good = np.stack([(u.frame["memo.prediction"] == 0).to_numpy() for u in units]).astype(float)
    assert row["auc"] == pytest.approx(np.trapezoid(good.mean(1), SIGMAS) / 1.0, abs=1e-12)
    rng, areas, loose = np.random.default_rng(3), [], []
    for _ in range(2000):
        drawn = rng.integers(COUNT, size=COUNT)
        areas.append(np.trapezoid(good[:, drawn].mean(1), SIGMAS))
        apart = [each[rng.integers(COUNT, size=COUNT)].mean() for each in good]
        loose.append(np.trapezoid(apart, SIGMAS))
    ends = np.quantile(areas, [0.025, 0.975])
    wide = ends[1] - ends[0]
    assert (row["auc_low"], row["auc_high"]) == pytest.approx(tuple(ends), abs=0.1 * wide)
    # The hard photographs are hard everywhere: drawn apart, they would promise too much.
    assert np.diff(np.quantile(loose, [0.025, 0.975]))[0] < 0.8 * wide
    assert trapezoid(np.array([0.0, 1.0, 4.0])) == pytest.approx([1 / 8, 4 / 8, 3 / 8])


def test_samples_that_differ_from_point_to_point_give_no_interval_of_the_area(spec) -> None:
    resolved = spec(AXIS)
    units = made(resolved)
    units[2].frame = units[2].frame.iloc[:-1]
    table = only(sweeps(resolved, units)).table
    assert table["auc_low"].isna().all()
    assert table["auc"].notna().all()
    assert "sweep/auc.low" not in sweep_metrics(sweeps(resolved, units))


def test_seeds_are_pooled_and_their_photographs_drawn_together(spec) -> None:
    resolved = spec(f"{AXIS}  seed: [0, 1, 2]\n")
    units = made(resolved)
    table = only(sweeps(resolved, units)).table
    own = table[~table["baseline"]]
    assert own["runs"].tolist() == [3] * 4
    assert own["samples"].tolist() == [3 * COUNT] * 4
    assert own["line"].unique().tolist() == [""]
    at = [unit for unit in units if unit.experiment.data.shift.sigma == 0.4]
    good = np.stack([(u.frame["memo.prediction"] == 0).to_numpy() for u in at]).astype(float)
    assert own["level"].iloc[2] == pytest.approx(good.mean())
    rng = np.random.default_rng(1)
    means = [good[:, rng.integers(COUNT, size=COUNT)].mean() for _ in range(2000)]
    ends = np.quantile(means, [0.025, 0.975])
    found = (own["low"].iloc[2], own["high"].iloc[2])
    assert found == pytest.approx(tuple(ends), abs=0.15 * (ends[1] - ends[0]))


def test_seeds_with_some_samples_of_their_own_are_drawn_by_photograph(spec) -> None:
    resolved = spec(f"{AXIS}  seed: [0, 1]\n")
    units = made(resolved)
    for unit in units[1::2]:
        unit.frame = unit.frame.iloc[COUNT // 3 :]
    own = only(sweeps(resolved, units)).table.iloc[2]
    first, second = (
        (u.frame["memo.prediction"] == 0).to_numpy().astype(float)
        for u in units
        if u.experiment.data.shift.sigma == 0.4
    )
    assert own["level"] == pytest.approx((first.mean() + second.mean()) / 2)
    rng, means = np.random.default_rng(1), []
    for _ in range(2000):
        drawn = rng.integers(COUNT, size=COUNT)
        both = drawn[drawn >= COUNT // 3] - COUNT // 3
        means.append((first[drawn].mean() + second[both].mean()) / 2)
    ends = np.quantile(means, [0.025, 0.975])
    assert (own["low"], own["high"]) == pytest.approx(tuple(ends), abs=0.15 * (ends[1] - ends[0]))


def test_a_metric_of_a_set_is_the_mean_of_the_runs_own(spec) -> None:
    """Features of two networks together would be a set that nobody has."""
    resolved = spec(f"{AXIS}  seed: [0, 1]\n")
    task, units = build_task(RepresentSpec()), []
    for planned in resolved.units:
        rng = np.random.default_rng(planned.experiment.seed)
        features = rng.normal(size=(30, 4)) + 3 * rng.normal(size=4)
        frame = pd.DataFrame({"sample": [str(n) for n in range(30)], "dataset": "d", "shift": "s"})
        frame["memo.features"] = features.tolist()
        run = PastRun("a", "a", finished=True)
        units.append(StoredUnit(None, run, SimpleNamespace(unit=planned)))
        units[-1].frame, units[-1].task = frame, task
    row = only(sweeps(resolved, units)).table.iloc[0]
    spreads = [task.metrics(unit.frame, "memo")["spread"] for unit in units[:2]]
    assert row["level"] == pytest.approx(np.mean(spreads))
    assert row["low"] < row["level"] < row["high"]


def test_other_settings_are_lines_and_a_common_baseline_is_one(spec) -> None:
    resolved = spec(f"{AXIS}  method.kind: [memo, tpt_like]\n".replace("tpt_like", "view_ensemble"))
    units = made(resolved)
    found = sweeps(resolved, units)
    table = only(found).table
    lines = table[["line", "answer", "baseline"]].drop_duplicates().to_numpy().tolist()
    assert lines == [
        ["memo", "memo", False],
        ["view_ensemble", "view_ensemble", False],
        ["", "source", True],
    ]
    metrics = sweep_metrics(found)
    assert set(metrics) == {
        f"{name}{end}"
        for name in ("sweep/memo/auc", "sweep/view_ensemble/auc", "source/sweep/auc")
        for end in ("", ".low", ".high")
    }
    text = sweep_markdown(found)
    assert f"| memo | memo | {metrics['sweep/memo/auc']:.4g} [" in text
    assert text.startswith("| data.shift.sigma | answer | accuracy, mean over the axis |")


def test_a_suites_members_are_lines_of_one_picture(spec) -> None:
    one, two = spec(AXIS, "first"), spec(AXIS.replace("0.4", "0.5"), "second")
    short = spec("  data.shift.sigma: [0, 1]\n", "short")
    suite = Resolved(
        reference="s",
        path=Path("s"),
        overrides=(),
        name="s",
        description="",
        matrix={},
        units=(*one.units, *two.units, *short.units),
        members=(one, two, short),
    )
    found = sweeps(suite, [*made(one), *made(two), *made(short)])
    table = only(found).table
    assert table["line"][~table["baseline"]].unique().tolist() == ["first", "second"]
    assert {"sweep/first/auc", "sweep/second/auc"} <= set(sweep_metrics(found))


@pytest.mark.parametrize(
    "matrix",
    [
        "  data.shift.sigma: [0, 1]\n",
        "  seed: [0, 1, 2, 3]\n",
        "  method.kind: [memo, view_ensemble, source]\n",
        "  data.shift:\n    - {kind: gaussian_sigma, sigma: 0}\n"
        "    - {kind: gaussian_sigma, sigma: 1}\n    - {kind: gaussian_sigma, sigma: 2}\n",
    ],
)
def test_what_is_no_curve_draws_nothing(spec, matrix) -> None:
    resolved = spec(matrix)
    found = sweeps(resolved, made(resolved))
    assert found == []
    assert list(sweep_report(found)) == []
    assert sweep_markdown(found) == ""
    assert sweep_metrics(found) == {}


def test_files_are_a_table_and_a_picture(spec) -> None:
    resolved = spec(AXIS)
    found = sweeps(resolved, made(resolved))
    files = dict(sweep_report(found))
    assert list(files) == ["report/sweep-data.shift.sigma.csv", "report/sweep-data.shift.sigma.png"]
    rows = list(csv.DictReader(files["report/sweep-data.shift.sigma.csv"].splitlines()))
    assert len(rows) == 8
    assert [float(row["value"]) for row in rows[:4]] == SIGMAS
    picture = files["report/sweep-data.shift.sigma.png"]
    assert isinstance(picture, Image.Image)
    assert picture.width <= 1600


def test_a_metric_that_is_no_mean_of_scores_is_computed_on_each_draw(spec) -> None:
    """The psnr of all images together, as an oracle draws them."""
    resolved = spec(AXIS)
    task = build_task(ReconstructSpec())
    task.spec = SimpleNamespace(**{k: getattr(task.spec, k) for k in ("kind", "metrics", "target")})
    task.spec.headline = "psnr"
    rng = np.random.default_rng(5)
    units = []
    for planned in resolved.units:
        mse = np.exp(rng.normal(-3, 1, COUNT)) * (1 + planned.experiment.data.shift.sigma)
        frame = pd.DataFrame(
            {
                "sample": [str(n) for n in range(COUNT)],
                "dataset": "d",
                "shift": "s",
                "memo.mse": mse,
                "memo.l1": mse,
            }
        )
        units.append(
            StoredUnit(None, PastRun("a", "a", finished=True), SimpleNamespace(unit=planned))
        )
        units[-1].frame, units[-1].task = frame, task
    row = only(sweeps(resolved, units)).table.iloc[0]
    order = np.argsort([str(n) for n in range(COUNT)])
    errors = np.stack([unit.frame["memo.mse"].to_numpy()[order] for unit in units])
    area = np.trapezoid(-10 * np.log10(errors.mean(1)), SIGMAS)
    assert row["auc"] == pytest.approx(area)
    found = []
    for _ in range(1000):
        drawn = rng.integers(COUNT, size=COUNT)
        found.append(np.trapezoid(-10 * np.log10(errors[:, drawn].mean(1)), SIGMAS))
    ends = np.quantile(found, [0.025, 0.975])
    wide = ends[1] - ends[0]
    assert (row["auc_low"], row["auc_high"]) == pytest.approx(tuple(ends), abs=0.15 * wide)
