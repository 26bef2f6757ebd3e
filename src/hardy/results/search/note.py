"""What a search's parent run says of itself, in Markdown."""

import re
import shlex
from collections.abc import Callable, Sequence

from hardy.results.search.study import Direction, best, pareto
from hardy.results.search.table import TRIALS
from hardy.results.search.trial import Trial
from hardy.results.search.words import (
    constraint_name,
    counts,
    objective_text,
    saving,
    value_cell,
)
from hardy.spec.search.spec import SearchSpec

BEST = "search/best.yaml"
PAGE = "search/search.html"

_REASONS = 5
_REASON = 160
_FRONT = 30


def note(
    spec: SearchSpec,
    directions: Sequence[Direction],
    trials: Sequence[Trial],
    *,
    storage: str,
    link: Callable[[str], str],
) -> str:
    """Return what became of a search: its counts, the best trial beside trial 0, where to look.

    Args:
        spec: What was searched.
        directions: For each objective, which way is better.
        trials: All of them, in order.
        storage: Where the study is: a journal's path, or a database's address.
        link: Gives a run's address in the UI.
    """
    chosen = best(trials, directions)
    own = next((trial for trial in trials if trial.index == 0), None)
    lines = [f"**{counts(trials)}.**", ""]
    lines += _beside(spec, chosen, own, link)
    lines += [f"- {line}" for line in _remarks(directions, trials, chosen)]
    lines += [f"- {line}" for line in _places(storage, chosen)]
    lines += [f"- {line}" for line in _failures(trials, link)]
    return "\n".join([*lines, ""])


def _beside(
    spec: SearchSpec, chosen: Trial | None, own: Trial | None, link: Callable[[str], str]
) -> list[str]:
    """Return a table of the best trial and of trial 0."""
    shown = [(f"best: trial {chosen.index}", chosen)] if chosen else []
    if own is not None and own is not chosen:
        shown.append(("trial 0: the spec's own values", own))
    if not shown:
        return []
    trials = [trial for _, trial in shown]
    rows = [["", *(title for title, _ in shown)]]
    for place, objective in enumerate(spec.objectives):
        rows.append([objective.metric, *(objective_text(trial, place) for trial in trials)])
    for place, constraint in enumerate(spec.constraints):
        rows.append([constraint_name(constraint), *(_held(trial, place) for trial in trials)])
    for path in spec.space:
        texts = (
            f"`{value_cell(spec, path, trial.values[path], 60)}`" if path in trial.values else "–"
            for trial in trials
        )
        rows.append([f"`{path}`", *texts])
    rows.append(["samples", *(f"{trial.samples:,}" for trial in trials)])
    rows.append(["seconds", *(f"{trial.seconds:,.1f}" for trial in trials)])
    rows.append(["runs", *(_links(trial, link) for trial in trials)])
    rows.insert(1, ["---", *["---:"] * len(trials)])
    return [f"| {' | '.join(map(_escape, row))} |" for row in rows] + [""]


def _held(trial: Trial, place: int) -> str:
    if place >= len(trial.constraints):
        return "–"
    missed = trial.constraints[place]
    return "held" if missed <= 0 else f"missed by {missed:.4g}"


def _links(trial: Trial, link: Callable[[str], str]) -> str:
    return ", ".join(f"[{run[:8]}]({link(run)})" for run in trial.runs) or "–"


def _remarks(
    directions: Sequence[Direction], trials: Sequence[Trial], chosen: Trial | None
) -> list[str]:
    lines = []
    if chosen is None:
        lines.append("No trial finished and held every constraint.")
    elif chosen.index == 0:
        lines.append("Nothing better was found than trial 0, the spec's own values.")
    if len(directions) > 1 and chosen is not None:
        front = [str(trial.index) for trial in pareto(trials, directions)]
        more = f" and {len(front) - _FRONT} more" if len(front) > _FRONT else ""
        lines.append(
            f"No trial is better in one objective and no worse in the others than these: "
            f"{', '.join(front[:_FRONT])}{more}; the best is that of them by the first objective."
        )
    if found := saving(trials):
        text = str(found)
        lines.append(f"{text[0].upper()}{text[1:]}.")
    return lines


def _places(storage: str, chosen: Trial | None) -> list[str]:
    lines = [
        f"All trials: `{TRIALS}`; pictures: `search/*.png`; all figures to point at, in one page: "
        f"`{PAGE}`."
    ]
    if chosen is not None:
        lines.append(f"The best trial as a spec that runs: `{BEST}`.")
    lines.append(
        f"The study in the browser: `optuna-dashboard {shlex.quote(masked(storage))}` "
        "(`pip install optuna-dashboard`)."
    )
    return lines


def _failures(trials: Sequence[Trial], link: Callable[[str], str]) -> list[str]:
    """Say why trials failed, each reason once."""
    reasons: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.state == "failed":
            reasons.setdefault(_one_line(trial.reason), []).append(trial)
    lines = []
    for reason, alike in list(reasons.items())[:_REASONS]:
        which = ", ".join(str(trial.index) for trial in alike[:10]) + ", …" * (len(alike) > 10)
        runs = f" ({_links(alike[0], link)})" if alike[0].runs else ""
        lines.append(f"Failed: {which}{runs}: `{reason}`")
    if len(reasons) > _REASONS:
        lines.append(f"{len(reasons) - _REASONS} more reasons: `{TRIALS}`.")
    return lines


def _one_line(text: str) -> str:
    text = " ".join(text.split()).replace("`", "'") or "no reason is known"
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def masked(storage: str) -> str:
    """Return a database's address without the password that it may hold; a path as it is."""
    scheme, mark, rest = storage.partition("://")
    if not mark:
        return storage
    # Up to the last @: a password may hold one, or a slash.
    rest = re.sub(r"^([^:/@?]*):.*@", r"\1:***@", rest)
    rest = re.sub(r"(?i)([?&](?:[^=&]*passw[^=&]*|pwd)=)[^&]*", r"\1***", rest)
    return f"{scheme}{mark}{rest}"
