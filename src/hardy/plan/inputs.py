"""How a plan learns what an experiment's inputs are, from the rooms to its right."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardy.spec.experiment import Experiment


@dataclass(frozen=True)
class Located:
    """Weights before they are read.

    Attributes:
        path: The file; None where the library's hub, a seed or a run still to come provides them.
        identity: What the fingerprint takes for them: `sha256:...`, the hub's name of them, or
            `run:` and the fingerprint of the run that yields them.
        in_order: Whether the file's tensors are the model's in the same order, under other names.
        absent: What is missing, where a plan is made without them; empty where they are there.
        others: Those of the further models that the experiment's method names.
    """

    path: Path | None
    identity: str
    in_order: bool = False
    absent: str = ""
    others: tuple["Located", ...] = ()

    @property
    def identities(self) -> str:
        """What the fingerprint takes for all of them."""
        return " ".join([self.identity, *(other.identity for other in self.others)])


@dataclass(frozen=True)
class Samples:
    """The samples that a data part names.

    Attributes:
        digest: Digest of the manifest; empty where the data are absent.
        count: How many; None where nobody can tell.
        absent: What to do to get them; empty where they are there.
    """

    digest: str
    count: int | None
    absent: str = ""


@dataclass(frozen=True)
class Inputs:
    """What the plan asks of data and weights; each answer is asked for once a plan.

    Attributes:
        samples: The samples that an experiment's data part names.
        weights: The weights that its model part names, but for those of another experiment.
    """

    samples: Callable[[Experiment], Samples]
    weights: Callable[[Experiment], Located]
