"""Tables of units whose numbers cannot stand in one column."""

import csv
from types import SimpleNamespace

import pytest

from hardy.plan.tracker import PastRun
from hardy.results.report import parent_report
from hardy.results.stored import StoredUnit
from hardy.results.table import best, markdown, parent_metrics, row_of, tables
from hardy.spec.experiment import Experiment
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tasks.summary import summarise
from tests.tasks import test_dense
from tests.tasks.classify import test_task

CLASSIFY, DENSE = build_task(ClassifySpec(), tuple("abcdef")), test_dense.TASK
MAKERS = {"classify": test_task.TestClassify(), "dense": test_dense.TestDense()}


def unit(name: str, task, skill: float, main: str = "memo") -> StoredUnit:
    experiment = Experiment.model_validate(
        {
            "name": name,
            "data": {"dataset": "imagenet-sample"},
            "model": {"kind": "timm", "name": "resnet50"},
            "method": {"kind": main},
        }
    )
    frame = MAKERS[task.kind].frame(**{"source": 0.1, main: skill})
    metrics = summarise(task, frame, main, "source")
    planned = SimpleNamespace(unit=SimpleNamespace(experiment=experiment))
    made = StoredUnit(None, PastRun(name, name, finished=True, metrics=metrics), planned)
    made.frame, made.task = frame, task
    return made


@pytest.fixture(scope="module")
def units() -> list[StoredUnit]:
    return [
        unit("a", CLASSIFY, 0.2),
        unit("b", DENSE, 0.4),
        unit("c", DENSE, 0.7),
        unit("d", CLASSIFY, 0.9),
    ]


@pytest.fixture(scope="module")
def suite(units) -> SimpleNamespace:
    parts = [
        SimpleNamespace(name=one.name, units=[SimpleNamespace(experiment=one.experiment)])
        for one in units
    ]
    return SimpleNamespace(name="suite", experiments=parts)


def test_each_headline_has_a_table_of_its_own(suite, units) -> None:
    first, second = tables(suite, units)
    assert [row[0] for row in first.rows] == ["a", "d"]
    assert [row[0] for row in second.rows] == ["b", "c"]
    assert first.caption.startswith("accuracy in %")
    assert second.caption.startswith("miou with its 95 % interval (samples drawn anew)")
    assert (first.headers[5], second.headers[5]) == ("flips", "gain")
    assert float(second.rows[1][5]) > float(second.rows[0][5]) > 0
    assert markdown(units).count("| run | shift |") == 2


def test_the_baselines_interval_is_read_not_drawn_again(units) -> None:
    one = units[1]
    low, high = (one.metrics[f"source/miou.{end}"] for end in ("low", "high"))
    assert (low, high) == DENSE.interval(one.frame, "source")


def test_each_headline_has_a_best_unit(units) -> None:
    assert [(what, found.name) for what, found in best(units)] == [
        ("the best unit by accuracy", "d"),
        ("the best unit by miou", "c"),
    ]
    assert [what for what, _ in best(units[1:3])] == ["the best unit"]


def test_several_tasks_have_no_mean_and_reports_apart(suite, units) -> None:
    assert parent_metrics(suite, units) == {"units": 4, "units/reused": 0, "skipped": 0}
    found = dict(parent_report(suite, units))
    assert set(found) == {
        f"report/{table}-{task}.{kind}"
        for task in ("classify", "dense")
        for table, kind in (("answers", "csv"), ("gains", "csv"), ("gains", "png"))
    }
    assert found["report/answers-dense.csv"].startswith("experiment,answer,answers,images,miou,")
    dense = found["report/gains-dense.csv"].splitlines()
    assert [line.partition(",")[0] for line in dense] == ["run", "c", "b"]
    assert all(line.endswith(",") for line in dense[1:])  # no McNemar


def test_units_of_two_methods_have_no_mean(units, suite) -> None:
    alike, other = [units[0], units[3]], unit("e", CLASSIFY, 0.5, main="view_ensemble")
    means = [name for name in parent_metrics(suite, alike) if name.startswith("mean/")]
    assert {"mean/accuracy", "mean/source/accuracy"} <= set(means)
    found = parent_metrics(suite, [units[0], other])
    assert found == {"units": 2, "units/reused": 0, "skipped": 0}


def test_a_row_says_what_was_before_where_it_was_measured(units) -> None:
    one = units[0]
    names = ("source/accuracy", "source/accuracy.low", "source/accuracy.high")
    low, high = CLASSIFY.interval(one.frame, "source")
    row = row_of(one)
    assert (row["before"], row["before_low"], row["before_high"]) == (
        one.metrics[names[0]],
        low,
        high,
    )
    bare = unit("f", CLASSIFY, 0.5)
    kept = {name: value for name, value in bare.metrics.items() if name not in names}
    bare = StoredUnit(None, PastRun("f", "f", finished=True, metrics=kept), bare.planned)
    bare.frame, bare.task = one.frame, CLASSIFY
    assert row_of(bare)["before"] is None


def test_a_method_without_a_baseline_gains_nothing_over_itself(suite) -> None:
    plain = unit("a", CLASSIFY, 0.6, main="source")
    assert plain.baseline is None
    alone = SimpleNamespace(name="suite", experiments=suite.experiments[:1])
    (row,) = csv.DictReader(dict(parent_report(alone, [plain]))["report/answers.csv"].splitlines())
    assert (row["answer"], float(row["gain"]), row["to_right"]) == ("source", 0.0, "0")
