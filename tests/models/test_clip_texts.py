import open_clip
import pytest

from hardy.core.errors import SpecError
from hardy.data.imagenet import class_map, imagenet_classes
from hardy.models.clip.texts import class_texts, template_texts
from hardy.models.spec import OpenClipModel

ODD = ("cat's cradle", 'the "Mona Lisa"', "Granny Smith, an apple", "café_au_lait", "{}", "{0}", "")


def model(**changes) -> OpenClipModel:
    return OpenClipModel(name="ViT-B-32", **changes)


def test_a_datasets_own_names_lose_their_underscores_alone():
    for class_names in ("auto", "dataset"):
        texts = class_texts(model(class_names=class_names), ODD, None)
        assert texts == tuple(name.replace("_", " ") for name in ODD)


def test_imagenets_classes_have_openais_names():
    kept = class_map("imagenet-r")
    classes = tuple(imagenet_classes()[index] for index in kept)
    texts = class_texts(model(), classes, kept)
    assert texts == tuple(open_clip.IMAGENET_CLASSNAMES[index] for index in kept)
    assert class_texts(model(), imagenet_classes(), None) == tuple(open_clip.IMAGENET_CLASSNAMES)
    assert class_texts(model(class_names="dataset"), classes, kept) == classes


def test_names_of_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes('\ufeffcafé, au lait\r\n  the "Mona Lisa" \r\n{0}\r\n'.encode())
    texts = class_texts(model(class_names=f"file:{path}"), ("a", "b", "c"), None)
    assert texts == ("café, au lait", 'the "Mona Lisa"', "{0}")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"a\nb\n", "names.txt:2 is one of 2 lines, the dataset has 3 classes"),
        (b"a\nb\nc\nd\n", "names.txt:4 is one of 4 lines"),
        (b"a\n\nc\n", "names.txt:2 is empty"),
        (b"", "names.txt:0 is one of 0 lines"),
        (b"caf\xe9\nb\nc\n", "it is not UTF-8"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_line(tmp_path, content, place):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        class_texts(model(class_names=f"file:{path}"), ("a", "b", "c"), None)
    assert place in caught.value.message


def test_an_absent_file_is_found_before_anything_is_built(tmp_path):
    from hardy.models.weights import locate

    with pytest.raises(SpecError, match=r"nowhere\.txt cannot be read: No such file"):
        locate(model(weights="random", class_names=f"file:{tmp_path}/nowhere.txt"))


def test_a_file_of_names_counts_by_its_content(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("one\n")
    second.write_text("one\n")
    same = [model(class_names=f"file:{path}").identity() for path in (first, second)]
    assert same[0] == same[1]
    second.write_text("two\n")
    assert model(class_names=f"file:{second}").identity() != same[0]


def test_images_without_classes_are_refused():
    with pytest.raises(SpecError, match="the dataset has none"):
        class_texts(model(), (), None)


def test_named_sets_of_templates_are_open_clips():
    for name, functions in (
        ("openai", open_clip.OPENAI_IMAGENET_TEMPLATES),
        ("simple", open_clip.SIMPLE_IMAGENET_TEMPLATES),
    ):
        texts = template_texts(model(templates=name))
        assert len(texts) == len(functions)
        assert [text.replace("{}", "dog") for text in texts] == [f("dog") for f in functions]
    assert template_texts(model(templates=("{0} {}",))) == ("{0} {}",)
