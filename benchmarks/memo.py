"""MEMO's exact speed-ups, as ratios: `python -m benchmarks.memo`.

Two passes: all views without a graph, then the selected ones with it, against one graph over all
views. The networks have random weights, which cost the same as trained ones.
"""

import argparse

import torch
from torch import nn

from benchmarks.timing import compare
from hardy.data.view_spec import Cut
from hardy.methods.base import Subject
from hardy.methods.memo.method import Memo
from hardy.methods.memo.spec import MemoSpec
from hardy.models.build import build_classifier
from hardy.models.classifier import Classifier
from hardy.models.spec import TorchvisionModel


def _classifier(model: TorchvisionModel) -> Classifier:
    classifier = build_classifier(model).to(memory_format=torch.channels_last)
    # torchvision's transformers begin with a head of zeros, which tells no view from another.
    head = next(m for m in reversed(list(classifier.modules())) if isinstance(m, nn.Linear))
    nn.init.normal_(head.weight, std=0.1, generator=torch.manual_seed(1))
    return classifier


def two_pass(name: str, views: int, select: float, rounds: int) -> None:
    """Print the ratio for one network, and how far the two answers lie apart."""
    spec = MemoSpec(views=Cut(count=views), select=select)
    model = TorchvisionModel(name=name, weights="random")
    fast, plain = (Memo(_classifier(model), spec, two_pass=flag) for flag in (True, False))
    subject = Subject(torch.randn(views, 3, 224, 224, generator=torch.manual_seed(0)))
    outcomes = [method.predict(subject) for method in (plain, fast)]
    distance = max(
        float((outcomes[0].answers[k] - outcomes[1].answers[k]).abs().max())
        for k in ("source", "view_ensemble", "memo")
    )
    same = outcomes[0].details["selected_views"] == outcomes[1].details["selected_views"]

    def run(method: Memo) -> None:
        method.reset()
        method.predict(subject)

    ratio = compare(lambda: run(plain), lambda: run(fast), rounds)
    print(f"{name:10s} {views} views, select {select}: {ratio}")
    print(f"{'':10s} same views selected: {same}; log-probabilities differ by {distance:.1e}")


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="pairs that are timed")
    parser.add_argument("--views", type=int, default=64, help="views per sample")
    arguments = parser.parse_args()
    for name in ("resnet50", "vit_b_16"):
        two_pass(name, arguments.views, 0.1, arguments.rounds)


if __name__ == "__main__":
    main()
