import json
import re
from pathlib import Path
from typing import Any

import pytest

from hardy.cli.main import run
from hardy.data.cards import DATASETS
from hardy.spec import Experiment, json_schema

ROOT = Path(__file__).parents[2]


def test_the_written_schema_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert run(["schema", "--check"]) == 0


def test_a_stale_schema_is_told_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "MLproject").touch()
    (tmp_path / "experiments").mkdir()
    path = tmp_path / "experiments" / "schema.json"
    path.write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert run(["schema", "--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert path.read_text() == "{}"
    assert run(["schema"]) == 0
    assert run(["schema", "--check"]) == 0
    assert json.loads(path.read_text()) == json_schema()
    assert [file.name for file in path.parent.iterdir()] == ["schema.json"]


def every(value: Any, key: str) -> list[Any]:
    """Collect what stands under a key anywhere in a schema's objects."""
    if isinstance(value, list):
        return [found for item in value for found in every(item, key)]
    if not isinstance(value, dict):
        return []
    own = [value[key]] if key in value else []
    return own + [found for item in value.values() for found in every(item, key)]


def test_a_file_may_state_a_part() -> None:
    schema = json_schema()
    assert not [entry for entry in every(schema, "required") if isinstance(entry, list)]
    assert not every(schema, "oneOf")


def test_the_schema_knows_keys_names_and_units() -> None:
    schema = json_schema()
    aliases = {field.alias or name for name, field in Experiment.model_fields.items()}
    assert set(schema["properties"]) == {"extends", "matrix", "search", "suite"} | aliases
    assert schema["additionalProperties"] is False
    data = schema["$defs"]["DataSpec"]["properties"]
    assert data["dataset"]["enum"] == list(DATASETS)
    fields = schema["$defs"]["MemoSpec"]["properties"].values()
    assert all("description" in field for field in fields if "const" not in field)


def test_weights_and_tasks_are_stated_by_a_text_or_by_a_mapping() -> None:
    schema = json_schema()
    text, mapping = schema["$defs"]["HardyModel"]["properties"]["weights"]["anyOf"]
    assert re.fullmatch(text["pattern"], "models:/shapes@champion")
    assert not re.fullmatch(text["pattern"], "pretrained")
    assert mapping == {"$ref": "#/$defs/WeightsRef"}
    fields = schema["$defs"]["WeightsRef"]["properties"]
    assert list(fields) == ["from", "take", "into", "partial", "names", "same"]
    kinds, task = schema["properties"]["task"]["anyOf"]
    assert "classify" in kinds["enum"]
    assert task["$ref"].startswith("#/$defs/") if len(kinds["enum"]) == 1 else task["anyOf"]
