import json
import threading

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from hardy.core.errors import RegistryError, TrackingError
from hardy.registry import promote as module
from hardy.registry.promote import demote, last_step, promote, prune
from hardy.registry.versions import find
from hardy.tracking.store import connect
from tests.registry.helpers import POLICY

pytestmark = pytest.mark.usefixtures("stub_package")


def state(shelf) -> tuple:
    versions = shelf.client.search_model_versions("name='tiny'")
    tags = shelf.client.get_registered_model("tiny").tags
    return shelf.aliases(), tags, sorted((v.version, sorted(v.tags.items())) for v in versions)


def fail_the_first(monkeypatch, method: str, *, carried_out: bool) -> None:
    """Let the first call of a client's method fail, done or not."""
    real, calls = getattr(MlflowClient, method), []

    def fail_once(*args, **kwargs):
        calls.append(args)
        if len(calls) > 1:
            return real(*args, **kwargs)
        if carried_out:
            real(*args, **kwargs)
        raise MlflowException("the line went dead")

    monkeypatch.setattr(MlflowClient, method, fail_once)


def test_the_first_version_becomes_champion(shelf):
    shelf.add(20)
    verdict = promote(POLICY)
    assert verdict.promoted
    assert shelf.aliases() == {"champion": "1"}
    assert shelf.tags("1")["hardy.replaced"] == "none"
    assert json.loads(shelf.tags("1")["hardy.verdict"])["promoted"] is True


def test_a_better_version_takes_over_and_names_whom_it_replaced(shelf):
    shelf.add(20)
    promote(POLICY)
    shelf.add(30)
    assert promote(POLICY).promoted
    assert shelf.aliases() == {"champion": "2"}
    assert shelf.tags("2")["hardy.replaced"] == "1"


def test_a_version_that_is_not_better_becomes_challenger(shelf):
    for right in (20, 22):
        shelf.add(right)
        verdict = promote(POLICY)
    assert not verdict.promoted
    assert shelf.aliases() == {"champion": "1", "challenger": "2"}
    kept = json.loads(shelf.tags("2")["hardy.verdict"])
    assert [gate["passed"] for gate in kept["gates"]] == [True, False]
    assert "2 of 40 samples turned right, 0 wrong" in kept["gates"][1]["reason"]


def test_a_challenger_that_wins_is_challenger_no_more(shelf):
    shelf.add(20)
    promote(POLICY)
    shelf.add(22)
    promote(POLICY)
    lenient = POLICY.model_copy(update={"gates": POLICY.gates[:1]})
    assert promote(lenient, "2").promoted
    assert shelf.aliases() == {"champion": "2"}


def test_a_dry_run_and_the_champion_itself_change_nothing(shelf):
    shelf.add(20)
    before = state(shelf)
    verdict = promote(POLICY, dry_run=True)
    assert verdict.passed
    assert not verdict.promoted
    assert state(shelf) == before
    promote(POLICY)
    before = state(shelf)
    assert promote(POLICY).is_holder
    assert state(shelf) == before


@pytest.mark.parametrize(
    "method",
    [
        "set_registered_model_alias",
        "set_registered_model_tag",
        "set_model_version_tag",
        "delete_registered_model_alias",
    ],
)
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_failed_promotion_changes_nothing(shelf, monkeypatch, method, carried_out):
    shelf.add(20)
    promote(POLICY)
    shelf.add(30)
    shelf.client.set_registered_model_alias("tiny", "challenger", "2")
    before = state(shelf)
    fail_the_first(monkeypatch, method, carried_out=carried_out)
    with pytest.raises(TrackingError, match="the line went dead"):
        promote(POLICY)
    assert state(shelf) == before


def test_undo_gives_the_alias_back_step_by_step(shelf):
    for right in (10, 20, 30):
        shelf.add(right)
        assert promote(POLICY).promoted
    step = last_step(POLICY)
    assert (step.holder, step.back_to) == ("3", "2")
    assert shelf.aliases() == {"champion": "3"}
    assert demote(POLICY, step) == step
    assert shelf.aliases() == {"champion": "2"}
    assert json.loads(shelf.tags("3")["hardy.demoted"])["back_to"] == "2"
    assert demote(POLICY).back_to == "1"
    assert demote(POLICY).back_to is None
    assert shelf.aliases() == {}
    with pytest.raises(RegistryError, match="no alias 'champion'"):
        demote(POLICY)


LENIENT = POLICY.model_copy(update={"gates": POLICY.gates[:1]})


