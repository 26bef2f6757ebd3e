"""Tiny CLIPs for tests, with the tokenizer of the real ones."""

import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP
from torch import nn

from hardy.models.clip.zero_shot import ZeroShot

PHOTO = ("a photo of a {}.",)
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16}


def tiny(vision: dict = VIT, kind: type = CLIP, seed: int = 0, **text: object) -> nn.Module:
    """Build a CLIP of about two million parameters, most of them words, with unlike features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = kind(embed_dim=16, vision_cfg=dict(vision), text_cfg=TEXT | text)
        # The library begins residual branches and biases at zero, which would hide mistakes.
        for name, parameter in clip.named_parameters():
            if parameter.ndim == 1:
                nn.init.normal_(parameter, float(name.endswith("weight")), 0.3)
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return clip.eval()


def zero_shot(clip: nn.Module, names: tuple[str, ...], templates: tuple[str, ...] = PHOTO):
    """Wrap a CLIP with real tokens and its texts read."""
    tokenizer = open_clip.SimpleTokenizer(context_length=clip.context_length)
    network = ZeroShot(clip, tokenizer, names, templates).eval()
    network.read_texts()
    return network


def custom(**text: object) -> nn.Module:
    """Build one whose text tower is a module of its own."""
    return tiny(kind=CustomTextCLIP, **text)
