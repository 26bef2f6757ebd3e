"""What a search's parent says of itself."""

from dataclasses import replace

import pytest

from hardy.results.search.note import masked, note
from hardy.results.search.study import best, pareto
from hardy.results.search.trial import Trial
from tests.results.search.examples import LINKS, TWO, WIDE, spec, trials


def written(search, directions, made, storage="/home/me/study.log") -> str:
    return note(search, directions, made, storage=storage, link=LINKS)


def test_the_note_says_how_many_and_which_is_best() -> None:
    search = spec(constraints=[{"metric": "ece", "at_most": 0.1}])
    made = trials(search)
    text = written(search, ["max"], made)
    chosen = best(made, ["max"])
    assert text.startswith("**40 trials: 29 finished (")
    assert "7 pruned, 3 failed, 1 still running.**" in text
    assert f"| best: trial {chosen.index} | trial 0: the spec's own values |" in text
    for trial in (chosen, made[0]):
        low, high = trial.intervals[0]
        assert f"{trial.objectives[0]:.4g} [{low:.4g}, {high:.4g}]" in text
        assert f"[{trial.runs[0][:8]}](#/experiments/7/runs/{trial.runs[0]})" in text
    assert all(f"| `{path}` |" in text for path in search.space)
    assert "| ece at most 0.1 | held |" in text
    assert "Pruning saved about 875 samples (" in text
    for place in ("search/trials.csv", "search/best.yaml", "search/search.html", "search/*.png"):
        assert f"`{place}`" in text
    assert "`optuna-dashboard /home/me/study.log`" in text
    assert f"Failed: 7, 20, 33 ([{made[7].runs[0][:8]}](" in text
    assert "`the loss became NaN | at step 2`" in text


def test_the_same_trials_give_the_same_note() -> None:
    made = trials(TWO)
    again = [replace(trial, values=dict(reversed(trial.values.items()))) for trial in made]
    assert written(TWO, ["max", "min"], made) == written(TWO, ["max", "min"], again)


def test_a_front_is_named() -> None:
    made = trials(TWO)
    front = pareto(made, ["max", "min"])
    told = ", ".join(str(trial.index) for trial in front)
    assert f"than these: {told}; the best is" in written(TWO, ["max", "min"], made)


def test_a_note_fits_a_tag_of_mlflow() -> None:
    made = [replace(trial, runs=trial.runs * 3) for trial in trials(WIDE, 200)]
    made += [
        Trial(200 + n, {}, "failed", reason=f"{n} {'long ' * 200}", runs=("f" * 32,))
        for n in range(20)
    ]
    text = written(WIDE, ["max"], made)
    assert len(text) < 8000
    assert "16 more reasons: `search/trials.csv`" in text


def test_a_search_that_found_nothing_says_so() -> None:
    search = spec({"a": [1, 2]})
    failed = written(search, ["max"], [Trial(0, {"a": 1}, "failed", reason="no `such` thing")])
    assert "No trial finished and held every constraint." in failed
    assert "best.yaml" not in failed
    assert "`no 'such' thing`" in failed
    own = written(search, ["max"], [Trial(0, {"a": 1}, "complete", (0.5,))])
    assert "Nothing better was found than trial 0" in own
    assert written(search, ["max"], []).startswith("**0 trials")


def test_the_table_is_one_in_markdown() -> None:
    lines = written(spec(), ["max"], trials(spec())).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("|"))
    assert lines[first + 1] == "| --- | ---: | ---: |"
    assert not lines[first - 1]


@pytest.mark.parametrize(("count", "more"), [(10, ""), (11, ", …")])
@pytest.mark.parametrize(("length", "shown"), [(160, "x" * 160), (161, "x" * 159 + "…")])
def test_failures_are_named_as_far_as_there_is_room(count, more, length, shown) -> None:
    made = [Trial(index, {}, "failed", reason="x" * length) for index in range(count)]
    text = written(spec(), ["max"], made)
    assert f"- Failed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9{more}: `{shown}`\n" in text


def test_a_table_cell_cannot_end_early() -> None:
    search = spec({"a": ["x|y", "z"]})
    text = written(search, ["max"], [Trial(0, {"a": "x|y"}, "complete", (0.5,))])
    assert "| `a` | `x\\|y` |" in text


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        ("/home/me/a study.log", "'/home/me/a study.log'"),
        ("postgresql://me:secret@host:5432/db", "'postgresql://me:***@host:5432/db'"),
        ("postgresql+psycopg://me:se/cr@et@host/db", "'postgresql+psycopg://me:***@host/db'"),
        ("postgresql://:secret@host/db", "'postgresql://:***@host/db'"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        (
            "postgresql:///db?host=/run&user=me&password=secret&x=1",
            "'postgresql:///db?host=/run&user=me&password=***&x=1'",
        ),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
    ],
)
def test_passwords_are_masked(storage, shown) -> None:
    text = written(spec(), ["max"], trials(spec()), storage)
    assert f"`optuna-dashboard {shown}`" in text
    assert "secret" not in text
    assert "se/cr" not in text
    assert masked(masked(storage)) == masked(storage)
