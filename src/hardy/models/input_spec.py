"""What a spec may say about a network's input, where it differs from the weights' own record."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hardy.core.spec import Spec

_LARGEST = 4096

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]


Size = int | tuple[int, ...]


def _in_range(size: Size | None) -> Size | None:
    """Refuse what is no size; a square's is one number."""
    if size is None:
        return None
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2 or not all(1 <= side <= _LARGEST for side in sides):
        message = f"a size is one side or [height, width], each of 1 to {_LARGEST} pixels"
        raise ValueError(message)
    return sides[0] if sides[0] == sides[1] else size


class InputSpec(Spec):
    """How an image becomes the network's input; what is left out stays as the weights state it."""

    size: Annotated[
        Size | None,
        Field(
            description="Side of the input, or [height, width], in pixels. Convolutional networks "
            "take many sizes, most transformers one."
        ),
        AfterValidator(_in_range),
    ] = None
    fit: Annotated[
        Literal["shorter_side", "squeeze", "pad"] | None,
        Field(
            description="How an image comes to the size: `shorter_side` is resized to `resize` and "
            "the centre cropped; `squeeze` resizes both sides, whatever their ratio; `pad` resizes "
            "until the whole image fits in, and pads the rest. None: as the weights state it, "
            "which is `shorter_side`."
        ),
    ] = None
    resize: Annotated[
        int | None,
        Field(
            ge=1,
            le=2 * _LARGEST,
            description="Length of the shorter side before the centre crop, in pixels; stated "
            "together with `size`, and at least as long.",
        ),
    ] = None
    fill: Annotated[
        int | None,
        Field(ge=0, le=255, description="Level of the padding of `pad`, 0 (black) unless stated."),
    ] = None
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic"] | None,
        Field(description="Filter of the resize; it is antialiased, as Pillow's are."),
    ] = None
    mean: Annotated[
        tuple[Share, Share, Share] | None,
        Field(description="Mean of red, green and blue, in [0, 1], that is subtracted."),
    ] = None
    std: Annotated[
        tuple[Spread, Spread, Spread] | None,
        Field(description="Standard deviation of each, in [0, 1], that is divided by then."),
    ] = None

    @model_validator(mode="after")
    def _geometry_is_whole(self) -> Self:
        crops = self.fit in (None, "shorter_side")
        message = ""
        if not crops and self.resize is not None:
            message = f"resize is for fit: shorter_side; {self.fit} goes to the size itself"
        elif self.fill is not None and self.fit != "pad":
            message = "fill is the level of fit: pad; nothing else pads"
        elif crops and self.size is not None and self.resize is None:
            message = "size needs resize, the shorter side before the centre crop; or fit: squeeze"
        elif self.resize is not None and self.size is None:
            message = "resize needs size, the side of the centre crop"
        elif self.resize is not None and self.size is not None:
            longest = self.size if isinstance(self.size, int) else max(self.size)
            if self.resize < longest:
                message = f"resize is {self.resize}, too short for a centre crop of {longest}"
        if message:
            raise ValueError(message)
        return self


def _none_if_empty(stated: InputSpec | None) -> InputSpec | None:
    return None if stated == InputSpec() else stated


Input = Annotated[
    InputSpec | None,
    Field(
        description="How an image becomes the network's input, where that differs from the "
        "weights' own record: size, fit, interpolation, mean, std. None: as they state it."
    ),
    AfterValidator(_none_if_empty),
]
