"""Do two datasets share images? Compared by content, whatever the files are called."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations
from types import MappingProxyType

from hardy.core.errors import DataError
from hardy.core.hashing import file_sha256
from hardy.data.dataset import Dataset, Sample
from hardy.data.files import UNHASHED


def leaks(a: Dataset, b: Dataset, *, opened: bool = True) -> list[tuple[str, str]]:
    """Return the pairs of ids whose images are the same file, byte by byte, or the same pixels.

    Large files are hashed only where a file of the other dataset has the same size. A photograph
    that was scaled or compressed again is another file, and is not found.

    Args:
        a: A dataset.
        b: Another, or another part of the same.
        opened: Whether files may be read; if not, of large ones a copy is not found.
    """
    sizes = _sizes(a.samples) & _sizes(b.samples) if opened else None
    where: dict[str, list[str]] = defaultdict(list)
    for sample in a.samples:
        if key := _key(sample, sizes):
            where[key].append(sample.id)
    return [
        (other, sample.id)
        for sample in b.samples
        if (key := _key(sample, sizes))
        for other in where.get(key, ())
    ]


def _sizes(samples: Iterable[Sample]) -> set[int]:
    return {sample.path.stat().st_size for sample in samples if sample.path.is_file()}


def _key(sample: Sample, sizes: set[int] | None) -> str:
    """Return what an image is known by; empty where its size tells that it is in one alone.

    It is its digest, or where no file is to be read (`sizes` is None) and it has none, its path.
    """
    if not sample.content.endswith(UNHASHED):
        return sample.content
    if sizes is None:
        return str(sample.path)
    return file_sha256(sample.path) if sample.path.stat().st_size in sizes else ""


def check_apart(
    name: str,
    samples: Mapping[str, Dataset],
    trained_on: Mapping[str, Dataset] = MappingProxyType({}),
) -> None:
    """Make sure that nothing is tried on what was learnt from.

    Args:
        name: Whose samples they are, for messages.
        samples: By what they are for: `fit`, `validate`, `answer`. One set may be for several.
        trained_on: By experiment, the samples that the weights were fitted on before. To fit on
            them again is fine; to validate or to answer is not.

    Raises:
        DataError: If an image is in two of them; the message names one.
    """
    for (a, first), (b, second) in combinations(samples.items(), 2):
        if not _is_same(first, second) and (found := leaks(first, second)):
            one, other = found[0]
            message = (
                f"{len(found)} held-out images of {name} are among its other samples, such as "
                f"{other} (to {b}), which is {one} (to {a})"
            )
            hint = "Give another split, or another part of data.partition."
            raise DataError(message, hint=hint)
    tried = {id(one): one for role, one in samples.items() if role != "fit"}.values()
    for experiment, fitted in trained_on.items():
        for dataset in tried:
            _check_untrained(name, dataset, experiment, fitted)


def _check_untrained(name: str, dataset: Dataset, experiment: str, fitted: Dataset) -> None:
    found = leaks(fitted, dataset)
    if found:
        trained, tried = found[0]
        message = (
            f"{len(found)} images of {name} are among those that {experiment} was trained on, "
            f"such as {tried} ({trained} there)"
        )
        hint = "Give the two disjoint parts of the data: data.split or data.partition."
        raise DataError(message, hint=hint)


def _is_same(a: Dataset, b: Dataset) -> bool:
    return a is b or (a.samples == b.samples and a.digest == b.digest)
