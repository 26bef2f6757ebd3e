"""Whether a network's outputs are a dataset's classes, and what to do where they are not."""

from collections.abc import Sequence

from hardy.methods import METHODS


def misfit(
    model: str, outputs: int, dataset: str, classes: int, indices: Sequence[int] | None = None
) -> str:
    """Say that a network does not answer with a dataset's classes; empty if it does.

    Args:
        model: Its name.
        outputs: How many it has.
        dataset: Its name.
        classes: How many it has.
        indices: For each class, its index among an ImageNet model's outputs, if there is one.
    """
    if outputs == classes or (indices and outputs > max(indices)):
        return ""
    needed = max(indices) + 1 if indices else classes
    return f"model {model} has {outputs} outputs, but dataset {dataset} needs {needed}"


def way_out() -> str:
    """Say what to do about a misfit."""
    makers = [
        method.model_fields["kind"].default
        for method in METHODS
        if method.makes_head and method.yields_weights and method.asks_head
    ]
    tuned = (
        f"Fine-tune it on these classes first (method {' or '.join(makers)}), and begin here with "
        "model.weights: experiment:NAME. Or choose"
    )
    return (
        f"{tuned if makers else 'Choose'} weights that were trained on these classes; or name an "
        "ImageNet model's classes by folders of WordNet ids; or use CLIP."
    )
