"""Zero-shot logits against open_clip's own forward pass, and against the formula."""

import os

import pytest
import torch
from torch.nn import functional

from hardy.models.clip.encode import text_features
from tests.models.clips import RESNET, TEXT, VIT, custom, tiny, zero_shot

NAMES = ("red circle", "Granny Smith, an apple", "cat's cradle", "café au lait", "a {} b {0}", "")
LONG = "very " * 90 + "long"


@pytest.fixture(params=["vit", "resnet", "custom text", "no mask"])
def clip(request):
    return {
        "vit": lambda: tiny(VIT),
        "resnet": lambda: tiny(RESNET),
        "custom text": custom,
        "no mask": lambda: custom(no_causal_mask=True),
    }[request.param]()


def images(clip, count=3):
    size = clip.visual.image_size
    side = size if isinstance(size, int) else size[0]
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_logits_are_open_clips_own(clip):
    network, pixels = zero_shot(clip, NAMES), images(clip)
    texts = network.tokenizer([f"a photo of a {name}." for name in NAMES])
    assert texts.shape == (len(NAMES), 77)
    features, words, scale = clip(pixels, texts)
    logits = network(pixels)
    torch.testing.assert_close(logits, scale * features @ words.T, rtol=1e-5, atol=1e-5)
    assert logits.std(1).min() > 0.05  # so that a wrong order of texts would be seen


@torch.no_grad()
def test_templates_are_averaged_as_unit_vectors():
    clip, templates = tiny(), ("a photo of a {}.", "{} in a video game", LONG + " {}")
    network = zero_shot(clip, NAMES, templates)
    for place, name in enumerate(NAMES):
        rows = []
        for template in templates:
            before, after = template.split("{}")
            words = clip.encode_text(network.tokenizer([before + name + after]))[0].double()
            rows.append(words / words.square().sum().sqrt())
        mean = sum(rows) / len(rows)
        expected = mean / mean.square().sum().sqrt()
        got = network.text_features[place].double()
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_shortened_texts_have_the_features_of_all_77_tokens(clip):
    network = zero_shot(clip, NAMES)
    texts = [*NAMES, LONG, "a", *(f"thing {n} of many {'words ' * (n % 9)}" for n in range(300))]
    whole = clip.encode_text(network.tokenizer(texts))
    shortened = text_features(clip, network.tokenizer, texts)
    torch.testing.assert_close(shortened, whole, atol=1e-5, rtol=1e-5)


def test_shortening_shortens():
    seen = []
    clip = tiny()
    clip.transformer.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    zero_shot(clip, ("dog",))
    assert seen == [8]  # start, a, photo, of, a, dog, full stop, end


def test_a_smaller_context_keeps_the_end(clip):
    short = tiny(context_length=16)
    network = zero_shot(short, (LONG, LONG + " text", "dog"))
    assert torch.equal(network.text_features[0], network.text_features[1])
    assert not torch.equal(network.text_features[0], network.text_features[2])
    assert short.positional_embedding.shape == (16, TEXT["width"])


@torch.no_grad()
def test_autocast_rounds_features_of_images_alone():
    clip = tiny()
    with torch.autocast("cpu", torch.bfloat16):
        network = zero_shot(clip, NAMES)
        logits = network(images(clip))
        features = network.image_features(images(clip))
    assert torch.equal(network.text_features, zero_shot(clip, NAMES).text_features)
    expected = clip.logit_scale.exp() * features @ network.text_features.T
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected)


def test_many_texts_are_read_once_for_the_same_weights_and_texts(isolated_home):
    def read(clip, names=500):
        reads.clear()
        clip.transformer.register_forward_pre_hook(lambda *_: reads.append(1))
        return zero_shot(clip, tuple(map(str, range(names)))).text_features

    reads: list[int] = []
    first = read(tiny())
    assert reads
    assert torch.equal(read(tiny()), first)
    assert not reads
    assert not torch.equal(read(tiny(seed=1)), first)
    assert read(tiny(), 501).shape[0] == 501
    assert reads
    for file in (isolated_home / ".hardy" / "cache" / "texts").iterdir():
        os.truncate(file, 50)
    assert torch.equal(read(tiny()), first)


def test_text_features_move_with_the_model_and_are_no_weights():
    network = zero_shot(tiny(), NAMES)
    assert not any("text_features" in name for name in network.state_dict())
    assert network.to("meta").text_features.device.type == "meta"


def test_bias_of_a_sigmoid_model_is_added():
    clip = custom()
    clip.logit_bias = torch.nn.Parameter(torch.tensor(-3.0))
    network, pixels = zero_shot(clip, NAMES), images(clip)
    with torch.no_grad():
        unit = functional.normalize(clip.encode_image(pixels), dim=-1)
        expected = clip.logit_scale.exp() * unit @ network.text_features.T - 3
        torch.testing.assert_close(network(pixels), expected)
