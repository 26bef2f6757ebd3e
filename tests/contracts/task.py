"""What every task must be; a test class of each task inherits it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from hardy.core.errors import DataError, MethodError
from hardy.data.item import Targets
from hardy.measure.records import as_frame, read_parquet, write_parquet
from hardy.methods.memo.spec import MemoSpec
from hardy.tasks.base import Task
from hardy.tasks.summary import bounds, summarise
from tests.contracts.device import another_device

_TYPES = {"string": str, "long": int, "double": float, "boolean": bool}


class TaskContract(ABC):
    """Made-up outputs of a network go the whole way: answer, columns, records, metrics, a row."""

    count = 12

    @abstractmethod
    def task(self) -> Task:
        """Return the task, with the names it needs."""

    @abstractmethod
    def targets(self, count: int) -> Targets:
        """Return the truth of some samples, the same in each call; not all alike."""

    @abstractmethod
    def outputs(self, targets: Targets, skill: float) -> Tensor:
        """Return a network's outputs (B, K, ...): 1 is the truth itself, 0 has no part of it."""

    def frame(self, count: int | None = None, **skills: float) -> pd.DataFrame:
        """Return records of answers of the given skills."""
        task, targets = self.task(), self.targets(count or self.count)
        columns: dict[str, list[object]] = {
            "sample": [f"{n}.png" for n in range(count or self.count)],
            "dataset": ["d"] * (count or self.count),
            "shift": ["none"] * (count or self.count),
            **task.truth(targets),
        }
        for name, skill in (skills or {"source": 0.3, "own": 0.9}).items():
            found = task.columns(name, task.answer(self.outputs(targets, skill)), targets)
            assert tuple(found) == task.fields
            columns |= {f"{name}.{field}": values for field, values in found.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return as_frame(rows, task.truth_fields, task.fields)

    def stored(self, tmp_path: Path, **skills: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        made = self.frame(**skills)
        write_parquet(made, tmp_path / "records.parquet")
        return made, read_parquet(tmp_path / "records.parquet")

    def test_the_headline_is_in_the_catalogue_and_has_a_direction(self) -> None:
        task = self.task()
        assert task.spec.metrics[task.headline].higher_is_better is not None
        assert task.tabled[0] == task.headline
        assert set(task.tabled) <= set(task.spec.metrics)
        assert set(task.following) <= set(task.fields)

    def test_the_metrics_are_those_of_the_catalogue(self) -> None:
        task = self.task()
        found = task.metrics(self.frame(), "own")
        assert set(found) == set(task.spec.metrics)
        assert all(type(value) is float for value in found.values())
        assert np.isfinite(list(found.values())).all()

    def test_an_answer_is_detached_float32_on_the_cpu(self) -> None:
        outputs = self.outputs(self.targets(3), 0.5).requires_grad_()
        answer = self.task().answer(outputs)
        assert (answer.dtype, answer.device.type) == (torch.float32, "cpu")
        assert not answer.requires_grad
        assert len(answer) == 3
        assert self.task().outputs in (outputs.shape[1], 0)  # 0: any number

    def test_an_answer_comes_back_from_another_device(self) -> None:
        task, outputs = self.task(), self.outputs(self.targets(3), 0.5)
        with another_device() as device:
            found = task.answer(outputs.to(device))
        assert type(found) is Tensor
        torch.testing.assert_close(found, task.answer(outputs))

    def test_its_logits_are_of_what_it_answers(self) -> None:
        """Where answers are log-probabilities; of other tasks nobody asks for them."""
        task, outputs = self.task(), self.outputs(self.targets(3), 0.5).requires_grad_()
        answer, logits = task.answer(outputs), task.logits(outputs)
        if task.kind not in MemoSpec.tasks:
            return
        torch.testing.assert_close(logits.log_softmax(1).detach(), answer)
        assert logits.requires_grad

    def test_the_loss_is_a_number_a_sample_and_falls_with_skill(self) -> None:
        task, targets = self.task(), self.targets(4)
        if not task.spec.has_loss:
            with pytest.raises(MethodError, match="no loss"):
                task.loss(self.outputs(targets, 0.2), targets)
            return
        outputs = self.outputs(targets, 0.2).half().requires_grad_()
        found = task.loss(outputs, targets)
        assert (found.shape, found.dtype) == ((4,), torch.float32)
        found.sum().backward()
        assert (outputs.grad.flatten(1) != 0).any(1).all()
        better = task.loss(self.outputs(targets, 0.9), targets)
        assert (better < found).all()
        one = Targets(*(part if part is None else part[1:2] for part in targets))
        torch.testing.assert_close(task.loss(outputs[1:2], one), found[1:2])
        with another_device() as device:
            there = Targets(*(p if p is None or p == () else p.to(device) for p in targets))
            away = task.loss(outputs.detach().to(device), there).cpu()
        torch.testing.assert_close(away, found.detach())

    def test_the_loss_takes_what_the_schema_says(self) -> None:
        task, targets = self.task(), self.targets(2)
        outputs = self.outputs(targets, 0.4)
        options = {
            "smoothing": 0.1,
            "class_weights": torch.linspace(0.5, 2, outputs.shape[1]),
            "only": torch.arange(outputs[:, 0].numel()).view(outputs[:, 0].shape) % 3 == 0,
        }
        assert task.spec.loss_options <= set(options)
        for name, value in options.items():
            if name in task.spec.loss_options:
                changed = task.loss(outputs, targets, **{name: value})
                assert not torch.equal(changed, task.loss(outputs, targets))
            else:
                with pytest.raises(MethodError):
                    task.loss(outputs, targets, **{name: value})

    def test_each_term_of_the_loss_is_a_number_a_sample(self) -> None:
        task, targets = self.task(), self.targets(4)
        outputs = self.outputs(targets, 0.2).half().requires_grad_()
        one = Targets(*(part if part is None else part[1:2] for part in targets))
        sums = torch.zeros(4)
        for term in sorted(task.spec.loss_terms):
            found = task.loss(outputs, targets, terms={term: 1.0})
            assert (found.shape, found.dtype) == ((4,), torch.float32)
            (gradient,) = torch.autograd.grad(found.sum(), outputs)
            assert (gradient.flatten(1) != 0).any(1).all()
            alone = task.loss(outputs[1:2], one, terms={term: 1.0})
            torch.testing.assert_close(alone, found[1:2])
            with another_device() as device:
                there = Targets(*(p if p is None or p == () else p.to(device) for p in targets))
                away = task.loss(outputs.detach().to(device), there, terms={term: 1.0}).cpu()
            torch.testing.assert_close(away, found.detach())
            sums += 0.5 * found.detach()
        if task.spec.loss_terms:
            halves = dict.fromkeys(task.spec.loss_terms, 0.5)
            torch.testing.assert_close(task.loss(outputs, targets, terms=halves).detach(), sums)
            with pytest.raises(MethodError, match="has no term other"):
                task.loss(outputs, targets, terms={"other": 1.0})

    def test_each_answer_is_judged_by_itself(self) -> None:
        task, targets = self.task(), self.targets(5)
        answers = task.answer(self.outputs(targets, 0.6))
        together = task.columns("own", answers, targets)
        for place in range(5):
            here = slice(place, place + 1)
            one = Targets(*(part if part is None else part[here] for part in targets))
            alone = task.columns("own", answers[here], one)
            assert {field: values[0] for field, values in alone.items()} == {
                field: values[place] for field, values in together.items()
            }

    def test_the_columns_suffice(self, tmp_path: Path) -> None:
        task = self.task()
        made, read = self.stored(tmp_path)
        for name in ("source", "own"):
            assert task.metrics(read, name) == task.metrics(made, name)
            np.testing.assert_array_equal(task.score(read, name), task.score(made, name))
        assert summarise(task, read, "own", "source") == summarise(task, made, "own", "source")

    def test_a_better_answer_scores_higher(self) -> None:
        task, frame = self.task(), self.frame(bad=0.0, good=0.9, perfect=1.0)
        bad, good, perfect = (task.score(frame, name) for name in ("bad", "good", "perfect"))
        assert bad.shape == (self.count,)
        assert bad.mean() < good.mean()
        assert (perfect >= good).all()
        values = [task.metrics(frame, name)[task.headline] for name in ("bad", "perfect")]
        worst, best = values if task.spec.metrics[task.headline].higher_is_better else values[::-1]
        assert worst < best
        if task.binary:
            assert set(np.unique(np.concatenate([bad, good, perfect]))) <= {0.0, 1.0}
            assert task.metrics(frame, "good")[task.headline] == good.mean()

    def test_the_interval_holds_the_headline(self) -> None:
        task, frame = self.task(), self.frame()
        low, high = task.interval(frame, "own")
        assert low <= task.metrics(frame, "own")[task.headline] <= high
        assert (low, high) == task.interval(frame, "own")
        assert bounds(task, frame, task.headline, "own", "source") == (low, high)
        assert bounds(task, frame, "samples", "own", "source") is None

    def test_a_summary_compares_with_the_baseline(self) -> None:
        task = self.task()
        found = summarise(task, self.frame(), "own", "source")
        gain = f"delta/{task.headline}" if task.binary else "delta/score"
        assert found[gain] > 0
        assert ("mcnemar/p" in found) is task.binary
        assert {f"{task.headline}.low", f"source/{task.headline}", "samples"} <= set(found)

    def test_uncertainty_is_a_number_a_sample(self) -> None:
        values = self.task().uncertainty(self.frame(), "own")
        assert values.shape == (self.count,)
        assert np.isfinite(values).all()

    def test_one_sample_is_enough(self) -> None:
        task, frame = self.task(), self.frame(count=1, source=0.2, own=0.9)
        assert np.isfinite(list(summarise(task, frame, "own", "source").values())).all()
        assert list(task.report(frame, "own", "source"))

    def test_an_absent_answer_is_named(self) -> None:
        task = self.task()
        for ask in (task.score, task.uncertainty, task.metrics, task.interval):
            with pytest.raises(DataError, match="tpt"):
                ask(self.frame(), "tpt")
        with pytest.raises(DataError, match="empty"):
            task.score(self.frame().iloc[:0], "own")

    def test_a_report_has_paths_and_content(self) -> None:
        task, frame = self.task(), self.frame()
        paths = [path for path, _ in task.report(frame, "own", "source")]
        assert len(set(paths)) == len(paths)
        assert list(task.report(frame, "own", None))

    def test_a_served_row_has_the_columns_that_are_declared(self) -> None:
        task = self.task()
        answers = task.answer(self.outputs(self.targets(2), 0.9))
        for answer in answers:
            row = task.served(answer, lambda plane: plane, dict(task.params))
            assert list(row) == list(task.returns)
            for name, kind in task.returns.items():
                _check(row[name], kind)
            assert all(isinstance(line, str) for line in task.told(row))


def _check(value: object, kind: object) -> None:
    if isinstance(kind, list):
        assert isinstance(value, list)
        for each in value:
            _check(each, kind[0])
    elif isinstance(kind, Mapping):
        assert isinstance(value, Mapping)
        assert list(value) == list(kind)
        for name, below in kind.items():
            _check(value[name], below)
    else:
        assert type(value) is _TYPES[str(kind)]
