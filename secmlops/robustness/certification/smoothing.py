"""Randomized smoothing (Cohen, Rosenfeld and Kolter, 2019): certificates for any classifier, in L2, with confidence.

The smoothed classifier answers what the given one answers most often under Gaussian noise. If it answers a class with
probability p > 1/2, no change of Euclidean length below sigma * quantile(p) alters that. p is bounded by counting, so a
certificate is wrong with probability at most alpha, each image for itself.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.certification.question import check_images

ABSTAIN = -1


class Smoothing(BaseModel):
    """How to smooth, and how sure to be.

    Attributes:
        sigma: standard deviation of the noise, in pixel values.
        alpha: largest probability that a certificate, or an answer, is wrong.
        selection: noisy copies that pick the class to certify.
        samples: further noisy copies that bound its probability; also those of `predict`.
        seed: of the noise: the same gives the same answers.
        batch_size: noisy copies at a time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.001
    selection: Annotated[int, Field(gt=0)] = 100
    samples: Annotated[int, Field(gt=0)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(gt=0)] = 1_000

    @property
    def largest_radius(self) -> float:
        """The radius certified when all copies agree, in pixel values: no more can be had from so many samples."""
        return self.sigma * _quantile(self.alpha ** (1 / self.samples))


@dataclass(frozen=True, slots=True)
class Smoothed:
    """What the smoothed classifier answers.

    Attributes:
        answers: class, or `ABSTAIN`; int64 (n,).
        radii: L2 radius, in pixel values, within which the answer stands; 0 where it abstains; float64 (n,).
    """

    answers: Tensor
    radii: Tensor

    def certified(self, labels: Tensor, radius: float) -> Tensor:
        """Whether the answer is the label for all images within an L2 radius; bool (n,)."""
        return (self.answers == labels) & (self.radii >= radius)


@torch.no_grad()
def certify(classifier: Classifier, images: Tensor, smoothing: Smoothing) -> Smoothed:
    """Answer and certify, or abstain (CERTIFY of the paper).

    Args:
        classifier: the one to smooth; best trained with `GaussianNoise`.
        images: float32 (n, c, h, w) in [0, 1].
        smoothing: how.

    Raises:
        NotCertifiable: images are out of their range.
    """
    check_images(images)
    answers = torch.full((len(images),), ABSTAIN, device=images.device)
    radii = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    noise = torch.Generator(images.device).manual_seed(smoothing.seed)
    for at, image in enumerate(images):
        top = int(_counts(classifier, image, smoothing, smoothing.selection, noise).argmax())
        hits = int(_counts(classifier, image, smoothing, smoothing.samples, noise)[top])
        likely = probability_at_least(hits, smoothing.samples, smoothing.alpha)
        if likely > 0.5:
            answers[at], radii[at] = top, smoothing.sigma * _quantile(likely)
    return Smoothed(answers, radii)


@torch.no_grad()
def predict(classifier: Classifier, images: Tensor, smoothing: Smoothing) -> Tensor:
    """The smoothed classifier's class, or `ABSTAIN` (PREDICT of the paper); int64 (n,).

    It abstains unless the two classes counted most differ by a two-sided binomial test at level alpha (Hung and
    Fithian, 2019), so an answer is another than the smoothed classifier's with probability at most alpha.

    Args:
        classifier: the one to smooth.
        images: float32 (n, c, h, w) in [0, 1].
        smoothing: how.

    Raises:
        NotCertifiable: images are out of their range.
    """
    check_images(images)
    answers = torch.full((len(images),), ABSTAIN, device=images.device)
    noise = torch.Generator(images.device).manual_seed(smoothing.seed)
    for at, image in enumerate(images):
        counts, classes = _counts(classifier, image, smoothing, smoothing.samples, noise).topk(2)
        if chance_of_a_tie(int(counts[0]), int(counts[1])) <= smoothing.alpha:
            answers[at] = classes[0]
    return answers


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Learn from noisy images, so that the smoothed classifier is right: an objective of `hardening.fit`.

    Attributes:
        sigma: standard deviation of the noise, in pixel values: the one to smooth with.
    """

    sigma: float

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy on noisy images, nats."""
        noisy = images + self.sigma * torch.randn_like(images)
        return functional.cross_entropy(network(noisy).float(), labels)


def probability_at_least(hits: int, samples: int, alpha: float) -> float:
    """The one-sided lower confidence bound of a probability (Clopper and Pearson, 1934), right with 1 - alpha."""
    from scipy.stats import beta

    return float(beta.ppf(alpha, hits, samples - hits + 1)) if hits else 0.0


def chance_of_a_tie(most: int, next_most: int) -> float:
    """The two-sided p-value of two counts if both classes were as likely."""
    from scipy.stats import binomtest

    return float(binomtest(most, most + next_most, 0.5).pvalue) if most else 1.0


def _quantile(probability: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(probability)) if probability < 1 else math.inf


def _counts(
    classifier: Classifier, image: Tensor, smoothing: Smoothing, samples: int, noise: torch.Generator
) -> Tensor:
    """How often each class is answered for noisy copies of one image (c, h, w); int64 (classes,)."""
    total = torch.zeros((), dtype=torch.int64, device=image.device)
    for start in range(0, samples, smoothing.batch_size):
        shape = (min(smoothing.batch_size, samples - start), *image.shape)
        copies = image + smoothing.sigma * torch.randn(shape, generator=noise, device=image.device)
        logits = classifier(copies)
        answers = logits.argmax(1)[logits.isfinite().all(1)]
        total = total + torch.bincount(answers, minlength=logits.shape[1])
    return total
