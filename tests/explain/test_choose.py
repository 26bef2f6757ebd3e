import numpy as np
import pytest

from hardy.explain.choose import choose

UNCERTAINTY = np.array([0.5, 0.9, 0.1, 0.2, 0.9])
FLIPPED = np.array([0.0, 0, -1, 1, 0])


@pytest.mark.parametrize(
    ("rule", "change", "count", "expected"),
    [
        ("flips", FLIPPED, 4, [2, 3, 1, 4]),
        ("flips", FLIPPED, 1, [2]),
        ("flips", None, 2, [1, 4]),
        ("flips", 0 * FLIPPED, 2, [1, 4]),
        ("flips", FLIPPED.astype(bool), 3, [2, 3, 1]),
        ("flips", np.array([0.1, 0, -0.3, 0.2, 0]), 4, [2, 3, 0, 1]),
        ("uncertain", FLIPPED, 3, [1, 4, 0]),
        ("first", FLIPPED, 2, [0, 1]),
        ("first", None, 9, [0, 1, 2, 3, 4]),
        ("flips", FLIPPED, 0, []),
    ],
)
def test_rules(rule, change, count, expected) -> None:
    assert choose(rule, count, UNCERTAINTY, change) == expected