def test_undo_goes_back_through_a_version_that_held_the_alias_twice(shelf):
    for right in (30, 20):
        shelf.add(right)
    # As by a policy whose metric was another one for a while.
    shelf.client.set_registered_model_tag(
        "tiny", "hardy.history.champion", '["none", "1", "2", "1", "2"]'
    )
    shelf.client.set_registered_model_alias("tiny", "champion", "2")
    assert [demote(LENIENT).back_to for _ in range(4)] == ["1", "2", "1", None]
    assert shelf.aliases() == {}


def test_each_alias_has_its_own_way_back(shelf):
    other = LENIENT.model_copy(update={"alias": "fast"})
    for right in (10, 20, 30):
        shelf.add(right)
    for number in ("1", "2", "3"):
        promote(LENIENT, number)
    for number in ("1", "3"):
        promote(other, number)
    assert [demote(LENIENT).back_to for _ in range(2)] == ["2", "1"]
    assert demote(other).back_to == "1"
    assert shelf.aliases() == {"champion": "1", "fast": "1"}


def test_a_new_promotion_after_an_undo_goes_on_from_there(shelf):
    for right in (10, 20, 30):
        shelf.add(right)
    for number in ("1", "2"):
        promote(LENIENT, number)
    demote(LENIENT)
    promote(LENIENT, "3")
    assert [demote(LENIENT).back_to for _ in range(2)] == ["1", None]


def test_undo_of_an_alias_that_was_moved_by_hand(shelf):
    for right in (10, 20, 30, 35):
        shelf.add(right)
    for number in ("1", "2", "3"):
        promote(LENIENT, number)
    shelf.client.set_registered_model_alias("tiny", "champion", "2")  # in MLflow's pages
    assert demote(LENIENT).back_to == "1"
    shelf.client.set_registered_model_alias("tiny", "champion", "3")
    promote(LENIENT, "4")
    assert demote(LENIENT).back_to == "3"
    with pytest.raises(RegistryError, match=r"version 3 .* does not say whom it replaced"):
        demote(LENIENT)


def test_a_model_of_before_goes_back_by_its_versions_tags(shelf):
    for right in (10, 20, 30):
        shelf.add(right)
        promote(POLICY)
    shelf.client.delete_registered_model_tag("tiny", "hardy.history.champion")
    assert [demote(POLICY).back_to for _ in range(3)] == ["2", "1", None]


def test_undo_of_what_was_not_agreed_to_changes_nothing(shelf):
    for right in (10, 20):
        shelf.add(right)
        promote(POLICY)
    agreed = last_step(POLICY)
    shelf.add(30)
    promote(POLICY)
    before = state(shelf)
    with pytest.raises(RegistryError, match="moved in the meantime"):
        demote(POLICY, agreed)
    assert state(shelf) == before


@pytest.mark.parametrize(
    "method",
    [
        "set_registered_model_alias",
        "set_registered_model_tag",
        "set_model_version_tag",
        "delete_model_version_tag",
    ],
)
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_failed_undo_changes_nothing(shelf, monkeypatch, method, carried_out):
    for right in (10, 20):
        shelf.add(right)
        promote(POLICY)
    before = state(shelf)
    fail_the_first(monkeypatch, method, carried_out=carried_out)
    with pytest.raises(TrackingError, match="the line went dead"):
        demote(POLICY)
    assert state(shelf) == before


def test_undo_passes_over_deleted_versions(shelf):
    for right in (10, 20, 30):
        shelf.add(right)
        promote(POLICY)
    shelf.client.delete_model_version("tiny", "2")
    step = demote(POLICY)
    assert (step.back_to, step.deleted) == ("1", ("2",))
    assert demote(POLICY).back_to is None


def test_undo_needs_to_know_who_was_replaced(shelf):
    shelf.add(10)
    shelf.client.set_registered_model_alias("tiny", "champion", "1")
    with pytest.raises(RegistryError, match="does not say whom it replaced"):
        demote(POLICY)


def test_undo_to_a_deleted_version_says_so(shelf):
    for right in (10, 20):
        shelf.add(right)
        promote(POLICY)
    shelf.client.delete_model_version("tiny", "1")
    with pytest.raises(RegistryError, match=r"version 1 .* was deleted"):
        demote(POLICY)
    assert shelf.aliases() == {"champion": "2"}


def test_prune_keeps_aliases_the_way_back_and_the_newest(shelf):
    for right in (10, 20):
        shelf.add(right)
        promote(POLICY)
    for right in (21, 22, 23, 24):
        shelf.add(right)
    promote(POLICY)  # 6 loses: challenger
    assert prune(POLICY.model_copy(update={"keep": 2})) == ["3"]
    held = {str(v.version) for v in shelf.client.search_model_versions("name='tiny'")}
    assert held == {"1", "2", "4", "5", "6"}


