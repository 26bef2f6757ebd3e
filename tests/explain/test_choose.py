import numpy as np
import pytest

from hardy.explain.choose import choose, places_of
from hardy.explain.spec import Chosen, ExplainSpec

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


def test_chosen_samples_come_in_their_own_order_once() -> None:
    samples = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
    chosen = Chosen(ids=("b/1.jpg", "a/1.jpg", "b/1.jpg", "broken.jpg"))
    assert places_of(chosen, samples) == [2, 0]
    explain = ExplainSpec.model_validate(
        {"gradcam": {"choose": {"ids": chosen.ids}}, "examples": {"choose": {"ids": ["x"]}}}
    )
    assert explain.gradcam.most == 3
    assert ExplainSpec().gradcam.most == ExplainSpec().gradcam.count
    assert [field for field, _ in explain.chosen()] == [
        "explain.gradcam.choose.ids",
        "explain.examples.choose.ids",
    ]
    assert list(ExplainSpec().chosen()) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("b/1.jpg", None),
        ("1.jpg", "Did you mean 'a/1.jpg'?"),
        ("photos/b/2.jpg", "Did you mean 'b/2.jpg'?"),
        ("cat.jpg", "Ids are such as 'a/1.jpg', as the column `sample` of a run's records has."),
    ],
)
def test_an_id_that_is_none_is_told_with_what_there_is(wanted, said) -> None:
    found = Chosen(ids=("a/1.jpg", wanted)).absent(iter(["a/1.jpg", "b/1.jpg", "b/2.jpg"]))
    assert found == (None if said is None else (wanted, said))
