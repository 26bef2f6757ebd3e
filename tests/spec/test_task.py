"""An experiment's task: a kind alone or a mapping, and whether the method answers it."""

from pathlib import Path

import pytest

from hardy.methods.memo.spec import MemoSpec
from hardy.spec import Diagnostics, Experiment, dump, resolve
from hardy.spec.experiment import PLAIN_TASK
from hardy.tasks import TASKS

PLAIN = "extends: base/parts.yaml\nname: plain\n"


@pytest.mark.parametrize("stated", ["", "task: classify\n", "task: {kind: classify}\n"])
def test_a_kind_alone_is_a_mapping_of_it(project: Path, stated: str) -> None:
    (project / "experiments" / "plain.yaml").write_text(PLAIN + stated)
    (unit,) = resolve("plain").units
    assert unit.experiment.task == PLAIN_TASK == TASKS[0]()
    assert Experiment.model_validate_json(unit.experiment.model_dump_json(by_alias=True))
    assert "task:\n  kind: classify\n" in dump(unit.experiment)


def test_it_is_overridden_and_varied_as_all_else(project: Path) -> None:
    (project / "experiments" / "plain.yaml").write_text(PLAIN)
    for overrides in (["task=classify"], ["task.kind=classify"], ["matrix={task: [classify]}"]):
        (unit,) = resolve("plain", overrides).units
        assert unit.experiment.task == PLAIN_TASK
        assert ("task", "kind") in unit.origins


def test_a_method_that_does_not_answer_it_is_told_with_both_names(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoSpec, "tasks", ("segment", "count"))
    (project / "experiments" / "plain.yaml").write_text(PLAIN)
    with pytest.raises(Diagnostics) as caught:
        resolve("plain")
    (fault,) = caught.value.faults
    assert fault.message == "method memo does not answer the task classify, but segment, count"
    assert fault.path == "method"


def test_a_method_for_all_tasks_answers_any(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoSpec, "tasks", ())
    (project / "experiments" / "plain.yaml").write_text(PLAIN)
    assert resolve("plain").units


def test_members_answer_the_task_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoSpec, "tasks", ("segment",))
    members = "method: {kind: ensemble, members: [{name: a, method: {kind: memo}}]}\n"
    (project / "experiments" / "plain.yaml").write_text(PLAIN + members)
    with pytest.raises(Diagnostics, match="method memo does not answer the task classify"):
        resolve("plain")
