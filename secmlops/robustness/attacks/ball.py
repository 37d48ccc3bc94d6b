"""Balls of allowed images: within eps of an image, and in [0, 1]; both kinds are used alike."""

from typing import Literal

import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Norm

BallNorm = Literal["linf", "l2"]
_TINY = 1e-12


class LinfBall:
    """Every pixel within eps of the center's, between the images `low` and `high`."""

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low = low
        self.high = high

    @classmethod
    def around(cls, center: Tensor, eps: float) -> "LinfBall":
        """The ball of each image."""
        return cls((center - eps).clamp_(min=0), (center + eps).clamp_(max=1))

    def keep(self, kept: Tensor) -> "LinfBall":
        """The balls of some of the images, by a mask or by rows."""
        return LinfBall(self.low[kept], self.high[kept])

    def random(self, generator: torch.Generator) -> Tensor:
        """Uniform in the ball."""
        share = torch.rand(self.low.shape, generator=generator, dtype=self.low.dtype, device=self.low.device)
        return torch.lerp(self.low, self.high, share)

    def project(self, images: Tensor) -> Tensor:
        """Clip every pixel of images, which are overwritten."""
        return torch.clamp(images, self.low, self.high, out=images)

    def climb(self, images: Tensor, gradient: Tensor, step: float | Tensor) -> Tensor:
        """Go a step along the sign of the gradient (m, ...), which is overwritten; `step` may be (m, 1, 1, 1)."""
        return self.project(gradient.sign_().mul_(step).add_(images))


class L2Ball:
    """Within Euclidean distance eps of the center."""

    def __init__(self, center: Tensor, eps: float) -> None:
        self._center = center
        self._eps = eps

    def keep(self, kept: Tensor) -> "L2Ball":
        """The balls of some of the images, by a mask or by rows."""
        return L2Ball(self._center[kept], self._eps)

    def random(self, generator: torch.Generator) -> Tensor:
        """In a random direction, at a distance uniform in [0, eps]."""
        center = self._center
        direction = torch.randn(center.shape, generator=generator, dtype=center.dtype, device=center.device)
        distance = torch.rand((len(center), 1, 1, 1), generator=generator, dtype=center.dtype, device=center.device)
        return self.project(_unit(direction).mul_(distance * self._eps).add_(center))

    def project(self, images: Tensor) -> Tensor:
        """Shorten the images' difference to eps and clip them to [0, 1], which shortens it further; overwrites them."""
        change = images.sub_(self._center)
        length = _length(change)
        return change.mul_((self._eps / (length + _TINY)).clamp_(max=1)).add_(self._center).clamp_(0, 1)

    def climb(self, images: Tensor, gradient: Tensor, step: float | Tensor) -> Tensor:
        """Go a step along the normalized gradient (m, ...), which is overwritten; `step` may be (m, 1, 1, 1)."""
        return self.project(_unit(gradient).mul_(step).add_(images))


def ball(center: Tensor, eps: float, norm: BallNorm) -> LinfBall | L2Ball:
    """The ball of each image."""
    if norm == "linf":
        return LinfBall.around(center, eps)
    return L2Ball(center, eps)


def distance(images: Tensor, others: Tensor, norm: Norm) -> Tensor:
    """How far images lie from others, (n,); for `l0` the share of pixels that differ in any channel."""
    change = images - others
    if norm == "l0":
        return (change != 0).any(1).flatten(1).to(images.dtype).mean(1)
    change = change.flatten(1)
    return change.abs().amax(1) if norm == "linf" else change.norm(dim=1)


def _length(change: Tensor) -> Tensor:
    return change.flatten(1).norm(dim=1).view(-1, *[1] * (change.ndim - 1))


def _unit(change: Tensor) -> Tensor:
    return change.div_(_length(change) + _TINY)
