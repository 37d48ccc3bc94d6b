"""Transfer from a surrogate (Papernot et al., 2016): attack a model of one's own, and use the images on the target."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from secmlops.robustness.attacks.attack import Attack, Classifier, Norm
from secmlops.robustness.attacks.standing import attack_standing


@dataclass(frozen=True)
class Transfer:
    """Another attack, made on the surrogate; the target is only asked what it gets right (MITRE ATLAS AML.T0043.002).

    Attributes:
        attack: what is made on the surrogate. It should push every image as far as it can
            (`Pgd(eps, loss="margin", early_stop=False)`): one that just crosses the surrogate's boundary seldom
            crosses the target's.
        surrogate: the model that the attacker has.
        batch_size: images at a time.
    """

    attack: Attack
    surrogate: Classifier = field(repr=False)
    batch_size: int = 500
    name: ClassVar[str] = "transfer"

    @property
    def eps(self) -> float:
        """The budget of the attack on the surrogate."""
        return self.attack.eps

    @property
    def norm(self) -> Norm:
        """The norm of the attack on the surrogate."""
        return self.attack.norm

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,); `classifier` is never differentiated."""

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            return self.attack(self.surrogate, images, labels)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)
