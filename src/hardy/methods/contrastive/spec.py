"""Schema of the method `contrastive`."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from hardy.methods.training_spec import TrainingSpec


def _one_place(template: str) -> str:
    if template.count("{}") != 1:
        message = f"{template!r} needs one {{}}, which the caption takes"
        raise ValueError(message)
    return template


class ContrastiveSpec(TrainingSpec):
    """Train a CLIP model on images and their captions (arXiv:2103.00020)."""

    reads_texts: ClassVar[bool] = True
    # Its runs were so from the first on, and operations round by the number of threads.
    trains_on_all_cores: ClassVar[bool] = False
    leaves_more: ClassVar[bool] = False
    separable: ClassVar[bool] = False

    kind: Literal["contrastive"] = "contrastive"
    epochs: Annotated[int, Field(ge=1, le=10_000, description="Times each sample is seen.")] = 20
    caption_templates: Annotated[
        tuple[Annotated[str, AfterValidator(_one_place)], ...],
        Field(
            min_length=1,
            description="Texts with one `{}` for a sample's caption; one is drawn for each sample "
            "and epoch. Validation takes the first.",
        ),
    ] = ("a photo of {}.", "a photo of {}", "a picture of {}", "an image of {}", "{}")
    crop: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Smallest share of an image's area that a random square crop keeps; 1 for "
            "no crop.",
        ),
    ] = 0.9
