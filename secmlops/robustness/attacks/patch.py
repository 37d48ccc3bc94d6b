"""The universal adversarial patch (Brown et al., 2017, arXiv 1712.09665): one sticker that fools on every image."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Classifier, Norm
from secmlops.robustness.attacks.goal import margin
from secmlops.robustness.attacks.standing import stands

_KEEP_MOMENTUM = 0.9


@dataclass(frozen=True)
class UniversalPatch:
    """Learn one square patch that raises the margin wherever it is stuck, and stick it on every image at random.

    Attributes:
        eps: share of the image's pixels that the patch may cover; at least one pixel is.
        steps: of the learning, each on a batch of images and places.
        learning_rate: change of a pixel in a step, of the range [0, 1].
        seed: of batches and places.
        batch_size: images at a time.
    """

    eps: float
    steps: int = 200
    learning_rate: float = 0.05
    seed: int = 0
    batch_size: int = 250
    norm: ClassVar[Norm] = "l0"
    name: ClassVar[str] = "patch"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,): learn the patch on them and stick it on those that stand."""
        attacked = images.clone()
        standing = stands(classifier, images, labels, batch_size=self.batch_size).nonzero().flatten()
        if len(standing):
            patch = self.learn(classifier, images[standing], labels[standing])
            generator = torch.Generator(images.device).manual_seed(self.seed + 1)
            places = random_places(len(standing), images.shape[-2:], patch.shape[-1], generator)
            attacked[standing] = stick(images[standing], patch, places)
        return attacked

    def learn(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """A patch (channels, side, side) that fools on these images (n, channels, height, width)."""
        generator = torch.Generator(images.device).manual_seed(self.seed)
        channels, height, width = images.shape[1:]
        side = min(max(math.isqrt(int(self.eps * height * width)), 1), height, width)
        patch = torch.rand((channels, side, side), generator=generator, device=images.device)
        momentum = torch.zeros_like(patch)
        for _ in range(self.steps):
            rows = torch.randint(len(images), (self.batch_size,), generator=generator, device=images.device)
            places = random_places(len(rows), (height, width), side, generator)
            patch.requires_grad_()
            with torch.enable_grad():
                ahead = margin(classifier(stick(images[rows], patch, places)), labels[rows])
                gain = torch.nn.functional.logsigmoid(ahead).mean()
            upward = torch.autograd.grad(gain, patch)[0]
            momentum.mul_(_KEEP_MOMENTUM).add_(upward / (upward.abs().mean() + 1e-12))
            patch = (patch.detach() + self.learning_rate * momentum.sign()).clamp_(0, 1)
        return patch


def random_places(count: int, size: tuple[int, ...], side: int, generator: torch.Generator) -> Tensor:
    """The top left corner of a square within each image of a size (height, width), (count, 2)."""
    room = [(edge - side + 1) for edge in size]
    device = generator.device
    return torch.stack([torch.randint(some, (count,), generator=generator, device=device) for some in room], 1)


def stick(images: Tensor, patch: Tensor, places: Tensor) -> Tensor:
    """The images with the patch stuck on at the places (n, 2), differentiable in the patch."""
    offsets = torch.arange(patch.shape[-1], device=images.device)
    rows = (places[:, :1] + offsets)[:, None, :, None]
    columns = (places[:, 1:] + offsets)[:, None, None, :]
    image = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return images.index_put((image, channel, rows, columns), patch.expand(len(images), *patch.shape))
