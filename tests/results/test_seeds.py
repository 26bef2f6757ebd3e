"""What runs of several seeds come to together."""

import csv
from statistics import mean, stdev
from types import SimpleNamespace

import pytest

from hardy.results.report import parent_report
from hardy.results.seeds import over_seeds
from hardy.results.table import tables
from tests.results.test_table import CLASSIFY, DENSE, unit

# Of Student's law with two degrees of freedom, from a printed table.
T_2 = 4.303
HEADLINE = DENSE.headline


def seeded(name, task, skills, **changes):
    made = []
    for seed, skill in enumerate(skills):
        one = unit(f"{name}/{seed}", task, skill)
        experiment = one.experiment.model_copy(update={"seed": seed, **changes})
        one.experiment = experiment
        made.append(one)
    return made


def resolved(**parts):
    found = [
        SimpleNamespace(
            name=name, units=[SimpleNamespace(experiment=each.experiment) for each in own]
        )
        for name, own in parts.items()
    ]
    return SimpleNamespace(name="suite", experiments=found)


def test_the_mean_and_its_interval_are_students():
    own = seeded("a", DENSE, (0.3, 0.5, 0.7))
    (found,) = [each for each in over_seeds(resolved(a=own), own) if each.metric == HEADLINE]
    values = [each.metrics[HEADLINE] for each in own]
    half = T_2 * stdev(values) / 3**0.5
    assert (found.name, found.answer, found.runs) == ("a", "memo", 3)
    assert found.mean == pytest.approx(mean(values))
    assert found.sd == pytest.approx(stdev(values))
    assert (found.low, found.high) == pytest.approx(
        (mean(values) - half, mean(values) + half), 1e-3
    )


def test_runs_that_differ_otherwise_have_no_mean():
    one, two = seeded("a", DENSE, (0.3,)), seeded("b", DENSE, (0.5, 0.6))
    two[1].experiment = two[1].experiment.model_copy(
        update={"compute": two[1].experiment.compute.model_copy(update={"threads": 1})}
    )
    assert not list(over_seeds(resolved(a=one, b=two), [*one, *two]))


def test_a_table_and_a_file_say_it():
    first, second = seeded("a", CLASSIFY, (0.2, 0.4, 0.6)), seeded("b", DENSE, (0.3, 0.5))
    suite = resolved(a=first, b=second)
    told = [line for each in tables(suite, [*first, *second]) for line in each.lines]
    mine = [line for line in told if "by Student's t" in line]
    assert mine[0].startswith("accuracy over 3 seeds: mean ")
    assert " % " in mine[0]
    assert mine[1].startswith(f"{HEADLINE} over 2 seeds: mean ")
    content = dict(parent_report(suite, [*first, *second]))["report/seeds.csv"]
    rows = list(csv.DictReader(content.splitlines()))
    assert {(row["name"], row["runs"]) for row in rows} == {("a", "3"), ("b", "2")}
    assert {"accuracy", *DENSE.tabled} <= {row["metric"] for row in rows}
