"""The fast text encoder against open_clip's own, on whole texts and in parts."""

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from torch import nn

from hardy.core.errors import SpecError
from hardy.models.clip.text import PromptEncoder, learned
from tests.contracts.zero_shot import CustomTextCLIP, small_clip, tokenizer

TEXTS = (
    "cat",
    "great white shark",
    "jack-o'-lantern",
    'the "odd" one, with, commas',
    "crème brûlée",
    "snake_case_name",
    "cat",
    "",
    "a name of so many words that it takes about half of all the places there are",
)


def sequences(before: str, after: str, names=TEXTS) -> list[list[int]]:
    encode = tokenizer(77).encode
    return [[49406, *encode(before), *encode(name), *encode(after), 49407] for name in names]


def own(clip: nn.Module, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        features = clip.encode_text(tokenizer(77)(texts))
    return features / features.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("kind", [CLIP, CustomTextCLIP])
@pytest.mark.parametrize("settings", [{}, {"ls_init_value": 0.3}, {"proj_bias": True}])
@pytest.mark.parametrize(
    ("before", "after"), [("a photo of a", "."), ("", "seen from afar ."), ("", "")]
)
def test_features_are_those_of_the_models_own_encoder(kind, settings, before, after):
    clip = small_clip(kind, **settings)
    encoder = PromptEncoder(clip, sequences(before, after))
    expected = own(clip, [f"{before} {name} {after}" for name in TEXTS])
    torch.testing.assert_close(encoder(torch.empty(0, 16)), expected, rtol=1e-4, atol=1e-5)


def test_one_class_and_equal_names_are_fine():
    clip = small_clip()
    for names in (("cat",), ("cat", "cat")):
        encoder = PromptEncoder(clip, sequences("a", ".", names))
        expected = own(clip, [f"a {name} ." for name in names])
        torch.testing.assert_close(encoder(torch.empty(0, 16)), expected, rtol=1e-4, atol=1e-5)


def test_a_prompt_may_fill_every_place():
    clip = small_clip()
    text = " ".join(["word"] * 75)
    encoder = PromptEncoder(clip, sequences(text, "", ("",)))
    torch.testing.assert_close(encoder(torch.empty(0, 16)), own(clip, [text]), rtol=1e-4, atol=1e-5)


def with_two_learned() -> list[list[int]]:
    return [
        [text[0], learned(0), *text[1:-1], learned(1), text[-1]] for text in sequences("a", ".")
    ]


@pytest.mark.parametrize("memory", [1e9, 2e5, 1.0])
def test_parts_and_kept_graphs_give_the_same_gradients(memory):
    clip = small_clip()
    rows = torch.randn(2, 16, generator=torch.manual_seed(0)).requires_grad_()
    weight = torch.randn(len(TEXTS), 12, generator=torch.manual_seed(1))
    whole = PromptEncoder(clip, with_two_learned())(rows)
    (expected,) = torch.autograd.grad((whole * weight).sum(), rows)
    encoder = PromptEncoder(clip, with_two_learned(), memory)
    kept = encoder.remember(rows)
    for features in (encoder(rows), kept(rows), kept(rows)):
        torch.testing.assert_close(features, whole, rtol=1e-5, atol=1e-6)
        (gradient,) = torch.autograd.grad((features * weight).sum(), rows)
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_finite_differences():
    clip = small_clip().double()
    encoder = PromptEncoder(clip, with_two_learned())
    weight = torch.randn(len(TEXTS), 12, generator=torch.manual_seed(1)).double()
    rows = torch.randn(2, 16, generator=torch.manual_seed(0)).double().requires_grad_()

    def loss(given):
        return (encoder(given) * weight).sum()

    (gradient,) = torch.autograd.grad(loss(rows), rows)
    direction = torch.randn(2, 16, generator=torch.manual_seed(2)).double()
    step = 1e-3
    with torch.no_grad():
        slope = (loss(rows + step * direction) - loss(rows - step * direction)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-3)


def test_the_network_gets_no_gradient_and_keeps_its_own():
    clip = small_clip()
    rows = torch.randn(2, 16, requires_grad=True)
    encoder = PromptEncoder(clip, with_two_learned())
    encoder(rows).sum().backward()
    assert rows.grad is not None
    assert all(p.requires_grad and p.grad is None for p in clip.parameters())
    held = {tensor.data_ptr() for tensor in clip.parameters()}
    assert {tensor.data_ptr() for block in encoder._blocks for tensor in block.parameters()} <= held


@pytest.mark.parametrize(
    "settings",
    [{"no_causal_mask": True}, {"embed_cls": True}, {"pool_type": "last"}, {"qk_norm": True}],
)
def test_another_text_encoder_is_refused(settings):
    clip = small_clip(CustomTextCLIP, **settings)
    with pytest.raises(SpecError, match="causal text transformer"):
        PromptEncoder(clip, sequences("a", "."))


def test_most_of_open_clips_models_can_be_used():
    """Of the architectures with open_clip's own text transformer; it is built at a toy's size."""
    for name in ("RN50", "ViT-B-32", "ViT-B-16-quickgelu", "ViT-L-14-336", "EVA02-B-16"):
        text = open_clip.get_model_config(name)["text_cfg"]
        small = {**text, "width": 16, "heads": 2, "layers": 1}
        PromptEncoder(small_clip(CustomTextCLIP, **small), sequences("a", "."))
