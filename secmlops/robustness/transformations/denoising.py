"""A denoising autoencoder before the classifier (Vincent et al. 2008; Meng and Chen 2017, the reformer of MagNet)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

_HALVING = 2


class DenoisingConfig(BaseModel):
    """Settings of `Denoiser`; its weights are kept apart, as those of any network.

    Attributes:
        image_channels: channels of an image.
        width: channels of the hidden layers.
        depth: hidden layers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["denoising"] = "denoising"
    image_channels: Annotated[int, Field(gt=0, le=64)] = 1
    width: Annotated[int, Field(gt=0, le=256)] = 32
    depth: Annotated[int, Field(gt=0, le=8)] = 2

    def build(self) -> "Denoiser":
        """Make the transformation, untrained (seed it with `torch.manual_seed`)."""
        return Denoiser(self)


class Denoiser(nn.Module):
    """Convolutions at half the resolution that bring a noisy image back to what images look like."""

    def __init__(self, config: DenoisingConfig):
        super().__init__()
        self.config = config
        folded = config.image_channels * _HALVING**2
        widths = [folded, *[config.width] * config.depth]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(_HALVING), *layers, nn.Conv2d(widths[-1], folded, 3, padding=1), nn.PixelShuffle(_HALVING)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Restore images (n, c, h, w) in [0, 1]."""
        height, width = images.shape[-2:]
        even = F.pad(images, (0, width % _HALVING, 0, height % _HALVING), mode="replicate")
        return torch.sigmoid(self.layers(even)[..., :height, :width])


@dataclass(frozen=True, slots=True)
class Denoising:
    """The objective that trains the `Denoiser` of a `Transformed` classifier, and nothing of its network.

    An image and what the denoiser makes of its noisy copy shall be alike in their pixels, by the mean squared error,
    and in the network's logits, by the mean absolute error (guided denoising, Liao et al. 2018).

    Attributes:
        noise: largest standard deviation of the Gaussian noise, in pixel units; each image draws its own.
        guidance: weight of the logits beside the pixels.
    """

    noise: float = 0.4
    guidance: float = 0.01

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """The loss of one batch, for `hardening.fit`; labels and progress are not used."""
        denoiser, judge = network.get_submodule("transformation"), network.get_submodule("network")
        strength = self.noise * torch.rand(len(images), 1, 1, 1, device=images.device)
        noisy = (images + strength * torch.randn_like(images)).clamp(0, 1)
        restored = denoiser(noisy).float()
        fixed = {name: value.detach() for name, value in judge.named_parameters()}
        logits, wanted = (torch.func.functional_call(judge, fixed, (each,)).float() for each in (restored, images))
        return F.mse_loss(restored, images) + self.guidance * F.l1_loss(logits, wanted)
