import numpy as np
import pandas as pd
import pytest
from mlflow.utils.validation import _validate_metric_name

from hardy.core.errors import DataError
from hardy.measure.leaderboard import Board, leaderboard_row
from hardy.tasks.classify.metrics import interval
from hardy.tasks.names import GENERAL, METRICS
from hardy.tasks.summary import summarise
from tests.contracts.records import CLASSIFY, answer_columns, as_frame

LABELS = [0, 0, 0, 0, 1, 1]
SOURCE = [0, 0, 1, 1, 1, 0]
MEMO = [0, 1, 0, 0, 1, 1]


def log_probabilities(prediction: int) -> np.ndarray:
    return np.log(np.where(np.arange(6) == prediction, 0.5, 0.1))


@pytest.fixture
def frame() -> pd.DataFrame:
    return as_frame(
        {"sample": str(i), "dataset": "d", "shift": "none", "label": y}
        | answer_columns("source", log_probabilities(s), y)
        | answer_columns("memo", log_probabilities(m), y)
        | ({"ms.adapt": 300.0} if i else {})
        | {"ms.predict": 50.0, "ms.wall": 100.0 + i}
        for i, (y, s, m) in enumerate(zip(LABELS, SOURCE, MEMO, strict=True))
    )


def test_main_metrics_are_plain_and_the_others_prefixed(frame) -> None:
    got = summarise(CLASSIFY, frame, "memo", "source")
    assert got["accuracy"] == pytest.approx(5 / 6)
    assert got["source/accuracy"] == pytest.approx(3 / 6)
    assert (got["accuracy.low"], got["accuracy.high"]) == interval(5, 6)
    assert (got["flips/to_right"], got["flips/to_wrong"]) == (3, 1)
    assert got["delta/accuracy"] == pytest.approx(2 / 6)
    # 4 flips of which 1 or fewer go the other way, two-sided: 2 · (1 + 4) / 16.
    assert got["mcnemar/p"] == pytest.approx(10 / 16)
    assert got["samples"] == 6


def test_speed_counts_a_skipped_stage_as_no_time(frame) -> None:
    got = summarise(CLASSIFY, frame, "memo", "source")
    assert got["seconds_per_sample"] == pytest.approx(0.1025)
    assert got["samples_per_second"] == pytest.approx(1 / got["seconds_per_sample"])


def test_mlflow_takes_the_names_and_every_value_is_finite(frame) -> None:
    for name, value in summarise(CLASSIFY, frame, "memo", "source").items():
        _validate_metric_name(name)
        assert np.isfinite(value)
        assert type(value) is float


def test_every_metric_that_a_spec_may_name_is_there(frame) -> None:
    wanted = {*CLASSIFY.spec.metrics, *GENERAL}
    assert wanted <= set(METRICS)
    assert wanted <= set(summarise(CLASSIFY, frame, "memo", "source"))


@pytest.mark.parametrize("baseline", [None, "source"])
def test_the_source_is_not_compared_with_itself(frame, baseline) -> None:
    got = summarise(CLASSIFY, frame.drop(columns="ms.wall"), "source", baseline)
    assert not {"delta/accuracy", "seconds_per_sample"} & set(got)


def test_an_absent_answer_is_named(frame) -> None:
    with pytest.raises(DataError, match=r"'tpt\.prediction'"):
        summarise(CLASSIFY, frame, "memo", "tpt")


def test_leaderboard_ranks_within_a_shift_and_renders(frame) -> None:
    def row(name: str, shift: str, metrics: dict, **more: object) -> dict:
        return leaderboard_row(name, shift, metrics, headline="accuracy", **more)

    board = Board("accuracy", higher_is_better=True, binary=True)
    metrics = summarise(CLASSIFY, frame, "memo", "source")
    before = (0.5, *interval(3, 6))
    rows = [
        row("plain|source", "snow-3", summarise(CLASSIFY, frame, "source")),
        row("memo", "snow-3", metrics, before=before, link="#/runs/1"),
        row("memo", "blur-3", metrics | {"accuracy": 0.1}),
    ]
    assert [(r["shift"], r["name"]) for r in board.ranked(rows)] == [
        ("blur-3", "memo"),
        ("snow-3", "memo"),
        ("snow-3", "plain|source"),
    ]
    low, high = (round(100 * bound, 1) for bound in interval(3, 6))
    expected = [
        "memo",
        "snow-3",
        "6",
        f"50.0 [{low}, {high}]",
        "83.3 [43.6, 97.0]",
        "+3 −1",
        "0.102",
    ]
    assert board.cells(rows[1]) == expected
    lines = board.markdown(rows).splitlines()
    assert lines[0] == "| run | shift | n | before | after | flips | s/sample |"
    assert lines[3].startswith("| [memo](#/runs/1) | snow-3 | 6 |")
    assert lines[4].startswith("| plain\\|source | snow-3 | 6 | – | 50.0")


def test_what_is_no_share_is_written_as_it_is_and_the_lower_may_be_the_better() -> None:
    board = Board("mse", higher_is_better=False, binary=False)
    plain = {"samples": 9.0, "mse": 0.25, "mse.low": 0.2, "mse.high": 0.3}
    better = plain | {"mse": 0.125, "delta/score": 0.125}
    rows = [
        leaderboard_row("a", "none", plain, headline="mse"),
        leaderboard_row("b", "none", better, headline="mse", before=(0.25, 0.2, 0.3)),
    ]
    assert [row["name"] for row in board.ranked(rows)] == ["b", "a"]
    assert board.cells(rows[1]) == [
        *("b", "none", "9", "0.25 [0.2, 0.3]", "0.125 [0.2, 0.3]", "+0.125", "–")
    ]
    assert board.headers[5] == "gain"
    assert board.cells(rows[0])[5] == "–"
