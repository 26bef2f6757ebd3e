"""Whether runs can be one version's evidence, before any of them begins."""

from hardy.core.errors import SpecError
from hardy.plan.units import Plan


def check_apart(plan: Plan) -> None:
    """Check that runs which are registered together see no sample twice under the same shift.

    Raises:
        SpecError: If two of them do; nothing is computed yet.
    """
    units = iter(plan.units)
    for experiment in plan.resolved.experiments:
        own = [next(units) for _ in experiment.units]
        if experiment.units[0].experiment.register_as is None:
            continue
        seen: set[tuple[str, str, str]] = set()
        for planned in own:
            data, dataset = planned.unit.experiment.data, planned.samples["answer"].dataset
            names = {
                (data.dataset, data.shift_label, sample.id)
                for sample in (dataset.samples if dataset is not None else ())
            }
            if twice := len(names & seen):
                message = (
                    f"{planned.unit.experiment.name}: {twice} of its samples are those of another "
                    "run under the same shift: together they are no version"
                )
                hint = "Narrow the matrix with --set, or run with --set register=null."
                raise SpecError(message, hint=hint)
            seen |= names
