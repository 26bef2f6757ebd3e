import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from hardy.measure.records import answer_columns
from hardy.registry.gates import Evidence, judge
from hardy.registry.spec import Policy


def evidence(version: str, right: list[int], **columns: object) -> Evidence:
    rows = []
    for index, hit in enumerate(right):
        log_p = np.log([0.2, 0.8] if hit else [0.8, 0.2])
        row = {"sample": f"s{index}", "dataset": "d", "shift": "none", "label": 1}
        row |= answer_columns("source", np.log([0.8, 0.2]), 1) | answer_columns("own", log_p, 1)
        rows.append(row | {"data_digest": "x"} | columns)
    return Evidence(version, "own", pd.DataFrame(rows))


def policy(*gates: dict) -> Policy:
    return Policy.model_validate(
        {"model": "m", "candidates": {"experiments": ["*"], "dataset": "d"}, "gates": list(gates)}
    )


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
    (result,) = judge(
        policy({"metric": "accuracy", "at_least": 0.5}), evidence("1", [1] * 3 + [0]), {}
    ).gates
    # Wilson's interval of 3 of 4: (p + z²/2n ± z sqrt(p q/n + z²/4n²)) / (1 + z²/n).
    assert result.gate == "accuracy at least 0.5"
    assert result.reason == "0.75 (95 % interval 0.3006 to 0.9544) on 4 samples"


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
    shuffled = Evidence("2", "own", new.frame.sample(frac=1, random_state=0))
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
    assert not judge(policy(gate), evidence("2", [0] * 20), {"rival": rival}).passed
