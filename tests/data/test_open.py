import pytest
from PIL import Image

from hardy.core.errors import DataError, SpecError
from hardy.core.hashing import file_sha256
from hardy.core.variables import ALLOWED
from hardy.data import open as opening
from hardy.data.open import data_digest, open_dataset
from hardy.data.spec import DataSpec, Subset
from tests.data import carried


@pytest.fixture
def images(tmp_path):
    for index in range(12):
        path = tmp_path / "images" / f"class{index % 3}" / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (index, 0, 0)).save(path)
    return tmp_path / "images"


def spec_of(root, **fields):
    return DataSpec(dataset="folder", root=str(root), **fields)


def test_the_packaged_photographs():
    pytest.importorskip("foolbox")
    found = open_dataset(DataSpec(dataset="imagenet-sample"))
    assert len(found.samples) == 20
    assert len(found.classes) == 1000
    assert found.model_indices is None
    first = found.samples[0]
    assert (first.id, found.classes[first.label]) == ("imagenet_00_243.jpg", "bull mastiff")
    assert first.content == file_sha256(first.path)
    assert found.read(found.samples[10]).size == (1024, 683)


def test_a_missing_package_is_an_error_with_the_command_and_has_no_digest(monkeypatch):
    monkeypatch.setattr("hardy.data.packages.find_spec", lambda name: None)
    spec = DataSpec(dataset="imagenet-sample")
    assert data_digest(spec) is None
    with pytest.raises(DataError, match="foolbox") as caught:
        open_dataset(spec)
    assert caught.value.hint == "pip install 'hardy[demo]'"


def test_an_absent_folder_is_an_error_and_has_no_digest(tmp_path):
    spec = spec_of(tmp_path / "nowhere")
    assert data_digest(spec) is None
    with pytest.raises(DataError, match="nowhere"):
        open_dataset(spec)


def test_a_subset_is_drawn_without_replacement_in_order_and_nested(images):
    whole = open_dataset(spec_of(images)).samples
    few = open_dataset(spec_of(images, subset=Subset(count=4, seed=3))).samples
    more = open_dataset(spec_of(images, subset=Subset(count=8, seed=3))).samples
    other = open_dataset(spec_of(images, subset=Subset(count=4, seed=4))).samples
    assert len(set(few)) == 4
    assert list(few) == sorted(few, key=whole.index)
    assert set(few) < set(more) < set(whole)
    assert set(few) != set(other)


def test_a_subset_may_be_everything_but_not_more(images):
    everything = spec_of(images, subset=Subset(count=12))
    assert open_dataset(everything).samples == open_dataset(spec_of(images)).samples
    with pytest.raises(DataError, match=r"13 samples asked of folder's 12"):
        open_dataset(spec_of(images, subset=Subset(count=13)))


def test_the_digest_follows_the_subset(images):
    specs = [spec_of(images), *(spec_of(images, subset=Subset(count=4, seed=s)) for s in (0, 1))]
    digests = {data_digest(spec) for spec in specs}
    assert len(digests) == 3
    assert data_digest(specs[1]) == open_dataset(specs[1]).digest


def test_roots_by_variable_by_project_and_by_default(images, monkeypatch):
    monkeypatch.setenv("HARDY_DATA", str(images.parent))
    by_variable = open_dataset(spec_of("${HARDY_DATA}/" + images.name))
    monkeypatch.setattr(opening, "project_root", lambda: images.parent)
    relative = open_dataset(spec_of(images.name))
    images.rename(images.parent / "folder")
    default = open_dataset(DataSpec(dataset="folder"))
    assert by_variable.digest == relative.digest == default.digest


def test_every_variable_that_a_spec_may_name_is_replaced(images, monkeypatch):
    """What `hardy validate` lets pass must open: HOME was once refused here alone."""
    for name in ALLOWED:
        monkeypatch.setenv(name, str(images.parent))
        assert open_dataset(spec_of(f"${{{name}}}/{images.name}")).samples


def test_other_variables_are_refused():
    with pytest.raises(SpecError, match=r"\$\{PATH\} cannot be used"):
        open_dataset(spec_of("${PATH}/images"))


def test_a_packaged_dataset_takes_no_root():
    with pytest.raises(SpecError, match="takes no root"):
        data_digest(DataSpec(dataset="imagenet-sample", root="/tmp"))


@pytest.mark.parametrize("name", ["imagenet-sample", "digits"])
def test_packaged_datasets_go_to_worker_processes(name):
    spec = DataSpec(dataset=name)
    here, there = open_dataset(spec), carried.opened(spec)
    sample = here.samples[0]
    assert there.digest == here.digest
    assert there.read(sample).tobytes() == here.read(sample).tobytes()


def test_folders_go_to_worker_processes(images):
    spec = spec_of(images, subset=Subset(count=2))
    sample = open_dataset(spec).samples[0]
    assert carried.opened(spec).read(sample).size == open_dataset(spec).read(sample).size
