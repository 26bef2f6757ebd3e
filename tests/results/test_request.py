from pathlib import Path

import pytest

from hardy.core.errors import TrackingError
from hardy.plan.tracker import PastRun
from hardy.results.request import is_parent, read_request, read_units, request_text, spec_tag
from hardy.spec import resolve

ROOT = Path(__file__).parents[2]


def test_a_request_resolves_to_the_same_again(tmp_path: Path) -> None:
    asked = resolve("quickstart", ["data.shift.severity=5 seed=3", "description='two words'"])
    (tmp_path / "request.json").write_text(request_text(asked))
    path, overrides = read_request(tmp_path / "request.json")
    again = resolve(path, overrides)
    assert again.units == asked.units
    assert again.path == asked.path
    assert str(ROOT) not in request_text(asked)


def test_a_spec_outside_the_project_is_kept_by_its_whole_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: {ROOT}/experiments/quickstart.yaml\n")
    asked = resolve(str(file))
    (tmp_path / "request.json").write_text(request_text(asked))
    assert Path(read_request(tmp_path / "request.json")[0]) == file
    assert spec_tag(asked) == {}
    assert spec_tag(resolve("quickstart")) == {"hardy.spec": "quickstart"}


@pytest.mark.parametrize("text", ["", "[]", '{"spec": "a"}', "{", "3", "[{}]", '["a"]'])
def test_a_damaged_file_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(TrackingError):
        read_request(file)
    if text != "[]":
        with pytest.raises(TrackingError):
            read_units(file)


def test_a_run_of_somebody_else_is_refused() -> None:
    with pytest.raises(TrackingError, match="was not made by"):
        is_parent(PastRun("a", "b", finished=True))
    assert is_parent(PastRun("a", "b", finished=True, tags={"hardy.role": "parent"}))
