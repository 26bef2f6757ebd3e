"""A search's trials as CSV and in the terminal."""

import csv
import json
import random
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from hardy.cli import run
from hardy.results.search.table import table, trials_csv
from hardy.results.search.trial import Trial
from hardy.results.search.words import saving, short_paths
from hardy.spec.scalars import read_scalar
from tests.results.search.examples import TWO, WIDE, spec, trials

NAN = float("nan")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_the_csv_says_all_of_every_trial() -> None:
    made = trials(TWO)
    rows = rows_of(trials_csv(TWO, made))
    assert len(rows) == len(made)
    for row, trial in zip(rows, made, strict=True):
        assert (row["index"], row["state"]) == (str(trial.index), trial.state)
        for path in TWO.space:
            if path not in trial.values:
                assert row[path] == ""
            elif path == "method.views.chain":
                assert json.loads(row[path]) in [["flip"], ["flip", "crop"], None]
            else:
                assert read_scalar(row[path]) == trial.values[path]
        names = ("accuracy", "accuracy.low", "accuracy.high", "ece", "ece.low", "ece.high")
        done = trial.state == "complete"
        wanted = (
            [
                trial.objectives[0],
                *trial.intervals[0],
                trial.objectives[1],
                *trial.intervals[1],
            ]
            if done
            else []
        )
        assert [float(row[name]) for name in names if row[name]] == wanted
        missed = row["missed: seconds_per_sample at most 0.5"]
        assert [missed] == ([repr(trial.constraints[0])] if done else [""])
        assert row["feasible"] == str(trial.feasible).lower()
        assert (int(row["samples"]), float(row["seconds"])) == (trial.samples, trial.seconds)
        assert (row["runs"], row["reason"]) == (" ".join(trial.runs), trial.reason)


def test_the_same_trials_give_the_same_bytes() -> None:
    made = trials(TWO)
    again = [Trial(**{**vars(trial), "values": dict(trial.values)}) for trial in made]
    assert trials_csv(TWO, made) == trials_csv(TWO, again)


def test_values_stand_in_the_csv_as_a_spec_has_them() -> None:
    search = spec({"a": ["true", True, None, "null", 1, "é,\n"], "b": [[1, 2], "[1, 2, 3]"]})
    texts = {
        row["a"]: row["b"]
        for row in rows_of(
            trials_csv(
                search,
                [
                    Trial(n, {"a": a, "b": b}, "running")
                    for n, (a, b) in enumerate(
                        zip(search.space["a"].labels, ["[1, 2]", "[1, 2, 3]"] * 3, strict=True)
                    )
                ],
            )
        )
    }
    assert list(texts) == ["'true'", "true", "null", "'null'", "1", '"é,\\n"']
    assert list(texts.values())[:2] == ["[1, 2]", "'[1, 2, 3]'"]


def test_what_is_not_known_is_empty() -> None:
    search = spec({"a": [1, 2]})
    made = [
        Trial(0, {"a": 1}, "complete", (0.25,), ((NAN, NAN),)),
        Trial(1, {}, "failed", reason="two\nlines, and a comma"),
        Trial(2, {"a": 2}, "complete", (0.5,)),
    ]
    frame = pd.read_csv(StringIO(trials_csv(search, made)))
    assert frame["accuracy"].tolist()[::2] == [0.25, 0.5]
    assert frame["accuracy.low"].isna().all()
    assert frame["reason"][1] == "two lines, and a comma"


def printed(found) -> list[str]:
    console = Console(width=80, file=StringIO(), force_terminal=False)
    run._print_table(console, found)
    return console.file.getvalue().splitlines()


def test_the_ten_best_and_trial_0_are_shown() -> None:
    search = spec()
    made = trials(search)
    found = table("search/memo", search, ["max"], made)
    best = sorted((t for t in made if t.feasible), key=lambda t: -t.objectives[0])[:10]
    assert 0 not in [trial.index for trial in best]
    assert [row[0] for row in found.rows] == [*(str(t.index) for t in best), "0 (spec)"]
    assert found.headers[:2] == ("trial", "accuracy")
    assert found.rows[0][1].startswith(f"{best[0].objectives[0]:.4g} [")
    assert found.lines[0] == "40 trials: 29 finished, 7 pruned, 3 failed, 1 still running"
    assert any(line.startswith("pruning saved about 875 samples") for line in found.lines)


