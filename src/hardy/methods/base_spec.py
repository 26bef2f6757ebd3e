"""What every method's schema says of it before it runs: what it yields, and what it costs."""

from dataclasses import dataclass
from typing import ClassVar

from hardy.core.spec import Spec
from hardy.data.held_out_spec import HeldOut
from hardy.models.spec import ModelSpec


@dataclass(frozen=True)
class Passes:
    """What one sample costs, in passes of a single image through the network.

    Attributes:
        forward: Forward passes.
        backward: Backward passes.
        batch: Images whose activations are held at once for a backward pass; 1 where there is none.
    """

    forward: int
    backward: int
    batch: int = 1


class MethodBase(Spec):
    """Base of the methods' schemas."""

    yields_weights: ClassVar[bool] = False
    """Whether a run leaves `weights/weights.safetensors` for other experiments to begin with."""

    needs_canvas: ClassVar[bool] = False
    """Whether the method looks at the image that views are cut from, beside the views."""

    reads_texts: ClassVar[bool] = False
    """Whether the method needs a model of images and texts."""

    @property
    def further_models(self) -> tuple[ModelSpec, ...]:
        """Models beside the experiment's own; the plan finds their weights too."""
        return ()

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of files that the method reads, such as checkpoints, as the spec states them."""
        return ()

    @property
    def held_out(self) -> HeldOut | None:
        """Samples apart from the experiment's that the method learns from or is measured on."""
        return None

    @property
    def episodic(self) -> bool:
        """Whether a sample's answer depends on no other sample: it may run anywhere, any time."""
        return True

    def cost(self) -> Passes:
        """Return what one sample costs; by default one forward pass, as of the model as it is."""
        return Passes(forward=1, backward=0)
