"""AutoAttack (Croce and Hein, 2020, arXiv 2003.01690), the standard ensemble: parameter-free, and hard to mislead."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from secmlops.robustness.attacks.apgd import Apgd, TargetedApgd
from secmlops.robustness.attacks.attack import Attack, Classifier, Norm
from secmlops.robustness.attacks.fab import TargetedFab
from secmlops.robustness.attacks.square import Square
from secmlops.robustness.attacks.standing import stands


@dataclass(frozen=True)
class AutoAttack:
    """APGD-CE, targeted APGD, targeted FAB and Square in turn, each on what still stands.

    The published L-infinity setting: 100 steps, 9 target classes, 5,000 queries, no restarts. Fewer `queries` make the
    evaluation cheaper and the figure no longer comparable.

    Attributes:
        eps: L-infinity budget.
        steps: of each gradient attack's run.
        targets: classes that APGD-T and FAB-T try.
        queries: of Square, for each image.
        seed: of all random choices.
        batch_size: images at a time.
    """

    eps: float
    steps: int = 100
    targets: int = 9
    queries: int = 5000
    seed: int = 0
    batch_size: int = 500
    norm: ClassVar[Norm] = "linf"
    name: ClassVar[str] = "autoattack"

    def parts(self) -> tuple[Attack, ...]:
        """The attacks in their order."""
        seed, batch_size = self.seed, self.batch_size
        return (
            Apgd(self.eps, steps=self.steps, seed=seed, batch_size=batch_size),
            TargetedApgd(self.eps, steps=self.steps, targets=self.targets, seed=seed, batch_size=batch_size),
            TargetedFab(self.eps, steps=self.steps, targets=self.targets, seed=seed, batch_size=batch_size),
            Square(self.eps, queries=self.queries, seed=seed, batch_size=batch_size),
        )

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        attacked = images.clone()
        standing = stands(classifier, images, labels, batch_size=self.batch_size).nonzero().flatten()
        for part in self.parts():
            if not len(standing):
                break
            attacked[standing] = part(classifier, images[standing], labels[standing])
            right = stands(classifier, attacked[standing], labels[standing], batch_size=self.batch_size)
            standing = standing[right]
        return attacked
