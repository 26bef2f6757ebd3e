"""Moves a policy's alias: up when every gate holds, back when a person says so.

The gates are judged and the alias is moved under one file lock; and the alias is read again just
before it is moved, because another machine does not see that lock. So of two promoters at once
the second is judged against the first one's champion.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from hardy.core.errors import RegistryError
from hardy.core.hashing import canonical_json
from hardy.plan.tracker import EXPERIMENT_TAG
from hardy.registry.gates import judge
from hardy.registry.history import NOBODY, REPLACED_TAG, Undo, history, step_back, tag_of, written
from hardy.registry.spec import CHALLENGER, BetterThan, Policy
from hardy.registry.verdict import Evidence, Verdict
from hardy.registry.versions import aliases, evidence, find, lock, model_tags, versions
from hardy.spec.policies import not_taken
from hardy.tracking.store import connect, translated

VERDICT_TAG = "hardy.verdict"
DEMOTED_TAG = "hardy.demoted"

_ATTEMPTS = 5


def promote(policy: Policy, version: str | None = None, *, dry_run: bool = False) -> Verdict:
    """Judge a version, and give it the policy's alias if every gate holds.

    A version that fails gets the alias `challenger`; either way the verdict is kept as a tag of
    the version, and the new holder's tag `hardy.replaced` names the version it replaced.

    Args:
        policy: Gates and alias.
        version: Number or alias of the candidate; None for the newest version.
        dry_run: Judge only; change nothing.

    Raises:
        RegistryError: If there is no such version, it is no candidate, or the alias would not hold
            still.
        TrackingError: If the store fails; nothing is then changed.
    """
    client = connect()
    if dry_run:
        return _judge(client, policy, find(client, policy.model, version))[0]
    with lock(policy.model):
        candidate = find(client, policy.model, version)
        for _ in range(_ATTEMPTS):
            verdict, seen = _judge(client, policy, candidate)
            if aliases(client, policy.model) == seen:
                return _apply(client, policy, verdict)
    message = f"the aliases of {policy.model!r} change faster than they can be judged"
    raise RegistryError(message, hint="Somebody else is promoting; try again.")


def last_step(policy: Policy) -> Undo:
    """Return what `demote` would do; change nothing.

    Raises:
        RegistryError: If nobody holds the alias, or it is not known who held it before.
    """
    return _step(connect(), policy)[0]


def demote(policy: Policy, agreed: Undo | None = None) -> Undo:
    """Undo the last promotion that is not undone: give the alias back to the version before.

    Args:
        policy: Its alias.
        agreed: What a person has agreed to; None for whatever the step is.

    Raises:
        RegistryError: If nobody holds the alias, it is not known who held it before, or the step
            is another one than was agreed to.
        TrackingError: If the store fails; nothing is then changed.
    """
    client = connect()
    with lock(policy.model):
        step, holder = _step(client, policy)
        if agreed not in (None, step):
            message = f"the alias {policy.alias!r} of {policy.model!r} moved in the meantime"
            raise RegistryError(message, hint="Look again: `hardy promote --undo --dry-run`.")
        back_to = step.back_to or NOBODY
        note = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "back_to": back_to}
        with _Changes(client, policy.model) as changes:
            changes.tag(holder, DEMOTED_TAG, canonical_json(note))
            changes.tag(holder, REPLACED_TAG, None)
            changes.model_tag(tag_of(policy.alias), written(step.left))
            changes.alias(policy.alias, step.back_to)
    return step


def _step(client: MlflowClient, policy: Policy) -> tuple[Undo, ModelVersion]:
    """Return the step back of a policy's alias, and the version that holds it."""
    holder = find(client, policy.model, policy.alias)
    held = versions(client, policy.model)
    past = history(client, policy.model, policy.alias, str(holder.version), held)
    return step_back(past, [str(v.version) for v in held], policy.model), holder


def prune(policy: Policy) -> list[str]:
    """Delete the oldest versions without an alias, down to `policy.keep`; return their numbers.

    Those that an undo would bring back, one after the other, are kept too.
    """
    client = connect()
    with lock(policy.model):
        held = versions(client, policy.model)
        if not held:
            return []
        kept: set[str] = set()
        for alias, holder in aliases(client, policy.model).items():
            kept.update(history(client, policy.model, alias, holder, held))
        free = [v for v in held if str(v.version) not in kept]
        for version in free[policy.keep :]:
            _delete(client, version)
    return [str(version.version) for version in free[policy.keep :]]


