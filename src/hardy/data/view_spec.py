"""What a spec may say about views: which augmentation makes them and how many there are."""

from typing import Annotated, Literal

from pydantic import Field

from hardy.core.spec import Spec

Count = Annotated[
    int, Field(ge=1, le=4096, description="Views per sample; the unchanged image is view 0.")
]


class Identity(Spec):
    """Every view is the unchanged image."""

    kind: Literal["identity"] = "identity"
    count: Count = 1


class Cut(Spec):
    """Random resized crop (scale 0.08 to 1) and horizontal flip: TPT's views, P1's `cut`."""

    kind: Literal["cut"] = "cut"
    count: Count = 64


class AugMix(Spec):
    """AugMix as MEMO's published ImageNet code makes it (arXiv:1912.02781, 2110.09506).

    Crop and flip, then three chains of one to three of nine operations at severity 1, mixed by
    Dirichlet weights and with the cropped image by a Beta weight.
    """

    kind: Literal["augmix"] = "augmix"
    count: Count = 64  # MEMO, section 4


ViewSpec = Annotated[Identity | Cut | AugMix, Field(discriminator="kind")]
