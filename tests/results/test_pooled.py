"""A matrix has two calibration errors: of all its samples together, and the mean of its runs'."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hardy.plan.tracker import PastRun
from hardy.registry.gates import judge
from hardy.registry.register import join_evidence
from hardy.registry.spec import Policy
from hardy.registry.verdict import Evidence
from hardy.results.report import parent_report
from hardy.results.stored import StoredUnit
from hardy.results.table import markdown, parent_metrics, tables
from hardy.spec.experiment import Experiment
from hardy.spec.names import _answers, _votes
from hardy.tasks.names import expectable
from hardy.tasks.summary import summarise
from tests.contracts.records import CLASSIFY, answer_columns, as_frame

CLASSES = 5


def experiment(name: str, severity: int, **parts: object) -> Experiment:
    shift = {"kind": "contrast", "severity": severity}
    return Experiment.model_validate(
        {
            "name": name,
            "data": {"dataset": "imagenet-sample", "shift": shift},
            "model": {"kind": "timm", "name": "resnet50"},
            "method": {"kind": "memo"},
            **parts,
        }
    )


def records(severity: int, count: int, sharpness: float) -> pd.DataFrame:
    rng = np.random.default_rng(severity)

    def row(number: int) -> dict[str, object]:
        label = int(rng.integers(CLASSES))
        logits = rng.normal(0, 1, (2, CLASSES)) * sharpness
        logits[:, label] += 1
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        votes = np.full(CLASSES, -np.inf)
        votes[(label + number) % CLASSES] = 0.0  # most samples: no vote for the label
        named = {"sample": f"{number}.jpg", "dataset": "d", "shift": f"contrast-{severity}"}
        return (
            named
            | {"label": label}
            | answer_columns("source", log_p[0], label)
            | answer_columns("majority_vote", votes, label)
            | answer_columns("memo", log_p[1], label)
        )

    return as_frame(row(number) for number in range(count))


def unit(
    spec: Experiment, frame: pd.DataFrame, run_name: str = "", run_id: str = "0123456789abcdef"
) -> StoredUnit:
    metrics = summarise(CLASSIFY, frame, "memo", "source")  # as older runs have them
    planned = SimpleNamespace(
        unit=SimpleNamespace(experiment=spec), samples={"answer": SimpleNamespace(digest="x")}
    )
    run = PastRun(run_id, run_name or spec.name, finished=True, metrics=metrics)
    made = StoredUnit(None, run, planned)  # type: ignore[arg-type]
    made.frame = frame
    return made


@pytest.fixture
def units() -> list[StoredUnit]:
    return [
        unit(experiment("two/one", 1), records(1, 40, sharpness=0.2)),
        unit(experiment("two/five", 5), records(5, 25, sharpness=4.0)),
    ]


def whole(units: list[StoredUnit], name: str = "two") -> SimpleNamespace:
    inner = [SimpleNamespace(experiment=one.experiment) for one in units]
    part = SimpleNamespace(name=name, units=inner)
    return SimpleNamespace(name=name, experiments=[part])


def published_ece(frames: list[pd.DataFrame], name: str) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    confidence = np.concatenate([frame[f"{name}.confidence"] for frame in frames])
    right = np.concatenate([frame[f"{name}.prediction"] == frame["label"] for frame in frames])
    total = 0.0
    for bin_ in range(15):
        inside = (confidence > bin_ / 15) & (confidence <= (bin_ + 1) / 15)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            total += inside.sum() / len(confidence) * gap
    return total


def test_plain_names_are_of_all_samples_and_means_are_called_so(units) -> None:
    found = parent_metrics(whole(units), units)
    frames = [one.frame for one in units]
    each = [published_ece([frame], "memo") for frame in frames]
    assert found["ece"] == pytest.approx(published_ece(frames, "memo"), abs=1e-12)
    assert found["source/ece"] == pytest.approx(published_ece(frames, "source"), abs=1e-12)
    assert found["mean/ece"] == pytest.approx(sum(each) / 2, abs=1e-12)
    assert abs(found["ece"] - found["mean/ece"]) > 0.01
    right = sum((frame["memo.prediction"] == frame["label"]).sum() for frame in frames)
    assert found["accuracy"] == pytest.approx(right / 65)
    assert found["samples"] == 65


def test_the_gates_judge_by_the_value_that_the_parent_has(units) -> None:
    found = parent_metrics(whole(units), units)
    policy = Policy.model_validate(
        {
            "model": "one",
            "candidates": {"experiments": ["*"], "dataset": "imagenet-sample"},
            "metric": {"name": "ece"},
            "gates": [{"metric": "ece", "at_most": 0.5}],
        }
    )
    verdict = judge(policy, Evidence("1", "memo", join_evidence(units), CLASSIFY), {})
    assert f"ece at most 0.5: {found['ece']:.6g} on 65 samples" in "\n".join(verdict.lines())
    assert f"ece {found['ece']:.4g} (" in verdict.metric
    rows = dict(parent_report(whole(units), units))["report/answers.csv"].splitlines()
    (memo,) = [row for row in rows if row.startswith("two,memo,")]
    named = dict(zip(rows[0].split(","), memo.split(","), strict=True))
    assert float(named["ece"]) == found["ece"]


def test_each_answer_has_its_own_seconds(units) -> None:
    for one, source in zip(units, (10.0, 20.0), strict=True):
        one.frame = one.frame.assign(
            **{"ms.wall": 900.0, "ms.answer.source": source, "ms.answer.memo": 500.0}
        )
    units[1].frame.loc[3, "ms.answer.memo"] = np.nan  # found in a cache
    found = dict(parent_report(whole(units), units))["report/answers.csv"].splitlines()
    cells = {row.split(",")[1]: row.rpartition(",")[2] for row in found}
    assert cells["answer"] == "seconds"
    assert float(cells["source"]) == pytest.approx((40 * 0.01 + 25 * 0.02) / 65)
    assert cells["majority_vote"] == cells["memo"] == ""


def test_samples_that_were_seen_twice_are_no_one_experiments(units) -> None:
    again = [*units, unit(experiment("two/again", 1, seed=1), units[0].frame)]
    found = parent_metrics(whole(again), again)
    assert not {"ece", "accuracy", "samples"} & set(found)
    assert {"mean/ece", "mean/accuracy"} <= set(found)
    (table,) = tables(whole(again), again)
    mean = 100 * sum(one.metrics["accuracy"] for one in again) / 3
    seeds, answers = table.lines[:2]
    assert seeds.startswith("accuracy over 2 seeds (contrast-1): mean ")
    assert answers.startswith("all answers, mean accuracy of 3 runs, in %: source ")
    assert answers.endswith(f"memo {mean:.1f}")


def test_the_line_of_all_answers_is_of_all_samples(units) -> None:
    (table,) = tables(whole(units), units)
    found = parent_metrics(whole(units), units)
    assert table.lines[0].startswith("all answers on the same 65 samples, in %: source ")
    assert table.lines[0].endswith(f"memo {100 * found['accuracy']:.1f}")


def test_shares_of_votes_have_no_likelihood(units) -> None:
    votes = units[0].experiment.method.votes()
    assert votes == {"majority_vote"}
    found = summarise(CLASSIFY, units[0].frame, "memo", "source", votes)
    own = {name for name in found if name.startswith("majority_vote/")}
    assert own == {
        f"majority_vote/{n}" for n in ("accuracy", "error", "ece", "entropy", "confidence")
    }
    assert {"nll", "top5", "source/nll"} <= set(found)
    for metrics in (units[0].metrics, parent_metrics(whole(units), units)):
        assert "majority_vote/accuracy" in metrics
        assert not {"majority_vote/nll", "majority_vote/top5"} & set(metrics)
    rows = dict(parent_report(whole(units), units))["report/answers.csv"].splitlines()
    place = rows[0].split(",").index("nll")
    cells = {row.split(",")[1]: row.split(",")[place] for row in rows[1:]}
    assert cells["majority_vote"] == ""
    assert float(cells["memo"]) > 0


def test_what_has_no_meaning_cannot_be_expected() -> None:
    names = expectable(_answers(), _votes())
    assert "majority_vote/ece" in names
    assert not {"majority_vote/nll", "majority_vote/top5"} & set(names)


def test_what_was_left_out_is_told(units) -> None:
    first, second = units
    run = PastRun("run", "two/five", finished=True, metrics={**second.run.metrics, "skipped": 3.0})
    short = StoredUnit(None, run, second.planned)  # type: ignore[arg-type]
    short.frame = second.frame
    (table,) = tables(whole(units), [first, short])
    (line,) = [line for line in table.lines if line.startswith("warning: ")]
    assert "left out and do not count in n: two/five 3; data/skipped.csv" in line
    assert f"- {line}" in markdown([first, short])
    assert parent_metrics(whole(units), [first, short])["skipped"] == 3
    assert [row[1] for row in table.rows] == [row[1] for row in tables_of(units)]


def tables_of(units: list[StoredUnit]) -> list[list[str]]:
    (table,) = tables(whole(units), units)
    return table.rows


def test_a_row_says_whose_run_it_shows(units) -> None:
    first, second = units
    other = unit(second.experiment, second.frame, run_name="elsewhere/five", run_id="f" * 32)
    (table,) = tables(whole(units), [first, other])
    remark = "two/five = run elsewhere/five (ffffffff)"
    assert [row[0] for row in table.rows] == ["one", "five"]
    assert remark in table.lines
    assert f"- {remark}" in markdown([first, other])
    (table,) = tables(whole(units), units)
    assert not [line for line in table.lines if " = run " in line]
