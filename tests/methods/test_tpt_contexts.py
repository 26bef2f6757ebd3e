"""Prompts, names and checkpoints at their edges, and what a user is told of mistakes."""

import pickle

import open_clip
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file
from torch import nn

from hardy.core.errors import SpecError, WeightsError
from hardy.data.view_spec import Cut
from hardy.methods.tpt.context import prompt_tokens, read_context
from hardy.methods.tpt.spec import Cocoop, ContextSpec, Coop, Random, TptSpec, Words
from hardy.models.clip.text import learned
from tests.contracts.method import build_method, small_model, some_subject
from tests.contracts.zero_shot import NAMES, small_clip, small_zero_shot, tokenizer

FEW = Cut(count=6)
WIDTH = 16


def spec(context) -> TptSpec:
    return TptSpec(views=FEW, select=0.5, context=context)


def whole_texts(prompt: str, names: list[str]) -> None:
    """Check that a prompt put together from its parts is the text that the tokenizer reads."""
    embedding = torch.randn(49408, WIDTH, generator=torch.manual_seed(0))
    context = read_context(Words(prompt=prompt), tokenizer(77).encode, embedding, len(names))
    prompts = prompt_tokens(context, names, tokenizer(77), 77, learn_classes=False)
    assert context.values is not None
    for name, tokens in zip(names, prompts, strict=True):
        text = tokenizer(77)([prompt.replace("[CLS]", name)])[0].tolist()
        for place, token in enumerate(tokens):
            if token < 0:
                row = next(r for r in range(context.count) if learned(r) == token)
                assert torch.equal(context.values[row], embedding[text[place]])
            else:
                assert token == text[place]
        assert not any(text[len(tokens) :])
        assert len({t for t in tokens if t < 0}) == context.count


ODD = ["jack-o'-lantern", "Pembroke Welsh Corgi", "café, bar & grill", "snake_case", "8"]
QUOTED = ['"quoted"', "missile (projectile)", "St."]


@pytest.mark.parametrize(
    "prompt", ["a photo of a [CLS].", "[CLS] there", "a [CLS], here", "A [CLS] seen from afar ."]
)
def test_prompts_are_the_texts_that_the_tokenizer_reads(prompt):
    whole_texts(prompt, ODD)


@pytest.mark.parametrize("prompt", ["a photo of a [CLS].", "a photo of a [CLS] .", "a [CLS]"])
def test_so_are_those_of_names_that_end_in_punctuation(prompt):
    """The tokenizer takes `).` for one token, as in the published code's prompts."""
    whole_texts(prompt, QUOTED)


def test_so_are_those_of_all_of_imagenets_names():
    whole_texts("a photo of a [CLS].", list(open_clip.IMAGENET_CLASSNAMES))


def test_a_full_stop_inside_is_tuned_and_one_at_the_end_is_not():
    embedding = torch.zeros(49408, WIDTH)
    encode = tokenizer(77).encode
    counts = {
        prompt: read_context(Words(prompt=prompt), encode, embedding, 2).count
        for prompt in ("a [CLS].", "a [CLS]", "a. [CLS]", "a [CLS]. b", "a [CLS] b.")
    }
    assert list(counts.values()) == [1, 1, 2, 3, 2]


@pytest.mark.parametrize("words", [1, 70])
def test_a_prompt_may_be_one_word_or_seventy(words):
    prompt = " ".join(["photo"] * words) + " [CLS]."
    method = build_method(spec(Words(prompt=prompt)), small_zero_shot(names=("cat", "dog")))
    outcome = method.predict(some_subject())
    assert method.rows.shape == (words, WIDTH)
    assert outcome.answers["tpt"].isfinite().all()


def test_a_prompt_that_is_too_long_names_the_class_and_the_lengths():
    prompt = " ".join(["photo"] * 73) + " [CLS]."
    expected = (
        r"class \"jack-o'-lantern\" has 81 tokens \(73 of the context, 5 of the class, 3 around "
        r"them\), the model takes 77"
    )
    with pytest.raises(SpecError, match=expected) as caught:
        build_method(spec(Words(prompt=prompt)), small_zero_shot())
    assert "Shorten" in caught.value.hint


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a [CLS] and a [CLS].", "has 2"),
        ("a photo.", "has 0"),
        ("", "has 0"),
        ("[CLS]", "no word to tune"),
        (" [CLS] . ", "no word to tune"),
    ],
)
def test_a_prompt_without_one_place_or_without_words_is_refused(prompt, message):
    with pytest.raises(ValidationError, match=message):
        Words(prompt=prompt)


def test_a_count_of_views_replaces_the_share():
    assert TptSpec(select_count=5).keep(64) == 5
    assert TptSpec().keep(64) == 6
    again = TptSpec.model_validate(TptSpec(select_count=5).model_dump())
    assert again.keep(64) == 5


