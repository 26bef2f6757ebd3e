"""The catalog of datasets: what each is, without reading any of it.

The code that reads a dataset lives in the module that its card names; it is imported when a run
needs the samples, so that listing and validating stay fast.
"""

from dataclasses import dataclass

from hardy.core.catalog import Catalog
from hardy.data.sources import DOWNLOADS, Download


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a dataset before its files are seen.

    Attributes:
        title: One line for listings.
        classes: Number of classes; None where only the files tell.
        module: Module with `open_dataset(root: Path, spec: DataSpec) -> Dataset`.
        packaged: Python package whose data the dataset is; empty if it lies in a folder.
        generated: Whether it is drawn from random numbers, so that there is nothing to fetch.
        folder: Folder that the published archive holds, below the root; empty if none.
        folder_tells: Whether that folder's name tells what it holds, so that it is also found
            directly under HARDY_DATA; `val` could be anything's.
        splits: Parts that the dataset has, the default first; none where it is one whole.
        corrupted: Whether its parts are stored corruptions, named KIND/SEVERITY.
        source: Where to get it and what to do, in one line.
        downloads: Archives that `download: true` fetches.
    """

    title: str
    classes: int | None
    module: str
    packaged: str = ""
    generated: bool = False
    folder: str = ""
    folder_tells: bool = False
    splits: tuple[str, ...] = ()
    corrupted: bool = False
    source: str = ""
    downloads: tuple[Download, ...] = ()

    @property
    def of_imagenet(self) -> bool:
        """Whether its classes are some of ImageNet's 1,000, to which outputs are restricted."""
        return self.module.startswith("hardy.data.imagenet")


