"""TPT against the plain path: `tests/contracts/plain_tpt.py`, from the paper's equations."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hardy.core.cache import Cache
from hardy.data.view_spec import Cut
from hardy.methods.base import Subject
from hardy.methods.marginal import marginal_entropy
from hardy.methods.optim_spec import AdamW, Sgd
from hardy.methods.tpt.method import Tpt
from hardy.methods.tpt.spec import Cocoop, Coop, Random, TptSpec, Words
from hardy.models.model import Model
from tests.contracts.method import MethodContract, build_method, some_subject, some_views
from tests.contracts.plain_tpt import WIDTH, Plain, double, entropy, follow
from tests.contracts.zero_shot import NAMES, CustomTextCLIP, small_clip, small_zero_shot, tokenizer

FEW = Cut(count=6)
IMAGE = 12


class TestTpt(MethodContract):
    answer = "tpt"

    @pytest.fixture
    def model(self):
        return small_zero_shot()

    def build(self, model):
        return build_method(TptSpec(views=FEW, select=0.5), model)


class TestTptWithAlignment(TestTpt):
    def build(self, model):
        spec = TptSpec(views=FEW, select=0.5, steps=2, context=Random(), align_steps=2)
        return build_method(spec, model)


def noise(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def words_of(model: Model, before: str, after: str, stop: bool) -> Plain:
    clip = double(model)
    embedding = getattr(clip, "text", clip).token_embedding.weight

    def embedded(text: str) -> Tensor:
        return embedding[torch.tensor(tokenizer(77).encode(text), dtype=torch.long)]

    return Plain(clip, embedded(before), embedded(after), stop)


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got.double(), expected.double(), rtol=1e-4, atol=1e-4)


def agree(model: Model, spec: TptSpec, plain: Plain, seed: int = 0, rounding: float = 1e-4) -> None:
    """Check loss, selection, gradient and its signs, and the answers against the reference.

    Args:
        rounding: What float32 may do to the gradient, of its largest entry.
    """
    subject = replace(some_subject(), seed=seed)
    expected = follow(plain, subject.views, spec)
    method = build_method(spec, model)
    assert isinstance(method, Tpt)
    method.begin(subject)
    loss = marginal_entropy(method.logits())
    assert not method.first.requires_grad
    assert not method.before(subject).requires_grad
    (gradient,) = torch.autograd.grad(loss, [method.rows])
    method.reset()
    outcome = method.predict(subject)
    assert loss.item() == pytest.approx(expected.losses[0], rel=1e-4)
    assert outcome.details["loss"] == pytest.approx(expected.losses[0], rel=1e-4)
    assert outcome.details["selected_views"] == expected.chosen
    largest = expected.gradient.abs().max()
    assert (gradient - expected.gradient).abs().max() < rounding * largest
    clear = expected.gradient.abs() > rounding * largest
    assert torch.equal(gradient.sign()[clear], expected.gradient.sign()[clear].float())
    assert clear.float().mean() > 0.9
    close(outcome.answers["zero_shot"], expected.untuned)
    close(outcome.answers["tpt"], expected.tuned)
    assert not torch.allclose(expected.tuned, expected.untuned, atol=1e-3)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    ("prompt", "before", "after", "stop"),
    [
        ("a photo of a [CLS].", "a photo of a", "", True),
        ("a photo of a [CLS]", "a photo of a", "", False),
        ("[CLS] in a photo.", "", "in a photo", True),
        ("a bad picture of the [CLS] in deep snow", "a bad picture of the", "in deep snow", False),
        ("[CLS], seen", "", ", seen", False),
    ],
)
def test_words_are_tuned_as_the_paper_says(prompt, before, after, stop, steps):
    model = small_zero_shot()
    spec = TptSpec(views=FEW, select=0.5, steps=steps, context=Words(prompt=prompt))
    agree(model, spec, words_of(model, before, after, stop))


def test_a_text_tower_of_its_own_and_another_activation_agree():
    from open_clip.transformer import QuickGELU

    clip = small_clip(CustomTextCLIP, pool_type="eos", eos_id=49407, ls_init_value=0.5)
    for block in clip.text.transformer.resblocks:
        block.mlp.gelu = QuickGELU()
    model = small_zero_shot(clip=clip)
    spec = TptSpec(views=FEW, select=0.5, context=Words(prompt="this [CLS] here."))
    plain = words_of(model, "this", "here", True)
    plain.clip.token_embedding = plain.clip.text.token_embedding
    agree(model, spec, plain)


@pytest.mark.parametrize(("position", "before"), [("end", 4), ("middle", 2), ("front", 0)])
def test_a_random_context_begins_at_the_seeds_noise(position, before):
    model = small_zero_shot()
    spec = TptSpec(views=FEW, select=0.5, steps=3, context=Random(position=position))
    method = Tpt(model, spec)
    method.begin(replace(some_subject(), seed=11))
    start = method.rows.detach().clone()
    method.begin(replace(some_subject(), seed=12))
    assert not torch.equal(method.rows, start)
    assert 0.01 < start.std() < 0.03
    plain = Plain(double(model), start[:before], start[before:], stop=True)
    agree(model, spec, plain, seed=11)


def saved(path, **tensors: Tensor) -> str:
    """Write a file as Dassl does, and return its path."""
    around = {"token_prefix": noise(5, 1, WIDTH), "token_suffix": noise(5, 9, WIDTH)}
    content = {"state_dict": {**tensors, **around}, "epoch": 50, "optimizer": None}
    torch.save(content, path / "model.pth.tar-50")
    return str(path / "model.pth.tar-50")


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("shape", [(4, WIDTH), (len(NAMES), 4, WIDTH)])
@pytest.mark.parametrize(("position", "before"), [("end", 4), ("middle", 2), ("front", 0)])
def test_coops_contexts_are_tuned(tmp_path, position, before, shape, steps):
    model, ctx = small_zero_shot(), noise(*shape)
    context = Coop(checkpoint=saved(tmp_path, ctx=ctx.half()), position=position)
    spec = TptSpec(views=FEW, select=0.5, steps=steps, context=context)
    ctx = ctx.half().float()
    plain = Plain(double(model), ctx[..., :before, :], ctx[..., before:, :], stop=True)
    agree(model, spec, plain)


@pytest.mark.parametrize("steps", [1, 3])
def test_cocoops_network_makes_the_context_of_each_image(tmp_path, steps):
    model = small_zero_shot()
    sizes = {"linear1.weight": (2, IMAGE), "linear1.bias": (2,)}
    sizes |= {"linear2.weight": (WIDTH, 2), "linear2.bias": (WIDTH,)}
    meta = {f"meta_net.{name}": noise(*shape, seed=len(name)) for name, shape in sizes.items()}
    ctx = noise(4, WIDTH)
    context = Cocoop(checkpoint=saved(tmp_path, ctx=ctx, **meta))
    spec = TptSpec(views=FEW, select=0.5, steps=steps, context=context)
    clip = double(model)
    for seed in (1, 2):  # the second image must not begin where the first ended
        image = clip.encode_image(some_views(seed=seed)[:1].double())
        image = image / image.norm()
        weights = {name: tensor.double() for name, tensor in meta.items()}
        hidden = image @ weights["meta_net.linear1.weight"].T + weights["meta_net.linear1.bias"]
        shift = hidden.clamp(min=0) @ weights["meta_net.linear2.weight"].T
        start = ctx.double() + shift + weights["meta_net.linear2.bias"]
        expected = follow(Plain(clip, start, start[:0], stop=True), some_views(seed=seed), spec)
        if seed == 1:
            method = build_method(spec, model)
        close(method.predict(some_subject(seed)).answers["tpt"], expected.tuned)
        method.reset()


@pytest.mark.parametrize("steps", [1, 3])
def test_learned_classes_stand_for_the_names(steps):
    model = small_zero_shot()
    context = Words(prompt="a photo of [CLS] here.")
    spec = TptSpec(views=FEW, select=0.5, steps=steps, context=context, learn_classes=True)
    method = Tpt(model, spec)
    method.begin(some_subject())
    names = method.rows.detach()[-len(NAMES) :].clone()
    assert 0.01 < names.std() < 0.03
    plain = words_of(model, "a photo of", "here", True)
    plain = Plain(plain.clip, plain.before, plain.after, True, names)
    agree(model, spec, plain, rounding=1e-3)  # noise tells classes little apart


def test_alignment_draws_the_selected_views_together_first():
    model = small_zero_shot()
    spec = TptSpec(views=FEW, select=0.5, align_steps=1, align_optimizer=AdamW(lr=1e-3))
    subject = some_subject()
    plain = words_of(model, "a photo of a", "", True)
    expected = follow(plain, subject.views, spec)
    unaligned = follow(
        words_of(model, "a photo of a", "", True),
        subject.views,
        TptSpec(views=FEW, select=0.5),
    )
    method = build_method(spec, model)
    outcome = method.predict(subject)
    close(outcome.answers["tpt"], expected.tuned)
    close(outcome.answers["zero_shot"], unaligned.untuned)
    assert outcome.details["loss"] == pytest.approx(expected.losses[0], rel=1e-4)
    assert not torch.allclose(expected.tuned, unaligned.tuned, atol=1e-3)
    reference = dict(plain.clip.visual.named_parameters())
    for name, tensor in model.network.clip.visual.named_parameters():
        moved = torch.stack([tensor.double(), reference[name]])
        if name.endswith("in_proj_bias"):  # a bias of the keys has no gradient but rounding
            moved = moved[:, [*range(24), *range(48, 72)]]
        torch.testing.assert_close(*moved, rtol=1e-4, atol=1e-5)


def test_alignment_puts_batch_norm_back_and_leaves_the_attention_pool():
    vision = {"image_size": 32, "layers": (1, 1, 1, 1), "width": 8, "patch_size": None}
    clip = small_clip_of(vision)
    model = small_zero_shot(clip=clip)
    before = {name: tensor.clone() for name, tensor in clip.state_dict().items()}
    spec = TptSpec(views=FEW, select=0.5, align_steps=1)
    method = build_method(spec, model)
    views = noise(6, 3, 32, 32)
    method.predict(Subject(views))
    moved = {name for name, tensor in clip.state_dict().items() if not tensor.equal(before[name])}
    assert "visual.bn1.running_mean" in moved
    assert "visual.conv1.weight" in moved
    assert not any("attnpool" in name for name in moved)
    assert all(name.startswith("visual.") for name in moved)
    assert not clip.visual.training
    method.reset()
    assert all(tensor.equal(before[name]) for name, tensor in clip.state_dict().items())


def small_clip_of(vision: dict[str, object]) -> nn.Module:
    from open_clip.model import CLIP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = {"width": 16, "heads": 2, "layers": 1}
        return CLIP(embed_dim=12, vision_cfg=vision, text_cfg=text).eval()


def test_a_step_by_gradient_descent_is_taken_too():
    model = small_zero_shot()
    spec = TptSpec(views=FEW, select=0.5, optimizer=Sgd(lr=0.1))
    method = Tpt(model, spec)
    method.begin(some_subject())
    start = method.rows.detach().clone()
    loss = marginal_entropy(method.logits())
    torch.autograd.backward(loss, inputs=list(method.tuned))
    gradient = method.rows.grad.clone()
    method.step()
    torch.testing.assert_close(method.rows.detach(), start - 0.1 * gradient)
    assert marginal_entropy(method.logits()).item() < loss.item()


def test_views_seen_before_are_not_encoded_again(tmp_path):
    model = small_zero_shot()
    spec = TptSpec(views=FEW, select=0.5, steps=2)
    plain, first = build_method(spec, model), build_method(spec, model)
    whole = plain.predict(some_subject())
    plain.reset()
    first.remember(Cache(tmp_path), "32-true")
    first.prepare([some_subject(1), some_subject(2)])
    seen = []
    handle = model.network.clip.visual.register_forward_hook(lambda *_: seen.append(1))
    another = build_method(spec.model_copy(update={"steps": 1}), model)
    # As another run would, with another prompt or schedule.
    another.remember(Cache(tmp_path), "32-true")
    outcomes = []
    for method in (first, another):
        outcomes.append(method.predict(some_subject(1)))
        method.reset()
    handle.remove()
    assert not seen
    for name in ("source", "zero_shot", "view_ensemble", "majority_vote"):
        for outcome in outcomes:
            torch.testing.assert_close(outcome.answers[name], whole.answers[name])
    torch.testing.assert_close(outcomes[0].answers["tpt"], whole.answers["tpt"])


def test_features_of_other_weights_are_not_taken(tmp_path):
    seen = []
    for seed in (0, 1):
        model = small_zero_shot(clip=small_clip(seed=seed))
        method = build_method(TptSpec(views=FEW, select=0.5), model)
        method.remember(Cache(tmp_path), "32-true")
        model.network.clip.visual.register_forward_hook(lambda *_: seen.append(1))
        method.prepare([some_subject()])
    assert len(seen) == 2


def test_the_network_answers_as_adapted_until_reset():
    """Grad-CAM of the adapted model asks the model itself."""
    model = small_zero_shot()
    method = build_method(TptSpec(views=FEW, select=0.5), model)
    subject = some_subject()
    answers = method.predict(subject).answers
    with torch.no_grad():
        close(model(subject.views[:1])[0].log_softmax(-1), answers["tpt"])
        method.reset()
        close(model(subject.views[:1])[0].log_softmax(-1), answers["source"])


def test_it_runs_in_bfloat16_and_compares_in_float32():
    model = small_zero_shot()
    method = build_method(TptSpec(views=FEW, select=0.5, steps=2), model)
    exact = method.predict(some_subject()).answers
    method = build_method(TptSpec(views=FEW, select=0.5, steps=2), model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        method.begin(some_subject())
        assert method.logits().dtype == torch.float32
        rounded = method.predict(replace(some_subject())).answers
    assert (rounded["tpt"] - exact["tpt"]).abs().max() < 0.5


def test_original_outside_the_views_is_answered_for_and_not_in_the_loss():
    model = small_zero_shot()
    spec = TptSpec(views=Cut(count=5, include_original=False), select=0.4)
    outcome = build_method(spec, model).predict(some_subject())
    plain = words_of(model, "a photo of a", "", True)
    with torch.no_grad():
        p = plain.logits(some_subject().views).softmax(-1)
    chosen = entropy(p[1:]).argsort()[:2]
    assert outcome.details["selected_views"] == sorted((chosen + 1).tolist())
    close(outcome.answers["view_ensemble"], p[1:][chosen].mean(0).log())
    close(outcome.answers["zero_shot"], p[0].log())
