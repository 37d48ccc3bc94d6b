"""Published figures, to stand beside ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from secmlops.digits.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Published:
    """What somebody else measured.

    Attributes:
        recipe: ours that does the same.
        data: on what.
        images_digest: of these test images, as `evaluation.digest_of` makes it.
        eps: budget of the attack.
        shares: by what was done to the images.
    """

    recipe: str
    data: str
    images_digest: str
    eps: float
    shares: Mapping[str, float] = field(hash=False)


MNIST_TEST: Final = "sha256:8c26786d4955bfbe4b1bc0048b3bedb22913ad773005ea62cd29f5c431131685"
"""The 10,000 test images of MNIST with their labels."""

EXAMPLES: Final = (Published("fgsm", "MNIST", MNIST_TEST, 0.1, {"clean": 0.975, "under FGSM": 0.802}),)
"""FGSM adversarial training of a small convolutional network, the field's usual first example."""


def beside(evaluation: Evaluation) -> str:
    """A half sentence with the published figures for the same recipe, budget and images; or nothing."""
    for one in EXAMPLES:
        if (one.recipe, one.eps, one.images_digest) == (evaluation.recipe, evaluation.eps, evaluation.images_digest):
            figures = ", ".join(f"{share:.1%} {what}" for what, share in one.shares.items())
            ours = {"clean": evaluation.clean_accuracy, "under FGSM": evaluation.matrix.accuracy("fgsm", one.eps)}
            here = ", ".join(f"{share:.1%} {what}" for what, share in ours.items() if share is not None)
            return f"; published for {one.data}: {figures}; here: {here}"
    return ""
