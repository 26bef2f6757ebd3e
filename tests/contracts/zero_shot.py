"""A small image-text model of open_clip, with the real tokenizer, as a model."""

from functools import cache

import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP
from torch import nn

from hardy.models.clip.zero_shot import ZeroShot
from hardy.models.model import Model
from tests.contracts.method import PLAIN

NAMES = ("cat", "great white shark", "jack-o'-lantern", "café, table_top", "zebra")


@cache
def tokenizer(length: int) -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer(context_length=length)


def small_clip(kind: type = CLIP, seed: int = 0, length: int = 77, **text: object) -> nn.Module:
    """Return a model whose every tensor is random, so that none can be left out unnoticed."""
    text_cfg = {"context_length": length, "width": 16, "heads": 2, "layers": 3, **text}
    vision_cfg = {"image_size": 16, "patch_size": 8, "width": 24, "layers": 2, "head_width": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = kind(embed_dim=12, vision_cfg=vision_cfg, text_cfg=text_cfg)
        for name, parameter in clip.named_parameters():
            if name != "logit_scale":
                deviation = 0.3 if parameter.dim() < 2 else parameter.shape[-1] ** -0.5
                nn.init.normal_(parameter, mean=float("ln_" in name), std=deviation)
    return clip.eval()


def small_zero_shot(names: tuple[str, ...] = NAMES, clip: nn.Module | None = None) -> Model:
    clip = clip or small_clip()
    network = ZeroShot(clip, tokenizer(clip.context_length), names, ("a picture of {}.",))
    with torch.no_grad():
        texts = clip.encode_text(network.tokenizer([f"a picture of {name}." for name in names]))
        network.text_features = texts / texts.norm(dim=-1, keepdim=True)
    return Model(network, PLAIN).eval()


__all__ = ["NAMES", "CustomTextCLIP", "small_clip", "small_zero_shot", "tokenizer"]
