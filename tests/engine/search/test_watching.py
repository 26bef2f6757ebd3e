"""Pruning: a trial that lags behind is stopped where Optuna's own pruner would stop it."""

import optuna
import pytest

from hardy.engine.search.guide import Choice, Guide
from hardy.engine.search.samplers import make_pruner
from hardy.engine.search.watching import TrialWatch
from hardy.engine.watch import BLOCKS, Pruned, ends
from hardy.results.search.trial import Trial
from hardy.spec.search.spec import Hyperband, Median, Patience, Percentile, Wilcoxon
from tests.engine.search.test_guide import OWN, spec

PRUNERS = [
    Median(startup=2),
    Percentile(percentile=25.0, startup=1, warmup=3),
    Hyperband(smallest=1, largest=9, factor=3),
    Patience(steps=2, by=0.05),
]
CURVES = [
    [
        0.1 * trial * step / 9 + 0.01 * ((trial * 7 + step) % 5) - 0.3 * (step > 4) * (trial % 2)
        for step in range(1, 10)
    ]
    for trial in (5, 3, 9, 1, 2, 8, 4, 1, 6, 2, 7, 1)
]


def told(guide, choice, watch, state, curve):
    guide.hear(
        Trial(
            choice.index,
            choice.values,
            state,
            (curve[-1],) if state == "complete" else (),
            reports=dict(watch.reports),
            marks=dict(watch.marks),
        )
    )


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda each: each.kind)
@pytest.mark.parametrize("direction", ["max", "min"])
def test_epochs_are_pruned_where_optuna_itself_prunes(pruner, direction):
    asked = spec(
        pruner=pruner.model_dump(), ahead=1, budget={"trials": 12}, sampler={"kind": "random"}
    )
    guide = Guide(asked, [OWN], 7, [direction])
    bare = optuna.create_study(
        study_name="hardy",
        direction="maximize" if direction == "max" else "minimize",
        pruner=make_pruner(pruner),
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    stops = []
    for curve in CURVES:
        choice, trial = guide.choose(), bare.ask()
        watch, state, expected = TrialWatch(pruner, direction, choice, 1), "complete", None
        for step, merit in enumerate(curve, start=1):
            trial.report(merit if direction == "max" else -merit, step)
            if step < 9 and trial.should_prune():
                expected = step
            if expected is not None:
                with pytest.raises(Pruned) as pruned:
                    watch.epoch(step, 9, merit)
                assert pruned.value.step == step
                state = "pruned"
                break
            watch.epoch(step, 9, merit)
        final = watch.reports[max(watch.reports)]
        if state == "pruned":
            bare.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            bare.tell(trial, final)
        stops.append(expected)
        told(guide, choice, watch, state, [final])
    assert any(stops)
    assert not all(stops)  # and some are whole


def blocks(scores):
    last = 0
    for end in sorted(ends(len(scores))):
        yield end, dict(enumerate(scores[last:end], last))
        last = end


def test_wilcoxon_stops_a_trial_that_errs_where_the_best_did_not():
    pruner = Wilcoxon(p=0.1, warmup=2)
    asked = spec(pruner=pruner.model_dump(), ahead=1)
    guide = Guide(asked, [OWN], 7, ["max"])

    def tried(scores):
        choice = guide.choose()
        watch = TrialWatch(pruner, "max", choice, 1)
        try:
            for end, found in blocks(scores):
                watch.samples(end, len(scores), found)
        except Pruned as pruned:
            told(guide, choice, watch, "pruned", scores)
            return pruned.step
        told(guide, choice, watch, "complete", [sum(scores) / len(scores)])
        return None

    good = [1.0 - 0.01 * (n % 3) for n in range(60)]
    bad = [0.5 + 0.01 * (n % 7) for n in range(60)]
    assert tried(good) is None  # there is nothing to compare with
    stopped = tried(bad)
    assert stopped is not None
    assert stopped < 20
    assert tried([score + 0.001 for score in good]) is None
    # As scipy has it: the first block's end at which the signed ranks are that unlikely.
    from scipy.stats import wilcoxon

    for end, _ in blocks(bad):
        differences = [b - g for b, g in zip(bad[:end], good[:end], strict=True)]
        if (
            end >= 2
            and wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue < 0.1
        ):
            assert stopped == end - 1
            break


def choice(index=0):
    return Choice(index, OWN, ())


def test_means_of_samples_are_reported_at_the_ends_of_blocks_over_all_seeds():
    watch = TrialWatch(Median(), "max", choice(), 2)
    scores = [float(n % 4) for n in range(50)]
    for end, found in blocks(scores):
        watch.samples(end, 50, found)
    assert list(watch.reports) == list(range(1, BLOCKS + 1))
    assert watch.reports[BLOCKS] == pytest.approx(sum(scores) / 50)
    first_end = min(ends(50))
    assert watch.reports[1] == pytest.approx(sum(scores[:first_end]) / first_end)
    watch.next_unit()
    for end, found in blocks([1.0] * 50):
        watch.samples(end, 50, found)
    assert list(watch.reports) == list(range(1, 2 * BLOCKS + 1))
    assert watch.reports[2 * BLOCKS] == pytest.approx((sum(scores) + 50) / 100)
    assert watch.samples_done == 100


def test_few_samples_have_a_block_each():
    assert sorted(ends(3)) == [1, 2, 3]
    assert max(ends(1000)) == 1000
    assert len(ends(1000)) == BLOCKS
    watch = TrialWatch(Wilcoxon(), "max", choice(), 2)
    for end, found in blocks([1.0, 0.0, 1.0]):
        watch.samples(end, 3, found)
    watch.next_unit()
    watch.samples(1, 3, {0: 0.5})
    assert watch.reports == {0: 1.0, 1: 0.0, 2: 1.0, 3: 0.5}


def test_the_last_step_of_the_last_seed_is_never_pruned():
    pruner = Median(startup=1)
    guide = Guide(spec(pruner=pruner.model_dump(), ahead=1), [OWN], 7, ["max"])
    first = guide.choose()
    guide.hear(Trial(0, first.values, "complete", (1.0,), reports={1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}))
    second = guide.choose()
    with pytest.raises(Pruned):
        TrialWatch(pruner, "max", second, 2).epoch(2, 2, 0.0)  # another seed is to come
    watch = TrialWatch(pruner, "max", second, 2)
    watch.next_unit()
    watch.epoch(2, 2, 0.0)
    assert watch.reports == {4: 0.0}


def test_a_broken_sample_takes_part_in_nothing():
    watch = TrialWatch(Wilcoxon(), "max", choice(), 1)
    watch.samples(2, 4, {1: 0.5})
    assert watch.reports == {1: 0.5}
    watch.samples(4, 4, {})
    assert watch.samples_done == 1
