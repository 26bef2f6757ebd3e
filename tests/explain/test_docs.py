"""What docs/analyses.md shows is valid, and names what there is."""

import re
from pathlib import Path

import yaml

from hardy.data.shift_spec import GaussianSigma
from hardy.explain.spec import ExplainSpec

TEXT = (Path(__file__).parents[2] / "docs" / "analyses.md").read_text(encoding="utf-8")


def test_each_example_is_valid_and_every_option_is_shown():
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S)]
    stated: dict[str, set[str]] = {}
    for example in examples:
        explain = ExplainSpec.model_validate(example["explain"])
        for name in example["explain"]:
            stated.setdefault(name, set()).update(getattr(explain, name).model_fields_set)
    assert GaussianSigma.model_validate(examples[0]["data"]["shift"]).sigma == 0.8
    for name in ("similarity", "embedding", "prediction_grid"):
        schema = type(getattr(ExplainSpec.model_validate({name: {}}), name))
        assert stated[name] | {"shift"} == set(schema.model_fields)
