"""How a plan learns the digests of data and weights, without torch."""

from hardy.data.open import data_digest
from hardy.models.weights import locate
from hardy.plan.units import Inputs

INPUTS = Inputs(
    data=lambda experiment: data_digest(experiment.data),
    weights=lambda experiment: locate(experiment.model).identity,
)
