"""Are the records of experiments the same, bit for bit, here and at another commit?

    python -m benchmarks.same_records BASE [EXPERIMENT ...] [--whole] [--keep FOLDER]

Each experiment runs twice by `hardy run`: with the sources of the commit BASE, and with those of
this work tree as it is, each side in a store of its own. Then every unit's records and metrics are
compared by its name, times aside. Without names, a choice of the shipped experiments runs; those
that BASE cannot run here, for want of data or of weights, are skipped and named. By default only
some samples of the long ones run. Exit status 1 if anything differs that `ALLOWED` does not list.

What BASE ran is kept in FOLDER, and holds there for as long as the data, the packages and the
machine stay as they are; delete the folder where they do not.
"""

import argparse
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from benchmarks.sides import ROOT, CannotRunError, Job, Side, UnitRecord, commit_id, sources
from hardy.measure.drift import compare


@dataclass(frozen=True)
class Allowed:
    """What may differ, and why.

    Attributes:
        experiment: Pattern of a unit's name.
        names: Patterns of columns and of metrics.
        reason: Why this is no fault.
        unless: An override under which it would be one all the same.
        most: Up to which absolute difference.
    """

    experiment: str
    names: tuple[str, ...]
    reason: str
    unless: str = ""
    most: float = math.inf


# Of an ensemble: the columns of the two pools, and the metrics that are made of them.
POOLED = (
    *("ensemble.*", "simple_ensemble.*", "loss", "member_weights", "simple_ensemble/*"),
    *("accuracy", "accuracy.*", "error", "top5", "nll", "ece", "entropy", "confidence"),
    *("delta/*", "flips/*", "mcnemar/*"),
)
# What follows from the probabilities of the plain answer, and no class of its own.
PLAIN = (
    *("source.confidence", "source.entropy", "source.label_probability"),
    *("confidence", "ece", "entropy", "nll", "nll.*", "ece.*", "entropy.*", "confidence.*"),
)
ALLOWED = (
    *(
        Allowed(unit, PLAIN, "plain answers are given in blocks: last digits", most=1e-5)
        for unit in ("source/*", "cifar10/source")
    ),
    Allowed(
        "*",
        ("majority_vote/nll", "majority_vote/top5"),
        "shares of votes have neither a likelihood nor ranks",
    ),
    Allowed(
        "clip-shapes/ensemble/*",
        POOLED,
        "fitted temperatures did not reach the processes that shared the samples",
        unless="compute.processes=1",
    ),
)


SHORT = {
    "memo/*": "data.subset.count=6",
    "embedded/*": "data.subset.count=6",
    "cifar10/*": "data.subset.count=200",
    "clip-shapes/tpt": "data.subset.count=20",
    "clip-shapes/ensemble": "data.subset.count=10",
}
"""The override that cuts an experiment down, unless --whole is given."""

NEEDS = {"clip-shapes/tpt": "clip-shapes/train", "clip-shapes/ensemble": "clip-shapes/train"}
"""Whose registered model an experiment begins with."""

JOBS = (
    Job("quickstart"),
    Job("source/imagenet-sample"),
    Job("memo/imagenet-sample"),
    Job("memo/imagenet-sample-cut"),
    # At older commits it inherits a policy that does not take it.
    Job("embedded/memo-topk", ("register=null",)),
    Job("embedded/cut-ensemble"),
    Job("embedded/dropout-ensemble"),
    Job("embedded/memo-operations"),
    Job("embedded/memo-plus"),
    Job("embedded/memo-plus-augmix"),
    Job("embedded/augmentations"),
    Job("ensemble/imagenet-sample"),
    Job("ensemble/imagenet-sample-fitted"),
    Job("cifar10/source"),
    Job("cifar10/memo"),
    Job("clip-shapes/train"),
    Job("clip-shapes/tpt"),
    Job("clip-shapes/ensemble", ("compute.processes=1",)),
    Job("clip-shapes/ensemble"),
)


def jobs(named: Sequence[str], *, whole: bool) -> list[Job]:
    """Return what is to run, each after the training that it needs."""
    chosen = [job for job in JOBS if not named or job.spec in named]
    known = {job.spec for job in chosen}
    chosen += [Job(name) for name in named if name not in known]
    trainings = [Job(NEEDS[job.spec]) for job in chosen if job.spec in NEEDS]
    first = [job for job in dict.fromkeys(trainings) if job not in chosen]
    return [job if whole else cut(job) for job in (*first, *chosen)]


def cut(job: Job) -> Job:
    short = [text for pattern, text in SHORT.items() if fnmatchcase(job.spec, pattern)]
    return Job(job.spec, (*job.overrides, *short))


