"""Numbers that reach a network are such as 32 bits hold."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hardy.cli.main import run
from hardy.core.numbers import Decay, NonNegative, Positive
from hardy.spec import Experiment

# They only weigh statistics, as n / (n + 1), or judge what came out.
FREE = {"bn_prior", "value", "tolerance"}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Positive, (1e-30, 2.5e-4, 1e30), (0.0, 1e-31, 1e-320, 1e31, 1e308)),
        (NonNegative, (0.0, 1e-30, 1e30), (-1.0, 1e-320, 1e308)),
        (Decay, (0.0, 1e6), (-1.0, 1e-320, 1e7)),
    ],
)
def test_numbers_are_refused_that_a_network_cannot_have(kind, good, bad):
    adapter = TypeAdapter(kind)
    assert [adapter.validate_python(value) for value in good] == list(good)
    for value in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def unbounded(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(node, list):
        for each in node:
            yield from unbounded(each, path)
    elif isinstance(node, dict):
        if node.get("type") == "number" and not {"maximum", "exclusiveMaximum"} & set(node):
            yield path
        for key, each in node.items():
            yield from unbounded(each, (*path, key))


def test_every_number_of_an_experiment_has_a_bound():
    found = set(unbounded(Experiment.model_json_schema()))
    assert not {path for path in found if not FREE & set(path)}


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("quickstart", "method.optimizer.lr=1e308"),
        ("segment/shapes", "method.optimizer.lr=1e308"),
        ("cifar10/supervised", "method.clip=1e-320"),
        ("segment/shapes", "method.loss.cross_entropy=1e300"),
        (
            "search/quickstart",
            "search.space={method.optimizer.lr: {kind: float, low: 1e-4, high: 1e300}}",
        ),
        ("search/quickstart", "search.space={method.optimizer.lr: [1e-3, 1e308]}"),
        ("search/quickstart", "method.optimizer.weight_decay=1e30"),
    ],
)
def test_validate_names_the_field(spec, value, capsys):
    assert run(["validate", spec, "--set", value]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    field = value.partition("=")[0]
    assert f"{field}: " in told or "method.optimizer.lr" in told
    assert "32 bits" in told or "1000000" in told
