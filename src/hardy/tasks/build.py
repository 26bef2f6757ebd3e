"""From a task's schema to the task itself; its code is imported only here."""

from importlib import import_module
from typing import cast

from hardy.data.dataset import Dataset
from hardy.tasks.base import Task
from hardy.tasks.base_spec import TaskBase


def build_task(spec: TaskBase, names: tuple[str, ...] = (), void: int | None = None) -> Task:
    """Build the task that a schema names, by `build` of the `task.py` beside the schema.

    Args:
        spec: The task's schema.
        names: Names of the classes, or of a mask's classes, in their order; none where only
            records are judged.
        void: Label of pixels that count for nothing; None where all count.
    """
    module = import_module(f"{type(spec).__module__.rpartition('.')[0]}.task")
    return cast("Task", module.build(spec, names, void))


def task_on(spec: TaskBase, dataset: Dataset) -> Task:
    """Build a task with the names that a dataset has for what the task's truth is."""
    if spec.target == "mask":
        return build_task(spec, dataset.mask_classes, dataset.void)
    return build_task(spec, dataset.classes if spec.target == "label" else ())
