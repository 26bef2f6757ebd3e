"""What does not go together in a search: rules, a function each."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from hardy.data.held_out_spec import HeldOut
from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.node import KeyPath, Node
from hardy.spec.resolved import Search, Unit
from hardy.spec.search.metrics import run_metrics
from hardy.spec.search.spec import Categorical, Grid, Wilcoxon
from hardy.spec.search.trial import tested
from hardy.spec.search.values import label_in, last_step, points, words

MAX_POINTS = 100_000

CONSTRAINED = ("tpe", "gp", "nsga2")
"""Samplers that take account of constraints."""
CONDITIONAL = ("tpe", "nsga2", "random")
"""Samplers that choose values of which some count under conditions alone."""


def search_faults(search: Search, base: Unit) -> Iterator[Diagnostic]:
    """Yield what does not go together in a search of an experiment.

    Args:
        search: The block, whose values are right one by one.
        base: The experiment with its own values.
    """
    for rule in _RULES:
        yield from rule(search, base)


def fault_at(
    node: Node, path: KeyPath, message: str, *, expected: str = "", got: str = ""
) -> Diagnostic:
    """Make the diagnostic of the entry at a path of a search block."""
    place = node.deepest(path).place
    return Diagnostic.at(place, ("search", *path), message, expected=expected, got=got)


def _conditions_can_hold(search: Search, base: Unit) -> Iterator[Diagnostic]:
    space = search.spec.space
    for path, spec in space.items():
        for other, wanted in (spec.when or {}).items():
            at: KeyPath = ("space", path, "when", other)
            for index, value in enumerate(wanted if isinstance(wanted, tuple) else (wanted,)):
                if label_in(space[other], value) is None:
                    where = (*at, index) if isinstance(wanted, tuple) else at
                    message = f"{other} is never so"
                    origin = search.node.deepest(where).origin
                    expected = words(space[other])
                    yield Diagnostic.at(origin, ("search", *where), message, expected=expected)


def _conditions_go_with_the_sampler(search: Search, base: Unit) -> Iterator[Diagnostic]:
    kind = search.spec.sampler.kind
    for path, spec in search.spec.space.items():
        if spec.when and kind not in CONDITIONAL:
            message = f"the sampler {kind} knows no conditions: all values count in every trial"
            expected = f"one of {', '.join(CONDITIONAL)}, or no `when`"
            yield fault_at(search.node, ("space", path, "when"), message, expected=expected)


def _steps_reach_the_end(search: Search, base: Unit) -> Iterator[Diagnostic]:
    for path, spec in search.spec.space.items():
        if isinstance(spec, Categorical) or spec.step is None or last_step(spec) == spec.high:
            continue
        message = f"steps of {spec.step:g} from {spec.low:g} on do not reach {spec.high:g}"
        expected = f"high: {last_step(spec):g}"
        yield fault_at(search.node, ("space", path, "step"), message, expected=expected)


def _grid_is_finite(search: Search, base: Unit) -> Iterator[Diagnostic]:
    if not isinstance(search.spec.sampler, Grid):
        return
    space = search.spec.space
    for path, spec in space.items():
        if isinstance(spec, Categorical):
            continue
        if spec.log:
            message = "a grid takes steps of one size, and this range is logarithmic"
            expected = "a list of values, or a step and no log"
            yield fault_at(search.node, ("space", path, "log"), message, expected=expected)
        elif spec.step is None:
            message = "a grid has no end here: the range has no step"
            yield fault_at(search.node, ("space", path), message, expected="a `step`, or a list")
    count = points(space.values())
    if count is not None and count > MAX_POINTS:
        message = f"the grid has {count:,} points, more than {MAX_POINTS:,}"
        yield fault_at(search.node, ("space",), message, expected="larger steps or another sampler")


def _metrics_are_measured(search: Search, base: Unit) -> Iterator[Diagnostic]:
    known, spec = run_metrics(base.experiment), search.spec
    named = [(("objectives", i), each.metric) for i, each in enumerate(spec.objectives)]
    named += [(("constraints", i), each.metric) for i, each in enumerate(spec.constraints)]
    for place, name in named:
        if name not in known:
            message = f"a run of this experiment has no metric {name!r}"
            origin = search.node.deepest((*place, "metric")).origin
            path = ("search", *place, "metric")
            yield Diagnostic.at(origin, path, message, name=name, known=known)
    seen: set[str] = set()
    for index, objective in enumerate(spec.objectives):
        where = ("objectives", index)
        if objective.metric in seen:
            message = f"{objective.metric} is an objective twice"
            yield fault_at(search.node, (*where, "metric"), message)
        seen.add(objective.metric)
        if objective.direction is None and known.get(objective.metric, True) is None:
            message = f"neither more nor less of {objective.metric} is better by itself"
            expected = "`direction: max` or `direction: min` beside it"
            yield fault_at(search.node, (*where, "metric"), message, expected=expected)


def _pruner_goes_with_the_rest(search: Search, base: Unit) -> Iterator[Diagnostic]:
    spec, experiment = search.spec, base.experiment
    pruner, trains, headline = (
        spec.pruner,
        experiment.method.yields_weights,
        experiment.task.headline,
    )
    if pruner is None:
        return
    if len(spec.objectives) > 1:
        message = "a pruner compares trials by one objective, and there are several"
        yield fault_at(search.node, ("pruner",), message, expected="`pruner: null`")
    elif trains and isinstance(pruner, Wilcoxon):
        message = f"{pruner.kind} compares samples, and {experiment.method.kind} reports epochs"
        expected = "median, percentile, hyperband or patience"
        yield fault_at(search.node, ("pruner", "kind"), message, expected=expected)
    elif not trains and spec.objectives[0].metric != headline:
        message = (
            f"a pruner compares the samples' scores, whose mean is {headline}; the objective is "
            f"{spec.objectives[0].metric}"
        )
        expected = f"`metric: {headline}`, or `pruner: null`"
        yield fault_at(search.node, ("pruner",), message, expected=expected)


def _constraints_go_with_the_sampler(search: Search, base: Unit) -> Iterator[Diagnostic]:
    if search.spec.constraints and search.spec.sampler.kind not in CONSTRAINED:
        message = f"the sampler {search.spec.sampler.kind} takes no account of constraints"
        expected = f"one of {', '.join(CONSTRAINED)}"
        yield fault_at(search.node, ("constraints",), message, expected=expected)


def _budget_holds_the_fixed_trials(search: Search, base: Unit) -> Iterator[Diagnostic]:
    fixed, trials = len(search.spec.first) + 1, search.spec.budget.trials
    if trials < fixed:
        message = f"{fixed} trials are fixed: the experiment's own values, and those of `first`"
        where = ("budget", "trials")
        yield fault_at(search.node, where, message, expected=f"at least {fixed}", got=str(trials))


def _seeds_differ(search: Search, base: Unit) -> Iterator[Diagnostic]:
    seeds = search.spec.seeds
    for index, seed in enumerate(seeds):
        if seed in seeds[:index]:
            yield fault_at(search.node, ("seeds", index), f"the seed {seed} is given twice")
    if seeds and "seed" in search.spec.space:
        message = "each trial has the seeds of `seeds`: the seed is no searched value beside them"
        yield fault_at(search.node, ("space", "seed"), message)


def _test_samples_are_others(search: Search, base: Unit) -> Iterator[Diagnostic]:
    """Yield where the best trial would be tested on what it was chosen by; by name."""
    experiment, test_on = base.experiment, search.spec.test_on
    key = "split" if test_on.split is not None else "part"
    where = ("test_on", key)
    origin = search.node.deepest(where).origin
    stated = {role: each for role, each in experiment.method.roles().items() if each is not None}
    used = [role for role, each in stated.items() if _names_the_same(each, test_on)]
    if used:
        message = f"trials {' and '.join(used)} on these samples"
        expected = "samples that no trial sees"
        yield Diagnostic.at(origin, ("search", *where), message, expected=expected)
    elif fault := test_on.fault(experiment.data):
        message = f"the test samples must be others than the experiment's: {fault}"
        yield Diagnostic.at(origin, ("search", *where), message)
    else:
        try:
            tested(search, base, experiment.name)
        except Diagnostics as error:
            for each in error.faults:
                moved = Diagnostic.at(origin, ("search", *where), each.message)
                yield replace(moved, expected=each.expected, got=each.got)


def _names_the_same(a: HeldOut, b: HeldOut) -> bool:
    return (a.split, a.part) == (b.split, b.part)


_RULES: tuple[Callable[[Search, Unit], Iterator[Diagnostic]], ...] = (
    _conditions_can_hold,
    _conditions_go_with_the_sampler,
    _steps_reach_the_end,
    _grid_is_finite,
    _metrics_are_measured,
    _pruner_goes_with_the_rest,
    _constraints_go_with_the_sampler,
    _budget_holds_the_fixed_trials,
    _seeds_differ,
    _test_samples_are_others,
)
