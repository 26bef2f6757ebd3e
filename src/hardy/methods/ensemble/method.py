"""Several models, each with its method and its views, adapted together and heard as one.

One step of all: θ_m ← θ_m - η_m ∇ H(pool(l_1, ..., l_M)), l_m member m's opinion from its selected
views; then pool(l_1, ..., l_M) on the unchanged image. `hardy.methods.ensemble.pool` has the
equations. After DavidC001/MEMO-TPT-DL2024, whose arithmetic the schema can name.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from hardy.core.cache import Cache
from hardy.data.pipeline import ViewSet
from hardy.data.view_spec import Identity, ViewSpec
from hardy.explain.point import SourcePoint
from hardy.methods.adapter import Adapter, check_finite
from hardy.methods.base import PLAIN, Adapts, Outcome, Subject, log_probabilities
from hardy.methods.base_spec import views_of
from hardy.methods.build import build_method
from hardy.methods.ensemble.frozen import Frozen
from hardy.methods.ensemble.pool import (
    certainty_weights,
    fit_temperature,
    opinion,
    pool,
)
from hardy.methods.ensemble.spec import EnsembleSpec, Member
from hardy.methods.fitting import Fits, Work
from hardy.methods.marginal import entropy, log_marginal
from hardy.methods.stages import Stages
from hardy.models.model import Model
from hardy.tasks.base import Task

_TEMPERATURES = "temperatures"


@dataclass(frozen=True)
class Part:
    """A member, built.

    Attributes:
        member: Its schema.
        adapter: Its method on its model.
        place: Which of the ensemble's view sets it sees.
    """

    member: Member
    adapter: Adapter
    place: int

    def subject(self, whole: Subject) -> Subject:
        """Return the image as this member sees it."""
        pixels = whole.others[self.place].to(whole.views.device)
        views = self.adapter.model.preprocess.normalise(pixels)
        return Subject(views, whole.id, whole.seed)


class Ensemble(Fits, Adapts):
    """Answers as the pool of its members, before (`simple_ensemble`) and after joint steps.

    Args:
        models: The experiment's model, which answers as `source`; then those that members name,
            in the order of `spec.further_models`.
        spec: Members, temperatures, steps, arithmetic.
        task: What answers are.

    Attributes:
        temperatures: One a member; 1 until what was fitted is loaded.
    """

    leaves_adapted = False

    def __init__(self, models: Sequence[Model], spec: EnsembleSpec, task: Task) -> None:
        super().__init__(models[0])
        self.spec = spec
        self._task = task
        self._sets: list[ViewSet] = []
        named = iter(models[1:])
        self.parts = [self._part(member, named) for member in spec.members]
        given = spec.temperatures if isinstance(spec.temperatures, tuple) else None
        self.temperatures = list(given or [1.0] * len(self.parts))

    def _part(self, member: Member, named: Iterator[Model]) -> Part:
        # A member that tunes weights must not tune those that others answer with.
        own = copy.deepcopy(self.model) if member.model is None else next(named)
        method = build_method(member.method, [own], self._task)
        adapter = method if isinstance(method, Adapter) else Frozen(method, member.method)
        return Part(member, adapter, self._place(own, views_of(member.method) or Identity()))

    def _place(self, model: Model, views: ViewSpec) -> int:
        """Return which set of views has the wanted pixels; members share it where they can."""
        point = SourcePoint(model) if views.at_point else None
        for place, known in enumerate(self._sets):
            same_input = known.preprocess.same_geometry(model.preprocess)
            # Noise after the normalisation, which only an unchanged image may have, is put on the
            # levels by the deviations.
            if isinstance(views, Identity):
                same_input &= known.preprocess.std == model.preprocess.std
            if same_input and known.views == views and point is None:
                return place
        self._sets.append(ViewSet(model.preprocess, views, point))
        return len(self._sets) - 1

    def remember(self, cache: Cache | None, precision: str) -> None:
        """Let every member keep what it can."""
        for part in self.parts:
            part.adapter.remember(cache, precision)

    def prepare(self, subjects: Sequence[Subject]) -> None:
        """Let every member compute what it can for several images at once."""
        for part in self.parts:
            part.adapter.prepare([part.subject(subject) for subject in subjects])

    @property
    def view_sets(self) -> tuple[ViewSet, ...]:
        """What the members see, each set once."""
        return tuple(self._sets)

    def predict(self, subject: Subject) -> Outcome:
        """Answer for one image as the source, each member, and the pool before and after steps.

        Raises:
            MethodError: If the loss is not finite.
        """
        stages = Stages(subject.views.device)
        with torch.no_grad():
            source = self.model(subject.views[:1])[0]
        stages.done("source")
        seen = [part.subject(subject) for part in self.parts]
        stages.skip()
        answers = {"source": log_probabilities(source)}
        singles, took = self._singles(seen) if self.spec.singles else ({}, {})
        answers |= singles
        stages.done("singles")
        for part, views in zip(self.parts, seen, strict=True):
            part.adapter.begin(views)
        before, loss = self._steps(stages)
        last = self._opinions([part.adapter.answer()[None] for part in self.parts])
        after = pool(last, renormalise=self.spec.renormalise)
        stages.done("predict")
        answers["simple_ensemble"] = log_probabilities(before)
        answers["ensemble"] = log_probabilities(after)
        weights = certainty_weights(torch.stack(last)).tolist()
        return Outcome(
            answers,
            details={"loss": loss, "member_weights": weights},
            milliseconds=stages.milliseconds | took,
            needs=self._needs(),
        )

    def _needs(self) -> dict[str, tuple[str, ...]]:
        """Return the stages that each answer needs: see `Outcome.needs`."""
        needs: dict[str, tuple[str, ...]] = {"source": (*PLAIN, "source")}
        for part in self.parts:
            name = part.member.name
            needs[name] = ("read", f"views.{part.place}", f"single.{name}")
        # What a member remembers from its single answer is missing in the joint one.
        if not any(part.adapter.remembers for part in self.parts):
            sets = (f"views.{place}" for place in range(len(self._sets)))
            needs["simple_ensemble"] = ("read", *sets, "pool")
            needs["ensemble"] = (*needs["simple_ensemble"], "adapt", "predict")
        return needs

    def _singles(self, seen: Sequence[Subject]) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Return the members' own answers, and what each took where that is known."""
        answers: dict[str, Tensor] = {}
        took: dict[str, float] = {}
        for part, views in zip(self.parts, seen, strict=True):
            name, kind = part.member.name, part.member.method.kind
            outcome = part.adapter.predict(views)
            answers[name] = outcome.answers[kind]
            costs = outcome.costs(dict.fromkeys((*PLAIN, "views"), 0.0))
            took |= {f"single.{name}": costs[kind]} if kind in costs else {}
            part.adapter.reset()
        return answers, took

    def _steps(self, stages: Stages) -> tuple[Tensor, float]:
        """Take the joint steps; return the pool (C,) and the loss before the first."""
        history = []
        for step in range(self.spec.steps):
            opinions = self._opinions([part.adapter.logits() for part in self.parts])
            pooled = pool(opinions, renormalise=self.spec.renormalise)
            loss = entropy(pooled)
            check_finite(loss, "ensemble", step)
            history.append((pooled.detach(), loss.item()))
            stages.done("adapt" if step else "pool")
            tuned = [tensor for part in self.parts for tensor in part.adapter.tuned]
            if not tuned:
                break  # nobody learns: further steps would repeat this one
            torch.autograd.backward(loss, inputs=tuned)
            for part in self.parts:
                part.adapter.step()
        stages.done("adapt")
        return history[0]

    def _opinions(self, logits: Sequence[Tensor]) -> list[Tensor]:
        return [
            opinion(each, temperature, self.spec.marginal)
            for each, temperature in zip(logits, self.temperatures, strict=True)
        ]

    def unscaled(self, subject: Subject) -> Tensor:
        """Return each member's log-probabilities from its views, unadapted, (M, C), on the CPU.

        What temperatures are fitted on.
        """
        found = []
        for part in self.parts:
            part.adapter.begin(part.subject(subject))
            found.append(log_marginal(part.adapter.logits().detach(), self.spec.marginal).cpu())
            part.adapter.reset()
        return torch.stack(found)

    def fit(self, work: Work) -> dict[str, Tensor]:
        """Fit each member's temperature to held-out samples; return them, (M,) in float64."""
        identity = self.spec.identity()
        key = {"members": identity["members"], "marginal": identity["marginal"]}
        found = work.kept("opinions", key, lambda: self._opinions_of(work))
        opinions, labels = found["opinions"].numpy(), found["labels"].numpy()
        fitted = [fit_temperature(opinions[:, m], labels) for m in range(len(self.parts))]
        names = [part.member.name for part in self.parts]
        work.log({f"temperature/{n}": t for n, t in zip(names, fitted, strict=True)})
        return {_TEMPERATURES: torch.tensor(fitted, dtype=torch.float64)}

    def _opinions_of(self, work: Work) -> dict[str, Tensor]:
        """Return the members' log-probabilities (N, M, C) of held-out samples, and labels (N,)."""
        work.say(f"asks the members for {len(work.data('fit').samples)} held-out samples")
        opinions, labels = [], []
        for subject, targets in work.subjects("fit"):
            opinions.append(self.unscaled(subject))
            labels.append(cast("Tensor", targets.label))
        return {"opinions": torch.stack(opinions), "labels": torch.cat(labels)}

    def load(self, fitted: Mapping[str, Tensor]) -> None:
        """Take the temperatures."""
        self.temperatures = fitted[_TEMPERATURES].tolist()

    def reset(self) -> None:
        """Restore every member."""
        for part in self.parts:
            part.adapter.reset()


def build(spec: EnsembleSpec, models: Sequence[Model], task: Task) -> Ensemble:
    """Build the method from its schema and the models that its members name."""
    return Ensemble(models, spec, task)