def differences(then: UnitRecord, now: UnitRecord, tolerance: float = 0.0) -> dict[str, str]:
    """Return by column or metric how two runs differ; nothing if they are the same."""
    found = dict(_of_shape(then.frame, now.frame))
    both = [c for c in then.frame.columns if c in now.frame.columns]
    pair = (then.metrics, then.frame[both]), (now.metrics, now.frame[both])
    drift = compare(*pair, tolerance)
    changes = defaultdict(list)
    for sample in drift.samples:
        for change in sample.changes:
            changes[change.name].append(change.distance)
    for name, each in changes.items():
        found[name] = f"{len(each)} of {drift.sample_count} samples, by up to {max(each):.3g}"
    for change in drift.metrics:
        if change.drifted:
            found[change.name] = f"{change.then} and now {change.now}"
    new = [name for name in now.metrics if name not in then.metrics]
    return found | dict.fromkeys(new, "a new metric")


def _of_shape(then: pd.DataFrame, now: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield what differs in the tables' columns, their order and types, and in the samples."""
    for name in then.columns.symmetric_difference(now.columns, sort=False):
        yield name, f"a column {'at BASE' if name in then.columns else 'here'} alone"
    both = [c for c in then.columns if c in now.columns]
    if both != [c for c in now.columns if c in then.columns]:
        yield "order of columns", f"{', '.join(both)}, and now {', '.join(now.columns)}"
    for name in both:
        if then[name].dtype != now[name].dtype:
            yield name, f"of type {then[name].dtype}, and now {now[name].dtype}"
    if then["sample"].tolist() != now["sample"].tolist():
        yield "samples", f"{len(then)}, and now {len(now)}, not the same or in another order"


def allowed(unit: str, job: Job, name: str, then: UnitRecord, now: UnitRecord) -> str:
    """Return why a column or a metric may differ so much; empty where it may not."""
    for rule in ALLOWED:
        fits = fnmatchcase(unit, rule.experiment) and rule.unless not in job.overrides
        named = fits and any(fnmatchcase(name, pattern) for pattern in rule.names)
        if named and (rule.most == math.inf or name not in differences(then, now, rule.most)):
            return rule.reason
    return ""


def judge(unit: str, job: Job, then: UnitRecord, now: UnitRecord) -> bool:
    """Print how two runs of a unit compare; return whether nothing differs that may not."""
    count, found = len(now.frame), differences(then, now)
    reasons = {name: allowed(unit, job, name, then, now) for name in found}
    faults = [name for name, reason in reasons.items() if not reason]
    for reason in dict.fromkeys(filter(None, reasons.values())):
        listed = "; ".join(f"{n}: {found[n]}" for n, why in reasons.items() if why == reason)
        print(f"  allowed {unit}: {reason} ({listed})")
    if faults:
        print(f"  DIFFERS {unit} {count} samples")
        print("".join(f"    {name}: {found[name]}\n" for name in faults), end="")
    elif not found:
        print(f"  same {unit} {count} samples")
    return not faults


def check(job: Job, base: Side, here: Side) -> bool:
    """Run a job on both sides and compare its units; return whether all is well.

    Raises:
        CannotRunError: If it cannot be run at BASE.
    """
    then, kept = base.ran(job)
    try:
        now, _ = here.ran(job)
    except CannotRunError as error:
        print(f"{job}\n  DIFFERS: it runs at BASE, but not here: {error}", flush=True)
        return False
    print(f"{job}: {then.seconds:.0f} s at BASE{' (kept)' * kept}, {now.seconds:.0f} s here")
    well = bool(then.runs) and list(then.runs) == list(now.runs)
    if not well:
        print(f"  DIFFERS: units {', '.join(then.runs)}, and now {', '.join(now.runs)}")
    for unit in (name for name in then.runs if name in now.runs):
        pair = base.record(then.runs[unit]), here.record(now.runs[unit])
        well &= judge(unit, job, *pair)
    sys.stdout.flush()
    return well


def check_all(todo: Iterable[Job], base: Side, here: Side, named: Sequence[str]) -> int:
    """Check every job; return the exit status."""
    outcomes, skipped = [], []
    for job in todo:
        try:
            outcomes.append(check(job, base, here))
        except CannotRunError as error:
            skipped.append(job)
            print(f"{job}: skipped, BASE cannot run it here: {error}", flush=True)
    print(f"{sum(outcomes)} of {len(outcomes)} as at BASE, {len(skipped)} skipped")
    wanted = any(job.spec in named for job in skipped)
    return 0 if outcomes and all(outcomes) and not wanted else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("base", metavar="BASE", help="A commit.")
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="Names of specs.")
    parser.add_argument("--whole", action="store_true", help="Run all samples of all.")
    parser.add_argument("--keep", type=Path, help="Keep what BASE ran, for the next call.")
    options = parser.parse_intermixed_args()
    commit = commit_id(options.base)
    with tempfile.TemporaryDirectory(prefix="same-records-") as scratch:
        kept = (options.keep or Path(scratch)).absolute() / commit
        base, here = Side(sources(commit, kept), kept), Side(ROOT, Path(scratch) / "here")
        todo = jobs(options.experiments, whole=options.whole)
        return check_all(todo, base, here, options.experiments)


if __name__ == "__main__":
    sys.exit(main())
