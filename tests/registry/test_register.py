from types import SimpleNamespace

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from hardy.core.errors import ArtifactAbsent, RegistryError, TrackingError
from hardy.data.spec import Corruption, DataSpec
from hardy.methods.base_spec import HeldOut
from hardy.methods.evaluate.spec import SourceSpec
from hardy.models.reference import WeightsRef
from hardy.registry.register import (
    _built_and_registered,
    _fitted,
    _model,
    _weights,
    join_evidence,
    known,
    register,
)
from hardy.registry.versions import evidence, find
from tests.registry.helpers import MODEL, POLICY, TASK, experiment, records, result

pytestmark = pytest.mark.usefixtures("stub_package")


def test_a_version_says_what_it_is(shelf):
    registered = shelf.add(10)
    tags = shelf.tags(registered.version)
    assert tags["hardy.metric.accuracy"] == "0.25"
    assert tags["hardy.metric.samples"] == "40"
    assert tags["hardy.method"] == "memo"
    assert tags["hardy.data_digest"] == "d" * 32
    assert len(tags["hardy.fingerprint"]) == 32
    assert len(tags["hardy.weights_sha256"]) == 64
    assert shelf.client.get_registered_model("tiny").aliases == {}


def test_the_evidence_comes_back_as_it_was(shelf):
    version = find(shelf.client, "tiny", shelf.add(10).version)
    kept = evidence(shelf.client, version)
    assert kept.main == "memo"
    pd.testing.assert_frame_equal(
        kept.frame.drop(columns="data_digest"), records(10), check_dtype=False
    )


def test_the_same_runs_make_one_version(shelf):
    first, again, other = shelf.add(10), shelf.add(10), shelf.add(11)
    assert (first.reused, again.reused, other.reused) == (False, True, False)
    assert (first.version, again.version, other.version) == ("1", "1", "2")
    assert known([result(records(11), f"{11:032}")], POLICY).version == "2"
    assert known([result(records(12), f"{12:032}")], POLICY) is None


def test_the_order_of_units_does_not_matter(shelf):
    fog = experiment(data=DataSpec(dataset="imagenet-sample", shift=Corruption(kind="fog")))
    units = [
        result(records(5), "a"),
        result(records(6).assign(shift="fog-3"), "b", fog, digest="e" * 32),
    ]
    for ordered in (units, units[::-1]):
        register(ordered, shelf.model, TASK, POLICY, run_id=shelf.run())
    assert len(shelf.client.search_model_versions("name='tiny'")) == 1
    assert shelf.tags("1")["hardy.metric.samples"] == "80"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "other/one"}, "is no candidate of 'tiny'"),
        ({"data": DataSpec(dataset="folder")}, "was measured on folder"),
    ],
)
def test_who_may_not_compete_is_told_why(shelf, changes, reason):
    with pytest.raises(RegistryError, match=reason):
        shelf.add(10, exp=experiment(**changes))
    assert shelf.client.search_registered_models() == []


def test_one_version_is_one_method(shelf):
    units = [result(records(5), "a"), result(records(5), "b", experiment(method=SourceSpec()))]
    with pytest.raises(RegistryError, match="differ in method"):
        register(units, shelf.model, TASK, POLICY, run_id=shelf.run())


def test_samples_recorded_twice_are_refused():
    with pytest.raises(RegistryError, match="40 samples were recorded twice"):
        join_evidence([result(records(5), "a"), result(records(6), "b")])


@pytest.mark.parametrize("method", ["create_model_version", "log_outputs", "log_model_artifacts"])
def test_a_failure_leaves_nothing(shelf, monkeypatch, method):
    from mlflow import MlflowClient

    def fail(*_, **__):
        raise MlflowException("the disk is full")

    monkeypatch.setattr(MlflowClient, method, fail)
    with pytest.raises(TrackingError, match="the disk is full"):
        shelf.add(10)
    monkeypatch.undo()
    assert shelf.client.search_model_versions("name='tiny'") == []
    experiments = [e.experiment_id for e in shelf.client.search_experiments()]
    assert list(shelf.client.search_logged_models(experiments)) == []


HALF = DataSpec.model_validate(
    {
        "dataset": "imagenet-sample",
        "partition": {"fractions": {"fit": 0.5, "test": 0.5}, "part": "test"},
    }
)


class Trained(SourceSpec):
    """Stands in for a method that trains a network on samples of its own."""

    yields_weights = True

    def roles(self):
        return {"answer": None, "fit": HeldOut(part="fit")}


def test_several_trainings_are_no_one_version():
    exp = experiment(method=Trained(), data=HALF)
    units = [result(records(5), "a", exp), result(records(6), "b", exp)]
    with pytest.raises(RegistryError, match="2 runs trained 2 models"):
        _built_and_registered(POLICY, units, "r")


def test_a_version_of_a_training_holds_what_its_run_left(tmp_path):
    unit = result(records(5), "a", experiment(method=Trained(), data=HALF))
    unit.store = SimpleNamespace(artifact=lambda run, path: tmp_path / run / path)
    found = _weights(unit, unit.planned)
    assert found.path == tmp_path / "r" / "weights/weights.safetensors"
    assert found.identity == "run:r"


def test_weights_that_nobody_planned_are_not_guessed():
    unit = result(records(5), "a")
    unit.planned = None
    with pytest.raises(RegistryError, match="not known where the weights"):
        _built_and_registered(POLICY, [unit], "r")


def test_what_a_run_left_is_taken_whole_whatever_it_began_with():
    part = WeightsRef.of("file:w", take="encoder", into="blocks", partial=True)
    model = MODEL.model_copy(update={"weights": part})
    assert _model(experiment(model=model)) == model
    trained = _model(experiment(model=model, method=Trained(), data=HALF))
    assert trained == model.model_copy(update={"weights": WeightsRef.of("file:w")})


def test_a_training_from_before_manifests_is_registered_all_the_same():
    def absent(run, path):
        raise ArtifactAbsent(path)

    unit = result(records(5), "a", experiment(method=Trained(), data=HALF))
    unit.store = SimpleNamespace(artifact=absent)
    assert _fitted(unit) is None
    unit.experiment.method.__class__.yields_weights = False
    try:
        with pytest.raises(TrackingError):
            _fitted(unit)
    finally:
        unit.experiment.method.__class__.yields_weights = True


def test_a_store_that_does_not_answer_is_no_training_without_a_manifest():
    def down(run, path):
        message = "the server does not answer"
        raise TrackingError(message)

    unit = result(records(5), "a", experiment(method=Trained(), data=HALF))
    unit.store = SimpleNamespace(artifact=down)
    with pytest.raises(TrackingError, match="does not answer"):
        _fitted(unit)
