"""The scripts of COMP0197 (SSL pretraining, Oxford-IIIT Pet) say what the shipped experiments say.

docs/ssl-pets.md has the same mapping in words.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.parts import divide, draw
from hardy.data.shift_spec import BlurPercent, ColourJitter, Greyscale, Mask, OneOf
from hardy.spec import Resolved, resolve
from hardy.spec.experiment import Experiment

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ssl-pets.md"
once = cache(resolve)

# Dice, IoU and accuracy, as its README prints them.
Row = tuple[float, float, float]
TABLE_1: dict[str, Row] = {
    "full": (0.864, 0.769, 0.865),
    "supervised": (0.853, 0.752, 0.857),
    "half": (0.845, 0.742, 0.846),
    "quarter": (0.829, 0.719, 0.830),
    "half-pretrain": (0.855, 0.755, 0.857),
}
TABLE_2: dict[str, Row] = {
    "default": (0.851, 0.752, 0.853),
    "half-pretrain": (0.829, 0.718, 0.831),
    "supervised": (0.851, 0.750, 0.855),
    "half-finetune": (0.8484, 0.746, 0.850),
    "class-imbalance": (0.8433, 0.740, 0.846),
}
BLUR: dict[int, Row] = {
    0: (0.851, 0.751, 0.853),
    25: (0.749, 0.618, 0.750),
    50: (0.683, 0.531, 0.683),
    75: (0.649, 0.494, 0.649),
    100: (0.621, 0.466, 0.621),
}
POOLED = ("soft_dice_pooled", "soft_iou_pooled", "pixel_accuracy")
# Optimizer, rate, epochs, batch, loss: its scripts, with the losses that its README means.
VQVAE = {"cross_entropy": 1, "commitment": 0.25}
PRETRAIN = {"mse": 1, "commitment": 0.25}
RECIPES: dict[str, tuple[str, float, int, int, dict[str, float] | None]] = {
    "table-1/pretrain": ("adam", 1e-4, 100, 64, PRETRAIN),
    "table-1/full": ("adam", 1e-3, 50, 64, VQVAE),
    "table-2/pretrain": ("adamw", 1e-3, 100, 64, PRETRAIN),
    "table-2/default": ("adam", 2e-4, 50, 64, VQVAE),
    "benchmarks/linknet": ("adamw", 1e-5, 100, 32, None),
    "benchmarks/segnet-pretrain": ("adamw", 1e-4, 20, 64, {"mse": 1}),
    "benchmarks/segnet": ("adamw", 1e-4, 50, 64, None),
    "benchmarks/segnet-as-published": ("adamw", 1e-4, 50, 64, {"mse": 1}),
    "benchmarks/unet-pretrain": ("adamw", 1e-4, 20, 64, {"mse": 1}),
    "benchmarks/unet": ("adamw", 1e-4, 50, 64, None),
}
# What each row begins with. Nothing of one table is the other's.
BEGINNINGS = {
    "table-1/full": "table-1/pretrain",
    "table-1/half": "table-1/pretrain",
    "table-1/quarter": "table-1/pretrain",
    "table-1/half-pretrain": "table-1/pretrain-half",
    "table-1/supervised": None,
    "table-2/default": "table-2/pretrain",
    "table-2/half-finetune": "table-2/pretrain",
    "table-2/half-pretrain": "table-2/pretrain-half",
    "table-2/supervised": None,
    "table-2/class-imbalance-training": "table-2/pretrain",
    "table-2/class-imbalance": "table-2/class-imbalance-training",
    "table-2/class-imbalance-supervised-training": None,
    "table-2/class-imbalance-supervised": "table-2/class-imbalance-supervised-training",
    "blur": "table-2/default",
    "benchmarks/segnet": "benchmarks/segnet-pretrain",
    "benchmarks/segnet-supervised": None,
    "benchmarks/unet": "benchmarks/unet-pretrain",
    "benchmarks/unet-supervised": None,
}


def experiment(name: str) -> Experiment:
    """Return the first of an experiment's three seeds."""
    units = once(f"ssl-pets/{name}").units
    assert [unit.experiment.seed for unit in units] == [0, 1, 2]
    return units[0].experiment


