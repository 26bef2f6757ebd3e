"""Policies under registry/: read, checked, and whether they take what an experiment makes."""

import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from hardy.core.catalog import did_you_mean
from hardy.core.errors import SpecError
from hardy.core.paths import policies_dir
from hardy.data.cards import DATASETS
from hardy.registry.spec import CHALLENGER, RESERVED, Policy
from hardy.spec.check import check
from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.experiment import Experiment
from hardy.spec.find import SUFFIX
from hardy.spec.merge import Loader
from hardy.spec.model_names import text_at, unknown
from hardy.spec.node import KeyPath, Node
from hardy.spec.resolved import Resolved
from hardy.tasks.names import DIRECTED, GENERAL, METRICS

ALIKE = ("model", "method", "task", "seed", "precision")
"""Parts of the spec that must be the same for samples of several runs to be one model's."""

NEW_POLICY = (
    "a file registry/NAME.yaml with `model: NAME` and `candidates: {experiments: [NAME], dataset: "
    "NAME}`; docs/registry.md says what else it can state"
)

_WORDS = {"at_least": "never more than", "at_most": "never less than"}


def policy_names() -> list[str]:
    """Return the names of the policies under registry/, sorted."""
    return sorted(file.stem for file in policies_dir().glob("*.yaml"))


def load_policy(name: str) -> Policy:
    """Read and validate registry/NAME.yaml.

    Raises:
        Diagnostics: Every fault, with its place.
        SpecError: If there is no such policy; the hint names near ones.
    """
    known = policy_names()
    if name not in known:
        message = f"there is no policy {name!r} under registry/"
        listing = f"Known policies: {', '.join(known) or 'none'}. A new one is {NEW_POLICY}."
        raise SpecError(message, hint=did_you_mean(name, known) or listing)
    faults: list[Diagnostic] = []
    tree = _tree(name, faults)
    policy = None
    if tree is not None:
        faults.extend(_faults(tree))
        policy = check(Policy, tree, faults)
    if policy is None or faults:
        raise Diagnostics(faults)
    return policy


def check_policies(resolved: Resolved) -> None:
    """Check, before anything runs, that every policy named by `register` takes what will be made.

    Raises:
        Diagnostics: Every fault of the policies, and each `register` whose policy refuses it.
    """
    faults: list[Diagnostic] = []
    for each in resolved.experiments:
        first = each.units[0]
        if first.experiment.register_as is None:
            continue
        try:
            policy = load_policy(first.experiment.register_as)
        except Diagnostics as error:
            faults.extend(error.faults)
            continue
        refused = refusal(policy, [unit.experiment for unit in each.units])
        if refused is not None:
            message, expected = refused
            place = first.origins[("register",)][0].origin
            faults.append(Diagnostic.at(place, ("register",), message, expected=expected))
    if faults:
        raise Diagnostics(faults)


def refusal(policy: Policy, experiments: Sequence[Experiment]) -> tuple[str, str] | None:
    """Say why a policy does not take what some runs made as one version, and what would be right.

    Args:
        policy: Names who may compete.
        experiments: Of the runs, in order.
    """
    for experiment in experiments:
        refused = not_taken(policy, experiment.name, experiment.data.dataset)
        if refused is not None:
            return refused
    first, count = experiments[0], len(experiments)
    if count > 1 and "fit" in first.method.roles():
        did = "trained" if first.method.yields_weights else "fitted"
        message = f"{count} runs {did} {count} models: a version is one model"
        return message, "one run: narrow the matrix or the seeds with --set, or `register: null`"
    for part in ALIKE:
        if any(getattr(other, part) != getattr(first, part) for other in experiments):
            message = f"the runs differ in {part}: a version is one model with one method"
            return message, f"one {part}: narrow the matrix with --set, or `register: null`"
    return None


def not_taken(policy: Policy, experiment: str, dataset: str) -> tuple[str, str] | None:
    """Say why an experiment is no candidate of a policy, and what would be right.

    Args:
        policy: Names who may compete.
        experiment: Its name; a unit of a matrix is named after it: `quickstart/contrast`.
        dataset: What it was measured on.
    """
    globs, wanted = policy.candidates.experiments, policy.candidates.dataset
    names = (experiment, experiment.rpartition("/")[0])
    if not any(fnmatchcase(name, glob) for name in names for glob in globs):
        takes = ", ".join(globs)
        message = (
            f"experiment {experiment!r} is no candidate of {policy.model!r}, which takes {takes}"
        )
        return message, "its name under candidates.experiments of the policy, or another policy"
    if dataset != wanted:
        message = f"experiment {experiment!r} was measured on {dataset}, {policy.model!r} compares "
        return f"{message}on {wanted}", "the same dataset, or another policy"
    return None


def _tree(name: str, faults: list[Diagnostic]) -> Node | None:
    return Loader(faults).load((policies_dir() / f"{name}{SUFFIX}").resolve())


def _faults(tree: Node) -> Iterator[Diagnostic]:
    """Yield what no schema knows: unknown names, and gates that nothing can pass."""
    yield from _metric_faults(tree)
    yield from unknown(tree, ("candidates", "dataset"), "dataset", DATASETS)
    gates = tree.child("gates")
    count = len(gates.value) if gates and isinstance(gates.value, list) else 0
    for index in range(count):
        yield from unknown(tree, ("gates", index, "metric"), "metric", METRICS)
        yield from _bound_faults(tree, ("gates", index))
        yield from _interval_faults(tree, ("gates", index))
        yield from _alias_faults(tree, ("gates", index, "better_than"))
        yield from _test_faults(tree, ("gates", index))
    yield from _contradictions(tree, count)


