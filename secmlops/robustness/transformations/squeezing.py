"""Bit-depth reduction: fewer grey levels leave less room for small changes (feature squeezing, Xu, Evans, Qi 2018)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class BitDepthConfig(BaseModel):
    """Settings of `BitDepth`.

    Attributes:
        bits: bits per channel that remain; 1 leaves black and white.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["bit_depth"] = "bit_depth"
    bits: Annotated[int, Field(ge=1, le=8)] = 1

    def build(self) -> "BitDepth":
        """Make the transformation."""
        return BitDepth(self)


class BitDepth(nn.Module):
    """Rounds every pixel to the nearest of `2**bits` levels; the gradient is zero almost everywhere."""

    def __init__(self, config: BitDepthConfig):
        super().__init__()
        self.config = config
        self._steps = float(2**config.bits - 1)

    def forward(self, images: Tensor) -> Tensor:
        """Squeeze images (n, c, h, w) in [0, 1]."""
        return (images * self._steps).round() / self._steps
