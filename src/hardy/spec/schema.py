"""The JSON schema of experiment files, for editors."""

from typing import Any

from hardy.core.spec import kinds
from hardy.spec.experiment import Experiment
from hardy.spec.search.spec import SearchSpec
from hardy.spec.suite import Member
from hardy.tasks import TASKS

_EXTENDS = {
    "description": "File or files that this one stands on; later ones and this one win.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}
_MATRIX = {
    "description": "Dotted paths and the values they take; one unit for each combination.",
    "type": "object",
    "additionalProperties": {"type": "array", "minItems": 1},
}
_LIST = {
    "description": "Values of any kind, of which one is tried.",
    "type": "array",
    "minItems": 1,
}
_SUITE = {
    "description": "Experiments to run one after the other and compare; a file with a suite has "
    "no keys but name, description and extends beside it.",
    "type": "array",
    "minItems": 1,
    "items": {
        "anyOf": [
            {"type": "string", "description": "Experiment, by its name below experiments/."},
            Member.model_json_schema(by_alias=True),
        ]
    },
}


def json_schema() -> dict[str, Any]:
    """Return the schema of one file.

    Nothing is required, and alternatives may overlap: a file may state a part of a mapping and
    leave the rest to what it extends, to its matrix or to an override.
    """
    schema: dict[str, Any] = _relaxed(Experiment.model_json_schema(by_alias=True))
    task = schema["properties"]["task"]
    schema["properties"]["task"] = {
        "description": task.pop("description"),
        "anyOf": [{"enum": kinds(TASKS)}, task],
    }
    search = _relaxed(SearchSpec.model_json_schema(by_alias=True))
    schema["$defs"] |= search.pop("$defs")
    space = search["properties"]["space"]
    space["additionalProperties"]["anyOf"].append(_LIST)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"] = {
        "extends": _EXTENDS,
        "matrix": _MATRIX,
        "search": {"anyOf": [search, {"type": "null"}], "description": search["description"]},
        "suite": _relaxed(_SUITE),
        **schema["properties"],
    }
    return schema


def _relaxed(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_relaxed(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = {"oneOf": "anyOf"}
    return {
        names.get(key, key): _relaxed(item)
        for key, item in value.items()
        if not (key == "required" and isinstance(item, list)) and key != "discriminator"
    }