@pytest.mark.parametrize(
    ("search", "directions"), [(spec(), ["max"]), (WIDE, ["max"]), (TWO, ["max", "min"])]
)
def test_eighty_columns_hold_it(search, directions) -> None:
    found = table("search/memo", search, directions, trials(search))
    lines = printed(found)
    width = max(map(len, lines[: len(found.rows) + 4]))
    assert width <= 80
    below = "\n".join(lines)
    for header in found.headers:
        assert header in below
    for cell in (cell for row in found.rows for cell in row):
        assert cell in below
    short = short_paths(search.space)
    left_out = [path for path in search.space if short[path] not in found.headers]
    assert all(path in below for path in left_out[:6])
    assert (f" and {len(left_out) - 6} more" in below) == (len(left_out) > 6)


def test_room_is_used() -> None:
    search = spec({f"a.x{n}": {"kind": "int", "low": 0, "high": 9} for n in range(30)})
    found = table("wide", search, ["max"], trials(search))
    assert 75 < len(printed(found)[3]) <= 80  # the next one takes 5
    shown = len(found.headers) - 2
    assert 5 < shown < 30
    assert found.lines[-1].startswith(f"no room for a.x{shown}, ")


@pytest.mark.parametrize(("length", "shown"), [(57, True), (58, False)])
def test_a_path_that_just_fits_is_shown(length, shown) -> None:
    """The others take ten columns each, with their padding and what parts them."""
    path = f"a.{'x' * length}"
    search = spec({path: [1, 2]})
    found = table("wide", search, ["max"], [Trial(0, {path: 1}, "complete", (0.5,))])
    assert found.headers == ("trial", "accuracy", *([path[2:]] if shown else []))
    assert max(map(len, printed(found)[1:5])) == (80 if shown else 21)


def test_trials_that_miss_a_constraint_come_last() -> None:
    search = spec({"a": [1, 2]}, constraints=[{"metric": "ece", "at_most": 0.1}])
    made = [
        Trial(0, {"a": 1}, "complete", (0.9,), constraints=(0.2,)),
        Trial(1, {"a": 1}, "complete", (0.5,), constraints=(0.0,)),
        Trial(2, {"a": 1}, "complete", (0.9,), constraints=(0.1,)),
    ]
    found = table("a", search, ["max"], made)
    assert [(row[0], row[2]) for row in found.rows] == [
        ("1", "yes"),
        ("2", "no"),
        ("0 (spec)", "no"),
    ]
    assert "3 finished (2 miss a constraint)" in found.lines[0]


def test_a_search_without_a_finished_trial_has_a_table() -> None:
    search = spec({"a": [1, 2]})
    for made in ([], [Trial(0, {"a": 1}, "failed", reason="broken")], [Trial(0, {}, "running")]):
        found = table("a", search, ["max"], made)
        assert [row[1] for row in found.rows] == [trial.state for trial in made]
        assert "no trial finished and held every constraint" in found.lines
        printed(found)


def test_that_nothing_better_was_found_is_said() -> None:
    search = spec({"a": [1, 2]})
    made = [Trial(0, {"a": 1}, "complete", (0.9,)), Trial(1, {"a": 2}, "complete", (0.9,))]
    lines = table("a", search, ["max"], made).lines
    assert "nothing better was found than trial 0, the spec's own values" in lines
    lines = table("a", search, ["min"], [*made, Trial(2, {"a": 2}, "complete", (0.8,))]).lines
    assert not any("nothing better" in line for line in lines)


def test_what_pruning_saved_is_counted() -> None:
    def made(state: str, samples: int, seconds: float) -> Trial:
        return Trial(0, {}, state, samples=samples, seconds=seconds)

    whole = [made("complete", 100, 10.0), made("complete", 100, 20.0), made("complete", 100, 0.0)]
    assert saving(whole) is None
    assert saving([made("pruned", 10, 1.0)]) is None
    found = saving(
        [*whole, made("pruned", 30, 4.0), made("pruned", 90, 12.0), made("failed", 5, 1)]
    )
    assert (found.pruned, found.samples, found.seconds) == (2, 80, 6.0)
    assert found.share == pytest.approx(80 / (300 + 30 + 90 + 5 + 80))


def test_short_paths_are_ends_that_tell_apart() -> None:
    draw = random.Random(0)
    names = sorted({".".join(draw.choices("abc", k=draw.randint(1, 4))) for _ in range(30)})
    names = [a for a in names if not any(b.endswith(f".{a}") for b in names)]
    found = short_paths(names)
    assert len(set(found.values())) == len(names) > 5
    for path, short in found.items():
        assert path == short or path.endswith(f".{short}")
    assert short_paths(["method.lr", "method.a.lr", "b"]) == {
        "method.lr": "method.lr",
        "method.a.lr": "a.lr",
        "b": "b",
    }
    assert short_paths(["lr", "method.lr"]) == {"lr": "lr", "method.lr": "method.lr"}
