"""One folder a task. To add one: its folder, and its schema in the tuple below."""

from typing import TYPE_CHECKING

from hardy.core.spec import one_of
from hardy.tasks.base_spec import TaskBase
from hardy.tasks.classify.spec import ClassifySpec

TASKS: tuple[type[TaskBase], ...] = (ClassifySpec,)
"""The first is the task of an experiment that names none."""

if TYPE_CHECKING:
    TaskSpec = TaskBase
else:
    TaskSpec = one_of(TASKS)
