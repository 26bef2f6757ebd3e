"""Jobs on their way to a worker: a dataset that many of them share goes along once.

The manifest of 50,000 samples is 10 MB, and takes over a second to write and to read.
"""

import io
import pickle
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hardy.data.dataset import Dataset


class Packed(NamedTuple):
    """A job on its way.

    Attributes:
        content: The job, with numbers in place of its datasets.
        datasets: Those that were not sent before, by number.
        forgotten: Numbers of those that nobody here has any longer.
    """

    content: bytes
    datasets: Mapping[int, bytes]
    forgotten: Sequence[int]


class Packer:
    """Pickles jobs for one worker, where an `Unpacker` reads them in the same order."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[weakref.ref[Dataset], int]] = {}  # by the object's id
        self._count = 0

    def pack(self, job: object) -> Packed:
        """Return a job as it is sent.

        Raises:
            Exception: If it cannot be pickled.
        """
        gone = [each for each, (dataset, _) in self._sent.items() if dataset() is None]
        forgotten = [self._sent.pop(each)[1] for each in gone]
        new: dict[int, tuple[Dataset, int]] = {}

        def number(dataset: Dataset) -> int:
            known = self._sent.get(id(dataset)) or new.get(id(dataset))
            if known is None:
                known = new[id(dataset)] = dataset, self._count + len(new)
            return known[1]

        stream = io.BytesIO()
        _Pickler(stream, number).dump(job)
        datasets = {place: pickle.dumps(dataset) for dataset, place in new.values()}
        for dataset, place in new.values():
            self._sent[id(dataset)] = weakref.ref(dataset), place
        self._count += len(new)
        return Packed(stream.getvalue(), datasets, forgotten)


class Unpacker:
    """Reads jobs, and keeps the datasets that came with them."""

    def __init__(self) -> None:
        self._datasets: dict[int, Dataset] = {}

    def unpack(self, packed: Packed) -> Any:  # noqa: ANN401 - a Task
        """Return a job.

        Raises:
            Exception: If it cannot be read here.
        """
        for place in packed.forgotten:
            self._datasets.pop(place, None)
        for place, content in packed.datasets.items():
            self._datasets[place] = pickle.loads(content)  # noqa: S301 - of hardy's own process
        return _Unpickler(io.BytesIO(packed.content), self._datasets).load()


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, number: Callable[[Dataset], int]) -> None:
        super().__init__(stream)
        self._number = number

    def persistent_id(self, thing: Any) -> int | None:  # noqa: ANN401
        return self._number(thing) if isinstance(thing, Dataset) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, datasets: Mapping[int, Dataset]) -> None:
        super().__init__(stream)
        self._datasets = datasets

    def persistent_load(self, place: Any) -> Dataset:  # noqa: ANN401
        return self._datasets[place]
