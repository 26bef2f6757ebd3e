"""TPT's exact speed-ups, as ratios: `python -m benchmarks.tpt`.

The plain way is the published code's: every forward pass encodes all its images again and all
prompts, each padded to the full length; a step is a forward and a backward pass; the answer is one
more forward pass, of the unchanged image. Only the prompt has a gradient in it, too. The networks
have random weights, which cost the same as trained ones; the classes are ImageNet's.
"""

import argparse
import math
import resource
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import open_clip
import torch
from torch import Tensor, nn

from benchmarks.timing import compare
from hardy.core.cache import Cache
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import Cut
from hardy.methods.base import Subject
from hardy.methods.features import FeatureMemory
from hardy.methods.marginal import marginal_entropy, select_confident
from hardy.methods.tpt.method import Tpt
from hardy.methods.tpt.spec import TptSpec
from hardy.models.clip.zero_shot import ZeroShot
from hardy.models.model import Model

PROMPT = "a photo of a {}."
CONTEXT = 4  # its words before the class


def _classifier(arch: str, classes: int) -> Model:
    torch.manual_seed(0)
    clip = open_clip.create_model(arch, pretrained=None).eval()
    nn.init.constant_(clip.logit_scale, math.log(100))  # as trained; else no view is confident
    names = tuple(open_clip.IMAGENET_CLASSNAMES[:classes])
    network = ZeroShot(clip, open_clip.get_tokenizer(arch), names, (PROMPT,))
    texts = torch.randn(classes, clip.visual.output_dim)
    network.text_features = nn.functional.normalize(texts, dim=-1)
    size = max(open_clip.get_model_preprocess_cfg(clip)["size"])
    preprocess = Preprocess(
        size=size, resize=size, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    return Model(network, preprocess).eval()


class Plain:
    """TPT as published, for the words of `PROMPT`.

    Args:
        network: The model; its parameters ask for no gradient while this runs.
        classes: How many of its classes.
    """

    def __init__(self, network: ZeroShot, classes: int) -> None:
        self.network = network
        self.tokens = network.tokenizer([PROMPT.format(n) for n in network.class_names[:classes]])
        with torch.no_grad():
            self.embedded = network.clip.token_embedding(self.tokens)
        self.start = self.embedded[0, 1 : 1 + CONTEXT].clone()

    def logits(self, context: Tensor, views: Tensor) -> Tensor:
        """Encode all images, and all prompts at their full length."""
        with torch.no_grad():
            images = self.network.image_features(views)
        clip, embedded = self.network.clip, self.embedded
        tuned = context.expand(len(embedded), -1, -1)
        x = torch.cat([embedded[:, :1], tuned, embedded[:, 1 + CONTEXT :]], dim=1)
        x = clip.transformer(x + clip.positional_embedding, attn_mask=clip.attn_mask)
        x = clip.ln_final(x)[torch.arange(len(x)), self.tokens.argmax(-1)] @ clip.text_projection
        return self.network.compare(images, nn.functional.normalize(x, dim=-1))

    def predict(self, views: Tensor, keep: int) -> Tensor:
        """Return the unchanged image's log-probabilities (C,) after one step."""
        self.network.clip.requires_grad_(False)
        context = nn.Parameter(self.start.clone())
        optimizer = torch.optim.AdamW([context], lr=5e-3)
        logits = self.logits(context, views)
        marginal_entropy(logits[select_confident(logits, keep)]).backward()
        optimizer.step()
        self.network.clip.requires_grad_(True)
        with torch.no_grad():
            return self.logits(context, views[:1])[0].log_softmax(-1)


def main() -> None:
    """Compare the two ways, and say where the time goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="ViT-B-32", help="open_clip's name")
    parser.add_argument("--classes", type=int, default=200, help="ImageNet's first classes")
    parser.add_argument("--views", type=int, default=64, help="views per sample")
    parser.add_argument("--rounds", type=int, default=3, help="pairs that are timed")
    parser.add_argument(
        "--plain-classes",
        type=int,
        help="classes that the plain way is timed with, where a graph of all takes too much "
        "memory; its text part is then scaled up",
    )
    arguments = parser.parse_args()
    run(
        arguments.arch,
        arguments.classes,
        arguments.views,
        arguments.rounds,
        min(arguments.plain_classes or arguments.classes, arguments.classes),
    )


def run(arch: str, classes: int, views: int, rounds: int, fewer: int) -> None:
    """Print all figures of one architecture and number of classes."""
    model = _classifier(arch, classes)
    size = model.preprocess.size
    spec = TptSpec(views=Cut(count=views))
    began = perf_counter()
    method = Tpt(model, spec)
    pixels = torch.randn(views, 3, size, size, generator=torch.manual_seed(0))
    # Noise of one strength would look the same to a random network in every view.
    subject = Subject(
        pixels * torch.linspace(0.2, 4, views)[torch.randperm(views), None, None, None]
    )
    folder = TemporaryDirectory(prefix="hardy-")

    cache = Cache(Path(folder.name))

    def answer(kept: Cache | None) -> Tensor:
        # The method remembers what it saw: a memory of its own each time, and a subject.
        method.memory = FeatureMemory(arch, kept)
        outcome = method.predict(replace(subject))
        method.reset()
        return outcome.answers["tpt"]

    fast = answer(cache)
    print(f"{arch}, {classes} classes, {views} views, {rounds} rounds")
    print(f"built, and the first sample answered, in {perf_counter() - began:.1f} s")
    print(f"peak memory until here {_peak():.2f} GB")
    encoding = _median(partial(_encode, model.network, subject.views), rounds)
    plain, keep = Plain(model.network, fewer), spec.keep(views)

    def published() -> Tensor:
        return plain.predict(subject.views, keep)

    if fewer == classes:
        print(f"log-probabilities differ by {float((published() - fast).abs().max()):.1e}")
    for name, kept in (("whole method", None), ("cached features", cache)):
        ratio = compare(published, partial(answer, kept), rounds)
        print(f"{name:15s} {ratio}" if fewer == classes else f"{name:15s} {ratio.fast:8.3f} s fast")
        if fewer < classes:
            scaled = encoding + (ratio.plain - encoding) * classes / fewer
            print(f"  plain {scaled:8.3f} s, extrapolated from {fewer} classes")
            print(f"  {scaled / ratio.fast:.2f}x")
        if kept is None:
            print(f"  image encoder {encoding:.3f} s, {encoding / ratio.fast:.0%} of the fast way")


@torch.no_grad()
def _encode(network: ZeroShot, views: Tensor) -> Tensor:
    return network.image_features(views)


def _median(function: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of some runs."""
    times = []
    for _ in range(rounds):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return median(times)


def _peak() -> float:
    """Return the most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
