"""Do two datasets share images? Compared by content, whatever the files are called."""

from collections import defaultdict
from collections.abc import Iterable

from hardy.core.hashing import file_sha256
from hardy.data.dataset import Dataset, Sample
from hardy.data.files import UNHASHED


def leaks(a: Dataset, b: Dataset) -> list[tuple[str, str]]:
    """Return the pairs of ids whose images are the same file, byte by byte, or the same pixels.

    Large files are hashed only where a file of the other dataset has the same size. A photograph
    that was scaled or compressed again is another file, and is not found.
    """
    sizes = _sizes(a.samples) & _sizes(b.samples)
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


def _key(sample: Sample, sizes: set[int]) -> str:
    """Return the digest of an image; empty where its size already tells that it is in one alone."""
    if not sample.content.endswith(UNHASHED):
        return sample.content
    return file_sha256(sample.path) if sample.path.stat().st_size in sizes else ""
