import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy, rankdata

from hardy.core.errors import DataError, MethodError
from hardy.measure.records import (
    answer_columns,
    answers,
    as_frame,
    column,
    read_parquet,
    same,
    write_parquet,
)


def test_columns_agree_with_scipy() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 20)
    p = np.exp(logits) / np.exp(logits).sum()
    got = answer_columns("memo", log_softmax(logits).astype(np.float32), 7)
    assert got["memo.prediction"] == p.argmax()
    assert got["memo.confidence"] == pytest.approx(p.max(), rel=1e-5)
    assert got["memo.entropy"] == pytest.approx(entropy(p), rel=1e-5)
    assert got["memo.label_probability"] == pytest.approx(p[7], rel=1e-5)
    assert got["memo.label_rank"] == rankdata(-p, method="ordinal")[7] - 1


def test_ties_go_to_the_lower_index() -> None:
    uniform = np.full(4, math.log(0.25))
    ranks = [answer_columns("a", uniform, label)["a.label_rank"] for label in range(4)]
    assert ranks == [0, 1, 2, 3]
    assert answer_columns("a", uniform, 2)["a.prediction"] == 0


def test_a_certain_answer_has_no_entropy() -> None:
    with np.errstate(divide="ignore"):
        sure = np.log(np.array([0.0, 1.0, 0.0]))
    got = answer_columns("a", sure, 0)
    assert (got["a.entropy"], got["a.confidence"], got["a.label_probability"]) == (0.0, 1.0, 0.0)
    assert got["a.label_rank"] == 1


def test_rounding_in_float32_never_makes_a_confidence_above_one() -> None:
    got = answer_columns("a", np.array([1e-6, -20.0], dtype=np.float32), 0)
    assert got["a.confidence"] <= 1


@pytest.mark.parametrize("values", [[1.0, 2.0], [math.nan, 0.0], [[0.0]]])
def test_logits_nan_and_batches_are_refused(values: list[float]) -> None:
    with pytest.raises(MethodError, match="log-probabilities"):
        answer_columns("memo", np.array(values), 0)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_outside_the_classes_is_refused(label: int) -> None:
    with pytest.raises(DataError, match="outside the 2 classes"):
        answer_columns("memo", np.log([0.5, 0.5]), label)


def row(sample: str, **details: object) -> dict[str, object]:
    base = {"sample": sample, "dataset": "d", "shift": "none", "label": 1}
    source = answer_columns("source", np.log([0.25, 0.75]), 1)
    return base | source | answer_columns("memo", np.log([0.5, 0.5]), 1) | details


def frame() -> pd.DataFrame:
    return as_frame(
        [
            row("a", **{"ms.predict": 1.5, "selected_views": [0, 3], "loss": 0.5}),
            row(
                "b", **{"loss": math.nan, "selected_views": [], "ms.predict": 2.5, "ms.adapt": 1.0}
            ),
        ]
    )


def test_column_order_does_not_depend_on_key_order() -> None:
    rows = [row("a", z=1, b=2, **{"ms.x": 1.0, "ms.a": 1.0})]
    shuffled = [dict(sorted(rows[0].items(), key=lambda item: item[0] == "sample"))]
    assert list(as_frame(rows)) == list(as_frame(shuffled))
    assert list(as_frame(rows))[:4] == ["sample", "dataset", "shift", "label"]
    assert list(as_frame(rows))[-4:] == ["b", "z", "ms.a", "ms.x"]


def test_answers_are_found_in_order() -> None:
    assert answers(frame()) == ["source", "memo"]


def test_column_names_the_answers_there_are() -> None:
    with pytest.raises(DataError, match=r"tpt\.prediction.*source, memo"):
        column(frame(), "tpt.prediction")
    with pytest.raises(DataError, match="empty"):
        column(frame().iloc[:0], "label")


def test_same_ignores_timings_alone() -> None:
    a, b = frame(), frame()
    b["ms.predict"] = 99.0
    assert same(a, b) == []
    b["memo.confidence"] += 1e-16 + np.finfo(float).eps
    b["loss"] = [0.5, 0.0]
    b["selected_views"] = [[0, 2], []]
    b["extra"] = 1
    assert same(a, b) == ["memo.confidence", "loss", "selected_views", "extra"]
    assert same(a, b.drop(columns="label"))[0] == "label"
    assert "sample" in same(a, a.iloc[:1])


def test_parquet_round_trip(tmp_path) -> None:
    path = tmp_path / "new" / "records.parquet"
    write_parquet(frame(), path)
    back = read_parquet(path)
    assert same(frame(), back) == []
    assert list(back) == list(frame())
    assert list(back.dtypes) == list(frame().dtypes)
    assert back["selected_views"].tolist() == [[0, 3], []]
    assert back["label"].dtype == np.int64
    assert [p.name for p in path.parent.iterdir()] == ["records.parquet"]


def test_a_failed_write_leaves_the_old_table(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run" / "records.parquet"
    write_parquet(frame(), path)

    def fail(*_: object) -> None:
        message = "disk full"
        raise OSError(message)

    monkeypatch.setattr("hardy.measure.records.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_parquet(frame().iloc[:1], path)
    assert len(read_parquet(path)) == 2
    assert [p.name for p in path.parent.iterdir()] == ["records.parquet"]


def test_an_unreadable_table_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"absent\.parquet"):
        read_parquet(tmp_path / "absent.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match=r"broken\.parquet"):
        read_parquet(tmp_path / "broken.parquet")
