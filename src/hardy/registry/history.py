"""Who held an alias, one after the other: what an undo goes back through.

A tag of the registered model holds the numbers of the versions, the oldest first and the holder
last, so that a version may have held the alias twice, and each alias has a history of its own.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from hardy.core.errors import RegistryError
from hardy.registry.versions import model_tags

HISTORY_TAG = "hardy.history"
REPLACED_TAG = "hardy.replaced"
NOBODY = "none"

_LONGEST = 200


@dataclass(frozen=True)
class Undo:
    """One step back.

    Attributes:
        holder: Number of the version that holds the alias.
        back_to: Number of the version that gets it; None if nobody held it before.
        deleted: Those between the two that are no more, the newest first.
        left: The history after the step.
    """

    holder: str
    back_to: str | None
    deleted: tuple[str, ...]
    left: tuple[str, ...]


def tag_of(alias: str) -> str:
    """Return the name of the model's tag that holds an alias's history."""
    return f"{HISTORY_TAG}.{alias}"


def written(history: Sequence[str]) -> str:
    """Return a history as the value of its tag: the last 200 holders."""
    return json.dumps(list(history[-_LONGEST:]))


def history(
    client: MlflowClient, model: str, alias: str, holder: str | None, held: Sequence[ModelVersion]
) -> tuple[str, ...]:
    """Return who held an alias, up to who holds it now.

    `NOBODY` comes first where the first holder was given it by a promotion; where an alias was
    moved by another hand than hardy's, it is not known what came before.

    Args:
        client: The registry's.
        model: Name of the registered model.
        alias: The alias.
        holder: Number of the version that holds it; None for nobody.
        held: All versions of the model.
    """
    if holder is None:
        return (NOBODY,)
    value = model_tags(client, model).get(tag_of(alias))
    known = _replaced(holder, held) if value is None else [str(each) for each in json.loads(value)]
    if holder not in known:
        return (holder,)
    last = len(known) - known[::-1].index(holder)
    return tuple(known[:last])


def _replaced(holder: str, held: Sequence[ModelVersion]) -> list[str]:
    """Return the history that the versions' own tags tell, of a model that has no such tag yet."""
    before = {str(version.version): version.tags.get(REPLACED_TAG) for version in held}
    found = [holder]
    while (previous := before.get(found[0])) is not None and previous not in found:
        found.insert(0, previous)
    return found


def step_back(past: Sequence[str], numbers: Collection[str], model: str) -> Undo:
    """Return the step back to the version before, or to the nearest that is still there.

    Args:
        past: The history, whose last one is the holder.
        numbers: The versions that there are.
        model: Name of the registered model, for messages.

    Raises:
        RegistryError: If it is not known who came before, or none of these is there.
    """
    *before, holder = past
    there = [place for place, number in enumerate(before) if number in numbers]
    place = there[-1] if there else 0
    deleted = tuple(reversed(before[place + 1 :]))
    hint = "Promote another version by `hardy promote`."
    if not before:
        message = f"version {holder} of {model!r} does not say whom it replaced"
        raise RegistryError(message, hint=hint)
    if not there and (deleted or before[0] != NOBODY):
        gone = deleted[0] if deleted else before[0]
        message = f"version {gone} of {model!r}, which version {holder} replaced, was deleted"
        raise RegistryError(message, hint=hint)
    back_to = before[place] if there else None
    return Undo(holder, back_to, deleted, tuple(before[: place + 1]))
