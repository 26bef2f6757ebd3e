"""A dataset as a worker process gets it."""

import pickle

from hardy.data.dataset import Dataset
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec


def opened(spec: DataSpec) -> Dataset:
    """Open a dataset and send it through pickle, as it goes to worker processes."""
    return pickle.loads(pickle.dumps(open_dataset(spec)))
