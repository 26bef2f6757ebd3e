"""Analyses of a network on samples, clean and shifted: numbers, tables and pictures of a run.

They see the model as it answers, its weights fitted or loaded, and change nothing.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
import torch

from hardy.core.errors import DataError, SpecError
from hardy.core.seeding import generator
from hardy.data.item import BadSample, Prepared
from hardy.data.pipeline import loader
from hardy.data.shift_spec import ShiftSpec
from hardy.data.view_spec import Identity
from hardy.engine.device import spread
from hardy.engine.examples import examples
from hardy.engine.setup import Setup
from hardy.explain import (
    codebook,
    embedding,
    feature_maps,
    latents,
    prediction_grid,
    similarity,
)
from hardy.explain.layers import find_layers, find_maps
from hardy.explain.pairs import Pairs
from hardy.explain.prediction_grid import Said
from hardy.methods.base import Answers
from hardy.models import head
from hardy.tasks.base import Content, Explained

_LEAST = 3
"""Samples of which a map can be made."""

Say = Callable[[str], None]
Found = tuple[str, Content | float]


def check(setup: Setup) -> None:
    """Make sure, before a run does anything that takes long, that its analyses can be made.

    Raises:
        SpecError: If a layer that a spec names is none, or it has not what is to be taken, or a
            sample that is chosen is none.
    """
    wanted = setup.experiment.explain
    answered = setup.data["answer"]
    for field, chosen in wanted.chosen():
        if absent := chosen.absent(sample.id for sample in answered.samples):
            message = f"{field}: {answered.name} has no sample {absent[0]!r} here"
            raise SpecError(message, hint=absent[1])
    if wanted.similarity is not None:
        find_layers(setup.model, wanted.similarity.layers, wanted.similarity.tokens)
    if wanted.feature_maps is not None:
        find_maps(setup.model, wanted.feature_maps.layers)
    network, mapped = setup.model.network, wanted.embedding is not None
    if mapped and not setup.task.spec.dense and not hasattr(network, "image_features"):
        head.find(network)


def analyse(setup: Setup, frame: pd.DataFrame, say: Say) -> Iterator[Found]:
    """Yield what a unit's analyses give: contents by artifact path, numbers by metric name.

    Args:
        setup: The experiment's parts; the method holds what it fitted.
        frame: The unit's records: the samples that were answered.
        say: Told of what is left out, and why.
    """
    wanted, dense = setup.experiment.explain, setup.task.spec.dense
    if wanted.similarity is not None:
        spec = wanted.similarity
        if pairs := _pairs(setup, frame, spec.shift, "similarity", say):
            yield from similarity.draw(spec, pairs)
    if wanted.embedding is not None:
        if dense:
            say(_left_out("embedding", "answers are planes, and no head sees one feature"))
        elif len(frame) < _LEAST:
            say(_left_out("embedding", f"{len(frame)} samples are too few"))
        elif pairs := _pairs(setup, frame, wanted.embedding.shift, "embedding", say):
            yield from embedding.draw(wanted.embedding, pairs)
    if wanted.prediction_grid is not None:
        grid = wanted.prediction_grid
        if pairs := _pairs(setup, frame, grid.shift, "prediction_grid", say):
            if _explained(setup, next(iter(pairs.batches(1))).clean)[0] is None:
                say(_left_out("prediction_grid", "answers are no classes"))
            else:
                yield from prediction_grid.draw(grid, pairs, lambda items: _said(setup, items))
    yield from _as_answered(setup, frame, say)


def _as_answered(setup: Setup, frame: pd.DataFrame, say: Say) -> Iterator[Found]:
    """Yield what analyses of samples as they were answered give: they need no shift."""
    wanted = setup.experiment.explain
    if wanted.examples is not None:
        if setup.task.spec.dense:
            yield from examples(setup, frame, wanted.examples)
        else:
            say(_left_out("examples", "answers are no planes"))
    if wanted.feature_maps is not None:
        yield from feature_maps.draw(wanted.feature_maps, _seen(setup, frame))
    if wanted.latents is not None:
        if len(frame) < _LEAST:
            say(_left_out("latents", f"{len(frame)} samples are too few"))
        else:
            yield from latents.draw(wanted.latents, _seen(setup, frame))
    if wanted.codebook is not None:
        yield from codebook.draw(wanted.codebook, _seen(setup, frame))


def _left_out(name: str, reason: str) -> str:
    return f"explain.{name} is left out: {reason}"


def _pairs(
    setup: Setup, frame: pd.DataFrame, stated: ShiftSpec | None, name: str, say: Say
) -> Pairs | None:
    """Return the samples clean and shifted; None, and say so, where there is no shift."""
    shift = stated or setup.experiment.data.shift
    if shift is None:
        say(_left_out(name, "it names no shift, and the data have none"))
        return None
    return _seen(setup, frame, stated)


def _seen(setup: Setup, frame: pd.DataFrame, stated: ShiftSpec | None = None) -> Pairs:
    """Return the samples that were answered; under a shift of their own, or the stated one."""
    shift = stated or setup.experiment.data.shift
    places = {sample.id: place for place, sample in enumerate(setup.data["answer"].samples)}
    known = np.array([places[each] for each in frame["sample"]])
    drawn = generator(setup.experiment.seed, "analyses").permutation(len(known))
    workers = spread(setup.experiment, setup.model.preprocess.side, setup.fabric.device.type)

    def read(shifted: bool, wanted: Sequence[int]) -> Generator[Prepared, None, None]:
        experiment = setup.experiment
        data = experiment.data.model_copy(update={"shift": shift if shifted else None})
        under = replace(setup, experiment=experiment.model_copy(update={"data": data}))
        pipeline = under.pipeline("answer", wanted, views=Identity(count=1))
        with closing(loader(pipeline, workers.workers)) as samples:
            for item in samples:
                if isinstance(item, BadSample):
                    message = f"{item.id} was readable a moment ago: {item.reason}"
                    raise DataError(message, hint=item.hint)
                yield item

    setup.model.eval()
    return Pairs(
        setup.model,
        read,
        setup.images,
        setup.fabric.autocast,
        known[drawn].tolist(),
        shift.label if shift else "none",
        tuple(setup.data["answer"].classes),
        setup.experiment.seed,
    )


@torch.no_grad()
def _explained(setup: Setup, items: Sequence[Prepared]) -> list[Explained | None]:
    """Return the class that is predicted for each sample, by the fitted method or the network."""
    images, method = setup.images(items), setup.method
    with setup.fabric.autocast():
        if isinstance(method, Answers):
            answers = method.answer(images)[str(setup.experiment.method.kind)]
        else:
            answers = setup.task.answer(setup.model(images))
    return [
        setup.task.explained(answer, item.targets)
        for answer, item in zip(answers, items, strict=True)
    ]


def _said(setup: Setup, items: Sequence[Prepared]) -> list[Said]:
    found = cast("list[Explained]", _explained(setup, items))
    return [Said(each.name, each.confidence, each.right, each.truth) for each in found]
