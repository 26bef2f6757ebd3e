from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from hardy.plan.tracker import PastRun
from hardy.results.report import parent_report
from hardy.results.stored import StoredUnit
from hardy.results.verdicts import (
    aggregated,
    all_verdicts,
    announce,
    judged,
    note_verdicts,
    unit_verdicts,
)
from hardy.spec.experiment import Experiment
from hardy.tasks.summary import summarise
from tests.contracts.records import CLASSIFY, answer_columns, as_frame

CLASSES = ["cat", "dog"]
LABELS = [0, 0, 1, 1]
OPERATIONS = [[[], ["blur"]], [[], ["crop"]], [[], ["blur"]], [[], ["crop"]]]


def records(source: list[int], memo: list[int], main: str = "memo") -> pd.DataFrame:
    log_p = {0: [-0.1053605, -2.3025851], 1: [-2.3025851, -0.1053605]}
    return as_frame(
        {"sample": f"{i}.jpg", "dataset": "d", "shift": "none", "label": y, "operations": o}
        | answer_columns("source", log_p[s], y)
        | answer_columns(main, log_p[m], y)
        for i, (y, s, m, o) in enumerate(zip(LABELS, source, memo, OPERATIONS, strict=True))
    )


def experiment(name: str, *expected: tuple[str, float], kind: str = "memo") -> Experiment:
    rows = [{"metric": m, "value": v, "tolerance": 0.01, "source": "a table"} for m, v in expected]
    return Experiment.model_validate(
        {
            "name": name,
            "data": {"dataset": "imagenet-sample"},
            "model": {"kind": "timm", "name": "resnet50"},
            "method": {"kind": kind},
            "expect": rows,
        }
    )


def metrics_of(spec: Experiment, frame: pd.DataFrame) -> dict[str, float]:
    return summarise(CLASSIFY, frame, spec.method.kind, spec.method.baseline)


def result(spec: Experiment, frame: pd.DataFrame) -> StoredUnit:
    planned = SimpleNamespace(unit=SimpleNamespace(experiment=spec))
    run = PastRun("run", spec.name, finished=True, metrics=metrics_of(spec, frame))
    unit = StoredUnit(None, run, planned)  # type: ignore[arg-type]
    unit.frame = frame
    return unit


class Noted:
    """Takes what is written to a run."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.tagged: dict[str, str] = {}

    def note(self, markdown: str) -> None:
        self.notes.append(markdown)

    def tags(self, values: dict[str, str]) -> None:
        self.tagged |= values


def whole(*results: StoredUnit) -> SimpleNamespace:
    units = tuple(r.planned.unit for r in results)
    return SimpleNamespace(name="suite", units=units, experiments=())


BETTER = records([0, 1, 1, 0], [0, 0, 1, 0])
WORSE = records([0, 1, 1, 0], [1, 1, 1, 0])


def test_a_unit_is_judged_in_its_metrics_its_tag_and_its_note() -> None:
    run = Noted()
    spec = experiment("memo/a", ("accuracy", 0.75), ("delta/accuracy", 0.5), ("mean/error", 0.1))
    got = judged(run, spec, CLASSIFY, metrics_of(spec, BETTER), BETTER)  # type: ignore[arg-type]
    assert got["expect/accuracy/difference"] == pytest.approx(0)
    assert got["expect/delta/accuracy/difference"] == pytest.approx(-0.25)
    assert "expect/mean/error/difference" not in got
    assert run.tagged == {"hardy.expect": "1 of 2 agree, 1 unclear"}
    assert "| memo/a | accuracy | 0.75 ± 0.01 | 0.7500 |" in run.notes[0]


def test_where_nothing_is_expected_nothing_is_written() -> None:
    run, spec = Noted(), experiment("memo/a")
    metrics = metrics_of(spec, BETTER)
    assert judged(run, spec, CLASSIFY, metrics, BETTER) == metrics  # type: ignore[arg-type]
    assert (run.notes, run.tagged) == ([], {})
    note_verdicts(run, [], before="| board |\n")  # type: ignore[arg-type]
    assert run.notes == ["| board |\n"]


def test_a_matrix_is_also_judged_as_one() -> None:
    first = result(experiment("m/x", ("mean/accuracy", 0.5)), BETTER)
    second = result(experiment("m/y", ("mean/accuracy", 0.5)), WORSE)
    matrix = whole(first, second)
    matrix.experiments = (matrix,)
    ((name, verdict),) = all_verdicts(matrix, [first, second])  # type: ignore[arg-type]
    assert (name, verdict.agrees) == ("suite", "yes")


def test_each_member_of_a_suite_is_judged_by_its_own_units() -> None:
    first = result(experiment("a", ("accuracy", 0.75), ("mean/accuracy", 0.1)), BETTER)
    second = result(experiment("b", ("accuracy", 0.75)), WORSE)
    suite = whole(first, second)
    suite.experiments = (whole(first), whole(second))
    found = all_verdicts(suite, [first, second])  # type: ignore[arg-type]
    assert [(name, v.expect.metric, v.got) for name, v in found] == [
        ("a", "accuracy", 0.75),
        ("b", "accuracy", 0.25),
    ]
    said: list[str] = []
    announce(suite, [first, second], said.append)  # type: ignore[arg-type]
    assert len(said) == 2
    assert len(unit_verdicts(first)) == 1


def test_several_methods_have_no_mean() -> None:
    first = result(experiment("m/x", ("mean/accuracy", 0.5)), BETTER)
    plain = experiment("m/y", ("mean/accuracy", 0.5), kind="source")
    second = result(plain, records([0, 1, 1, 0], [0, 0, 0, 0], main="source"))
    matrix = whole(first, second)
    matrix.experiments = (matrix,)
    assert all_verdicts(matrix, [first, second]) == []  # type: ignore[arg-type]


def matrix_of(units: list) -> SimpleNamespace:
    return SimpleNamespace(name="suite", experiments=[SimpleNamespace(name="suite", units=units)])


def test_a_parent_reports_the_gain_of_each_unit() -> None:
    units = [
        result(experiment("suite/flip"), WORSE),
        result(experiment("suite/crop"), BETTER),
        result(experiment("other", kind="source"), BETTER),
    ]
    report = dict(parent_report(matrix_of(units), units))
    table = report["report/answers.csv"].splitlines()
    assert table[0].startswith("experiment,answer,answers,images,accuracy,ece,nll,gain,")
    assert [row.split(",")[:2] for row in table[1:]] == [["suite", "source"], ["suite", "memo"]]
    rows = report["report/gains.csv"].splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "crop", "flip"]
    assert isinstance(report["report/gains.png"], Image.Image)
    assert set(dict(parent_report(matrix_of(units[1:]), units[1:]))) == {"report/answers.csv"}


def test_units_are_joined_by_the_shift_that_is_put_on_their_samples() -> None:
    plain = experiment("a").model_dump(by_alias=True)
    fog = {**plain["data"], "shift": {"kind": "fog", "severity": 3}}
    specs = [experiment("a"), Experiment.model_validate({**plain, "data": fog})]
    task = SimpleNamespace(kind="classify", joint=lambda metrics, shifts: {"seen": shifts})
    units = [SimpleNamespace(experiment=s, main="memo", task=task, metrics={}) for s in specs]
    assert aggregated(units) == {"seen": [None, ("fog", 3)]}  # type: ignore[arg-type]
