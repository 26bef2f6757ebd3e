import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm

from hardy.registry.gates import judge
from hardy.registry.spec import Policy
from hardy.registry.verdict import Evidence, GateResult
from tests.contracts.records import CLASSIFY, answer_columns


def evidence(version: str, right: list[int], **columns: object) -> Evidence:
    rows = []
    for index, hit in enumerate(right):
        log_p = np.log([0.2, 0.8] if hit else [0.8, 0.2])
        row = {"sample": f"s{index}", "dataset": "d", "shift": "none", "label": 1}
        row |= answer_columns("source", np.log([0.8, 0.2]), 1) | answer_columns("own", log_p, 1)
        rows.append(row | {"data_digest": "x"} | columns)
    return Evidence(version, "own", pd.DataFrame(rows), CLASSIFY)


def policy(*gates: dict, metric: str | None = None) -> Policy:
    parts = {"model": "m", "candidates": {"experiments": ["*"], "dataset": "d"}, "min_samples": 1}
    named = {"metric": {"name": metric}} if metric else {}
    return Policy.model_validate(parts | named | {"gates": list(gates)})


def better(test: str = "mcnemar", confidence: float = 0.95) -> dict:
    return {"better_than": "champion", "test": test, "confidence": confidence}


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ({"metric": "accuracy", "at_least": 0.75}, True),
        ({"metric": "accuracy", "at_least": 0.76}, False),
        ({"metric": "accuracy", "at_most": 0.75}, True),
        ({"metric": "accuracy", "at_most": 0.74}, False),
        ({"metric": "accuracy", "at_least": 0.5, "at_most": 0.6}, False),
        ({"metric": "nonesuch", "at_least": 0.0}, False),
    ],
)
def test_thresholds(gate, passed):
    verdict = judge(policy(gate), evidence("1", [1, 1, 1, 0]), {})
    assert verdict.passed is passed
    assert verdict.gates[0].passed is passed


def test_a_threshold_says_value_interval_and_count():
    result, _ = judge(
        policy({"metric": "accuracy", "at_least": 0.5}), evidence("1", [1] * 3 + [0]), {}
    ).gates
    # Wilson's interval of 3 of 4: (p + z²/2n ± z sqrt(p q/n + z²/4n²)) / (1 + z²/n).
    assert result.gate == "accuracy at least 0.5"
    assert result.reason == "0.75 (95 % interval 0.3006 to 0.9544) on 4 samples"


def test_an_interval_that_begins_at_0_is_said_too():
    result, _ = judge(
        policy({"metric": "accuracy", "at_least": 0.5}), evidence("1", [0] * 4), {}
    ).gates
    # Wilson's upper end of 0 of 4: z² / (n + z²).
    z2 = norm.ppf(0.975) ** 2
    assert result.reason == f"0 (95 % interval 0 to {z2 / (4 + z2):.4g}) on 4 samples"


def test_nobody_to_beat():
    (result,) = judge(policy(better()), evidence("1", [0]), {}).gates
    assert result.passed
    assert result.reason == "nobody is champion yet"


@pytest.mark.parametrize("gained", [4, 5])
def test_mcnemar_is_exact_and_one_sided(gained):
    # k gains and no loss have probability 2^-k: 0.0625 for 4, 0.03125 for 5.
    old = evidence("1", [0] * gained + [1] * 20)
    new = evidence("2", [1] * gained + [1] * 20)
    (result,) = judge(policy(better()), new, {"champion": old}).gates
    assert result.passed == (binom.sf(gained - 1, gained, 0.5) <= 0.05)
    assert f"{gained} of {gained + 20} samples turned right, 0 wrong" in result.reason


@pytest.mark.parametrize(
    ("gained", "lost", "passed"), [(30, 5, True), (12, 10, False), (5, 30, False), (0, 0, False)]
)
def test_paired_bootstrap(gained, lost, passed):
    old = [0] * gained + [1] * lost + [1] * 100
    new = [1] * gained + [0] * lost + [1] * 100
    gate = policy(better("paired_bootstrap"))
    (result,) = judge(gate, evidence("2", new), {"champion": evidence("1", old)}).gates
    assert result.passed is passed
    points = 100 * (gained - lost) / len(new)
    assert f"accuracy {points:+.2f} points on {len(new)} samples" in result.reason


