"""The source model as it is: one forward pass of the unchanged image."""

from time import perf_counter

import torch

from hardy.methods.base import Outcome, Subject, TestTimeMethod, log_probabilities
from hardy.methods.source.spec import SourceSpec
from hardy.models.model import Model


class Source(TestTimeMethod):
    """Answers with the unadapted model."""

    def predict(self, subject: Subject) -> Outcome:
        """Answer from the unchanged image; nothing changes."""
        start = perf_counter()
        with torch.no_grad():
            logits = self.model(subject.views[:1])[0]
        answer = log_probabilities(logits)
        return Outcome({"source": answer}, milliseconds={"predict": 1e3 * (perf_counter() - start)})

    def reset(self) -> None:
        """Do nothing: nothing was changed."""


def build(model: Model, spec: SourceSpec) -> Source:
    """Build the method from its schema."""
    del spec  # it has no settings
    return Source(model)
