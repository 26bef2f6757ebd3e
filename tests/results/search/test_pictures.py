"""A search in pictures: which there are, and that they show what happened."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from hardy.explain.figure import INK, ORANGE
from hardy.results.search.marks import MARKS, PINK, groups, wrapped
from hardy.results.search.pictures import fronts, pictures, shown_reports
from hardy.results.search.spaces import Range, _scale, parallel, slices
from hardy.results.search.trial import Trial
from tests.results.search.examples import TWO, WIDE, spec, trials
from tests.results.search.test_page import EDGES


def names(search, directions, given) -> list[str]:
    return [path for path, _ in pictures(search, directions, given)]


ALL = ["history", "importances", "reports", "parallel", "slices"]


def test_a_search_has_its_pictures() -> None:
    found = dict(pictures(TWO, ["max", "min"], trials(TWO)))
    assert list(found) == [f"search/{name}.png" for name in (*ALL, "slices-2", "pareto")]
    assert all(picture.mode == "RGB" and picture.width > 800 for picture in found.values())


def test_whole_numbers_have_whole_ticks() -> None:
    search = spec({"steps": {"kind": "int", "low": 1, "high": 3}})
    axes = Figure().subplots()
    _scale(axes, search, "steps", Range(1, 3))
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_twenty_long_paths_fit() -> None:
    given = trials(WIDE)
    for picture in (
        slices(WIDE, ["max"], given, 0),
        parallel(WIDE, ["max"], given),
    ):
        assert picture.width < 2000
        assert picture.height < 2000


def pixels(picture, colour: str) -> int:
    """How much of a picture has a colour."""
    near = np.abs(np.asarray(picture) / 255 - to_rgb(colour)).max(axis=-1) < 0.03
    return int(near.sum())


def only(path: str, search, given: list[Trial]):
    """One of the pictures; those after it are not drawn."""
    return next(found for name, found in pictures(search, ["max"], given) if name == path)


def test_pruned_and_failed_trials_are_shown_as_such() -> None:
    search = spec({"a": {"kind": "float", "low": 0, "high": 1}})
    given = [Trial(n, {"a": n / 12}, "complete", (n / 12,)) for n in range(12)]

    def stopped(state: str):
        def change(trial: Trial) -> Trial:
            even = trial.index and trial.index % 2 == 0
            return replace(trial, state=state, objectives=()) if even else trial

        return change

    before, pruned, failed = (
        only("search/history.png", search, list(map(change, given)))
        for change in (lambda trial: trial, stopped("pruned"), stopped("failed"))
    )
    assert pixels(before, PINK) == 0 < pixels(pruned, PINK)
    assert pixels(failed, INK) > pixels(before, INK)


def test_trial_0_and_the_best_are_marked() -> None:
    search = spec({"a": {"kind": "float", "low": 0, "high": 1}})
    given = [Trial(n, {"a": n / 9}, "complete", (n / 9,)) for n in range(9)]
    without = [replace(trial, index=trial.index + 1) for trial in given]
    broken = [replace(trial, constraints=(1.0,)) for trial in given]
    marked, unmarked, infeasible = (
        dict(pictures(search, ["max"], each)) for each in (given, without, broken)
    )
    assert set(marked) == {f"search/{name}.png" for name in ("history", "slices", "parallel")}
    for path in marked:
        assert pixels(marked[path], INK) > pixels(unmarked[path], INK)
        assert pixels(marked[path], ORANGE) > 0 == pixels(infeasible[path], ORANGE)


def test_every_trial_is_in_a_group() -> None:
    given = trials(TWO)
    found = groups(given, ["max", "min"])
    assert set(found) == set(MARKS)
    of_states = [found[kind] for kind in list(MARKS)[:5]]
    assert sorted(t.index for own in of_states for t in own) == list(range(len(given)))
    assert [trial.state for trial in found["pruned"]] == ["pruned"] * len(found["pruned"])
    assert [trial.index for trial in found["trial 0: the spec's own values"]] == [0]


@pytest.mark.parametrize("edge", EDGES)
def test_a_search_of_any_kind_has_pictures(edge) -> None:
    search, given = EDGES[edge]
    expected = {
        "none": [],
        "one": ["history", "reports", "parallel", "slices"],
        "nothing finished": ["history"],
        "all equal": ["history", "parallel", "slices"],
        "labels alone": ["history", "reports", "parallel", "slices"],
        "never together": ALL,
        "outside": ["history", "parallel", "slices"],
        "reports alone": ["history", "reports"],
        "markup": ["history", "parallel", "slices"],
    }
    assert names(search, ["max"], given) == [f"search/{name}.png" for name in expected[edge]]


def test_formulas_are_not_read_in_names() -> None:
    search = spec({"a": ["$x^", "_{"]}, objectives=[{"metric": "share/$a_$"}])
    given = [Trial(n, {"a": "$x^"}, "complete", (n / 10,)) for n in range(4)]
    assert len(names(search, ["min"], given)) == 3


def test_three_objectives_are_shown_in_pairs() -> None:
    search = spec({"a": ["x", "y"]}, objectives=[{"metric": name} for name in "abc"])
    fewer = search.model_copy(update={"objectives": search.objectives[:2]})
    given = {2: trials(fewer, 8), 3: trials(search, 8)}
    two, three = (fronts(search, ["max", "min", "min"][:count], given[count]) for count in (2, 3))
    assert three.height > 1.5 * two.height


def test_scores_of_samples_are_shown_as_their_mean() -> None:
    wilcoxon = spec(pruner={"kind": "wilcoxon"})
    reports = {place: float(place % 3 == 0) for place in range(1500)}
    trial = Trial(0, {}, "pruned", reports=dict(reversed(reports.items())))
    found = shown_reports(wilcoxon, trial)
    assert 300 < len(found) <= 401
    assert list(found)[-1] == 1499
    for place, value in found.items():
        assert value == pytest.approx(np.mean([reports[n] for n in range(place + 1)]))
    plain = shown_reports(spec(pruner={"kind": "median"}), replace(trial, reports={2: 0.5, 1: 0.1}))
    assert plain == {1: 0.1, 2: 0.5}
    assert shown_reports(spec(), Trial(0, {}, "failed")) == {}


def test_a_range_knows_where_a_value_is() -> None:
    log = Range(1e-4, 1e-2, log=True)
    assert [log.share(v) for v in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert Range(2, 4).share(3) == 0.5
    assert [Range(0, 2, labels=("x", None, True)).share(v) for v in ("x", None, True)] == [
        0,
        0.5,
        1,
    ]
    assert Range(3, 3).share(3) == 0.5


def test_long_paths_break_after_dots() -> None:
    assert wrapped("method.select.share", 14) == "method.select.\nshare"
    assert wrapped("method", 3) == "method"