def test_paired_bootstrap_bound_is_near_the_normal_one():
    old, new = [0] * 60 + [1] * 30 + [1] * 410, [1] * 60 + [0] * 30 + [1] * 410
    (result,) = judge(
        policy(better("paired_bootstrap")), evidence("2", new), {"champion": evidence("1", old)}
    ).gates
    difference = np.array(new) - np.array(old)
    bound = difference.mean() - 1.6449 * difference.std() / np.sqrt(len(difference))
    stated = float(result.reason.split("lower bound ")[1].split()[0])
    assert stated == pytest.approx(100 * bound, abs=0.15)


def test_samples_are_paired_by_name_not_by_order():
    old = evidence("1", [0] * 6 + [1] * 14)
    new = evidence("2", [1] * 6 + [1] * 14)
    shuffled = Evidence("2", "own", new.frame.sample(frac=1, random_state=0), CLASSIFY)
    plain, mixed = (judge(policy(better()), n, {"champion": old}) for n in (new, shuffled))
    assert plain.gates == mixed.gates
    assert plain.passed


def test_other_samples_fail_in_either_direction():
    few, many = evidence("2", [1] * 8), evidence("1", [0] * 10)
    (result,) = judge(policy(better()), few, {"champion": many}).gates
    assert not result.passed
    assert "2 of 10 of champion are missing here, 0 of 8" in result.reason
    (result,) = judge(policy(better()), many, {"champion": few}).gates
    assert not result.passed
    assert "0 of 8 of champion are missing here, 2 of 10" in result.reason


@pytest.mark.parametrize("column", [{"data_digest": "y"}, {"shift": "fog-1"}, {"label": 0}])
def test_other_data_fail(column):
    new = evidence("2", [1] * 10, **column)
    (result,) = judge(policy(better()), new, {"champion": evidence("1", [0] * 10)}).gates
    assert not result.passed


def test_the_holder_is_not_judged_again():
    same = evidence("1", [1, 0])
    verdict = judge(policy({"metric": "accuracy", "at_least": 0.9}), same, {"champion": same})
    assert verdict.is_holder
    assert verdict.gates == ()
    assert "already champion" in verdict.lines()[-1]


def test_another_alias_can_be_the_one_to_beat():
    gate = {"better_than": "rival", "test": "mcnemar"}
    rival = evidence("1", [1] * 20)
    by_test, by_metric = judge(policy(gate), evidence("2", [0] * 20), {"rival": rival}).gates
    assert not by_test.passed
    assert by_metric.passed
    assert by_metric.reason == "nobody is champion yet"
    assert not judge(policy(gate), evidence("2", [0] * 20), {"rival": rival}).passed


def by_metric(new: Evidence, old: Evidence, metric: str | None = None) -> GateResult:
    verdict = judge(policy(metric=metric), new, {"champion": old})
    (result,) = verdict.gates
    assert verdict.passed is result.passed
    return result


def random_network(version: str, count: int = 100) -> Evidence:
    return evidence(version, np.random.default_rng(0).integers(0, 2, count).tolist())


def test_a_random_network_does_not_take_the_alias_from_a_good_one():
    result = by_metric(random_network("2"), evidence("1", [1] * 90 + [0] * 10))
    assert not result.passed
    assert result.gate == "better than champion by accuracy (higher is better)"
    assert result.reason.endswith("against 0.9 of version 1 on 100 samples")
    assert by_metric(evidence("2", [1] * 91 + [0] * 9), random_network("1")).passed


def test_an_equal_one_stays_a_challenger():
    mine, theirs = evidence("2", [1, 1, 0]), evidence("1", [0, 1, 1])
    assert not by_metric(mine, theirs).passed
    assert not by_metric(mine, theirs, "error").passed


@pytest.mark.parametrize("metric", ["nll", "error"])
def test_the_direction_is_the_metrics_own(metric):
    good, bad = [1, 1, 1, 0], [1, 0, 0, 0]
    assert by_metric(evidence("2", good), evidence("1", bad), metric).passed
    result = by_metric(evidence("2", bad), evidence("1", good), metric)
    assert not result.passed
    assert f"by {metric} (lower is better)" in result.gate


