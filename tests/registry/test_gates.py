import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm

from hardy.registry.gates import Evidence, GateResult, judge
from hardy.registry.spec import Policy
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
    parts = {"model": "m", "candidates": {"experiments": ["*"], "dataset": "d"}}
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
