"""Feature squeezing as a detector: adversarial images lose their class when squeezed (Xu, Evans and Qi 2018).

ATLAS AML.M0015, adversarial input detection. The score of an image is the largest L1 distance between the
probabilities of the image and of its squeezed copies. An attacker who knows the detector can keep it low, so report
`survives` under such an attack as well.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.attacks.adaptive import through
from secmlops.robustness.transformations import BitDepthConfig, JpegConfig, MedianConfig

LARGEST_SCORE = 2.0
"""Two distributions are never further apart in L1."""

Squeezer = Annotated[BitDepthConfig | MedianConfig | JpegConfig, Field(discriminator="kind")]
"""The transformations without weights of their own."""

DEFAULT_SQUEEZERS: tuple[Squeezer, ...] = (BitDepthConfig(bits=1), MedianConfig(size=2))
"""What the paper found best on MNIST."""

CANDIDATES: tuple[tuple[Squeezer, ...], ...] = (
    DEFAULT_SQUEEZERS,
    (BitDepthConfig(bits=1),),
    (BitDepthConfig(bits=2),),
    (BitDepthConfig(bits=3),),
    (BitDepthConfig(bits=2), MedianConfig(size=2)),
    (MedianConfig(size=2),),
    (MedianConfig(size=3),),
    (JpegConfig(quality=20),),
)
"""What `choose` tries: a squeezer that harms clean images of one kind may suit another."""

_BATCH = 512

Rate = Annotated[float, Field(ge=0, le=1)]


class TooFewImages(SecmlopsError):
    """Not enough clean images to count the wanted false-positive rate.

    Attributes:
        given: how many there are.
        needed: how many it takes.
    """

    def __init__(self, given: int, needed: int):
        self.given = given
        self.needed = needed
        super().__init__(f"{given} clean images cannot show so low a false-positive rate: give at least {needed}")


class SqueezingDetectorConfig(BaseModel):
    """All there is to know of a detector besides its network; goes into a bundle as JSON.

    Attributes:
        squeezers: what the image is compared after.
        threshold: images that score above it are flagged.
        false_positive_rate: share of clean validation images that it was set to flag.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    squeezers: Annotated[tuple[Squeezer, ...], Field(min_length=1, max_length=8)] = DEFAULT_SQUEEZERS
    threshold: Annotated[float, Field(ge=0, le=LARGEST_SCORE)]
    false_positive_rate: Rate


class SqueezingDetector(nn.Module):
    """A network's own disagreement about an image and its squeezed copies; exports to ONNX with the network."""

    def __init__(self, network: nn.Module, config: SqueezingDetectorConfig):
        super().__init__()
        self.network = network
        self.config = config
        self.squeezers = nn.ModuleList(squeezer.build() for squeezer in config.squeezers)

    @property
    def threshold(self) -> float:
        """Images that score above it are flagged."""
        return self.config.threshold

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and scores (n,) of images (n, c, h, w) in [0, 1]."""
        logits = self.network(images)
        return logits, _disagreement(logits, [self.network(squeezer(images)) for squeezer in self.squeezers])

    def score(self, images: Tensor) -> Tensor:
        """Scores (n,) in [0, 2]."""
        return self(images)[1]

    def attackable_score(self, images: Tensor) -> Tensor:
        """The same scores with a gradient that gets past rounding: each squeezer's is the identity's (BPDA)."""
        squeezed = [through(squeezer, self.network)(images) for squeezer in self.squeezers]
        return _disagreement(self.network(images), squeezed)


class AttackDetection(BaseModel):
    """What the detector does against one attack.

    Attributes:
        attack: its name.
        n: images attacked.
        fooled: share of them that the network gets wrong, whether it got them right before or not.
        true_positive_rate: share of the wrong ones that are flagged; None where there are none.
        survives: share of all images that are wrong and not flagged: what the attacker is left with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attack: str
    n: Annotated[int, Field(gt=0)]
    fooled: Rate
    true_positive_rate: Rate | None
    survives: Rate


