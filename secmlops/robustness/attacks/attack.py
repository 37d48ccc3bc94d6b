"""What an attack is, however it is made."""

from collections.abc import Callable
from typing import Literal, Protocol

from torch import Tensor

Classifier = Callable[[Tensor], Tensor]
"""Images (n, channels, height, width) in [0, 1] to logits (n, classes), differentiable for most attacks."""

Norm = Literal["linf", "l2", "l0"]
"""How a budget is measured: the largest change of a pixel, the Euclidean length, or the share of changed pixels."""


class Attack(Protocol):
    """A way to make a classifier err: a frozen dataclass of its settings, called with what it attacks.

    The returned images have the shape of the given ones, lie in [0, 1], and differ from them within the attack's own
    budget. An image that the classifier gets wrong already is returned as it is. The same seed gives the same images.
    """

    @property
    def name(self) -> str:
        """The name in tables and on the command line, such as `pgd`."""
        ...

    @property
    def eps(self) -> float:
        """The budget, in the attack's norm."""
        ...

    @property
    def norm(self) -> Norm:
        """How the budget is measured."""
        ...

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        ...
