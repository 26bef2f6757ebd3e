import pytest
import torch

from hardy.core.errors import SpecError
from hardy.engine.device import (
    all_threads,
    beside_others,
    make_fabric,
    spread,
    threads_as_before,
    use_threads,
)
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.optim_spec import AdamW
from hardy.spec import resolve


@pytest.fixture
def experiment():
    return resolve("quickstart").units[0].experiment


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)


def stating(experiment, **values):
    return experiment.model_copy(update={"compute": experiment.compute.model_copy(update=values)})


def test_small_images_give_each_core_samples_of_its_own(experiment):
    cores = spread(experiment, 32, "cpu")
    assert (cores.processes, cores.threads, cores.workers) == (4, 1, 0)


def test_large_images_share_an_operation_and_leave_a_core_to_views(experiment):
    cores = spread(experiment, 224, "cpu")
    assert (cores.processes, cores.threads, cores.workers) == (1, 0, 3)


def test_a_gpu_is_fed_by_one_process(experiment):
    assert spread(stating(experiment, processes=4), 32, "cuda").processes == 1


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_threads_do_not_depend_on_the_processes(experiment, size, processes):
    """Sums are rounded as they are divided among threads, so numbers would depend on it."""
    plain = spread(experiment, size, "cpu").threads
    assert spread(stating(experiment, processes=processes), size, "cpu").threads == plain


@pytest.mark.parametrize("size", [32, 224])
def test_threads_that_are_stated_are_had(experiment, size):
    cores = spread(stating(experiment, threads=3), size, "cpu")
    assert cores.threads == 3
    with threads_as_before():
        use_threads(cores)
        assert torch.get_num_threads() == 3
        with all_threads(2):  # a training that would take all
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize("count", [2, 16])
@pytest.mark.parametrize(("size", "workers"), [(32, 0), (224, 1)])
def test_beside_others_it_is_one_process_of_one_thread_on_any_machine(
    experiment, monkeypatch, size, workers, count
):
    monkeypatch.setattr("os.cpu_count", lambda: count)
    cores = spread(beside_others(experiment, size, "cpu"), size, "cpu")
    assert (cores.processes, cores.threads, cores.workers) == (1, 1, workers)
    wanted = stating(experiment, processes=2, threads=3, workers=4)
    cores = spread(beside_others(wanted, size, "cpu"), size, "cpu")
    assert (cores.processes, cores.threads, cores.workers) == (2, 3, 4)


def test_a_method_that_carries_state_has_one_process(experiment):
    carried = MemoSpec(optimizer=AdamW(), optimizer_state="carry")
    assert spread(experiment.model_copy(update={"method": carried}), 32, "cpu").processes == 1


def test_a_device_that_is_not_there_is_told_before_a_run_begins(experiment, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(SpecError, match=r"device is cuda, which torch does not find"):
        make_fabric(stating(experiment, device="cuda"))
    assert make_fabric(stating(experiment, device="cpu")).device.type == "cpu"
