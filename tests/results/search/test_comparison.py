"""The best trial beside the spec's own values: by the objective, photographs drawn whole."""

from types import SimpleNamespace

import numpy as np
import pytest

from hardy.plan.tracker import PastRun
from hardy.results.search import comparison
from hardy.results.search.comparison import compare
from hardy.results.stored import StoredUnit
from tests.contracts.records import CLASSIFY, answer_columns, as_frame
from tests.results.test_pooled import experiment

CLASSES, PHOTOGRAPHS, SEEDS = 5, 30, 2


def units(bonus: float, spread: float = 1.0) -> list[StoredUnit]:
    """Make runs, one a seed; with a higher bonus the right class is more likely."""
    return [_unit(seed, bonus, spread) for seed in range(SEEDS)]


def _unit(seed: int, bonus: float, spread: float) -> StoredUnit:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(PHOTOGRAPHS):
        logits = spread * rng.normal(0, 1, CLASSES)
        logits[number % CLASSES] += bonus
        log_p = logits - np.log(np.exp(logits).sum())
        rows.append(
            {"sample": f"{number}.jpg", "dataset": "d", "shift": "none"}
            | {"label": number % CLASSES}
            | answer_columns("memo", log_p, number % CLASSES)
        )
    frame = as_frame(rows)
    metrics = {**CLASSIFY.metrics(frame, "memo"), "seconds_per_sample": 2.0 + bonus}
    planned = SimpleNamespace(unit=SimpleNamespace(experiment=experiment("one", 1)))
    made = StoredUnit(None, PastRun("0" * 32, "one", finished=True, metrics=metrics), planned)  # type: ignore[arg-type]
    made.frame = frame
    return made


def nll(runs: list[StoredUnit]) -> np.ndarray:
    """Return each answer's, seed by seed: (SEEDS, PHOTOGRAPHS)."""
    return np.stack([-np.log(unit.frame["memo.label_probability"].to_numpy()) for unit in runs])


def test_the_interval_is_of_the_objective_and_draws_photographs_whole():
    own, best = units(1.0), units(1.5)
    found = compare(own, best, "nll", higher=False)
    by_photograph = (nll(best) - nll(own)).mean(0)
    assert found.change == pytest.approx(by_photograph.mean(), rel=1e-5)
    rng = np.random.default_rng(5)
    drawn = by_photograph[rng.integers(PHOTOGRAPHS, size=(4000, PHOTOGRAPHS))].mean(1)
    expected = np.percentile(drawn, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)
    assert (found.answers, found.images, found.compared) == (60, 30, "nll")
    assert found.best == pytest.approx(nll(best).mean(), rel=1e-5)
    assert found.own == pytest.approx(nll(own).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("metric", "higher", "own", "best", "verdict"),
    [
        ("nll", False, 1.0, 1.5, "the best trial is better"),
        ("nll", False, 1.5, 1.0, "the best trial is worse"),
        ("accuracy", True, 0.0, 3.0, "the best trial is better"),
        ("error", False, 0.0, 3.0, "the best trial is better"),
        ("accuracy", True, 3.0, 0.0, "the best trial is worse"),
        ("nll", False, 1.0, 1.0, "no difference is shown"),
    ],
)
def test_the_verdict_goes_by_the_objectives_direction(
    metric, higher, own, best, verdict, monkeypatch
):
    monkeypatch.setattr(comparison, "_DRAWS", 40)
    found = compare(units(own), units(best), metric, higher=higher)
    assert found.verdict == verdict
    assert found.line().endswith(verdict)


def test_what_follows_from_no_answers_is_compared_by_the_score():
    found = compare(units(0.0), units(3.0), "seconds_per_sample", higher=False)
    assert (found.own, found.best) == (2.0, 5.0)
    assert found.compared == "score"
    assert found.change > 0
    assert found.verdict == "the best trial is better"
    assert "change of the score" in found.line()