@pytest.mark.parametrize(
    ("count", "columns"), [(9, {}), (10, {"data_digest": "y"}), (10, {"shift": "fog-1"})]
)
def test_a_metric_on_other_samples_does_not_decide(count, columns):
    result = by_metric(evidence("2", [1] * count, **columns), evidence("1", [0] * 10))
    assert not result.passed
    assert "samples" in result.reason


def test_a_gate_of_the_policys_own_decides_alone():
    old, new = evidence("1", [0] + [1] * 20), evidence("2", [1] * 21)
    (result,) = judge(policy(better()), new, {"champion": old}).gates
    assert not result.passed  # one sample more is better by the metric, and no evidence
    assert by_metric(new, old).passed


def test_a_metric_without_a_direction_decides_nothing():
    result = by_metric(evidence("2", [1] * 4), evidence("1", [0] * 4), "confidence")
    assert not result.passed


def test_the_order_of_rows_makes_no_equal_the_better():
    rng = np.random.default_rng(1)
    old = evidence("1", rng.integers(0, 2, 60).tolist())
    old.frame["own.label_probability"] = rng.random(60)
    for seed in range(20):
        frame = old.frame.sample(frac=1, random_state=seed)
        new = Evidence("2", "own", frame, CLASSIFY)
        assert not by_metric(new, old, "nll").passed


def judged(gate: dict, new: Evidence, *, metric: str | None = None, **holders: Evidence):
    return judge(policy(gate, metric=metric), new, holders).gates[0]


def test_few_samples_prove_nothing_whatever_the_gates():
    rules = policy({"metric": "accuracy", "at_least": 0.5}).model_copy(update={"min_samples": 30})
    few = judge(rules, evidence("1", [1] * 29), {})
    assert not few.passed
    assert few.gates[0].gate == "at least 30 images (min_samples)"
    assert few.gates[0].reason == "it was measured on 29"
    assert not judge(rules, thrice(evidence("1", [1] * 29)), {}).passed
    assert judge(rules, evidence("1", [1] * 30), {}).passed


def test_a_policy_wants_30_samples_unless_it_says_otherwise():
    parts = {"model": "m", "candidates": {"experiments": ["*"], "dataset": "d"}}
    assert Policy.model_validate(parts).min_samples == 30


