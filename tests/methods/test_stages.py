"""What an answer costs, by a clock that counts the images that pass through the network."""

import pytest

from hardy.data.view_spec import AugMix
from hardy.methods.base import outcome_of, outcomes_of
from hardy.methods.ensemble.spec import EnsembleSpec, Member
from hardy.methods.evaluate.spec import SourceSpec
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.optim_spec import Sgd
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec
from tests.contracts.method import build_method, small_model, some_subject, some_views
from tests.methods.test_ensemble import subject

FEW = AugMix(count=6)
MEMO = MemoSpec(views=FEW, select=0.5, optimizer=Sgd(lr=0.1), bn_prior=None, steps=2)
PREPARED = {"read": 100.0, "image": 200.0, "views": 1000.0, "views.0": 400.0}


@pytest.fixture
def model(monkeypatch):
    passed = 0.0

    def count(_, inputs):
        nonlocal passed
        passed += len(inputs[0])

    made = small_model()
    made.network.register_forward_pre_hook(count)
    monkeypatch.setattr("hardy.methods.stages.perf_counter", lambda: passed / 1000)
    return made


def costs(spec, model, seen):
    found = outcome_of(build_method(spec, model), seen).costs(PREPARED)
    return {name: pytest.approx(cost) for name, cost in found.items()}


def test_the_source_needs_one_pass_and_memo_all_but_that(model):
    # Two steps on 3 of 6 views: all views once, the chosen ones again for each step, the answer.
    assert costs(MEMO, model, some_subject()) == {
        "source": 301,
        "view_ensemble": 1006,
        "majority_vote": 1006,
        "memo": 1006 + 3 + 3 + 1,
    }


def test_an_ensemble_of_views_needs_no_pass_of_the_source(model):
    found = costs(ViewEnsembleSpec(views=FEW), model, some_subject())
    assert found == {"source": 301, "majority_vote": 1006, "view_ensemble": 1006}
    assert costs(SourceSpec(), model, some_subject()) == {"source": 301}


def test_images_that_are_answered_together_share_the_time_evenly(model):
    source = build_method(SourceSpec(), model)
    found = [outcome.milliseconds for outcome in outcomes_of(source, some_views(6))]
    assert found == [{"predict": pytest.approx(1)}] * 6


def test_each_member_of_an_ensemble_has_its_own_cost(monkeypatch, model):
    monkeypatch.setattr("copy.deepcopy", lambda one: one)  # the members' passes are counted too
    members = (
        Member(name="a", method=MEMO),
        Member(name="b", method=ViewEnsembleSpec(views=FEW)),
    )
    found = costs(EnsembleSpec(members=members, steps=1), model, subject())
    read, views = PREPARED["read"], PREPARED["views.0"]
    assert found["source"] == 301
    assert found["a"] == read + views + 6 + 3 + 3 + 1
    assert found["b"] == read + views + 6
    pool = (6 + 3) + (1 + 6)  # the frozen member is asked for all its answers
    assert found["simple_ensemble"] == read + views + pool
    assert found["ensemble"] == read + views + pool + 1


def test_a_stage_whose_time_is_unknown_leaves_the_answer_without_a_cost(model):
    outcome = outcome_of(build_method(MEMO, model), some_subject())
    assert set(outcome.costs({"read": 1.0, "image": 1.0})) == {"source"}
