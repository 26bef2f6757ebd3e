"""Parts of a dataset: by class, by a seeded division, by a seeded draw. All keep sorted order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import accumulate, pairwise
from typing import Any

from hardy.core.catalog import did_you_mean
from hardy.core.errors import DataError
from hardy.core.seeding import Coordinate, generator
from hardy.data.dataset import Dataset
from hardy.data.spec import OWN_PARTS, ClassFilter, Partition, Subset

Places = tuple[int, ...]


@dataclass(frozen=True)
class Division:
    """A dataset divided into parts without overlap.

    Attributes:
        dataset: The dataset that was divided.
        places: For each part, its samples' places in the dataset's manifest, ascending.
    """

    dataset: Dataset
    places: dict[str, Places]

    def part(self, name: str) -> Dataset:
        """Return the dataset cut down to one part."""
        return at(self.dataset, self.places[name])

    def as_json(self) -> dict[str, Any]:
        """Return the parts as a JSON value, to be kept with a run: sample ids and places."""
        ids = [sample.id for sample in self.dataset.samples]
        parts = {
            name: {"places": list(places), "ids": [ids[place] for place in places]}
            for name, places in self.places.items()
        }
        return {"dataset": self.dataset.name, "digest": self.dataset.digest, "parts": parts}


def at(whole: Dataset, places: Sequence[int]) -> Dataset:
    """Return a dataset cut down to the samples at these places, in the manifest's order."""
    return replace(whole, samples=tuple(whole.samples[place] for place in sorted(places)))


def of_classes(whole: Dataset, wanted: ClassFilter) -> Dataset:
    """Keep the samples of some classes; labels and class names stay as they are.

    Raises:
        DataError: If a name or pattern matches no class, or no sample is left.
    """
    for field, patterns in (("include", wanted.include or ()), ("exclude", wanted.exclude)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in whole.classes):
                message = f"data.classes.{field}: {whole.name} has no class {pattern!r}"
                near = did_you_mean(pattern, whole.classes)
                first = f"Its classes are {', '.join(whole.classes[:8])}, ..."
                raise DataError(message, hint=near or first)
    kept = {n for n, name in enumerate(whole.classes) if _wanted(name, wanted)}
    samples = tuple(sample for sample in whole.samples if sample.label in kept)
    if not samples:
        message = f"data.classes: no sample of {whole.name} is left"
        raise DataError(message, hint="Include more classes, or exclude fewer.")
    return replace(whole, samples=samples)


def _wanted(name: str, wanted: ClassFilter) -> bool:
    included = wanted.include is None or any(fnmatchcase(name, p) for p in wanted.include)
    return included and not any(fnmatchcase(name, pattern) for pattern in wanted.exclude)


def divide(whole: Dataset, partition: Partition) -> Division:
    """Divide a dataset by a seed; stratified, class by class.

    The parts' sizes are their shares of the samples, rounded so that shares that add up to 1 use
    every sample once.

    Raises:
        DataError: If a part gets no sample, or none of a class where the division is `OWN_PARTS`.
    """
    if partition.stratified and partition.fractions == OWN_PARTS.fractions:
        _check_each_class(whole, partition.fractions)
    places: dict[str, list[int]] = {name: [] for name in partition.fractions}
    for coordinates, group in _groups(whole, stratified=partition.stratified):
        order = _shuffled(group, partition.seed, "partition", *coordinates)
        start = 0
        for name, size in zip(
            places, _sizes(len(order), partition.fractions.values()), strict=True
        ):
            places[name] += order[start : start + size]
            start += size
    for name, found in places.items():
        if not found:
            message = (
                f"data.partition: part {name!r} of {whole.name}'s {len(whole.samples)} is empty"
            )
            raise DataError(message, hint="Give it a larger fraction.")
    return Division(whole, {name: tuple(sorted(found)) for name, found in places.items()})


def _check_each_class(whole: Dataset, fractions: Mapping[str, float]) -> None:
    """Make sure that each part gets samples of each class."""
    least = next(count for count in range(1, 1000) if all(_sizes(count, fractions.values())))
    counts = [(label, len(group)) for (label,), group in _groups(whole, stratified=True)]
    few = [f"{_class(whole, label)} has {count}" for label, count in counts if count < least]
    if few and not whole.classes:
        message = f"data.partition: {whole.name} {few[0]} images, and needs at least {least}"
        raise DataError(message, hint="Add images, or state data.partition with other fractions.")
    if few:
        parts = ", ".join(f"{name} {share:.0%}" for name, share in fractions.items())
        shown = ", ".join(few[:5]) + (f" and {len(few) - 5} more are too few" * (len(few) > 5))
        message = (
            f"data.partition: each class of {whole.name} needs at least {least} images to be "
            f"divided into {parts}; {shown}"
        )
        hint = (
            "Add images, leave such classes out by data.classes.exclude, or state data.partition "
            "with other fractions."
        )
        raise DataError(message, hint=hint)


def _class(whole: Dataset, label: Coordinate) -> str:
    return whole.classes[int(label)] if whole.classes else "as a whole"


def _sizes(count: int, shares: Iterable[float]) -> list[int]:
    """Return how many samples each share gets; shares that add up to 1 use every sample once."""
    # Without the inner rounding, 0.1 + 0.2 would be more than 0.3.
    ends = [round(round(share, 9) * count) for share in accumulate(shares)]
    return [end - start for start, end in pairwise([0, *ends])]


def draw(whole: Dataset, subset: Subset) -> Dataset:
    """Draw a part without replacement; a larger count of the same seed contains a smaller one's.

    Stratified, each class gets its share, and what rounding leaves over goes to the classes with
    the largest remainders; such draws need not contain each other.

    Raises:
        DataError: If it asks for more samples than there are.
    """
    total = len(whole.samples)
    count = max(1, round((subset.fraction or 0) * total)) if subset.count is None else subset.count
    if count > total:
        message = f"{count} samples asked of {whole.name}'s {total}"
        where = "data.subset.count, or `samples` of what is held out or tested on"
        raise DataError(message, hint=f"Ask for at most {total}: {where}.")
    groups = _groups(whole, stratified=subset.stratified)
    counts = _shares([len(group) for _, group in groups], count)
    drawn = [
        place
        for (coordinates, group), number in zip(groups, counts, strict=True)
        for place in _shuffled(group, subset.seed, "subset", *coordinates)[:number]
    ]
    return at(whole, drawn)


def _groups(whole: Dataset, *, stratified: bool) -> list[tuple[tuple[Coordinate, ...], list[int]]]:
    """Return the places to draw from with their coordinates: all together, or class by class."""
    if not stratified:
        return [((), list(range(len(whole.samples))))]
    by_label: dict[int, list[int]] = {}
    for place, sample in enumerate(whole.samples):
        by_label.setdefault(sample.label, []).append(place)
    return [((label,), by_label[label]) for label in sorted(by_label)]


def _shuffled(places: list[int], seed: int, *coordinates: Coordinate) -> list[int]:
    order = generator(seed, *coordinates).permutation(len(places))
    return [places[index] for index in order.tolist()]


def _shares(sizes: list[int], count: int) -> list[int]:
    """Divide a count in proportion to sizes, by the largest remainders (Hamilton's method)."""
    total = sum(sizes)
    counts = [size * count // total for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda n: (-(sizes[n] * count % total), n))
    for n in by_remainder[: count - sum(counts)]:
        counts[n] += 1
    return counts