def _metric_faults(tree: Node) -> Iterator[Diagnostic]:
    """Yield why a policy's metric cannot decide: it is none, has no direction, or the other one."""
    named, stated = text_at(tree, ("metric", "name")), tree.at(("metric", "higher_is_better"))
    path: KeyPath = ("metric", "name")
    metric = METRICS.get(named[1]) if named else None
    if named and metric is not None and metric.higher_is_better is None:
        message = f"neither more nor less of {named[1]} is better, so it cannot decide"
        yield Diagnostic.at(named[0].origin, path, message, expected=", ".join(DIRECTED))
        return
    if named and metric is None:
        yield from unknown(tree, path, "metric", DIRECTED)
    if stated is None or not isinstance(stated.value, bool):
        return
    path = ("metric", "higher_is_better")
    if not named:
        message = "a direction is stated, and no metric that it is the direction of"
        yield Diagnostic.at(stated.place, path, message, expected="a `name` beside it")
    elif metric is not None and stated.value != metric.higher_is_better:
        word = "higher" if metric.higher_is_better else "lower"
        message = f"{named[1]} is better where it is {word}"
        expected = f"{str(metric.higher_is_better).lower()}, or no such key"
        yield Diagnostic.at(stated.origin, path, message, expected=expected)


def _bound_faults(tree: Node, gate: KeyPath) -> Iterator[Diagnostic]:
    """Yield the bounds that lie beyond all values that a metric can take."""
    named = text_at(tree, (*gate, "metric"))
    metric = METRICS.get(named[1]) if named else None
    if named is None or metric is None:
        return
    low, high = metric.range
    for key, end, sign in (("at_least", high, 1), ("at_most", low, -1)):
        node, bound = tree.at((*gate, key)), _number(tree, (*gate, key))
        if node is None or end is None or bound is None:
            continue
        if sign * bound > sign * end:
            message = f"no version can pass: {named[1]} is {_WORDS[key]} {end:g}"
            ends = " to ".join("any" if each is None else f"{each:g}" for each in metric.range)
            yield Diagnostic.at(node.origin, (*gate, key), message, expected=f"a value of {ends}")


def _interval_faults(tree: Node, gate: KeyPath) -> Iterator[Diagnostic]:
    """Yield a gate by the interval of a metric that has none."""
    named, by = text_at(tree, (*gate, "metric")), text_at(tree, (*gate, "by"))
    if named and by and by[1] == "interval" and named[1] in GENERAL:
        message = f"no version can pass: {named[1]} has no interval"
        yield Diagnostic.at(by[0].origin, (*gate, "by"), message, expected="by: value")


def _test_faults(tree: Node, gate: KeyPath) -> Iterator[Diagnostic]:
    """Yield a paired test that says nothing of the policy's metric."""
    named, beaten = text_at(tree, ("metric", "name")), text_at(tree, (*gate, "better_than"))
    metric = METRICS.get(named[1]) if named else None
    if named is None or beaten is None or metric is None:
        return
    test = text_at(tree, (*gate, "test"))
    if named[1] in GENERAL:
        message = f"no version can pass: the policy's metric is {named[1]}, which is no answer's"
        yield Diagnostic.at(beaten[0].origin, (*gate, "better_than"), message)
    elif test and test[1] == "mcnemar" and not metric.of_score:
        message = f"mcnemar counts right and wrong; the policy's metric is {named[1]}"
        expected = "paired_bootstrap, or accuracy as the metric"
        yield Diagnostic.at(test[0].origin, (*gate, "test"), message, expected=expected)


def _contradictions(tree: Node, count: int) -> Iterator[Diagnostic]:
    """Yield the second of two gates on one metric whose bounds exclude each other."""
    bounds: dict[str, tuple[float, float]] = {}
    for index in range(count):
        named = text_at(tree, ("gates", index, "metric"))
        low, high = (_number(tree, ("gates", index, key)) for key in ("at_least", "at_most"))
        if named is None or (low is not None and high is not None):
            continue  # the schema sees what a gate says alone
        least, most = bounds.get(named[1], (-math.inf, math.inf))
        least = least if low is None else max(least, low)
        most = most if high is None else min(most, high)
        if least > most:
            message = f"no version can pass: {named[1]} is at least {least:g} and at most {most:g}"
            yield Diagnostic.at(named[0].origin, ("gates", index), message)
        bounds[named[1]] = least, most


def _number(tree: Node, path: KeyPath) -> float | None:
    node = tree.at(path)
    value = node.value if node is not None else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _alias_faults(tree: Node, path: KeyPath) -> Iterator[Diagnostic]:
    """Yield an alias that no policy of the model gives: nobody would ever hold it."""
    model, named = text_at(tree, ("model",)), text_at(tree, path)
    if model is None or named is None or RESERVED.fullmatch(named[1]):
        return  # a reserved one is the schema's to tell
    known = {_alias(tree), CHALLENGER}
    for name in policy_names():
        other = _tree(name, [])
        if other is None:
            return  # one that cannot be read may give it
        of = text_at(other, ("model",))
        if of is not None and of[1] == model[1]:
            known.add(_alias(other))
    if named[1] not in known:
        message = f"no policy of {model[1]!r} gives the alias {named[1]!r}: nobody would be beaten"
        yield Diagnostic.at(named[0].origin, path, message, name=named[1], known=sorted(known))


def _alias(tree: Node) -> str:
    stated = text_at(tree, ("alias",))
    return stated[1] if stated else str(Policy.model_fields["alias"].default)
