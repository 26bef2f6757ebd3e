"""`search` in a spec: its trials' units, each the experiment with other values."""

from collections.abc import Mapping
from dataclasses import replace

from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.needs import Needs
from hardy.spec.resolved import Resolved, Search, Unit, origins
from hardy.spec.search.spec import Scalar
from hardy.spec.search.trial import tested, units_of
from hardy.spec.units import make_unit

__all__ = ["Search", "alone", "tested", "trial_units"]


def trial_units(resolved: Resolved, values: Mapping[str, Scalar], label: str) -> tuple[Unit, ...]:
    """Return the units of one trial, one a seed, with all that their weights need.

    Args:
        resolved: A search.
        values: The trial's values by path, as a study knows them: those whose conditions hold.
        label: What the trial is called; appended to the experiment's name.

    Raises:
        Diagnostics: If the experiment does not take these values together.
    """
    if resolved.search is None:
        message = f"{resolved.name} is no search"
        raise ValueError(message)
    faults: list[Diagnostic] = []
    units = tuple(units_of(resolved.search, values, label, faults))
    found = Needs(faults).attach(replace(resolved, units=units), ())
    if found is None or faults:
        raise Diagnostics(faults)
    return found.units


def alone(search: Search) -> Unit:
    """Return the experiment that a search stands in, as it is without it; it says who set what."""
    unit = make_unit(search.body, [])
    if unit is None:
        message = "the experiment was valid when its search was read"
        raise ValueError(message)
    written = {("search", *path): each for path, each in origins(search.node).items()}
    return replace(unit, origins={**unit.origins, **written})
