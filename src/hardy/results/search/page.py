"""A search as one page: figures to point at and to zoom into, without a network."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hardy.explain.html import document
from hardy.results.search.importances import importances
from hardy.results.search.marks import wrapped
from hardy.results.search.pictures import shown_reports
from hardy.results.search.study import Direction, as_study, by_objective, quiet
from hardy.results.search.trial import Trial
from hardy.results.search.words import counts
from hardy.spec.search.spec import SearchSpec

if TYPE_CHECKING:
    import optuna
    import plotly.graph_objects as go


def page(
    name: str, spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> str:
    """Return an HTML page with all figures, and with plotly's library in it once.

    Args:
        name: The search's.
        spec: What was searched.
        directions: For each objective, which way is better.
        trials: All of them, in order.
    """
    with quiet(), warnings.catch_warnings():
        # Optuna warns of figures that have little to show.
        warnings.simplefilter("ignore")
        figures = list(_figures(spec, directions, trials))
    return document(name, counts(trials), figures)


def _figures(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial]
) -> Iterator[tuple[str, "go.Figure"]]:
    from optuna.visualization import plot_intermediate_values, plot_pareto_front

    drawn = [replace(trial, reports=shown_reports(spec, trial)) for trial in trials]
    study = as_study(spec, directions, drawn)
    metrics = [objective.metric for objective in spec.objectives]
    finished = any(trial.state == "complete" for trial in trials)
    if len(metrics) == 2 and finished:
        yield "Pareto front", plot_pareto_front(study, target_names=metrics)
    for place, metric in enumerate(metrics) if finished else ():
        shares = importances(spec, directions, trials, place)
        alone = as_study(*by_objective(spec, directions, drawn, place))
        for title, figure in _of_one(alone, metric, list(shares)):
            yield (f"{metric}: {title}" if len(metrics) > 1 else title), figure
    if any(trial.reports for trial in trials):
        yield "what trials reported", plot_intermediate_values(study)


def _of_one(
    study: "optuna.Study", metric: str, decisive: Sequence[str]
) -> Iterator[tuple[str, "go.Figure"]]:
    """Yield the figures about one objective.

    Args:
        study: The search, as if that objective were the only one.
        metric: Its name.
        decisive: The paths by importance; empty where that is not known.
    """
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import (
        plot_contour,
        plot_optimization_history,
        plot_parallel_coordinate,
        plot_param_importances,
        plot_slice,
    )

    history = plot_optimization_history(study, target_name=metric)
    history.update_traces(line={"shape": "hv"}, selector={"mode": "lines"})
    yield "history", history
    if decisive:
        evaluator = PedAnovaImportanceEvaluator()
        bars = plot_param_importances(study, evaluator, list(decisive), target_name=metric)
        bars.update_layout(height=250 + 25 * len(decisive), yaxis={"dtick": 1})
        yield "importances", bars
    paths = _searched(study)
    if not paths:
        return
    yield "parallel coordinates", plot_parallel_coordinate(study, paths, target_name=metric)
    panels = plot_slice(study, paths, target_name=metric)
    panels.for_each_xaxis(_wrap)
    yield "slices", panels
    pair = _pair(study, [*decisive, *(path for path in paths if path not in decisive)])
    if pair:
        yield "contour", plot_contour(study, pair, target_name=metric)


def _wrap(axis: "go.layout.XAxis") -> None:
    if axis.title.text:
        axis.title.text = wrapped(axis.title.text, 16).replace("\n", "<br>")


def _searched(study: "optuna.Study") -> list[str]:
    """Return the paths that finished trials have, in the order in which these tell them."""
    return list(dict.fromkeys(path for each in study.trials if each.values for path in each.params))


def _pair(study: "optuna.Study", paths: Sequence[str]) -> list[str]:
    """Return the first two paths that vary, and that some trials have both; none without them."""
    done = [each.params for each in study.trials if each.values]
    for place, one in enumerate(paths):
        for other in paths[place + 1 :]:
            both = [(each[one], each[other]) for each in done if one in each and other in each]
            if all(len({str(pair[n]) for pair in both}) > 1 for n in (0, 1)):
                return [one, other]
    return []
