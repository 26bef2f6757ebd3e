"""How much each searched value decides whether a trial is among the best."""

import warnings
from collections.abc import Sequence

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from hardy.results.search.study import Direction, as_study, by_objective
from hardy.results.search.trial import Trial
from hardy.spec.search.spec import SearchSpec

FEWEST = 10


def importances(
    spec: SearchSpec, directions: Sequence[Direction], trials: Sequence[Trial], place: int = 0
) -> dict[str, float]:
    """Return each path's share in being among the best tenth, by PED-ANOVA, the largest first.

    It draws no random numbers, and knows conditions. Empty where fewer than ten trials finished,
    or all are equal: then there is nothing to tell.

    Args:
        spec: What was searched.
        directions: For each objective, which way is better.
        trials: All of them, in order.
        place: Which objective it is about.
    """
    study = as_study(*by_objective(spec, directions, trials, place))
    found = [each for each in study.trials if each.values]
    known = [path for path in spec.space if any(path in each.params for each in found)]
    if len(found) < FEWEST or len({each.value for each in found}) < 2 or not known:
        return {}
    with warnings.catch_warnings():
        # That a branch which few trials took is told of with less certainty.
        warnings.simplefilter("ignore", UserWarning)
        # Named, and so in the spec's order: of its own, Optuna takes that of a set.
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=known)
    return dict(sorted(shares.items(), key=lambda each: (-each[1], known.index(each[0]))))
