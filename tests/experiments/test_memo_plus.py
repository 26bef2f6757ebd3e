"""docs/memo-plus.md says where the parts of stefanoobonetto/DeepLearning_project went, truly."""

import re
from pathlib import Path
from typing import Any

import pytest

from hardy.data.view_spec import GROUPS
from hardy.spec import resolve
from hardy.spec.experiment import Experiment

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "memo-plus.md").read_text(encoding="utf-8")
# As its final scripts name them, and those that its analyses are run as.
FUNCTIONS = (
    "get_WholeDataset, get_SubDataset, thousand_k_to_200, ModelVitb16, ModelResNet, "
    "apply_augmentations, create_gradcam, tune_model, test_model, segmentImage, plot.py, "
    "analize_csv.py, count_1.py, aug_control.py, augmentations_analize.py"
)
NOTEBOOK = (
    "create_batch, create_batch_prob, evaluate, simple_evaluate, show_predictions, show_image, "
    "show_batch_images"
)
FILES = (
    "original_image.png, augmentation_grid.png, segmentation_grid.png, output.jpg, "
    "gradcam_original.png, gradcam_memo.png, gradcam_memo_plus.png, {class}_before_MEMO, "
    "{class}_after_MEMO, {class}_after_MEMO_PLUS, Accuracy, most_frequent_aug.txt"
)
# Each key of its scripts with an override that says another value of it, and what that changes.
KEYS: dict[str, tuple[str, str] | None] = {
    "img_root": ("data.root=elsewhere", "data.root"),
    "subset_size": ("data.subset={count: 5}", "data.subset.count"),
    "random_seed": ("seed=7", "seed"),
    "num_aug": ("method.views.count=5", "method.views.count"),
    "lr": ("method.optimizer.lr=0.1", "method.optimizer.lr"),
    "weight_decay": ("method.optimizer.weight_decay=0.01", "method.optimizer.weight_decay"),
    'sam_model_registry["vit_b"]': ("method.segmenter.arch=vit_l", "method.segmenter.arch"),
    "sam_vit_b_01ec64.pth": ("method.segmenter.checkpoint=a.pth", "method.segmenter.checkpoint"),
    "MUL": None,
    "batch_size": None,
    "num_workers": ("compute.workers=3", "compute.workers"),
}


def table(title: str, head: str) -> list[list[str]]:
    """Return the rows of the table with that head below a title."""
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = section.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert lines, (title, head)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def shipped(name: str, *overrides: str) -> Experiment:
    (unit,) = resolve(name, list(overrides)).units
    return unit.experiment


def value_at(experiment: Experiment, path: str) -> Any:
    value: Any = experiment.model_dump()
    for key in path.split("."):
        value = (value or {}).get(key)
    return value


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_every_function_and_file_is_on_the_page() -> None:
    functions = [name for row in table("Functions", "function") for name in code(row[0])]
    assert functions == FUNCTIONS.split(", ")
    files = table("Folders and files", "published file")
    assert [name for row in files for name in code(row[0])] == FILES.split(", ")
    modes = table("The notebook christiansassi/deep-learning-project", "function or mode")
    assert set(NOTEBOOK.split(", ")) <= {name for row in modes for name in code(row[0])}


def test_each_key_changes_what_the_page_says() -> None:
    rows = table("Hyper-parameters", "key")
    assert [name for row in rows for name in code(row[0])] == list(KEYS)
    plain = shipped("memo-plus/memo-plus")
    for row in rows:
        for key in code(row[0]):
            change = KEYS[key]
            assert row[1].startswith("nothing") == (change is None or key == "img_root")
            if change is not None:
                override, path = change
                assert path in code(row[1])
                changed = shipped("memo-plus/memo-plus", override)
                assert value_at(changed, path) != value_at(plain, path)


def test_each_masking_function_is_a_shipped_experiment() -> None:
    rows = table("The masks' variants", "published function")
    assert len(rows) == 7
    for _, segment, keep, show, top, batch, name in rows:
        for folder in ("memo-plus", "memo-plus/imagenetv2"):
            method = shipped(f"{folder}/{code(name)[0]}").method
            policy = {"segment": segment, "keep": keep, "show": show, "top": int(top)}
            assert method.policy.model_dump(include=set(policy)) == policy
            assert method.batch == batch
            assert method.policy.min_area == 500


def test_each_file_of_results_is_an_experiment() -> None:
    rows = table("The masks' variants", "file of results")
    tests = ["1", "2", "3", "4", "5", "6", "16_07"]
    assert [code(row[0])[0] for row in rows] == [f"test_{each}" for each in tests]
    found = [shipped(*code(row[1])) for row in rows]
    assert found[0].model.name == "resnet50"
    assert [each.method.policy.top for each in found[2:4]] == [1, 3]
    assert {each.method.kind for each in found} == {"memo_plus"}


def test_the_notebook_s_modes_are_experiments() -> None:
    text = TEXT.partition("## The notebook christiansassi")[2]
    study = {path.stem for path in (ROOT / "experiments" / "augmentation-study").glob("*.yaml")}
    named = {each.removeprefix("augmentation-study/") for each in code(text)}
    assert study <= named
    for name in ("pixel", "spatial"):
        assert shipped(f"augmentation-study/{name}").method.views.names == (name,)


def test_the_shipped_method_is_the_report_s() -> None:
    experiment = shipped("memo-plus/memo-plus")
    method = experiment.method
    assert (method.views.count, method.views.names) == (9, ("memo_plus",))
    assert (len(GROUPS["memo_plus"]), method.views.repeat) == (19, False)
    assert (method.optimizer.lr, method.optimizer.weight_decay) == (2.5e-4, 0)
    assert (experiment.model.input.size, experiment.model.input.fit) == (224, "squeeze")
    assert shipped("memo-plus/memo-plus-as-published").method.optimizer.weight_decay == 0.01


def test_every_experiment_and_link_of_the_page_is_there() -> None:
    for name in code(TEXT):
        if name.startswith(("memo-plus/", "augmentation-study/", "suites/memo-plus")):
            names = [name] if not name.endswith("/*") else []
            assert all(
                (ROOT / "experiments" / f"{each}.yaml").is_file()
                for each in names
                if each[-1] != "/"
            )
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (ROOT / "docs" / link).is_file()
