"""JPEG compression of 8x8 blocks, written in PyTorch (Dziugaite et al. 2016; Das et al. 2018; ITU-T T.81, Annex K).

The lossy part alone: cosine transform, quantization, and back; without chroma subsampling and entropy coding.
"""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

_BLOCK = 8
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
_RGB_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_RGB_CHANNELS = 3
_OFF_TIES = 1e-3
"""Coefficients of 8-bit pixels often lie halfway between two steps, where every runtime's last bit would decide."""


class JpegConfig(BaseModel):
    """Settings of `Jpeg`.

    Attributes:
        quality: as in libjpeg, 1 (coarse) to 100 (fine).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["jpeg"] = "jpeg"
    quality: Annotated[int, Field(ge=1, le=100)] = 50

    def build(self) -> "Jpeg":
        """Make the transformation."""
        return Jpeg(self)


class Jpeg(nn.Module):
    """Compresses and decompresses images; three channels are taken as RGB, others each as grey.

    Differentiable but for the rounding of the coefficients, whose gradient is zero.
    """

    _basis: Tensor
    _grey: Tensor
    _colour: Tensor
    _to_ycbcr: Tensor
    _to_rgb: Tensor

    def __init__(self, config: JpegConfig):
        super().__init__()
        self.config = config
        self.register_buffer("_basis", _cosine_basis(), persistent=False)
        self.register_buffer("_grey", _quantization(_LUMINANCE, config.quality), persistent=False)
        self.register_buffer("_colour", _quantization(_CHROMINANCE, config.quality), persistent=False)
        matrix = torch.tensor(_RGB_TO_YCBCR)
        self.register_buffer("_to_ycbcr", matrix[..., None, None], persistent=False)
        self.register_buffer("_to_rgb", matrix.inverse()[..., None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Compress images (n, c, h, w) in [0, 1]."""
        channels, height, width = images.shape[1:]
        pixels = images * 255 - 128
        if channels == _RGB_CHANNELS:
            pixels = F.conv2d(pixels, self._to_ycbcr)
            steps = torch.cat([self._grey, self._colour, self._colour], dim=1)
        else:
            steps = self._grey.repeat(1, channels, 1, 1)
        padded = F.pad(pixels, (0, -width % _BLOCK, 0, -height % _BLOCK), mode="replicate")
        basis = self._basis.repeat(channels, 1, 1, 1)
        coefficients = F.conv2d(padded, basis, stride=_BLOCK, groups=channels)
        quantized = (coefficients / steps + _OFF_TIES).round() * steps
        restored = F.conv_transpose2d(quantized, basis, stride=_BLOCK, groups=channels)[..., :height, :width]
        if channels == _RGB_CHANNELS:
            restored = F.conv2d(restored, self._to_rgb)
        return ((restored + 128) / 255).clamp(0, 1)


def _cosine_basis() -> Tensor:
    """The orthonormal cosine functions of a block, as filters (64, 1, 8, 8)."""
    place = torch.arange(_BLOCK, dtype=torch.float64)
    waves = torch.cos((2 * place[None, :] + 1) * place[:, None] * math.pi / (2 * _BLOCK)) / 2
    waves[0] /= math.sqrt(2)
    return torch.einsum("ux,vy->uvxy", waves, waves).reshape(_BLOCK * _BLOCK, 1, _BLOCK, _BLOCK).float()


def _quantization(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """The quantization steps (1, 64, 1, 1) of a quality, by libjpeg's rule."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (torch.tensor(table) * scale + 50) // 100
    return steps.clamp(1, 255).float().reshape(1, -1, 1, 1)