def test_a_model_without_texts_is_refused():
    with pytest.raises(SpecError, match="CLIP's tokenizer, got Sequential"):
        build_method(spec(Words()), small_model())


class Harm:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("kind", ["coop", "cocoop"])
def test_a_pickle_with_code_is_refused_by_name_and_reason(tmp_path, capsys, kind):
    path = tmp_path / "model.pth.tar"
    torch.save({"state_dict": {"ctx": torch.zeros(4, WIDTH)}, "epoch": Harm()}, path)
    context = TypeAdapter(ContextSpec).validate_python({"kind": kind, "checkpoint": str(path)})
    with pytest.raises(WeightsError, match=r"model\.pth\.tar is not a plain table") as caught:
        build_method(spec(context), small_zero_shot())
    assert "save_file" in caught.value.hint
    assert capsys.readouterr().out == ""


def written(path, content: object) -> str:
    torch.save(content, path / "file.pth")
    return str(path / "file.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list"),
        ({"state_dict": {"context": torch.zeros(4, WIDTH)}}, "has no tensor ctx; it holds context"),
        ({"state_dict": {"ctx": 3}}, "has no tensor ctx"),
        ({}, "it holds nothing"),
        ({"ctx": torch.zeros(4, 512)}, r"ctx is \(4, 512\), the model's tokens need \(n, 16\)"),
        ({"ctx": torch.zeros(WIDTH)}, "the model's tokens need"),
        ({"ctx": torch.zeros(3, 4, WIDTH)}, "there are 5 classes"),
    ],
)
def test_another_layout_is_refused(tmp_path, content, message):
    with pytest.raises(WeightsError, match=message):
        build_method(spec(Coop(checkpoint=written(tmp_path, content))), small_zero_shot())


def test_what_is_no_file_of_tensors_is_refused(tmp_path):
    for name, content in (("a.pth", b""), ("b.pth", b"hello"), ("c.safetensors", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            build_method(spec(Coop(checkpoint=str(tmp_path / name))), small_zero_shot())
    (tmp_path / "d.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(WeightsError, match=r"d\.pth is not a plain table"):
        build_method(spec(Coop(checkpoint=str(tmp_path / "d.pth"))), small_zero_shot())


def test_an_absent_file_is_named_with_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HARDY_DATA", str(tmp_path))
    with pytest.raises(WeightsError, match=rf"looked for {tmp_path}/no\.pth"):
        build_method(spec(Coop(checkpoint="${HARDY_DATA}/no.pth")), small_zero_shot())


def test_cocoop_needs_its_network_and_one_that_fits(tmp_path):
    ctx = torch.zeros(4, WIDTH)
    path = written(tmp_path, {"ctx": ctx})
    with pytest.raises(WeightsError, match=r"no tensor meta_net\.linear1\.weight"):
        build_method(spec(Cocoop(checkpoint=path)), small_zero_shot())
    net = nn.Sequential()
    net.linear1, net.linear2 = nn.Linear(512, 2), nn.Linear(2, WIDTH)
    held = {f"meta_net.{name}": tensor for name, tensor in net.state_dict().items()}
    path = written(tmp_path, {"ctx": ctx, **held})
    method = build_method(spec(Cocoop(checkpoint=path)), small_zero_shot())
    with pytest.raises(WeightsError, match="takes 512 features, not 12"):
        method.predict(some_subject())


def test_safetensors_hold_a_context_too(tmp_path):
    ctx = torch.randn(3, WIDTH, generator=torch.manual_seed(0))
    save_file({"ctx": ctx}, tmp_path / "ctx.safetensors")
    method = build_method(
        spec(Coop(checkpoint=str(tmp_path / "ctx.safetensors"))), small_zero_shot()
    )
    assert torch.equal(method.rows.detach(), ctx)


def test_the_fingerprint_knows_what_a_checkpoint_holds_not_where_it_lies(tmp_path):
    def identity(name: str, value: float) -> object:
        save_file({"ctx": torch.full((4, WIDTH), value)}, tmp_path / name)
        return spec(Coop(checkpoint=str(tmp_path / name))).identity()["context"]

    assert identity("a.safetensors", 1.0) == identity("b.safetensors", 1.0)
    assert identity("a.safetensors", 1.0) != identity("c.safetensors", 2.0)
    assert "sha256:" in identity("a.safetensors", 1.0)["checkpoint"]


def test_noise_is_another_for_contexts_and_classes():
    method = build_method(
        TptSpec(views=FEW, select=0.5, context=Random(tokens=5), learn_classes=True),
        small_zero_shot(clip=small_clip()),
    )
    method.begin(some_subject())
    assert method.rows.shape == (5 + len(NAMES), WIDTH)
    assert len({tuple(row.tolist()) for row in method.rows}) == 5 + len(NAMES)