@pytest.mark.parametrize(("count", "passed"), [(12, False), (1200, True)])
def test_a_gate_by_the_interval_wants_its_worse_end_within(count, passed):
    right = [1] * (count * 3 // 4) + [0] * (count // 4)
    gate = {"metric": "accuracy", "at_least": 0.7}
    assert judged(gate, evidence("1", right)).passed
    result = judged(gate | {"by": "interval"}, evidence("1", right))
    # Wilson's lower end, from its formula.
    z, p = norm.ppf(0.975), 0.75
    half = z * np.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    low = (p + z**2 / (2 * count) - half) / (1 + z**2 / count)
    assert (low >= 0.7) == passed == result.passed
    assert result.gate == "accuracy at least 0.7, by its interval"


def test_a_gate_by_the_interval_draws_it_where_none_is_recorded():
    # All are answered with 0.8: 0.2 is the calibration error of each draw of right ones.
    gate = {"metric": "ece", "at_most": 0.201, "by": "interval"}
    assert judged(gate, evidence("1", [1] * 40)).passed
    mixed = evidence("1", [1] * 32 + [0] * 8)
    assert judged({"metric": "ece", "at_most": 0.01}, mixed).passed  # 0.8 right of 0.8
    result = judged({"metric": "ece", "at_most": 0.01, "by": "interval"}, mixed)
    assert not result.passed
    assert "95 % interval" in result.reason


def test_a_metric_without_an_interval_passes_no_gate_by_it():
    result = judged({"metric": "samples", "at_least": 1, "by": "interval"}, evidence("1", [1]))
    assert (result.passed, result.reason) == (False, "samples has no interval")


def confident(version: str, right: list[int], share: float) -> Evidence:
    """Evidence whose right class has a probability of `share` where it is right, 1 - it else."""
    made = evidence(version, right)
    log_p = np.array([[share, 1 - share][1 - hit] for hit in right])
    columns = [answer_columns("own", np.log([1 - p, p]), 1) for p in log_p]
    return Evidence(version, "own", made.frame.assign(**pd.DataFrame(columns)), CLASSIFY)


def test_the_gate_against_the_holder_goes_by_the_policys_metric():
    """Equally right, less sure: by accuracy no better, by its likelihood better."""
    right = [1] * 30 + [0] * 20
    old, new = confident("1", right, 0.99), confident("2", right, 0.7)
    gate = {"better_than": "champion", "test": "paired_bootstrap"}
    assert not judged(gate, new, champion=old).passed
    result = judged(gate, new, metric="nll", champion=old)
    assert result.passed
    assert result.gate == "better than champion (by nll, paired_bootstrap, one-sided, 95%)"
    mean = np.mean([-np.log(0.99 if hit else 0.01) + np.log(0.7 if hit else 0.3) for hit in right])
    assert f"nll better by {mean:+.4g} on 50 samples" in result.reason
    back = judged(gate, Evidence("3", "own", old.frame, CLASSIFY), metric="nll", champion=new)
    assert not back.passed


def test_a_metric_is_compared_in_pairs():
    """A small gain on every sample is certain in pairs, and none between unpaired draws."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.05, 0.9, 60)

    def made(version, gain):
        frame = evidence(version, [1] * 60).frame
        columns = [answer_columns("own", np.log([1 - p - gain, p + gain]), 1) for p in base]
        return Evidence(version, "own", frame.assign(**pd.DataFrame(columns)), CLASSIFY)

    gate = {"better_than": "champion", "test": "paired_bootstrap"}
    assert judged(gate, made("2", 0.001), metric="nll", champion=made("1", 0)).passed


def test_mcnemar_goes_with_the_metric_of_right_and_wrong_alone():
    gate = {"better_than": "champion", "test": "mcnemar"}
    old, new = evidence("1", [0] * 40), evidence("2", [1] * 40)
    assert judged(gate, new, champion=old).passed
    result = judged(gate, new, metric="nll", champion=old)
    assert not result.passed
    assert result.reason.startswith("mcnemar counts right and wrong, not nll")


def thrice(found: Evidence) -> Evidence:
    """The same records under three shifts."""
    frames = [found.frame.assign(shift=shift) for shift in "abc"]
    return Evidence(found.version, "own", pd.concat(frames, ignore_index=True), CLASSIFY)


@pytest.mark.parametrize("metric", [None, "nll"])
def test_an_image_under_several_shifts_is_one_witness(metric):
    old = confident("1", [0] * 9 + [1] * 31, 0.8)
    new = confident("2", [1] * 4 + [0] * 7 + [1] * 29, 0.8)
    gate = {"better_than": "champion", "test": "paired_bootstrap"}
    once = judged(gate, new, metric=metric, champion=old)
    result = judged(gate, thrice(new), metric=metric, champion=thrice(old))
    assert not once.passed
    assert result.passed == once.passed
    said, bound = (reason.split("lower bound ")[1] for reason in (result.reason, once.reason))
    assert said == bound
    assert "120 samples of 40 images" in result.reason


def test_an_interval_over_several_shifts_is_of_images():
    """Three records of each of 20 images: Wilson of 60 would pass."""
    right = [1] * 17 + [0] * 3
    gate = {"metric": "accuracy", "at_least": 0.73, "by": "interval"}
    z, p, n = norm.ppf(0.975), 0.85, 60
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (p + z**2 / (2 * n) - half) / (1 + z**2 / n) > 0.73
    result = judged(gate, thrice(evidence("1", right)))
    assert not result.passed
    # Images drawn with replacement: the count of right ones is binomial, its 2.5 % quantile 14.
    assert binom.ppf(0.025, 20, 0.85) == 14
    assert "0.85 (95 % interval 0.7 to" in result.reason


def test_error_is_compared_as_accuracy_is():
    old, new = evidence("1", [0] * 10 + [1] * 30), evidence("2", [1] * 40)
    for test in ("mcnemar", "paired_bootstrap"):
        gate = {"better_than": "champion", "test": test}
        reasons = [judged(gate, new, metric=m, champion=old).reason for m in (None, "error")]
        assert reasons[0] == reasons[1]
