"""Median smoothing: a pixel that differs from its neighbours gives way to them (Xu, Evans and Qi 2018)."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class MedianConfig(BaseModel):
    """Settings of `MedianSmoothing`.

    Attributes:
        size: height and width of the window, in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["median"] = "median"
    size: Annotated[int, Field(ge=2, le=7)] = 3

    def build(self) -> "MedianSmoothing":
        """Make the transformation."""
        return MedianSmoothing(self)


class MedianSmoothing(nn.Module):
    """Replaces every pixel by the median of the window around it; edges are repeated outwards.

    A window of even size reaches one pixel further up and left, and its median is the upper one, as in
    `scipy.ndimage.median_filter(mode="nearest")`. The gradient goes to the pixel that was the median.
    """

    def __init__(self, config: MedianConfig):
        super().__init__()
        self.config = config

    def forward(self, images: Tensor) -> Tensor:
        """Smooth images (n, c, h, w)."""
        size = self.config.size
        before, after = size // 2, (size - 1) // 2
        height, width = images.shape[-2:]
        padded = F.pad(images, (before, after, before, after), mode="replicate")
        window = torch.stack(
            [padded[..., y : y + height, x : x + width] for y in range(size) for x in range(size)], dim=-1
        )
        upper_half = size * size - size * size // 2
        return window.topk(upper_half, dim=-1).values[..., -1]
