"""The catalog of datasets: what each is, without reading any of it.

The code that reads a dataset lives in the module that its card names; it is imported when a run
needs the samples, so that listing and validating stay fast.
"""

from dataclasses import dataclass

from hardy.core.catalog import Catalog


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a dataset before its files are seen.

    Attributes:
        title: One line for listings.
        classes: Number of classes; None where only the files tell.
        module: Module with `open_dataset(root: Path) -> Dataset`.
        packaged: Python package whose data the dataset is; empty if it lies in a folder.
        source: Where to get it and what to do, in one line.
    """

    title: str
    classes: int | None
    module: str
    packaged: str = ""
    source: str = ""


DATASETS: Catalog[DatasetCard] = Catalog(
    "dataset",
    [
        (
            "imagenet-sample",
            DatasetCard(
                title="20 labelled ImageNet photographs that the foolbox package ships",
                classes=1000,
                module="hardy.data.imagenet_sample",
                packaged="foolbox",
                source="pip install 'hardy[demo]'",
            ),
        ),
        (
            "folder",
            DatasetCard(
                title="your own images, one folder a class (WordNet ids are ImageNet's classes)",
                classes=None,
                module="hardy.data.folder",
                source="set data.root to a folder that holds CLASS/*.jpg",
            ),
        ),
    ],
)
