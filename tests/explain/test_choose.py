import pandas as pd
import pytest

from hardy.core.errors import DataError
from hardy.explain.choose import choose


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [0, 0, 0, 0, 0],
            "source.prediction": [0, 1, 0, 1, 1],
            "memo.prediction": [0, 1, 1, 0, 2],
            "memo.entropy": [0.5, 0.9, 0.1, 0.2, 0.9],
        }
    )


@pytest.mark.parametrize(
    ("rule", "baseline", "count", "expected"),
    [
        ("flips", "source", 4, [2, 3, 1, 4]),
        ("flips", "source", 1, [2]),
        ("flips", None, 2, [1, 4]),
        ("flips", "memo", 2, [1, 4]),
        ("uncertain", "source", 3, [1, 4, 0]),
        ("first", "source", 2, [0, 1]),
        ("first", None, 9, [0, 1, 2, 3, 4]),
        ("flips", "source", 0, []),
    ],
)
def test_rules(frame, rule, baseline, count, expected) -> None:
    assert choose(frame, "memo", baseline, rule, count) == expected


def test_an_absent_baseline_is_named(frame) -> None:
    with pytest.raises(DataError, match=r"zero\.prediction"):
        choose(frame, "memo", "zero", "flips", 1)
