"""The facade: references, named experiments, policies, and the round trip through `dump`."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardy.core.errors import SpecError
from hardy.data.spec import CORRUPTIONS, Corruption, DataSpec, Subset
from hardy.data.view_spec import AugMix, Cut
from hardy.methods.memo.spec import MemoSpec
from hardy.models.spec import TimmModel, TorchvisionModel
from hardy.spec import Diagnostics, Experiment, dump, load_policy, named_experiments, resolve

ROOT = Path(__file__).parents[2]
SPEC = "extends: ../base/parts.yaml\nname: other\ndescription: Another.\n"


@pytest.fixture
def named(project: Path) -> Path:
    folder = project / "experiments"
    (folder / "memo").mkdir()
    (folder / "memo" / "resnet.yaml").write_text(SPEC)
    (folder / "suites").mkdir()
    (folder / "suites" / "all.yaml").write_text("suite: []\n")
    (folder / "broken.yaml").write_text("seed: 1\nname: [\n")
    return project


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    "reference",
    ["memo/resnet", "memo/resnet.yaml", "experiments/memo/resnet.yaml", "experiments/memo/resnet"],
)
def test_a_reference_is_a_path_or_a_name(reference: str) -> None:
    resolved = resolve(reference)
    assert resolved.name == "other"
    assert resolved.reference == reference
    assert resolved.path.name == "resnet.yaml"
    assert len(resolved.units) == 1


@pytest.mark.usefixtures("named")
def test_an_absolute_path_is_a_reference(named: Path) -> None:
    assert resolve(str(named / "experiments" / "memo" / "resnet.yaml")).name == "other"


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("reference", ["memo/resnit", "", "\0", "x" * 5000, "..", "memo"])
def test_an_unknown_reference_is_a_spec_error(reference: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(reference)
    assert caught.value.hint
    if reference == "memo/resnit":
        assert caught.value.hint == "Did you mean 'memo/resnet'?"


def test_named_experiments_leave_out_base_and_suites(named: Path) -> None:
    assert named_experiments() == [
        ("broken", "", named / "experiments" / "broken.yaml"),
        ("memo/resnet", "Another.", named / "experiments" / "memo" / "resnet.yaml"),
    ]


def test_a_nested_description_is_not_the_experiment_s(project: Path) -> None:
    text = "data: {description: no}\nlist: [description, no]\ndescription: yes it is\n"
    (project / "experiments" / "a.yaml").write_text(text)
    assert [description for _, description, _ in named_experiments()] == ["yes it is"]


def test_the_quickstart_is_the_documented_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    resolved = resolve("quickstart")
    kinds = ["gaussian_noise", "contrast", "pixelate"]
    assert [u.experiment.name for u in resolved.units] == [f"quickstart/{kind}" for kind in kinds]
    assert [u.choices for u in resolved.units] == [{"data.shift.kind": kind} for kind in kinds]
    shift = resolved.units[0].experiment.data.shift
    assert shift is not None
    assert shift.severity == 3


@pytest.mark.usefixtures("project")
def test_a_policy_is_read() -> None:
    assert load_policy("robust").alias == "champion"


@pytest.mark.usefixtures("project")
def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        load_policy("robus")
    assert caught.value.hint == "Did you mean 'robust'?"


def test_the_faults_of_a_policy_have_their_places(project: Path) -> None:
    (project / "registry" / "bad.yaml").write_text(
        "model: bad\n"
        "candidates: {experiments: [], dataset: imagenet-smaple}\n"
        "metric: {name: acuracy}\n"
        "gates:\n"
        "  - {metric: ecee, at_most: 0.1}\n"
        "  - {metric: ece}\n"
        "  - {better_than: latest, tset: mcnemar}\n"
        "keep: 0\n"
    )
    with pytest.raises(Diagnostics) as caught:
        load_policy("bad")
    assert [(f.line, f.path, f.suggestion.partition(" or ")[0]) for f in caught.value.faults] == [
        (2, "candidates.experiments", ""),
        (2, "candidates.dataset", "imagenet-sample"),
        (3, "metric.name", "accuracy"),
        (5, "gates.0.metric", "ece"),
        (6, "gates.1.metric", ""),
        (7, "gates.2.better_than", ""),
        (7, "gates.2.tset", "test"),
        (8, "keep", ""),
    ]


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30) | st.sampled_from(
    ["1e-3", "on", "0o17", "null", "~", "yes", "12:30", "- a", "a: b", "a #b", " a", "", "a\nb\t"]
)
texts = texts.filter(lambda text: "${" not in text)
counts = st.integers(1, 4096)
small = st.floats(min_value=1e-12, max_value=1.0)
experiments = st.builds(
    Experiment,
    name=st.sampled_from(["a", "1e-3", "0x1f", "a/b.c_d-e", "null", "3"]),
    description=texts,
    data=st.builds(
        DataSpec,
        dataset=st.just("imagenet-sample"),
        root=st.none() | texts,
        subset=st.none() | st.builds(Subset, count=counts, seed=counts),
        shift=st.none()
        | st.builds(Corruption, kind=st.sampled_from(CORRUPTIONS), severity=st.integers(1, 5)),
    ),
    model=st.just(TimmModel(name="resnet50", weights="random"))
    | st.just(TorchvisionModel(name="resnet50", weights="IMAGENET1K_V2")),
    method=st.builds(
        MemoSpec,
        views=st.builds(AugMix, count=counts) | st.builds(Cut, count=counts),
        select=st.just(1.0),
        bn_prior=st.none() | st.floats(0, 1e300),
    ),
    seed=st.integers(0, 2**64),
    expect=st.just(())
    | st.just(({"metric": "ece", "value": 1e-05, "tolerance": 0, "source": "'x': #"},)),
    register=st.none() | st.just("robust"),
)


@given(experiment=experiments)
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_dump_resolves_to_the_same_experiment(project: Path, experiment: Experiment) -> None:
    path = project / "dumped.yaml"
    path.write_text(dump(experiment), encoding="utf-8", newline="\n")
    assert resolve(str(path)).units[0].experiment == experiment


@given(experiment=experiments)
@settings(max_examples=50, deadline=None)
def test_a_dump_means_the_same_to_an_older_reader(experiment: Experiment) -> None:
    assert yaml.safe_load(dump(experiment)) == experiment.model_dump(mode="json", by_alias=True)


def test_origins_cover_what_was_written_and_nothing_else(named: Path) -> None:
    (named / "experiments" / "memo" / "resnet.yaml").write_text(SPEC + "seed: 4\n")
    origins = resolve("memo/resnet").units[0].origins
    assert str(origins["seed",][0].origin) == "experiments/memo/resnet.yaml:4"
    assert str(origins["method", "kind"][0].origin) == "experiments/base/parts.yaml:3"
    assert ("precision",) not in origins
