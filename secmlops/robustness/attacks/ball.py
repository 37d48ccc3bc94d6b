"""Balls of allowed images: within eps of an image, and in [0, 1]."""

from typing import Literal, Protocol, Self

import torch
from torch import Tensor

BallNorm = Literal["linf", "l2"]
_TINY = 1e-12


class Ball(Protocol):
    """The images within eps of each center, and in [0, 1]."""

    def keep(self, kept: Tensor) -> Self:
        """The balls of some of the images, by a mask or by rows."""
        ...

    def random(self, generator: torch.Generator) -> Tensor:
        """A random image of each ball."""
        ...

    def project(self, images: Tensor) -> Tensor:
        """Bring images, which are overwritten, into their balls."""
        ...

    def climb(self, images: Tensor, gradient: Tensor, step: float | Tensor) -> Tensor:
        """Go a step, in eps's unit, along the steepest ascent, staying in the balls.

        Args:
            images: (m, ...), not changed.
            gradient: (m, ...), overwritten.
            step: one length for all, or (m, 1, 1, 1).
        """
        ...


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
        """The balls of some of the images."""
        return LinfBall(self.low[kept], self.high[kept])

    def random(self, generator: torch.Generator) -> Tensor:
        """Uniform in the ball."""
        share = torch.rand(self.low.shape, generator=generator, device=self.low.device)
        return torch.lerp(self.low, self.high, share)

    def project(self, images: Tensor) -> Tensor:
        """Clip every pixel."""
        return torch.clamp(images, self.low, self.high, out=images)

    def climb(self, images: Tensor, gradient: Tensor, step: float | Tensor) -> Tensor:
        """Along the sign of the gradient."""
        return self.project(gradient.sign_().mul_(step).add_(images))


class L2Ball:
    """Within Euclidean distance eps of the center."""

    def __init__(self, center: Tensor, eps: float) -> None:
        self._center = center
        self._eps = eps

    def keep(self, kept: Tensor) -> "L2Ball":
        """The balls of some of the images."""
        return L2Ball(self._center[kept], self._eps)

    def random(self, generator: torch.Generator) -> Tensor:
        """In a random direction, at a distance uniform in volume's root: few start at the center."""
        center = self._center
        direction = torch.randn(center.shape, generator=generator, device=center.device)
        distance = torch.rand((len(center), 1, 1, 1), generator=generator, device=center.device).sqrt_()
        return self.project(_unit(direction).mul_(distance * self._eps).add_(center))

    def project(self, images: Tensor) -> Tensor:
        """Shorten the difference to eps, then clip to [0, 1], which shortens it further."""
        change = images.sub_(self._center)
        length = _length(change)
        return change.mul_((self._eps / (length + _TINY)).clamp_(max=1)).add_(self._center).clamp_(0, 1)

    def climb(self, images: Tensor, gradient: Tensor, step: float | Tensor) -> Tensor:
        """Along the normalized gradient."""
        return self.project(_unit(gradient).mul_(step).add_(images))


def ball(center: Tensor, eps: float, norm: BallNorm) -> LinfBall | L2Ball:
    """The ball of each image."""
    if norm == "linf":
        return LinfBall.around(center, eps)
    return L2Ball(center, eps)


def distance(images: Tensor, others: Tensor, norm: BallNorm) -> Tensor:
    """How far images lie from others, (n,)."""
    change = (images - others).flatten(1)
    return change.abs().amax(1) if norm == "linf" else change.norm(dim=1)


def _length(change: Tensor) -> Tensor:
    return change.flatten(1).norm(dim=1).view(-1, *[1] * (change.ndim - 1))


def _unit(change: Tensor) -> Tensor:
    return change.div_(_length(change) + _TINY)
