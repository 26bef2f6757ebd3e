"""`hardy plan` in this process and in its own, with costs recalled rather than measured."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hardy.cli.main import run
from hardy.cli.plan import _ranges
from hardy.core.errors import MethodError
from hardy.engine import model_cost as costs
from hardy.methods.evaluate.spec import SourceSpec
from hardy.plan.measured import ModelCost, remember
from hardy.plan.tracker import Status
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker

ROOT = Path(__file__).parents[2]
COST = ModelCost("here", 224, 10**9, 2 * 10**9, 0.01, 0.02, 10**9, 10**7, 10**6, 10**8)
SEEDS = ",".join(map(str, range(1000)))


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def measured() -> None:
    """Keep a measurement of the quickstart's model."""
    remember(resolve("quickstart").units[0].experiment, COST)


def plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["plan", *arguments]) == 0
    return capsys.readouterr().out


def units(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    return json.loads(plan(capsys, *arguments, "--json"))["units"]


@pytest.mark.usefixtures("measured")
def test_the_tree_has_every_unit_and_its_cost(capsys):
    told = plan(capsys, "quickstart")
    assert "quickstart: 3 units" in told
    for number, kind in enumerate(("gaussian_noise", "contrast", "pixelate"), start=1):
        assert f"{number}. quickstart/{kind}: to run" in told
    assert told.count("20 samples, 360 forward and 320 backward passes, 1 TFLOP") == 3
    assert "3 to run, 0 reused" in told
    assert "total: 60 samples, 1,080 forward and 960 backward passes, 3 TFLOP" in told
    assert "time by the network's measured speed, without preparing views" in told


@pytest.mark.usefixtures("measured")
def test_a_suite_s_units_stand_below_their_experiments(capsys):
    told = plan(capsys, "suites/quickstart")
    count = len(resolve("suites/quickstart").units)
    assert f"suites/quickstart: {count} units" in told
    assert "├── memo/imagenet-sample\n" in told
    assert f"{count}. " in told


@pytest.mark.usefixtures("measured", "store")
def test_a_reused_run_is_told_with_its_id_and_why(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    first, *others = units(capsys, "quickstart")
    past = MlflowTracker().start("unit", tags={"hardy.fingerprint": first["fingerprint"]})
    past.end(Status.FINISHED)
    told = plan(capsys, "quickstart")
    mark = first["fingerprint"][:12]
    reason = f"reuses run {past.run_id}, finished with the same fingerprint {mark}"
    assert f"1. quickstart/gaussian_noise: {reason}" in told
    assert "2 to run, 1 reused" in told
    again = units(capsys, "quickstart")
    assert (again[0]["reused"], again[0]["run"], again[0]["cost"]["forward"]) == (
        True,
        past.run_id,
        0,
    )
    assert again[1:] == others
    assert not any(unit["reused"] for unit in units(capsys, "quickstart", "--again"))


@pytest.mark.usefixtures("measured", "store")
def test_finished_runs_like_it_say_the_time(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    from hardy.plan.measured import work_label

    label = work_label(resolve("quickstart").units[0].experiment)
    past = MlflowTracker().start("unit", tags={"hardy.work": label})
    past.metrics({"seconds_per_sample": 0.25})
    past.end(Status.FINISHED)
    told = plan(capsys, "quickstart")
    assert told.count("on disk, 5 s") == 3
    assert "time by 1 finished run like it" in told


@pytest.mark.usefixtures("measured")
def test_absent_data_are_told_with_where_to_get_them(capsys):
    one = ["quickstart", "--set", "matrix=null data.shift=null data.dataset=imagenet-a"]
    told = plan(capsys, *one)
    assert "data absent: imagenet-a; to get it: " in told
    assert "? samples, ? forward" in told
    (unit,) = units(capsys, *one, "--set", "data.subset={count: 5}")
    assert unit["data"]["digest"] == ""
    assert (unit["cost"]["samples"], unit["cost"]["forward"]) == (5, 90)


@pytest.mark.usefixtures("measured")
def test_absent_data_are_told_once_with_the_units_that_need_them(capsys):
    told = plan(capsys, "quickstart", "--set", "data.dataset=imagenet-a")
    assert told.count("to get it") == 1
    assert told.count("; data absent\n") == 3
    assert "\ndata absent: imagenet-a; to get it: " in told
    assert "(for 1 to 3 of the units)\n" in told


def test_units_are_written_as_ranges():
    assert _ranges([1]) == "1"
    assert _ranges([1, 2, 4, 6, 7, 8]) == "1 to 2, 4, 6 to 8"


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("spec", ["quickstart", "search/quickstart"])
def test_a_plan_fits_80_columns(capsys, monkeypatch, spec):
    monkeypatch.setenv("COLUMNS", "80")
    told = plan(capsys, spec)
    assert max(map(len, told.splitlines())) <= 80
    assert not re.search(r"about [\d.]+$", told, re.MULTILINE)  # no number without its unit


def test_a_model_that_cannot_be_measured_is_no_failure(capsys, monkeypatch):
    def fail(_):
        message = "no room for it"
        raise MethodError(message)

    monkeypatch.setattr(costs, "_measured", fail)
    told = plan(capsys, "quickstart")
    assert "not measured: no room for it" in told
    assert "20 samples, 360 forward and 320 backward passes, ? FLOP" in told


@pytest.mark.usefixtures("measured", "store")
def test_a_thousand_units_in_two_seconds_and_without_torch():
    code = (
        "import sys; from hardy.cli.main import run;"
        f"status = run(['plan', 'quickstart', '--set', 'matrix={{seed: [{SEEDS}]}}',"
        " '--set', 'data.shift.kind=fog', *sys.argv[1:]]);"
        "heavy = {'torch', 'mlflow', 'torchvision', 'timm', 'sqlalchemy'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(status)"
    )
    for extra in ([], ["--json"]):
        before = processor_seconds()
        done = subprocess.run(
            [sys.executable, "-c", code, *extra], capture_output=True, text=True, check=True
        )
        assert "1,000 units" in done.stdout or len(json.loads(done.stdout)["units"]) == 1000
        # The promise is 2 s; a busy neighbour slows a core by half.
        assert processor_seconds() - before < 3


@pytest.mark.usefixtures("store")
def test_each_source_of_weights_is_shown_by_its_path(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(SourceSpec, "yields_weights", True)
    monkeypatch.setattr("hardy.cli.plan.model_cost", lambda _: COST)
    (tmp_path / "MLproject").touch()
    (folder := tmp_path / "experiments").mkdir()
    data = "data: {dataset: imagenet-sample, partition: {fractions: {a: 0.5, b: 0.5}, part: PART}}"
    base = data.replace("PART", "a") + "\nmethod: {kind: source}\n"
    model = "{kind: timm, name: resnet18, weights: random}"
    train = f"name: train\nmodel: {model}\nmatrix: {{seed: [0, 1]}}\n{base}"
    (folder / "train.yaml").write_text(train)
    taken = "{from: 'experiment:train', same: [seed]}"
    model = model.replace("random", taken)
    (folder / "pool.yaml").write_text(
        f"name: pool\n{data.replace('PART', 'b')}\nmodel: {model}\n"
        "matrix: {seed: [0, 1]}\n"
        "method:\n  kind: ensemble\n  members:\n"
        f"    - {{name: a, method: {{kind: source}}, model: {model}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    told = plan(capsys, "pool")
    assert "pool: 4 units" in told
    for seed in (0, 1):
        assert f"{seed + 1}. train/{seed}: to run" in told
        assert f"    weights of train/{seed}: after {seed + 1}\n" in told.replace("├── ", "    ")
        assert f"method.members.0.model.weights: weights of train/{seed}: after {seed + 1}" in told
    made = units(capsys, "pool")
    assert set(made[2]["needs"]) == {"model.weights", "method.members.0.model.weights"}
    assert set(made[2]["needs"].values()) == {made[0]["fingerprint"]}
    assert made[0]["needs"] == {}


def processor_seconds() -> float:
    """Return what ended child processes took of the cores, however many others want them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.usefixtures("measured")
def test_a_search_tells_its_budget(capsys, tmp_path):
    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    spec = tmp_path / "example.yaml"
    block = text.partition("```yaml\n")[2].partition("```")[0]
    spec.write_text(block.replace("../quickstart", str(ROOT / "experiments" / "quickstart")))
    told = plan(capsys, str(spec))
    assert "1. search/example/0: to run" in told
    assert (
        "search: 40 trials of 1 run each, or 30 min; sampler tpe (startup 10, multivariate false); "
        "pruner wilcoxon (p 0.1, warmup 2); 4 under way at a time"
    ) in told
    assert "  method.steps: a whole number from 1 to 3\n" in told
    assert "momentum: a number from 0 to 0.9, where method.optimizer.kind is sgd\n" in told
    assert "trials, each at the price of trial 0: 400 samples, 7,200 forward" in told
    assert (
        "test on part test, 10 samples: the best trial and trial 0, 1 run each: 20 samples" in told
    )
    found = json.loads(plan(capsys, str(spec), "--json"))["search"]
    assert (found["trials"], found["runs"], found["cost"]["samples"]) == (40, 1, 400)
    assert (found["test"]["count"], found["own"]["method.steps"]) == (10, 1)
