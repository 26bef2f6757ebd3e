"""ImageNet's 1,000 classes: WordNet ids, readable names, and the parts that variants use.

The lists are timm's text files; timm itself, which takes seconds to import, is not imported.
"""

from functools import cache
from pathlib import Path

from hardy.core.catalog import Catalog
from hardy.data.packages import package_folder

# The first lemma is not unique here: two cranes, two cardigans, two maillots.
_CLEARER = {
    "n02012849": "crane (bird)",
    "n03126707": "crane (machine)",
    "n02113186": "Cardigan Welsh corgi",
    "n03710721": "tank suit",
}
_SUBSETS = Catalog(
    "class map",
    [
        ("imagenet-a", "imagenet_a_indices.txt"),
        ("imagenet-r", "imagenet_r_indices.txt"),
    ],
)


@cache
def imagenet_synsets() -> tuple[str, ...]:
    """Return the 1,000 WordNet ids, such as `n01440764`, in the order of a model's outputs."""
    return tuple(_read("imagenet_synsets.txt").split())


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the 1,000 class names, such as `bull mastiff`, short and unique, in output order."""
    rows = (row.split("\t", 1) for row in _read("imagenet_synset_to_lemma.txt").splitlines())
    lemmas = {synset: names.split(",")[0].strip() for synset, names in rows}
    return tuple(_CLEARER.get(synset, lemmas[synset]) for synset in imagenet_synsets())


@cache
def synset_index() -> dict[str, int]:
    """Return each WordNet id's index among a model's 1,000 outputs."""
    return {synset: index for index, synset in enumerate(imagenet_synsets())}


@cache
def class_map(name: str) -> tuple[int, ...]:
    """Return the indices among the 1,000 outputs of the classes that a variant uses, ascending.

    Args:
        name: `imagenet-a` (arXiv:1907.07174) or `imagenet-r` (arXiv:2006.16241); 200 classes each.

    Raises:
        SpecError: If there is no such map.
    """
    return tuple(int(index) for index in _read(_SUBSETS[name]).split())


def _read(file: str) -> str:
    return (_info() / file).read_text(encoding="utf-8")


def _info() -> Path:
    return package_folder("timm", hint="pip install timm") / "data" / "_info"