def test_two_promoters_at_once_leave_the_best(shelf):
    for right in (10, 20, 30):
        shelf.add(right)
    promote(POLICY, "1")
    gate, failures = threading.Barrier(2), []

    def race(version: str) -> None:
        gate.wait()
        try:
            promote(POLICY, version)
        except BaseException as error:
            failures.append(error)

    for _ in range(3):
        shelf.client.set_registered_model_alias("tiny", "champion", "1")
        threads = [threading.Thread(target=race, args=(v,)) for v in ("2", "3")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert shelf.aliases()["champion"] == "3"


def test_a_promoter_on_another_machine_is_noticed(shelf, monkeypatch):
    """Without the shared lock: the alias moves between the judgement and its effect."""
    for right in (10, 20, 30):
        shelf.add(right)
    promote(POLICY, "1")
    real, judged = module.judge, []

    def judge_slowly(*args):
        verdict = real(*args)
        if not judged:
            shelf.client.set_registered_model_alias("tiny", "champion", "3")
        judged.append(verdict)
        return verdict

    monkeypatch.setattr(module, "judge", judge_slowly)
    verdict = promote(POLICY, "2")
    assert [v.passed for v in judged] == [True, False]
    assert not verdict.promoted
    assert shelf.aliases()["champion"] == "3"


def test_aliases_that_never_hold_still_are_an_error(shelf, monkeypatch):
    for right in (10, 20):
        shelf.add(right)
    real, numbers = module.judge, iter("12" * 10)

    def judge_slowly(*args):
        verdict = real(*args)
        shelf.client.set_registered_model_alias("tiny", "champion", next(numbers))
        return verdict

    monkeypatch.setattr(module, "judge", judge_slowly)
    with pytest.raises(RegistryError, match="change faster"):
        promote(POLICY, "2")


def test_unknown_names_are_met_with_near_ones(shelf):
    with pytest.raises(RegistryError, match="no registered model 'tiny'"):
        promote(POLICY)
    shelf.add(10)
    promote(POLICY)
    with pytest.raises(RegistryError, match="no version '9'") as caught:
        promote(POLICY, "9")
    assert "Versions: 1." in caught.value.hint
    with pytest.raises(RegistryError, match="no alias 'champoin'") as caught:
        promote(POLICY, "champoin")
    assert caught.value.hint == "Did you mean 'champion'?"
    with pytest.raises(RegistryError, match="no registered model 'tinny'") as caught:
        promote(POLICY.model_copy(update={"model": "tinny"}))
    assert caught.value.hint == "Did you mean 'tiny'?"


def test_a_model_that_a_policy_names_says_who_registers_it(store, tmp_path, monkeypatch):
    for name in ("experiments", "registry"):
        (tmp_path / name).mkdir()
    (tmp_path / "MLproject").touch()
    text = "model: small\ncandidates: {experiments: [train/*], dataset: shapes}\n"
    (tmp_path / "registry" / "any.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryError, match="no registered model 'small'") as caught:
        find(connect(), "small")
    assert caught.value.hint == "A run of train/* registers it: start one with `hardy run`."


def test_a_version_that_the_policy_does_not_take_may_not_compete(shelf):
    shelf.add(20)
    taken = POLICY.candidates
    for wrong, said in (
        ({"experiments": ("other/*",)}, "version 1 may not compete: experiment 'try/one' is no"),
        ({"dataset": "folder"}, "was measured on imagenet-sample, 'tiny' compares on folder"),
    ):
        rules = POLICY.model_copy(update={"candidates": taken.model_copy(update=wrong)})
        before = state(shelf)
        with pytest.raises(RegistryError, match=said):
            promote(rules)
        with pytest.raises(RegistryError, match=said):
            promote(rules, dry_run=True)
        assert state(shelf) == before
    assert promote(POLICY).promoted


def test_a_broken_policy_of_another_model_is_no_hindrance(shelf, tmp_path, monkeypatch):
    (tmp_path / "MLproject").touch()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "broken.yaml").write_text("model: [\n")
    text = "model: absent\ncandidates: {experiments: [try/it], dataset: imagenet-sample}\n"
    (tmp_path / "registry" / "zoo.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    shelf.add(20)
    assert promote(POLICY).promoted
    with pytest.raises(RegistryError) as caught:
        promote(POLICY.model_copy(update={"model": "absent"}))
    assert caught.value.hint.startswith("A run of try/it registers it")
