"""Does a version pass a policy's gates? Pure: records in, a verdict in words out."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from hardy.measure.bootstrap import resampled
from hardy.measure.paired import flips, mcnemar, paired_bootstrap
from hardy.registry.spec import BetterThan, Policy, Threshold
from hardy.registry.verdict import Evidence, GateResult, Verdict
from hardy.tasks.base import Task
from hardy.tasks.names import METRICS

KEY = ["dataset", "shift", "sample"]
DATA = "data_digest"
_SEED = 0
_WISHES = {True: "higher is better", False: "lower is better", None: "neither way is better"}


def judge(policy: Policy, candidate: Evidence, holders: Mapping[str, Evidence]) -> Verdict:
    """Judge a candidate by a policy's gates, and against the holder of the policy's alias.

    Where no gate compares with that holder, the policy's metric does: the candidate must be
    strictly better by it, on the same samples. In any case it needs the policy's least number of
    records.

    Args:
        policy: The gates.
        candidate: The version that wants the policy's alias.
        holders: Who holds which alias now; an alias that nobody holds is left out.
    """
    holder = holders.get(policy.alias)
    found = candidate.metrics()
    results: tuple[GateResult, ...] = ()
    if holder is None or holder.version != candidate.version:
        results = tuple(
            _better(gate, policy, candidate, holders.get(gate.better_than))
            if isinstance(gate, BetterThan)
            else _threshold(gate, candidate, found)
            for gate in policy.gates
        )
        results = (*_enough(policy, candidate), *results)
        if not any(_decides(gate, policy) for gate in policy.gates):
            results += (_better_by_metric(policy, candidate, holder),)
    return Verdict(
        model=policy.model,
        version=candidate.version,
        alias=policy.alias,
        holder=holder.version if holder else None,
        gates=results,
        metric=_metric(policy, candidate, holder, found),
    )


def _decides(gate: Threshold | BetterThan, policy: Policy) -> bool:
    return isinstance(gate, BetterThan) and gate.better_than == policy.alias


def _better_by_metric(policy: Policy, candidate: Evidence, holder: Evidence | None) -> GateResult:
    name, higher = _deciding(policy, candidate)
    text = f"better than {policy.alias} by {name} ({_WISHES[higher]})"
    if higher is None:
        return GateResult(text, False, "the policy names a metric that cannot decide")
    if holder is None:
        return GateResult(text, True, f"nobody is {policy.alias} yet")
    fault = _unlike(candidate, holder, policy.alias)
    if fault:
        return GateResult(text, False, fault)
    # In one order: rounding of a sum must not make one of two equals the better.
    both = (replace(one, frame=_keyed(one)) for one in (candidate, holder))
    ours, theirs = (one.metrics().get(name) for one in both)
    if ours is None or theirs is None:
        lacking = candidate if ours is None else holder
        reason = f"{name} is not among the metrics of version {lacking.version}"
        return GateResult(text, False, reason)
    passed = ours > theirs if higher else ours < theirs
    count = len(candidate.frame)
    reason = f"{ours:.6g} against {theirs:.6g} of version {holder.version} on {count} samples"
    return GateResult(text, passed, reason)


def _deciding(policy: Policy, candidate: Evidence) -> tuple[str, bool | None]:
    """Return the metric that decides, and whether more of it is better; None if neither is."""
    name = policy.metric.name or candidate.task.headline
    metric = candidate.task.spec.metrics.get(name) or METRICS.get(name)
    return name, metric.higher_is_better if metric is not None else None


def _metric(
    policy: Policy, candidate: Evidence, holder: Evidence | None, found: Mapping[str, float]
) -> str:
    name, higher = _deciding(policy, candidate)
    own = f"{name} {found[name]:.4g}" if name in found else f"{name} is not measured"
    theirs = holder.metrics().get(name) if holder is not None else None
    against = f", {policy.alias} {theirs:.4g}" if theirs is not None else ""
    return f"{own}{against} ({_WISHES[higher]}, {found['samples']:.0f} samples)"


def _enough(policy: Policy, candidate: Evidence) -> Iterator[GateResult]:
    """Yield a gate that fails where there are too few images; it goes without saying else."""
    count = len(set(_images(_keyed(candidate))))
    if count < policy.min_samples:
        text = f"at least {policy.min_samples} images (min_samples)"
        yield GateResult(text, False, f"it was measured on {count}")


def _threshold(gate: Threshold, candidate: Evidence, found: Mapping[str, float]) -> GateResult:
    bounds = [("at least", gate.at_least), ("at most", gate.at_most)]
    text = f"{gate.metric} " + " and ".join(f"{w} {b:g}" for w, b in bounds if b is not None)
    if gate.metric not in found:
        return GateResult(text, False, f"{gate.metric} is not among the metrics of this version")
    value = found[gate.metric]
    ends = _interval(candidate, gate.metric, found, drawn=gate.by == "interval")
    interval = f" (95 % interval {ends[0]:.4g} to {ends[1]:.4g})" if ends else ""
    reason = f"{value:.6g}{interval} on {found['samples']:.0f} samples"
    low, high = value, value
    if gate.by == "interval":
        text += ", by its interval"
        if ends is None:
            return GateResult(text, False, f"{gate.metric} has no interval")
        low, high = ends
    passed = (gate.at_least is None or low >= gate.at_least) and (
        gate.at_most is None or high <= gate.at_most
    )
    return GateResult(text, passed, reason)


def _interval(
    candidate: Evidence, metric: str, found: Mapping[str, float], *, drawn: bool
) -> tuple[float, float] | None:
    """Return a metric's 95 % interval: as measured or, if asked for, by images drawn anew.

    What was measured takes records for independent; drawn images bring all their records along.
    """
    low, high = (found.get(f"{metric}.{end}") for end in ("low", "high"))
    keyed = _keyed(candidate)
    images = _images(keyed)
    alone = len(set(images)) == len(images)
    if low is not None and high is not None and (alone or not drawn):
        return low, high
    if not drawn or metric not in candidate.task.spec.metrics:
        return None
    return resampled(candidate.task.metric_at(keyed, candidate.main, metric), len(keyed), images)


def _better(
    gate: BetterThan, policy: Policy, candidate: Evidence, holder: Evidence | None
) -> GateResult:
    name, higher = _deciding(policy, candidate)
    metric = candidate.task.spec.metrics.get(name)
    plain = name == candidate.task.headline or (metric is not None and metric.of_score)
    by = "" if plain else f"by {name}, "
    text = f"better than {gate.better_than} ({by}{gate.test}, one-sided, {gate.confidence:.0%})"
    if holder is None:
        return GateResult(text, True, f"nobody is {gate.better_than} yet")
    if holder.version == candidate.version:
        return GateResult(text, False, f"it is itself {gate.better_than}")
    fault = _unlike(candidate, holder, gate.better_than)
    if fault:
        return GateResult(text, False, fault)
    if plain:
        ours = _keyed(candidate)
        theirs = _keyed(holder).loc[ours.index]
        new = candidate.task.score(ours, candidate.main)
        old = candidate.task.score(theirs, holder.main)
        if gate.test == "mcnemar":
            passed, reason = _mcnemar(candidate.task, new, old, gate.confidence)
        else:
            passed, reason = _bootstrap(candidate.task, new, old, _images(ours), gate.confidence)
    elif higher is None or metric is None:
        passed, reason = False, f"{name} cannot decide between answers"
    elif gate.test == "mcnemar":
        passed, reason = False, f"mcnemar counts right and wrong, not {name}: paired_bootstrap"
    else:
        passed, reason = _metric_bootstrap(name, higher, candidate, holder, gate.confidence)
    return GateResult(text, passed, f"{reason} against version {holder.version}")


def _keyed(evidence: Evidence) -> pd.DataFrame:
    return evidence.frame.set_index(KEY).sort_index()


def _unlike(candidate: Evidence, holder: Evidence, alias: str) -> str:
    """Say why two versions were not measured on the same samples; empty if they were."""
    if candidate.task.spec != holder.task.spec:
        return f"not the same task: {alias} answers {holder.task.kind}"
    ours, theirs = _keyed(candidate), _keyed(holder)
    lacking, beyond = (
        len(theirs.index.difference(ours.index)),
        len(ours.index.difference(theirs.index)),
    )
    if lacking or beyond:
        return (
            f"not the same samples: {lacking} of {len(theirs)} of {alias} are missing here, "
            f"{beyond} of {len(ours)} are missing there"
        )
    if len(ours) != len(theirs) or not ours.index.is_unique:
        return "some samples were recorded twice"
    truth = [*candidate.task.truth_fields, DATA]
    pairs = zip(_rows(ours, truth), _rows(theirs.loc[ours.index], truth), strict=True)
    changed = sum(mine != other for mine, other in pairs)
    return f"the data changed since: {changed} samples have another truth or digest" * bool(changed)


def _rows(table: pd.DataFrame, columns: list[str]) -> list[list[object]]:
    return list(map(list, zip(*(table[name].tolist() for name in columns), strict=True)))


def _images(keyed: pd.DataFrame) -> np.ndarray:
    """Name the image (N,) of each record: under several shifts one is no several witnesses."""
    places = keyed.index
    return np.asarray(places.get_level_values("dataset") + ":" + places.get_level_values("sample"))


def _counted(images: np.ndarray) -> str:
    different = len(set(images))
    return f"{len(images)} samples" + f" of {different} images" * (different < len(images))


def _bootstrap(
    task: Task, new: np.ndarray, old: np.ndarray, images: np.ndarray, confidence: float
) -> tuple[bool, str]:
    both = pd.DataFrame({"new": new, "old": old}, dtype=float).groupby(images).mean()
    # The lower end of a two-sided interval of level 2c - 1 is a one-sided bound of level c.
    result = paired_bootstrap(
        both["new"].to_numpy(), both["old"].to_numpy(), _SEED, confidence=2 * confidence - 1
    )
    if task.binary:
        gain, low = f"{100 * result.difference:+.2f} points", f"{100 * result.low:+.2f}"
    else:
        gain, low = f"{result.difference:+.4g}", f"{result.low:+.4g}"
    reason = (
        f"{task.headline if task.binary else 'score'} {gain} on {_counted(images)}, "
        f"lower bound {low} (must be above 0)"
    )
    return result.low > 0, reason


def _metric_bootstrap(
    name: str, higher: bool, candidate: Evidence, holder: Evidence, confidence: float
) -> tuple[bool, str]:
    """Draw images anew, the same for both: by how much is the candidate's metric the better?"""
    keyed = _keyed(candidate)
    ours = candidate.task.metric_at(keyed, candidate.main, name)
    theirs = holder.task.metric_at(_keyed(holder).loc[keyed.index], holder.main, name)
    sign = 1 if higher else -1

    def gain(places: np.ndarray) -> float:
        return sign * (ours(places) - theirs(places))

    count, images = len(keyed), _images(keyed)
    low, _ = resampled(gain, count, images, confidence=2 * confidence - 1)
    reason = (
        f"{name} better by {gain(np.arange(count)):+.4g} on {_counted(images)}, "
        f"lower bound {low:+.4g} (must be above 0)"
    )
    return low > 0, reason


def _mcnemar(task: Task, new: np.ndarray, old: np.ndarray, confidence: float) -> tuple[bool, str]:
    if not task.binary:
        return False, f"mcnemar needs right or wrong, which {task.kind} has not: paired_bootstrap"
    to_right, to_wrong = flips(old, new)
    p = mcnemar(to_right, to_wrong).better
    reason = (
        f"{to_right} of {len(new)} samples turned right, {to_wrong} wrong, p = {p:.3g} "
        f"(must be at most {1 - confidence:.3g})"
    )
    return p <= 1 - confidence, reason
