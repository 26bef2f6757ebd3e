import numpy as np
import pandas as pd
import pytest

from hardy.measure.expectations import (
    HEADERS,
    Verdict,
    joint_verdicts,
    verdict_line,
    verdict_metrics,
    verdict_summary,
    verdict_table,
    verdicts,
)
from hardy.measure.paired import paired_bootstrap
from hardy.spec.experiment import Expect
from hardy.tasks.classify.metrics import interval
from hardy.tasks.names import expectable
from hardy.tasks.summary import bounds
from tests.contracts.records import CLASSIFY


def expect(metric: str, value: float, tolerance: float = 0.01, **more: object) -> Expect:
    fields = {"metric": metric, "value": value, "tolerance": tolerance, "source": "a table"}
    return Expect.model_validate({**fields, **more})


@pytest.fixture
def frame() -> pd.DataFrame:
    """100 samples: 50 right before, 60 after, of which 15 were wrong before."""
    source = [0] * 50 + [1] * 50
    memo = [0] * 45 + [1] * 5 + [0] * 15 + [1] * 35
    table = pd.DataFrame({"label": 0, "source.prediction": source, "memo.prediction": memo})
    for name in ("source", "memo"):
        table[f"{name}.label_rank"] = table[f"{name}.prediction"]
        table[f"{name}.label_probability"] = np.where(table[f"{name}.prediction"] == 0, 0.6, 0.1)
        table[f"{name}.confidence"] = 0.6
        table[f"{name}.entropy"] = 0.7
    return table


METRICS = {
    "accuracy": 0.6,
    "error": 0.4,
    "source/accuracy": 0.5,
    "delta/accuracy": 0.1,
    "nll": 1.5,
    "samples": 100,
}


def judge(frame: pd.DataFrame, *expected: Expect) -> list[Verdict]:
    return verdicts(expected, METRICS, lambda name: bounds(CLASSIFY, frame, name, "memo", "source"))


def test_intervals_are_those_of_the_counts(frame) -> None:
    names = ("accuracy", "error", "source/accuracy", "samples")
    found = {v.expect.metric: (v.low, v.high) for v in judge(frame, *(expect(n, 0) for n in names))}
    assert found == {
        "accuracy": interval(60, 100),
        "error": interval(40, 100),
        "source/accuracy": interval(50, 100),
        "samples": (None, None),
    }


def test_what_is_no_share_has_the_interval_of_samples_drawn_anew(frame) -> None:
    (verdict,) = judge(frame, expect("nll", 1.5))
    losses = -np.log(frame["memo.label_probability"])
    error = losses.std() / np.sqrt(len(losses))
    assert verdict.low == pytest.approx(losses.mean() - 1.96 * error, abs=0.2 * error)
    assert verdict.high == pytest.approx(losses.mean() + 1.96 * error, abs=0.2 * error)


def test_a_gains_interval_is_paired(frame) -> None:
    (verdict,) = judge(frame, expect("delta/accuracy", 0.1))
    right = [(frame[f"{name}.prediction"] == 0).to_numpy() for name in ("memo", "source")]
    bounds = paired_bootstrap(*right, seed=0)
    assert (verdict.low, verdict.high) == (bounds.low, bounds.high)
    assert verdict.low < 0.1 < verdict.high


@pytest.mark.parametrize(
    ("metric", "value", "agrees"),
    [
        ("accuracy", 0.61, "yes"),  # at the tolerance's edge, though 0.61 - 0.6 > 0.01 in floats
        ("accuracy", 0.62, "unclear"),
        ("accuracy", 0.69, "unclear"),  # the interval ends at 0.691
        ("accuracy", 0.75, "no"),
        ("accuracy", 0.45, "no"),
        ("nll", 1.505, "yes"),
        ("nll", 1.52, "no"),
    ],
)
def test_agreement(frame, metric: str, value: float, agrees: str) -> None:
    (verdict,) = judge(frame, expect(metric, value))
    assert verdict.agrees == agrees
    assert verdict.difference == pytest.approx(METRICS[metric] - value)


def test_records_without_the_answer_give_no_interval(frame) -> None:
    (verdict,) = verdicts(
        [expect("accuracy", 0.6)],
        METRICS,
        lambda name: bounds(CLASSIFY, frame, name, "linear_probe", "source"),
    )
    assert (verdict.low, verdict.agrees) == (None, "yes")


def test_values_of_several_runs_are_left_to_their_parent(frame) -> None:
    assert judge(frame, expect("mean/error", 0.4)) == []
    (verdict,) = joint_verdicts(
        [expect("mean/error", 0.4), expect("accuracy", 0)], {"mean/error": 0.42}
    )
    assert (verdict.agrees, verdict.difference) == ("no", pytest.approx(0.02))


def test_the_table_says_who_expected_what(frame) -> None:
    found = judge(
        frame, expect("accuracy", 0.61, unverified=True), expect("samples", 2, source="a|b")
    )
    lines = verdict_table([("memo/x", v) for v in found]).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(HEADERS)
    assert lines[2] == (
        "| memo/x | accuracy | 0.61 ± 0.01 | 0.6000 | [0.5020, 0.6906] | yes "
        "| a table (from memory, not verified) |"
    )
    assert lines[3].endswith("| 100.0000 | – | no | a\\|b |")
    assert verdict_line("memo/x", found[0]).startswith("memo/x: accuracy expected 0.61 ± 0.01, got")
    assert verdict_summary(found) == "1 of 2 agree"
    assert verdict_metrics(found) == {
        "expect/accuracy/difference": pytest.approx(-0.01),
        "expect/samples/difference": 98,
    }


def test_the_summary_counts_what_is_unclear(frame) -> None:
    values = (0.6, 0.65, 0.9)
    found = judge(frame, *(expect("accuracy", value) for value in values))
    assert verdict_summary(found) == "1 of 3 agree, 1 unclear"


def test_every_metric_that_a_spec_may_expect_has_a_name_once() -> None:
    names = expectable(["source", "zero_shot", "source"])
    assert len(set(names)) == len(names)
    assert {"accuracy", "source/nll", "delta/accuracy", "mean/source/error", "mce"} <= set(names)
