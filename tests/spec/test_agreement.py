"""What does not go together in an experiment, where no broken spec says so."""

import pytest

from hardy.spec.agreement import disagreements
from tests.plan.helpers import experiment


@pytest.mark.parametrize(
    ("state", "processes", "refused"),
    [("carry", 2, True), ("carry", 1, False), ("carry", None, False), ("reset", 2, False)],
)
def test_samples_that_depend_on_each_other_are_answered_in_one_process(state, processes, refused):
    asked = experiment()
    compute = asked.compute.model_copy(update={"processes": processes})
    method = asked.method.model_copy(update={"optimizer_state": state})
    asked = asked.model_copy(update={"compute": compute, "method": method})
    said = [text for text in disagreements(asked) if "compute.processes is above 1" in text]
    assert bool(said) == refused
