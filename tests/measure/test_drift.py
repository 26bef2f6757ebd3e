import pandas as pd
import pytest

from hardy.measure.drift import compare, is_time, largest

METRICS = {"accuracy": 0.5, "nll": 1.25, "seconds_per_sample": 3.0, "system/cpu": 40.0}


def frame(**columns: list) -> pd.DataFrame:
    base = {
        "sample": ["a", "b"],
        "dataset": ["d", "d"],
        "shift": ["none", "none"],
        "label": [0, 1],
        "memo.prediction": [0, 1],
        "memo.label_rank": [0, 7],
        "memo.confidence": [0.75, 0.5],
        "selected_views": [[0, 1], [0, 2]],
        "ms.wall": [1.0, 2.0],
    }
    return pd.DataFrame(base | columns)


def drift(tolerance: float = 0.0, metrics: dict | None = None, **columns: list):
    now = (metrics or METRICS, frame(**columns))
    return compare((METRICS, frame()), now, tolerance, following=("label_rank",))


def test_equal_runs_do_not_drift_whatever_the_times():
    other = METRICS | {"seconds_per_sample": 9.0, "system/cpu": 1.0}
    found = drift(metrics=other, **{"ms.wall": [5.0, 6.0]})
    assert not found.drifted
    assert [change.name for change in found.metrics] == ["accuracy", "nll"]
    assert found.sample_count == 2


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("seconds_per_sample", True),
        ("samples_per_second", True),
        ("system/gpu", True),
        ("nll", False),
    ],
)
def test_what_a_time_is(name, time):
    assert is_time(name) is time


@pytest.mark.parametrize(
    ("now", "tolerance", "drifted"),
    [(1.25, 0, False), (1.2500000001, 0, True), (1.3, 0.06, False), (1.3, 0.04, True)],
)
def test_a_metric_against_the_tolerance(now, tolerance, drifted):
    found = drift(tolerance, METRICS | {"nll": now})
    assert found.drifted is drifted
    assert {c.name: c.drifted for c in found.metrics} == {"accuracy": False, "nll": drifted}


def test_a_metric_that_is_gone_drifted_and_a_new_one_did_not():
    assert drift(metrics={"accuracy": 0.5}).drifted
    assert not drift(metrics=METRICS | {"error": 0.5}).drifted


@pytest.mark.parametrize(
    ("column", "values", "tolerance", "drifted"),
    [
        ("memo.confidence", [0.75, 0.5 + 2**-40], 0, ["b"]),
        ("memo.confidence", [0.75, 0.5 + 2**-40], 1e-9, []),
        ("memo.confidence", [0.75, float("nan")], 1e-9, ["b"]),
        ("memo.prediction", [1, 1], 5.0, ["a"]),  # a class is right or wrong, never near
        ("memo.label_rank", [0, 8], 0, ["b"]),
        ("memo.label_rank", [0, 8], 1e-9, []),
        ("selected_views", [[0, 1], [0]], 1e-9, ["b"]),
        ("selected_views", [[1, 0], [0, 2]], 0, ["a"]),
        ("sample", ["a", "c"], 0, ["b", "c"]),
    ],
)
def test_a_sample_against_the_tolerance(column, values, tolerance, drifted):
    found = drift(tolerance, **{column: values})
    assert [sample.sample for sample in found.samples] == drifted
    assert found.drifted is bool(drifted)


def test_order_of_rows_is_no_drift():
    assert not compare((METRICS, frame()), (METRICS, frame().iloc[::-1])).drifted


def test_no_value_agrees_with_no_value():
    then = frame(temperature=[None, 1.0])
    assert not compare((METRICS, then), (METRICS, frame(temperature=[float("nan"), 1.0]))).drifted


def test_the_largest_come_first():
    found = drift(**{"memo.confidence": [0.76, 0.9]})
    assert [(sample, change.name) for sample, change in largest(found, 5)] == [
        ("b", "memo.confidence"),
        ("a", "memo.confidence"),
    ]
    assert largest(found, 1)[0][1].distance == pytest.approx(0.4)
    assert largest(drift(sample=["a", "c"]), 9)[0][1].now == "absent"
    assert largest(drift(sample=["a", "c"]), 9)[0][1].drifted
