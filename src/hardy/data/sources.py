"""Where public datasets and weights are published, and the checksums that their files must have.

Checksums are those that the authors, torchvision or TensorFlow Datasets publish. Where none is
published, the size stands instead, and the SHA-256 of the first download is kept beside the data.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes:
        url: Where it is.
        checksum: `md5:...` or `sha256:...`; empty where none is published.
        size: Length in bytes; must be given where there is no checksum.
        into: Folder below the dataset's root that it is unpacked into, or put in.
    """

    url: str
    checksum: str = ""
    size: int | None = None
    into: str = ""

    @property
    def file(self) -> str:
        """Name of the file, without the query of its URL."""
        return self.url.partition("?")[0].rpartition("/")[2]

    @property
    def host(self) -> str:
        """Who publishes it, such as `zenodo.org`."""
        return self.url.split("/")[2]


_IMAGENET_C = {
    "noise": ("e80562d7f6c3f8834afb1ecf27252745", 22565673785),
    "blur": ("2d8e81fdd8e07fef67b9334fa635e45c", 7112704951),
    "weather": ("33ffea4db4d93fe4a428c40a6ce0c25d", 12797438995),
    "digital": ("89157860d7b10d5797849337ca2e5c03", 7757510705),
    "extra": ("d492dfba5fc162d8ec2c3cd8ee672984", 15789490144),
}
_IMAGENETV2 = {
    "imagenetv2": (
        "imagenetv2-matched-frequency",
        "f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c",
        1264079360,
    ),
    "imagenetv2-threshold0.7": (
        "imagenetv2-threshold0.7",
        "32142bfe998f9cfa4141be691f6a80eeb1e27b24bd532a668eb08c26d98897a2",
        1249906176,
    ),
    "imagenetv2-top-images": (
        "imagenetv2-top-images",
        "85e4ace30f3f0d660152062254b8759dda66267b27f7ec0fd8d5768f1073a04b",
        1245927936,
    ),
}
_CIFAR10_1 = {
    "v6_data": ("2997188e5816f5bd545dc77771b6227828c28146049fcecf3fa10775474cacc6", 6144128),
    "v6_labels": ("ae40beda001693674edc94d925ee8268cfe68905f8f9aff800c8dcdfcd6c9448", 8128),
    "v4_data": ("5aaedc268df8f4cffca2ac0cf9e608ae1897a8cddb630c7a850a2ea8f6558e75", 6208640),
    "v4_labels": ("1f9544300ded199539b6662364ce7fe6c2e1ea9f87408f06db4b1a6184cffb18", 8212),
}
_CIFAR10 = Download(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
    170052171,
)
_HENDRYCKS = "https://people.eecs.berkeley.edu/~hendrycks"
_PETS = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"

DOWNLOADS: dict[str, tuple[Download, ...]] = {
    "imagenet-a": (
        Download(f"{_HENDRYCKS}/imagenet-a.tar", "md5:c3e55429088dc681f30d81f4726b6595", 687552512),
    ),
    "imagenet-r": (
        Download(f"{_HENDRYCKS}/imagenet-r.tar", "md5:a61312130a589d0ca1a8fca1f2bd3337"),
    ),
    "imagenet-sketch": (
        Download(
            "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/"
            "ImageNet-Sketch.zip",
            "sha256:4d3ce6b82a7c48aabf14aeac105eb533e75707f152cc858f55bfc022031a72ed",
            7593573012,
        ),
    ),
    **{
        dataset: (
            Download(
                f"https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/{name}.tar.gz",
                f"sha256:{sha256}",
                size,
            ),
        )
        for dataset, (name, sha256, size) in _IMAGENETV2.items()
    },
    "imagenet-c": tuple(
        Download(f"https://zenodo.org/records/2235448/files/{name}.tar", f"md5:{md5}", size)
        for name, (md5, size) in _IMAGENET_C.items()
    ),
    "cifar10": (_CIFAR10,),
    "cifar10-c": (
        Download(
            "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
            "md5:56bf5dcef84df0e2308c6dcbcbbd8499",
            2918471680,
        ),
    ),
    "cifar10.1": tuple(
        Download(
            f"https://github.com/modestyachts/CIFAR-10.1/raw/master/datasets/cifar10.1_{name}.npy",
            f"sha256:{sha256}",
            size,
        )
        for name, (sha256, size) in _CIFAR10_1.items()
    ),
    "oxford-iiit-pet": (
        Download(f"{_PETS}/images.tar.gz", "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c", 791918971),
        Download(f"{_PETS}/annotations.tar.gz", "md5:95a8c909bbe2e81eed6a22bccdf3f68f", 19173078),
    ),
    "pets-pretrain": (
        Download(_CIFAR10.url, _CIFAR10.checksum, _CIFAR10.size, into="cifar10"),
        Download(
            "http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar",
            "sha256:a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
            793579520,
            into="stanford-dogs",
        ),
        Download(
            # No checksum of it is published.
            "https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
            size=68606236,
        ),
        Download(
            "https://download.microsoft.com/download/3/E/1/"
            "3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
            "sha256:b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
        ),
    ),
}

WEIGHTS_FOLDER = "weights"
"""Where published weights are put, below HARDY_DATA."""

_SAM = {
    "b": (
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375042383,
    ),
    "l": (
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1249524607,
    ),
    "h": (
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2564550879,
    ),
}
CHECKPOINTS: dict[str, Download] = {
    f"sam-vit-{size}": Download(
        f"https://dl.fbaipublicfiles.com/segment_anything/{file}", f"sha256:{sha256}", length
    )
    for size, (file, sha256, length) in _SAM.items()
}
"""Segment Anything's weights (arXiv:2304.02643), which no package ships.

Their authors publish no checksum; these are what other public tools check the files by.
"""


def how_to_get(file: str) -> str:
    """Return the command that fetches a published file of a path; empty where none does."""
    name = file.rpartition("/")[2]
    found = (known for known, each in CHECKPOINTS.items() if each.file == name)
    return next((f"hardy data get {known}" for known in found), "")
