"""References to weights: every text parsed once, and written as it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hardy.models.reference import (
    File,
    From,
    Library,
    OfExperiment,
    Package,
    Random,
    RunFile,
    Tag,
    Version,
    WeightsRef,
    parse,
)
from hardy.models.spec import HardyModel, ModelSpec, OpenClipModel, TimmModel, TorchvisionModel

TEXTS = {
    "random": Random(),
    "pretrained": Library(tag="pretrained"),
    "IMAGENET1K_V1": Library(tag="IMAGENET1K_V1"),
    "laion2b_s34b_b88k": Library(tag="laion2b_s34b_b88k"),
    "package:a-b": Package(name="a-b"),
    "file:${HARDY_DATA}/a b.pth": File(path="${HARDY_DATA}/a b.pth"),
    "experiment:byol/a": OfExperiment(name="byol/a"),
    "runs:/0a/weights/w.safetensors": RunFile(run_id="0a", path="weights/w.safetensors"),
    "models:/shapes@champion": Version(name="shapes", sign="@", which="champion"),
    "models:/shapes/3": Version(name="shapes", sign="/", which="3"),
}
TAGS = {"pretrained", "IMAGENET1K_V1", "laion2b_s34b_b88k"}
WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True)
NAMES = st.dictionaries(WORD, WORD, min_size=1, max_size=3)
LYING = st.one_of(
    WORD.map("package:{}".format),
    st.builds("file:{}/{}".format, WORD, WORD),
    WORD.map("experiment:{}".format),
    st.builds("runs:/{}/{}".format, st.from_regex(r"[0-9a-f]{4}", fullmatch=True), WORD),
    st.builds("models:/{}{}{}".format, WORD, st.sampled_from("@/"), WORD),
)
OPTIONS = st.fixed_dictionaries(
    {}, optional={"take": WORD, "into": WORD, "partial": st.booleans(), "names": NAMES}
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_names_its_source_and_is_written_as_it_was(text):
    assert parse(text) == TEXTS[text]
    assert str(TEXTS[text]) == str(WeightsRef.of(text)) == text


@pytest.mark.parametrize("text", ["", "pre-trained", "file:", "runs:/x", "models:/only", "http:x"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="is none of random, package:NAME, file:PATH"):
        parse(text)


@given(LYING, OPTIONS, st.lists(WORD, min_size=1, max_size=3, unique=True))
def test_what_was_dumped_is_parsed_to_the_same(text, options, same):
    if text.startswith("experiment:"):
        options = {**options, "same": tuple(same)}
    reference = WeightsRef.of(text, **options)
    model = TimmModel(name="resnet50", weights=reference)
    for schema, whole in ((WeightsRef, reference), (ModelSpec, model)):
        adapter = TypeAdapter(schema)
        assert adapter.validate_json(whole.model_dump_json(by_alias=True), strict=True) == whole
        assert adapter.validate_python(whole.model_dump(by_alias=True)) == whole


@given(st.sampled_from(sorted(TEXTS)))
def test_a_source_alone_is_dumped_as_its_text(text):
    for reference in (WeightsRef.of(text), WeightsRef.model_validate(text)):
        assert reference.model_dump(mode="json") == reference.model_dump() == text
        assert reference.identity() == {}


def test_what_is_stated_is_dumped_and_what_changes_numbers_is_its_identity():
    reference = WeightsRef.of("experiment:a", take="network.encoder", partial=False, same=("seed",))
    assert reference.model_dump(mode="json") == {
        "from": "experiment:a",
        "take": "network.encoder",
        "partial": False,
        "same": ["seed"],
    }
    assert reference.identity() == {"take": "network.encoder"}
    partial = WeightsRef.of("file:a", into="encoder", partial=True, names={"a.": "b."})
    assert partial.identity() == {"into": "encoder", "partial": True, "names": {"a.": "b."}}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"from": "random", "take": "a"}, "take is for weights that lie in files"),
        ({"from": "IMAGENET1K_V1", "partial": True}, "partial is for weights that lie in files"),
        ({"from": "file:a", "same": ("seed",)}, "same is for weights of another experiment"),
        ({"from": "nothing at all"}, "is none of"),
        ({"from": 3}, "from is not a text"),
        ({"take": "a"}, "Field required"),
        ({"from": "file:a", "take": ""}, "at least 1"),
    ],
)
def test_options_without_a_meaning_are_refused(fields, told):
    with pytest.raises(ValidationError, match=told):
        WeightsRef.model_validate(fields)


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        (TimmModel, set(TEXTS) - {"laion2b_s34b_b88k"}),
        (TorchvisionModel, set(TEXTS) - {"laion2b_s34b_b88k"}),
        (OpenClipModel, set(TEXTS) - {"IMAGENET1K_V1", "package:a-b"}),
        (
            HardyModel,
            set(TEXTS) - {"IMAGENET1K_V1", "package:a-b", "laion2b_s34b_b88k", "pretrained"},
        ),
    ],
)
def test_each_kind_of_model_has_sources_of_its_own(model, allowed):
    name = {"name": "resnet26-gn8" if model is HardyModel else "x"}
    for text in TEXTS:
        for weights in (text, {"from": text}, WeightsRef.of(text)):
            if text in allowed:
                assert str(model(**name, weights=weights).weights) == text
            else:
                with pytest.raises(ValidationError):
                    model(**name, weights=weights)


@pytest.mark.parametrize("weights", [None, 3, ["random"]])
def test_what_is_no_reference_is_asked_for_as_a_text(weights):
    with pytest.raises(ValidationError, match="valid string"):
        TimmModel(name="x", weights=weights)


def test_the_pattern_allows_the_sources_alone():
    allowed = From((Random, Package, Version, Tag("[A-Z]+", "capitals")))
    found = {text for text in TEXTS if re.fullmatch(allowed.pattern, text)}
    assert found == {"random", "package:a-b", "models:/shapes@champion", "models:/shapes/3"}
    assert "P<" not in allowed.pattern
    assert allowed.forms == (
        "random, package:NAME, models:/NAME@ALIAS or models:/NAME/VERSION, capitals"
    )
