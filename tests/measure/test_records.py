import math

import numpy as np
import pandas as pd
import pytest

from hardy.core.errors import DataError
from hardy.measure.records import column, read_parquet, write_parquet
from tests.contracts.records import CLASSIFY, answer_columns, as_frame, same


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
    assert CLASSIFY.answers(frame()) == ["source", "memo"]


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
