import subprocess
import sys

import pytest

from hardy.core.errors import DataError, SpecError
from hardy.data.imagenet import class_map, imagenet_classes, imagenet_synsets, synset_index
from hardy.data.packages import package_folder


@pytest.mark.parametrize(
    ("index", "synset", "name"),
    [
        (0, "n01440764", "tench"),
        (207, "n02099601", "golden retriever"),
        (243, "n02108422", "bull mastiff"),
        (134, "n02012849", "crane (bird)"),
        (517, "n03126707", "crane (machine)"),
        (638, "n03710637", "maillot"),
        (639, "n03710721", "tank suit"),
        (263, "n02113023", "Pembroke"),
        (999, "n15075141", "toilet tissue"),
    ],
)
def test_known_classes(index, synset, name):
    assert imagenet_synsets()[index] == synset
    assert imagenet_classes()[index] == name
    assert synset_index()[synset] == index


def test_names_are_unique_whatever_the_case():
    assert len({name.casefold() for name in imagenet_classes()}) == 1000


@pytest.mark.parametrize(("name", "first"), [("imagenet-a", 6), ("imagenet-r", 1)])
def test_variants_use_200_ascending_indices(name, first):
    indices = class_map(name)
    assert len(indices) == 200
    assert indices[0] == first
    assert list(indices) == sorted(set(indices))
    assert indices[-1] < 1000


def test_an_unknown_map_is_answered_with_a_near_name():
    with pytest.raises(SpecError) as caught:
        class_map("imagenet_a")
    assert "imagenet-a" in caught.value.hint


def test_a_missing_package_says_how_to_get_it():
    with pytest.raises(DataError, match="no_such_package_at_all") as caught:
        package_folder("no_such_package_at_all", hint="pip install it")
    assert caught.value.hint == "pip install it"


def test_names_and_digests_need_no_heavy_import():
    code = (
        "import sys\n"
        "from hardy.data.imagenet import imagenet_classes\n"
        "from hardy.data.open import data_digest\n"
        "from hardy.data.spec import DataSpec\n"
        "imagenet_classes(); data_digest(DataSpec(dataset='imagenet-sample'))\n"
        "print([m for m in ('torch', 'timm', 'foolbox', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
