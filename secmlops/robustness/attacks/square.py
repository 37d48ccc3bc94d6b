"""The Square attack (Andriushchenko et al., 2020, arXiv 1912.00049): random search that sees logits and no gradient."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Classifier, Norm
from secmlops.robustness.attacks.ball import LinfBall
from secmlops.robustness.attacks.goal import margin
from secmlops.robustness.attacks.standing import attack_standing

_HALVE_AFTER: Final = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULE_QUERIES: Final = 10_000


@dataclass(frozen=True)
class Square:
    """Stripes at the budget's edge to begin with, then squares of +-eps that stay where they lower the margin.

    A black box is enough (MITRE ATLAS AML.T0043.001); an image leaves with its first error.

    Attributes:
        eps: L-infinity budget.
        queries: of the classifier, for each image at most.
        largest: share of the image that the first squares cover.
        seed: of the search.
        batch_size: images at a time.
    """

    eps: float
    queries: int = 5000
    largest: float = 0.8
    seed: int = 0
    batch_size: int = 500
    norm: ClassVar[Norm] = "linf"
    name: ClassVar[str] = "square"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        generator = torch.Generator(images.device).manual_seed(self.seed)

        @torch.no_grad()
        def attack(images: Tensor, labels: Tensor) -> Tensor:
            return self._search(classifier, images, labels, generator)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)

    def _search(self, classifier: Classifier, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        attacked, standing = images.clone(), torch.arange(len(images), device=images.device)
        around = LinfBall.around(images, self.eps)
        best = _stripes(around, generator)
        loss = margin(classifier(best), labels)
        for query in range(1, self.queries + 1):
            fooled = loss > 0
            if bool(fooled.any()):
                kept = ~fooled
                attacked[standing[fooled]] = best[fooled]
                standing, best, loss, around = standing[kept], best[kept], loss[kept], around.keep(kept)
                if not len(standing):
                    return attacked
            if query == self.queries:
                break
            tried = _with_squares(best, around, self._side(query, images), generator)
            its_loss = margin(classifier(tried), labels[standing])
            better = its_loss > loss
            best[better] = tried[better]
            loss = torch.where(better, its_loss, loss)
        attacked[standing] = best
        return attacked

    def _side(self, query: int, images: Tensor) -> int:
        """The squares' side in pixels: their share of the image is halved at fixed points of the budget."""
        height, width = images.shape[-2:]
        at = int(query / self.queries * _SCHEDULE_QUERIES)
        share = self.largest / 2 ** sum(at > limit for limit in _HALVE_AFTER)
        return min(max(round(math.sqrt(share * height * width)), 1), height, width)


def _stripes(around: LinfBall, generator: torch.Generator) -> Tensor:
    """Every column of every channel at the lower or the upper edge of the ball."""
    count, channels, _, width = around.low.shape
    up = torch.rand((count, channels, 1, width), generator=generator, device=around.low.device) < 0.5
    return torch.where(up, around.high, around.low)


def _with_squares(images: Tensor, around: LinfBall, side: int, generator: torch.Generator) -> Tensor:
    """A square at a random place of each image, each channel at the ball's lower or upper edge."""
    count, channels, height, width = images.shape
    device = images.device
    top = torch.randint(height - side + 1, (count, 1), generator=generator, device=device)
    left = torch.randint(width - side + 1, (count, 1), generator=generator, device=device)
    rows = torch.arange(height, device=device) - top
    columns = torch.arange(width, device=device) - left
    inside = ((rows >= 0) & (rows < side))[:, None, :, None] & ((columns >= 0) & (columns < side))[:, None, None, :]
    up = torch.rand((count, channels, 1, 1), generator=generator, device=device) < 0.5
    return torch.where(inside, torch.where(up, around.high, around.low), images)
