from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from hardy.measure.operations import operation_rows

# Five samples: the first two turn right, the third turns wrong, the others stay.
BEFORE = np.array([0.0, 0, 1, 1, 0])
AFTER = np.array([1.0, 1, 0, 1, 0])
VIEWS = [
    [[], ["blur"], ["crop", "flip"], ["crop"]],
    [[], ["crop"], ["crop"], ["blur", "blur"]],
    [[], ["blur"], ["blur"], ["blur"]],
    [[], ["flip"], ["crop"], ["blur"]],
    [[], ["flip"], ["flip"], []],
]


def records(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"operations": VIEWS, **columns})


def test_views_are_counted_once_and_by_group() -> None:
    table = operation_rows(records(), BEFORE, AFTER).set_index("operation")
    assert list(table.index) == ["blur", "crop", "flip"]
    assert list(table["views"]) == [6, 5, 4]
    assert list(table["share"]) == pytest.approx([6 / 14, 5 / 14, 4 / 14])
    assert list(table["improved_views"]) == [2, 4, 1]
    assert list(table["improved_share"]) == pytest.approx([2 / 6, 4 / 6, 1 / 6])
    assert list(table["worsened_views"]) == [3, 0, 0]
    assert list(table["worsened_share"]) == pytest.approx([1, 0, 0])


def test_chance_is_that_of_every_possible_group() -> None:
    table = operation_rows(records(), BEFORE, AFTER).set_index("operation")
    for name in table.index:
        counts = [sum(name in view for view in views) for views in VIEWS]
        totals = [counts[a] + counts[b] for a, b in combinations(range(5), 2)]
        assert table.loc[name, "improved_expected"] == pytest.approx(np.mean(totals))
        assert table.loc[name, "improved_sd"] == pytest.approx(np.std(totals))


def test_chance_needs_two_samples() -> None:
    two = operation_rows(records()[:2], BEFORE[1:3], AFTER[1:3]).set_index("operation")
    assert two.loc["crop", "improved_sd"] == pytest.approx(np.std([2, 2]))
    assert two.loc["flip", "improved_sd"] == pytest.approx(np.std([1, 0]))
    one = operation_rows(records()[:1], BEFORE[:1], AFTER[:1])
    assert (one["improved_sd"] == 0).all()


def test_only_selected_views_count() -> None:
    selected = [[0, 1], [1], [0, 3], [2], [0]]
    table = operation_rows(records(selected_views=selected), BEFORE, AFTER)
    assert dict(zip(table["operation"], table["views"], strict=True)) == {"blur": 2, "crop": 2}


def test_views_beyond_the_pipelines_own_are_no_operation() -> None:
    selected = [[0, 1, 9]] * 5  # MEMO_PLUS's masked images come after the views
    table = operation_rows(records(selected_views=selected), BEFORE, AFTER)
    assert table["views"].sum() == 5


def test_groups_without_a_sample_have_no_share() -> None:
    table = operation_rows(records(), BEFORE, BEFORE)
    assert table["improved_share"].isna().all()
    assert (table["improved_expected"] == 0).all()
    assert (table["worsened_sd"] == 0).all()


def test_identity_views_give_no_rows() -> None:
    frame = records().drop(columns="operations").assign(operations=[[[], []]] * 5)
    assert operation_rows(frame, BEFORE, AFTER).empty
