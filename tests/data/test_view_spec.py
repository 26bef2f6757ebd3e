import pytest
from pydantic import TypeAdapter, ValidationError

from hardy.core.hashing import digest
from hardy.data.view_spec import (
    GROUPS,
    AugMix,
    Compose,
    Cut,
    CutStep,
    Operations,
    OperationsStep,
    ViewSpec,
)
from hardy.data.views.operations import OPERATIONS

ADAPTER = TypeAdapter(ViewSpec)


def test_the_groups_are_the_projects():
    assert [len(names) for names in GROUPS.values()] == [19, 6, 8]
    every = [name for names in GROUPS.values() for name in names]
    assert len(set(every)) == 33
    assert set(OPERATIONS) == set(every) - {"crop"}


def test_groups_expand_in_order_without_doubles():
    spec = Operations(names=("flip", "pixel", "flip", "sharpen"))
    assert spec.expanded == ("flip", *GROUPS["pixel"])


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"kind": "operations", "names": []}, "at least 1"),
        ({"kind": "operations", "names": ["blurr"]}, "Input should be"),
        (
            {"kind": "operations", "names": ["pixel"], "weights": [1, 2], "repeat": True},
            "2 weights are given for 6 names",
        ),
        ({"kind": "operations", "names": ["flip"], "weights": [1]}, "need repeat: true"),
        (
            {"kind": "operations", "names": ["flip"], "weights": [0], "repeat": True},
            "all zero",
        ),
        ({"kind": "augmix", "variant": "torchvision", "backend": "tensor"}, "no variant"),
        ({"kind": "compose", "steps": []}, "at least 1"),
        ({"kind": "compose", "steps": [{"kind": "cut", "count": 3}]}, "Extra inputs"),
        (
            {
                "kind": "compose",
                "steps": [{"kind": "cut"}, {"kind": "operations", "crop": "gradcam"}],
            },
            "first of the steps",
        ),
        ({"kind": "cut", "count": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused(views, message):
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(views)


def test_combo_is_a_composition():
    spec = ADAPTER.validate_python(
        {
            "kind": "compose",
            "steps": [
                {"kind": "operations", "names": ["spatial"], "repeat": True},
                {"kind": "operations", "names": ["pixel"], "repeat": True},
            ],
        }
    )
    assert isinstance(spec, Compose)
    assert ADAPTER.validate_python(spec.model_dump(mode="json")) == spec


def test_everything_that_changes_views_changes_the_identity():
    specs = [
        AugMix(),
        AugMix(count=8),
        AugMix(backend="tensor"),
        AugMix(include_original=False),
        *(AugMix(variant=v) for v in ("memo-imagenet", "memo-cifar", "tpt", "torchvision")),
        Cut(),
        Operations(),
        Operations(crop="random"),
        Operations(repeat=True),
        Operations(repeat=True, weights=(1.0,) * 19),
    ]
    assert len({digest(spec.identity()) for spec in specs}) == len(specs)


def test_rows_count_an_original_that_is_no_view():
    rows = list("oabc")
    assert (Cut(count=4).rows, Cut(count=4).for_loss(rows)) == (4, rows)
    apart = Cut(count=3, include_original=False)
    assert (apart.rows, apart.for_loss(rows)) == (4, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("spec", "at_point"),
    [
        (Cut(), False),
        (Operations(), False),
        (Operations(crop="gradcam"), True),
        (Operations(names=("pixel",), crop="gradcam"), False),
        (Compose(steps=(OperationsStep(crop="gradcam"), CutStep())), True),
        (Compose(steps=(CutStep(), OperationsStep())), False),
    ],
)
def test_the_point_is_asked_for_only_where_a_crop_may_need_it(spec, at_point):
    assert spec.at_point == at_point