def numbers(of: Experiment) -> Row:
    assert [one.metric for one in of.expect] == list(POOLED)
    assert all(one.unverified and one.source.startswith("COMP0197, README") for one in of.expect)
    dice, iou, accuracy = (one.value for one in of.expect)
    return dice, iou, accuracy


def members(suite: str) -> dict[str, Experiment]:
    """Return a suite's members of seed 0, by what follows `ssl-pets/`."""
    resolved: Resolved = once(f"suites/ssl-pets/{suite}")
    found = {u.experiment.name: u.experiment for u in resolved.units if u.experiment.seed == 0}
    assert 3 * len(found) == len(resolved.units)
    return {re.sub(r"^ssl-pets/|/0$", "", name): each for name, each in found.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_its_scripts_recipe(name: str) -> None:
    method, (kind, lr, epochs, batch, loss) = experiment(name).method, RECIPES[name]
    assert (method.optimizer.kind, method.optimizer.lr) == (kind, lr)
    assert (method.epochs, method.batch, method.loss) == (epochs, batch, loss)


@pytest.mark.parametrize("name", BEGINNINGS)
def test_it_begins_where_its_script_does(name: str) -> None:
    weights, begins = experiment(name).model.weights, BEGINNINGS[name]
    if begins is None:
        assert str(weights) == "random"
        return
    assert str(weights) == f"experiment:ssl-pets/{begins}"
    assert (weights.partial, weights.same) == (True, ("seed",))
    if name.count("/") and not name.startswith("benchmarks/"):
        assert begins.partition("/")[0] == name.partition("/")[0]


@pytest.mark.parametrize("table", [1, 2])
def test_a_suite_is_its_table(table: int) -> None:
    published: dict[str, Row] = TABLE_1 if table == 1 else TABLE_2
    found = members(f"table-{table}")
    for name, row in published.items():
        plain = found[f"table-{table}/{name}"]
        assert numbers(plain) == row
        assert numbers(found[f"table-{table}/{name}/as-published"]) == row
        assert plain.task.probabilities is None
    rest = {name for name, each in found.items() if not each.expect}
    assert rest == ({"table-1/full-mixed", "table-1/full-own"} if table == 1 else set())


@pytest.mark.parametrize("suite", ["table-1", "table-2"])
def test_as_published_differs_by_its_faults_alone(suite: str) -> None:
    found = members(suite)
    for name, twin in found.items():
        plain = found.get(name.removesuffix("/as-published"), twin)
        if plain is twin:
            continue
        assert twin.task.probabilities == "sigmoid"
        assert twin.data == plain.data
        if twin.method.kind == "supervised":
            assert twin.method.loss == {"sigmoid_cross_entropy": 1, "commitment": 0.25}
            assert twin.method.model_copy(update={"loss": None}) == plain.method.model_copy(
                update={"loss": None}
            )
        before, after = str(plain.model.weights), str(twin.model.weights)
        assert after == (before if before == "random" else f"{before}-as-published")
        if before != "random":
            source = experiment(after.removeprefix("experiment:ssl-pets/"))
            assert source.data.shift is None or source.method.kind != "supervised"
            assert source.seed == 0


def pets(count: int) -> Dataset:
    """Return a manifest of as many samples as the official trainval has, without files."""
    samples = tuple(
        Sample(f"{n:04}", n % 37, Path(f"{n}.jpg"), f"{n}", Path(f"{n}.png"), f"m{n}")
        for n in range(count)
    )
    names = tuple(f"breed{n}" for n in range(37))
    return Dataset("oxford-iiit-pet", names, None, samples, read_file, read_file, ("pet", "b", "c"))


def learned_from(data: Any, whole: Dataset) -> set[str]:
    part = divide(whole, data.partition).part(data.partition.part)
    return {s.id for s in (draw(part, data.subset) if data.subset else part).samples}


def test_half_and_quarter_are_of_the_same_3180() -> None:
    whole = pets(3680)
    full, half, quarter, own = (
        learned_from(experiment(f"table-1/{name}").data, whole)
        for name in ("full", "half", "quarter", "pretrain-own")
    )
    assert [len(each) for each in (full, half, quarter)] == [3180, 1590, 795]
    assert quarter < half < full
    assert own == full
    division = divide(whole, experiment("table-1/full").data.partition)
    assert {name: len(places) for name, places in division.places.items()} == {
        "train": 3180,
        "val": 500,
    }
    second = [
        learned_from(experiment(f"table-2/{n}").data, whole) for n in ("default", "half-finetune")
    ]
    assert [len(each) for each in second] == [2944, 1472]
    assert second[1] < second[0]


def test_linknets_division_is_its_own() -> None:
    found = experiment("benchmarks/linknet")
    sizes = {n: len(p) for n, p in divide(pets(7349), found.data.partition).places.items()}
    assert sizes["test"] == pytest.approx(0.2 * 7349, abs=19)
    assert sizes["val"] == pytest.approx(0.3 * 0.8 * 7349, abs=19)
    assert sum(sizes.values()) == 7349
    partition, method = found.data.partition, found.method
    assert (partition.stratified, partition.seed, found.data.split) == (True, 42, "all")
    assert (found.model.input.size, found.model.input.mean) == (256, (0.5, 0.5, 0.5))
    rate = method.scheduler
    assert (rate.kind, rate.patience, rate.factor, method.monitor) == ("plateau", 5, 0.1, "loss")
    assert (method.early_stop, method.keep_every, method.keep) == (21, 20, "best")
    assert method.answer_on.part == "test"
    assert {one.metric: one.value for one in found.expect} == {
        "batch_dice": 0.857,
        "batch_miou": 0.768,
    }


@pytest.mark.parametrize("name", ["class-imbalance", "class-imbalance-supervised"])
def test_few_cats_are_trained_on_and_all_breeds_tested(name: str) -> None:
    training, tested = experiment(f"table-2/{name}-training"), experiment(f"table-2/{name}")
    assert training.data.classes.include == ("Maine*", "Birman", "Bombay", "[a-z]*")
    assert tested.method.kind == "evaluate"
    assert (tested.data.split, tested.data.classes) == ("test", None)


def test_pretrainings_hide_what_they_say() -> None:
    plain = experiment("table-1/pretrain")
    assert plain.data.shift == Mask(area=(0.05, 0.25))
    assert (plain.data.dataset, plain.task.kind) == ("pets-pretrain", "reconstruct")
    mixed = experiment("table-1/pretrain-mixed").data.shift
    assert mixed == OneOf(
        shifts=(Mask(area=(0.05, 0.25), sides=True), Greyscale(probability=0.2), ColourJitter())
    )
    own = experiment("table-1/pretrain-own")
    assert (own.data.dataset, own.data.shift) == ("oxford-iiit-pet", plain.data.shift)
    for table in (1, 2):
        half = experiment(f"table-{table}/pretrain-half")
        assert (half.data.subset.fraction, half.data.subset.stratified) == (0.5, True)
        assert half.method == experiment(f"table-{table}/pretrain").method


def test_the_blur_suite_has_both_readings() -> None:
    found = members("blur")
    for percent, row in BLUR.items():
        one = found[f"blur/radius-{percent // 10}"]
        assert one.data.shift == BlurPercent(percent=percent)
        assert numbers(one) == row
        assert all(f", {percent} %" in each.source for each in one.expect)
    for share in (25, 50, 75):
        one = found[f"blur/share-{share}"]
        assert one.data.shift == OneOf(shifts=(BlurPercent(percent=100),), probability=share / 100)
        assert not one.expect
    assert {each.data.split for each in found.values()} == {"test"}
    assert {each.method.kind for each in found.values()} == {"evaluate"}


def test_the_published_blur_is_of_a_radius_and_not_of_a_share() -> None:
    """Were it a share p of images, Dice would be D(0) - p (D(0) - D(r)), whatever the radii r."""
    losses = {p: (BLUR[0][0] - row[0]) / (p / 100) for p, row in BLUR.items() if p}
    # A larger radius would then have to cost less than a smaller one.
    assert list(losses.values()) == sorted(losses.values(), reverse=True)
    assert losses[25] > 1.7 * losses[100]


def test_the_benchmarks_and_the_imbalance_suite() -> None:
    names = {"linknet", "segnet", "segnet-supervised", "segnet-as-published", "unet"}
    expected = {f"benchmarks/{name}" for name in (*names, "unet-supervised")} | {"table-1/full"}
    assert set(members("benchmarks")) == expected
    assert set(members("imbalance")) == {
        f"table-2/{name}"
        for name in ("default", "supervised", "class-imbalance", "class-imbalance-supervised")
    }
    capped = experiment("benchmarks/segnet-as-published")
    assert (capped.model.cap, capped.data.partition, capped.method.keep) == (True, None, "last")
    assert numbers(capped) == (0.511, 0.343, 0.875)
    assert not experiment("benchmarks/segnet").model.cap


def test_the_page_names_every_experiment_and_number() -> None:
    page = PAGE.read_text(encoding="utf-8")
    folder = ROOT / "experiments"
    named = set(re.findall(r"`((?:suites/)?ssl-(?:pets|shapes)/[a-z0-9/-]+)`", page))
    for name in named:
        assert (folder / f"{name}.yaml").is_file() or (folder / name).is_dir(), name
    there = {
        p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("ssl-pets/**/*.yaml")
    }
    assert there <= named
    for rows in (TABLE_1.values(), TABLE_2.values(), BLUR.values()):
        for value in (value for row in rows for value in row):
            assert f"{value:.4f}".rstrip("0").lstrip("0") in page
    keys = ("use_pretrained", "load_half_data", "use_imbalance_data", "num_hiddens", "use_ema")
    assert all(key in page for key in keys)


def test_the_pages_map_of_names_is_the_experiments() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in ("seg-vqvae", "finetune"):
        weights = resolve(f"ssl-pets/published/{name}").units[0].experiment.model.weights
        assert weights.partial
        assert len(weights.names) == 9
        for theirs, ours in weights.names.items():
            assert f"| `{theirs}` | `{ours}` |" in page


def test_the_twins_are_told_apart_by_weights_and_share() -> None:
    found = {u.experiment.name: u.experiment for u in once("suites/ssl-shapes").units}
    assert len(found) == 18
    for share in (100, 50, 25):
        for seed in range(3):
            tuned, scratch = (
                found[f"ssl-shapes/{k}-{share}/{seed}"] for k in ("finetune", "scratch")
            )
            same = ("data", "method", "task", "seed")
            assert [getattr(tuned, k) for k in same] == [getattr(scratch, k) for k in same]
            assert str(tuned.model.weights) == "experiment:ssl-shapes/pretrain"
            assert tuned.model.weights.same == ("seed",)
            assert str(scratch.model.weights) == "random"
            subset = tuned.data.subset
            assert (1 if subset is None else subset.fraction) == share / 100
            assert tuned.data.shapes.masks == "trimap"


@pytest.mark.parametrize("name", ["table-1/pretrain", "table-2/pretrain", "table-1/pretrain-mixed"])
def test_a_pretraining_draws_what_the_scripts_draw(name: str) -> None:
    explain = experiment(name).explain
    assert explain is not None
    assert None not in (explain.feature_maps, explain.latents, explain.codebook)