_IMAGENET = "hardy.data.imagenet_sets"
_COOP = "hardy.data.coop"
_IMAGENETV2 = (
    ("", "matched-frequency", "10,000 new photographs, matched frequency (arXiv:1902.10811)"),
    ("-threshold0.7", "threshold0.7", "ImageNetV2 of photographs that at least 70 % chose"),
    ("-top-images", "top-images", "ImageNetV2 of the photographs that most chose"),
)
_PARTS = ("test", "train", "val")
_SPLITS = "github.com/KaiyangZhou/CoOp, DATASETS.md: the photographs' archive and CoOp's "

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
            "imagenet-val",
            DatasetCard(
                title="ImageNet's 50,000 validation photographs, one folder a WordNet id",
                classes=1000,
                module=_IMAGENET,
                folder="val",
                source="image-net.org (after registering): ILSVRC2012_img_val.tar, sorted into "
                "folders by WordNet id",
            ),
        ),
        (
            "imagenet-a",
            DatasetCard(
                title="7,500 natural adversarial photographs (arXiv:1907.07174)",
                classes=200,
                module=_IMAGENET,
                folder="imagenet-a",
                source="github.com/hendrycks/natural-adv-examples",
                downloads=DOWNLOADS["imagenet-a"],
            ),
        ),
        (
            "imagenet-r",
            DatasetCard(
                title="30,000 renditions: art, cartoons, toys, sketches (arXiv:2006.16241)",
                classes=200,
                module=_IMAGENET,
                folder="imagenet-r",
                source="github.com/hendrycks/imagenet-r",
                downloads=DOWNLOADS["imagenet-r"],
            ),
        ),
        (
            "imagenet-sketch",
            DatasetCard(
                title="50,889 sketches of ImageNet's classes (arXiv:1905.13549)",
                classes=1000,
                module=_IMAGENET,
                folder="sketch",
                source="github.com/HaohanWang/ImageNet-Sketch",
                downloads=DOWNLOADS["imagenet-sketch"],
            ),
        ),
        *(
            (
                f"imagenetv2{rest}",
                DatasetCard(
                    title=title,
                    classes=1000,
                    module=_IMAGENET,
                    folder=f"imagenetv2-{published}-format-val",
                    folder_tells=True,
                    source="github.com/modestyachts/ImageNetV2",
                    downloads=DOWNLOADS[f"imagenetv2{rest}"],
                ),
            )
            for rest, published, title in _IMAGENETV2
        ),
        (
            "imagenet-c",
            DatasetCard(
                title="ImageNet's validation photographs, corrupted and stored (arXiv:1903.12261)",
                classes=1000,
                module=_IMAGENET,
                corrupted=True,
                source="zenodo.org/records/2235448 (66 GB)",
                downloads=DOWNLOADS["imagenet-c"],
            ),
        ),
        (
            "cifar10",
            DatasetCard(
                title="60,000 photographs of 32 px: class folders, or the binary version",
                classes=10,
                module="hardy.data.cifar",
                splits=("test", "train"),
                source="www.cs.toronto.edu/~kriz/cifar.html: the binary version",
                downloads=DOWNLOADS["cifar10"],
            ),
        ),
        (
            "cifar10-c",
            DatasetCard(
                title="CIFAR-10's test photographs, corrupted and stored (arXiv:1903.12261)",
                classes=10,
                module="hardy.data.cifar",
                folder="CIFAR-10-C",
                folder_tells=True,
                corrupted=True,
                source="zenodo.org/records/2535967",
                downloads=DOWNLOADS["cifar10-c"],
            ),
        ),
        (
            "cifar10.1",
            DatasetCard(
                title="2,000 new photographs for CIFAR-10's classes (arXiv:1806.00451)",
                classes=10,
                module="hardy.data.cifar",
                splits=("v6", "v4"),
                source="github.com/modestyachts/CIFAR-10.1, folder datasets",
                downloads=DOWNLOADS["cifar10.1"],
            ),
        ),
        (
            "digits",
            DatasetCard(
                title="1,797 handwritten digits of 8 px that scikit-learn ships",
                classes=10,
                module="hardy.data.digits",
                packaged="sklearn",
                source="pip install scikit-learn",
            ),
        ),
        (
            "shapes",
            DatasetCard(
                title="coloured shapes on textures, drawn from a seed, with masks and captions",
                classes=6,
                module="hardy.data.shapes",
                generated=True,
                splits=("test", "train"),
            ),
        ),
        (
            "oxford-iiit-pet",
            DatasetCard(
                title="7,349 cats and dogs of 37 breeds, with trimaps",
                classes=37,
                module="hardy.data.pets",
                folder="oxford-iiit-pet",
                splits=("test", "trainval", "all"),
                source="www.robots.ox.ac.uk/~vgg/data/pets: images and annotations",
                downloads=DOWNLOADS["oxford-iiit-pet"],
            ),
        ),
        (
            "flowers102",
            DatasetCard(
                title="8,189 photographs of flowers of 102 species",
                classes=102,
                module=_COOP,
                splits=_PARTS,
                source=_SPLITS + "split_zhou_OxfordFlowers.json beside jpg/",
            ),
        ),
        (
            "dtd",
            DatasetCard(
                title="5,640 photographs of textures, by 47 adjectives",
                classes=47,
                module=_COOP,
                folder="dtd",
                splits=_PARTS,
                source=_SPLITS + "split_zhou_DescribableTextures.json beside images/",
            ),
        ),
        (
            "stanford-cars",
            DatasetCard(
                title="16,185 photographs of cars of 196 models",
                classes=196,
                module=_COOP,
                splits=_PARTS,
                source=_SPLITS + "split_zhou_StanfordCars.json beside cars_train/ and cars_test/",
            ),
        ),
        (
            "ucf101",
            DatasetCard(
                title="the middle frames of 13,320 clips of 101 human actions",
                classes=101,
                module=_COOP,
                splits=_PARTS,
                source=_SPLITS + "split_zhou_UCF101.json beside UCF-101-midframes/",
            ),
        ),
        (
            "caltech101",
            DatasetCard(
                title="photographs of 100 kinds of objects, without the background class",
                classes=100,
                module=_COOP,
                splits=_PARTS,
                source=_SPLITS + "split_zhou_Caltech101.json beside 101_ObjectCategories/",
            ),
        ),
        (
            "food101",
            DatasetCard(
                title="101,000 photographs of 101 dishes",
                classes=101,
                module=_COOP,
                folder="food-101",
                folder_tells=True,
                splits=_PARTS,
                source=_SPLITS + "split_zhou_Food101.json beside images/",
            ),
        ),
        (
            "sun397",
            DatasetCard(
                title="photographs of 397 kinds of scenes",
                classes=397,
                module=_COOP,
                splits=_PARTS,
                source=_SPLITS + "split_zhou_SUN397.json beside SUN397/",
            ),
        ),
        (
            "eurosat",
            DatasetCard(
                title="27,000 satellite images of 64 px of 10 kinds of land",
                classes=10,
                module=_COOP,
                splits=_PARTS,
                source=_SPLITS + "split_zhou_EuroSAT.json beside 2750/",
            ),
        ),
        (
            "fgvc-aircraft",
            DatasetCard(
                title="10,000 photographs of aircraft of 100 variants (arXiv:1306.5151)",
                classes=100,
                module=_COOP,
                folder="fgvc-aircraft-2013b/data",
                folder_tells=True,
                splits=_PARTS,
                source="www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft: fgvc-aircraft-2013b.tar.gz",
            ),
        ),
        (
            "pets-pretrain",
            DatasetCard(
                title="cats and dogs of four sources, balanced, 120 px, for pretraining",
                classes=2,
                module="hardy.data.pets_pretrain",
                source="CIFAR-10, Stanford Dogs, Google's cats_and_dogs_filtered and Microsoft's "
                "PetImages",
                downloads=DOWNLOADS["pets-pretrain"],
            ),
        ),
        (
            "camvid",
            DatasetCard(
                title="street scenes with masks of 11 classes: SPLIT/images, SPLIT/masks",
                classes=0,
                module="hardy.data.masks",
                splits=("test", "train", "val"),
                source="SegNet's copy of CamVid, masks as label images of 0 to 11",
            ),
        ),
        (
            "folder",
            DatasetCard(
                title="your own images: folders of classes, images alone, or with masks and labels",
                classes=None,
                module="hardy.data.folder",
                source="set data.root to a folder that holds CLASS/*.jpg, images alone, or "
                "images/*.jpg, masks/*.png and labels.txt",
            ),
        ),
    ],
)
