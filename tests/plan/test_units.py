"""Plans: what is reused, what must run first, and how often anything is asked."""

from dataclasses import replace

import pytest

from hardy.methods.source.spec import SourceSpec
from hardy.plan.tracker import PastRun
from hardy.plan.units import OWN_WEIGHTS as OWN
from hardy.spec import Unit
from tests.plan.helpers import Asked, Shelf, experiment, finished, resolved


def chain() -> tuple[Unit, Unit, Unit]:
    """Three units, each beginning with the weights of the one before."""
    first = Unit(experiment(name="first"))
    second = Unit(experiment(name="second", seed=1), needs={OWN: first})
    return first, second, Unit(experiment(name="third", seed=2), needs={OWN: second})


def test_a_thousand_units_ask_each_thing_once():
    asked, shelf = Asked(), Shelf()
    units = [Unit(experiment(seed=seed)) for seed in range(1000)]
    plan = asked.plan(resolved(*units), shelf)
    assert len({unit.fingerprint for unit in plan.units}) == 1000
    assert (len(asked.data), len(asked.models), shelf.searches) == (1, 1, 1)


def test_finished_runs_are_reused_and_unfinished_ones_go_on():
    units = [Unit(experiment(seed=seed)) for seed in range(3)]
    marks = [u.fingerprint for u in Asked().plan(resolved(*units)).units]
    unfinished = PastRun("r2", "plain", finished=False)
    shelf = Shelf({marks[0]: finished(), marks[1]: unfinished})
    plan = Asked().plan(resolved(*units), shelf)
    assert [u.reusable for u in plan.units] == [True, False, False]
    assert [u.past.run_id if u.past else None for u in plan.units] == ["r1", "r2", None]
    again = Asked().plan(resolved(*units), shelf, again=True)
    assert [u.past.run_id if u.past else None for u in again.units] == [None, "r2", None]


def test_what_is_needed_runs_first_and_once():
    first, second, third = chain()
    twin = replace(third, experiment=experiment(name="twin", seed=3))
    plan = Asked().plan(resolved(third, twin), Shelf())
    assert [u.unit.experiment.name for u in plan.needed] == ["first", "second"]
    assert [u.unit for u in plan.needed] == [first, second]
    assert plan.units[0].needs[OWN] is plan.units[1].needs[OWN] is plan.needed[1]
    assert plan.units[0].weights == f"run:{plan.needed[1].fingerprint}"


def test_a_finished_source_is_not_run_again_even_with_again():
    *_, third = chain()
    fresh = Asked().plan(resolved(third))
    shelf = Shelf({fresh.needed[1].fingerprint: finished("r2")})
    for again in (False, True):
        plan = Asked().plan(resolved(third), shelf, again=again)
        assert plan.needed == ()
        assert plan.units[0].needs[OWN].past.run_id == "r2"


def test_a_finished_unit_needs_nothing_to_run_first():
    *_, third = chain()
    fresh = Asked().plan(resolved(third))
    shelf = Shelf({fresh.units[0].fingerprint: finished()})
    assert Asked().plan(resolved(third), shelf).needed == ()


def test_another_source_gives_another_fingerprint():
    first, *_, third = chain()
    other = replace(first, experiment=experiment(name="first", seed=9))
    changed = replace(third, needs={OWN: replace(third.needs[OWN], needs={OWN: other})})
    plans = [Asked().plan(resolved(unit)) for unit in (third, changed)]
    assert plans[0].units[0].fingerprint != plans[1].units[0].fingerprint


@pytest.mark.parametrize("name", ["first", "renamed"])
def test_the_source_s_name_is_outside_the_fingerprint(name):
    first, *_, third = chain()
    renamed = replace(first, experiment=experiment(name=name))
    changed = replace(third, needs={OWN: replace(third.needs[OWN], needs={OWN: renamed})})
    plans = [Asked().plan(resolved(unit)) for unit in (third, changed)]
    assert plans[0].fingerprint == plans[1].fingerprint


def test_no_method_yields_weights_unless_it_says_so():
    assert not SourceSpec.yields_weights
