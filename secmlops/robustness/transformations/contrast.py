"""Contrast stretching: what is nearly black or nearly white becomes so, and the grey between is spread.

On images that are all but black and white, such as scanned digits, adversarially trained networks learn such filters
by themselves (Madry et al. 2018, appendix C); given beforehand, the network need not spend its capacity on them. With
`low = eps` and `high = 1 - eps` no change within eps reaches the network where a pixel was black or white. The map of
each pixel rises, so the images that an attacker can produce behind it are exactly a box: proofs go through it without
loss.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn


class ContrastConfig(BaseModel):
    """Settings of `ContrastStretching`.

    Attributes:
        low: values up to here become 0.
        high: values from here on become 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["contrast"] = "contrast"
    low: Annotated[float, Field(ge=0, lt=1)]
    high: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: low must be the smaller")
        return self

    def build(self) -> "ContrastStretching":
        """Make the transformation."""
        return ContrastStretching(self)


class ContrastStretching(nn.Module):
    """The line from `low` to `high`, cut off at 0 and 1.

    Its gradient is that of the whole line: the flat ends would stop attacks that follow gradients, in the training and
    in the measurement, and make a network look more robust than it is (Athalye, Carlini and Wagner 2018).
    """

    shows_gradient: ClassVar[bool] = True

    def __init__(self, config: ContrastConfig):
        super().__init__()
        self.config = config

    @property
    def width(self) -> float:
        """From `low` to `high`."""
        return self.config.high - self.config.low

    def line(self, images: Tensor) -> Tensor:
        """The line before it is cut off."""
        return (images - self.config.low) / self.width

    def forward(self, images: Tensor) -> Tensor:
        """Stretch images (n, c, h, w) in [0, 1]."""
        line = self.line(images)
        stretched = line.clamp(0, 1)
        return line + (stretched - line).detach() if line.requires_grad else stretched
