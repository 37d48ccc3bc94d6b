"""Several transformations, one after the other."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from secmlops.robustness.transformations.denoising import DenoisingConfig
from secmlops.robustness.transformations.jpeg import JpegConfig
from secmlops.robustness.transformations.median import MedianConfig
from secmlops.robustness.transformations.squeezing import BitDepthConfig

StepConfig = Annotated[BitDepthConfig | MedianConfig | JpegConfig | DenoisingConfig, Field(discriminator="kind")]


class ChainConfig(BaseModel):
    """Settings of `Chain`.

    Attributes:
        steps: the transformations, the first one first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["chain"] = "chain"
    steps: Annotated[tuple[StepConfig, ...], Field(min_length=1, max_length=8)]

    def build(self) -> "Chain":
        """Make the transformation."""
        return Chain(self)


class Chain(nn.Sequential):
    """Applies its steps in turn."""

    def __init__(self, config: ChainConfig):
        super().__init__(*(step.build() for step in config.steps))
        self.config = config