class DetectionReport(BaseModel):
    """A detector's measured worth.

    Attributes:
        threshold: of the score.
        false_positive_rate: share of the clean images, which the threshold was not set on, that are flagged.
        clean_survives: share of the clean images that are wrong and not flagged.
        attacks: one entry per attack.
        worst_survives: share of the images of which, as they are or by one of the attacks, a copy is wrong and not
            flagged: what an attacker with all of them is left with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    false_positive_rate: Rate
    clean_survives: Rate
    attacks: tuple[AttackDetection, ...]
    worst_survives: Rate


def calibrate(
    network: nn.Module,
    clean: Tensor,
    *,
    squeezers: Sequence[Squeezer] = DEFAULT_SQUEEZERS,
    false_positive_rate: float = 0.05,
) -> SqueezingDetector:
    """Set the threshold so that at most that share of clean validation images (n, c, h, w) is flagged.

    Raises:
        TooFewImages: there are fewer than one in `false_positive_rate`.
    """
    needed = round(1 / false_positive_rate)
    if len(clean) < needed:
        raise TooFewImages(len(clean), needed)
    unset = SqueezingDetectorConfig(
        squeezers=tuple(squeezers), threshold=LARGEST_SCORE, false_positive_rate=false_positive_rate
    )
    _, scores = _evaluate(SqueezingDetector(network, unset), clean)
    allowed = int(false_positive_rate * len(clean))
    threshold = float(scores.sort(descending=True).values[allowed])
    return SqueezingDetector(network, unset.model_copy(update={"threshold": min(threshold, LARGEST_SCORE)}))


def choose(
    network: nn.Module,
    clean: Tensor,
    labels: Tensor,
    attacked: Mapping[str, Tensor],
    *,
    candidates: Sequence[Sequence[Squeezer]] = CANDIDATES,
    false_positive_rate: float = 0.05,
) -> SqueezingDetector:
    """Calibrate each candidate on validation images and take the one that lets the fewest attacked copies survive.

    Args:
        network: whose inputs are to be watched.
        clean: validation images (n, c, h, w).
        labels: their classes (n,).
        attacked: for each attack, what it made of these images; the attacks count alike.
        candidates: sets of squeezers.
        false_positive_rate: of each threshold.

    Raises:
        TooFewImages: as `calibrate`.
    """

    def survive(detector: SqueezingDetector) -> float:
        return sum(attack.survives for attack in measure(detector, clean, labels, attacked).attacks)

    calibrated = [
        calibrate(network, clean, squeezers=squeezers, false_positive_rate=false_positive_rate)
        for squeezers in candidates
    ]
    return min(calibrated, key=survive)


def measure(
    detector: SqueezingDetector, clean: Tensor, labels: Tensor, attacked: Mapping[str, Tensor]
) -> DetectionReport:
    """Measure a detector on clean images and on attacked copies of them.

    Args:
        detector: what to measure.
        clean: images (n, c, h, w), none of which the threshold was set on.
        labels: their classes (n,).
        attacked: for each attack, what it made of the same images, in the same order. Attacks that stop as soon as an
            image errs leave it at the boundary, where squeezing undoes it most easily: let them go on.
    """
    flagged, wrong = _verdicts(detector, clean, labels)
    worst = wrong & ~flagged
    found = []
    for name, images in attacked.items():
        seen, errs = _verdicts(detector, images, labels)
        worst |= errs & ~seen
        found.append(
            AttackDetection(
                attack=name,
                n=len(images),
                fooled=_share(errs),
                true_positive_rate=_share(seen[errs]) if errs.any() else None,
                survives=_share(errs & ~seen),
            )
        )
    return DetectionReport(
        threshold=detector.threshold,
        false_positive_rate=_share(flagged),
        clean_survives=_share(wrong & ~flagged),
        attacks=tuple(found),
        worst_survives=_share(worst),
    )


def _disagreement(logits: Tensor, squeezed: Sequence[Tensor]) -> Tensor:
    probabilities = logits.softmax(dim=1)
    distances = [(each.softmax(dim=1) - probabilities).abs().sum(dim=1) for each in squeezed]
    return torch.stack(distances).amax(dim=0)


def _verdicts(detector: SqueezingDetector, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which images are flagged, and which the network gets wrong."""
    logits, scores = _evaluate(detector, images)
    return scores > detector.threshold, logits.argmax(dim=1) != labels


@torch.no_grad()
def _evaluate(detector: SqueezingDetector, images: Tensor) -> tuple[Tensor, Tensor]:
    parts = [detector(batch) for batch in images.split(_BATCH)]
    return torch.cat([logits for logits, _ in parts]), torch.cat([scores for _, scores in parts])


def _share(chosen: Tensor) -> float:
    return float(chosen.float().mean())