def _delete(client: MlflowClient, version: ModelVersion) -> None:
    with translated(client.tracking_uri):
        client.delete_model_version(version.name, version.version)
        if version.model_id:
            client.delete_logged_model(version.model_id)


def _judge(
    client: MlflowClient, policy: Policy, candidate: ModelVersion
) -> tuple[Verdict, dict[str, str]]:
    """Return the verdict and the aliases it rests on."""
    seen = aliases(client, policy.model)
    wanted = {policy.alias} | {g.better_than for g in policy.gates if isinstance(g, BetterThan)}
    ours = evidence(client, candidate)
    _check_candidate(policy, candidate, ours)
    holders: dict[str, Evidence] = {}
    for alias in sorted(wanted & seen.keys()):
        number = seen[alias]
        holders[alias] = (
            ours if number == ours.version else evidence(client, find(client, policy.model, number))
        )
    return judge(policy, ours, holders), seen


def _check_candidate(policy: Policy, candidate: ModelVersion, ours: Evidence) -> None:
    """Raise a RegistryError where the policy does not take what a version was made of."""
    experiment = candidate.tags.get(EXPERIMENT_TAG, "")
    for dataset in ours.frame["dataset"].unique():
        refused = not_taken(policy, experiment, str(dataset))
        if refused is not None:
            message, expected = refused
            message = f"version {ours.version} may not compete: {message}"
            raise RegistryError(message, hint=f"It wants {expected}.")


def _apply(client: MlflowClient, policy: Policy, verdict: Verdict) -> Verdict:
    if verdict.is_holder:
        return verdict
    candidate = find(client, policy.model, verdict.version)
    verdict = replace(verdict, promoted=verdict.passed)
    with _Changes(client, policy.model) as changes:
        changes.tag(candidate, VERDICT_TAG, canonical_json(verdict.as_dict()))
        if verdict.promoted:
            held = versions(client, policy.model)
            past = history(client, policy.model, policy.alias, verdict.holder, held)
            changes.tag(candidate, REPLACED_TAG, verdict.holder or NOBODY)
            changes.model_tag(tag_of(policy.alias), written([*past, verdict.version]))
            if aliases(client, policy.model).get(CHALLENGER) == verdict.version:
                changes.alias(CHALLENGER, None)
            changes.alias(policy.alias, verdict.version)
        elif policy.alias != CHALLENGER:
            changes.alias(CHALLENGER, verdict.version)
    return verdict


class _Changes:
    """Changes to a registered model that are taken back, last first, if one of them fails."""

    def __init__(self, client: MlflowClient, model: str) -> None:
        self._client = client
        self._model = model
        self._before = aliases(client, model)
        self._tags = model_tags(client, model)
        self._undo = ExitStack()

    def __enter__(self) -> "_Changes":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._undo.pop_all()
        self._undo.close()

    def tag(self, version: ModelVersion, key: str, value: str | None) -> None:
        """Set a tag of a version, or delete it."""
        before, number = version.tags.get(key), str(version.version)
        self._do(lambda: self._tag(number, key, before), lambda: self._tag(number, key, value))

    def model_tag(self, key: str, value: str) -> None:
        """Set a tag of the model."""
        before = self._tags.get(key)
        self._do(lambda: self._model_tag(key, before), lambda: self._model_tag(key, value))

    def alias(self, name: str, number: str | None) -> None:
        """Point an alias at a version, or delete it."""
        before = self._before.get(name)
        self._do(lambda: self._alias(name, before), lambda: self._alias(name, number))

    def _do(self, undo: Callable[[], None], do: Callable[[], None]) -> None:
        # The undo comes first: a call that fails may have been carried out all the same.
        self._undo.callback(undo)
        do()

    def _tag(self, number: str, key: str, value: str | None) -> None:
        with translated(self._client.tracking_uri):
            if value is None:
                self._client.delete_model_version_tag(self._model, number, key)
            else:
                self._client.set_model_version_tag(self._model, number, key, value)

    def _model_tag(self, key: str, value: str | None) -> None:
        with translated(self._client.tracking_uri):
            if value is None:
                self._client.delete_registered_model_tag(self._model, key)
            else:
                self._client.set_registered_model_tag(self._model, key, value)

    def _alias(self, name: str, number: str | None) -> None:
        with translated(self._client.tracking_uri):
            if number is None:
                self._client.delete_registered_model_alias(self._model, name)
            else:
                self._client.set_registered_model_alias(self._model, name, number)
