"""One folder a task: what an answer is, how it is judged, and what is drawn of it.

To add one: its folder, and its schema in the tuple below.
"""

from typing import TYPE_CHECKING

from hardy.core.spec import one_of
from hardy.tasks.base_spec import TaskBase
from hardy.tasks.classify.spec import ClassifySpec
from hardy.tasks.reconstruct.spec import ReconstructSpec
from hardy.tasks.represent.spec import RepresentSpec
from hardy.tasks.segment.spec import SegmentSpec

TASKS: tuple[type[TaskBase], ...] = (
    ClassifySpec,
    SegmentSpec,
    ReconstructSpec,
    RepresentSpec,
)

PLAIN_TASK: TaskBase = ClassifySpec()
"""The task of an experiment that names none; it is outside the fingerprint."""

if TYPE_CHECKING:
    TaskSpec = TaskBase
else:
    TaskSpec = one_of(TASKS)
