"""How a plan learns of data and weights, without torch; MLflow only where weights lie in it."""

from functools import cache

from hardy.core.errors import RegistryError, WeightsError
from hardy.core.hashing import file_sha256
from hardy.data.cards import DATASETS
from hardy.data.open import data_digest, open_dataset
from hardy.models.weights import locate
from hardy.plan.inputs import Inputs, Located, Samples
from hardy.spec.experiment import Experiment


def _samples(experiment: Experiment) -> Samples:
    spec = experiment.data
    digest = data_digest(spec)
    if digest is not None:
        return Samples(digest, len(open_dataset(spec).samples))
    source = DATASETS[spec.dataset].source or "`hardy data check` says where to get it"
    return Samples("", spec.subset.count if spec.subset else None, absent=source)


def _weights(experiment: Experiment) -> Located:
    """Find weights, in a store of runs too; those of another experiment are the plan's."""
    scheme = experiment.model.weights.partition(":")[0]
    if scheme == "runs":
        return _artifact(experiment.model.weights)
    if scheme == "models":
        from hardy.registry.stores import locate_version

        return locate_version(experiment.model.weights)
    return locate(experiment.model)


@cache
def _artifact(uri: str) -> Located:
    """Find the weights that a run left: `runs:/ID/PATH`."""
    from hardy.tracking import default_tracker

    run_id, _, path = uri.removeprefix("runs:/").partition("/")
    file = default_tracker().artifact(run_id, path)
    if file.suffix != ".safetensors":
        message = f"{uri} is no .safetensors file"
        raise WeightsError(message, hint="A run's weights are read from safetensors alone.")
    return Located(file, f"sha256:{file_sha256(file)}")


def _weights_or_absent(experiment: Experiment) -> Located:
    """Find weights, or say what is missing: a plan is made without it, a run is not."""
    weights = experiment.model.weights
    try:
        return _weights(experiment)
    except (WeightsError, RegistryError) as error:
        if not weights.startswith(("file:", "package:", "models:")):
            raise
        told = str(error.hint) if weights.startswith("models:") else error.message
        return Located(None, f"absent:{weights}", absent=told)


INPUTS = Inputs(samples=_samples, weights=_weights)
PLAN_INPUTS = Inputs(samples=_samples, weights=_weights_or_absent)
