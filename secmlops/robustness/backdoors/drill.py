"""The backdoor drill: plant one, find it, train without it, and say how well each step went.

Evidence for ATLAS AML.M0007 (sanitize training data) and AML.M0008 (validate AI model): a search for poison that has
never found planted poison shows nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.robustness.attacks.standing import stands
from secmlops.robustness.backdoors.activation_clustering import activation_clustering
from secmlops.robustness.backdoors.cleanup import clean_up
from secmlops.robustness.backdoors.neural_cleanse import Search, reconstruct
from secmlops.robustness.backdoors.spectral_signatures import spectral_signatures
from secmlops.robustness.backdoors.strip import strip
from secmlops.robustness.backdoors.trigger import Kind, PoisonedSet, attack_success, corner_patch, poison
from secmlops.robustness.trainer import Train

Rate = Annotated[float, Field(ge=0, le=1)]
Progress = Callable[[int, int, str], None]

_STEPS = 5


class Plan(BaseModel):
    """What to plant.

    Attributes:
        target: the class that the mark shall lead to.
        share: share of the training images that are marked.
        kind: whether marked images get the target's label or have it already.
        patch: width of the mark, in pixels; by default a seventh of the image.
        seed: which images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: int = Field(default=0, ge=0)
    share: float = Field(default=0.1, gt=0, lt=1)
    kind: Kind = "dirty_label"
    patch: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)


class NetworkState(BaseModel):
    """A network at one point of the drill.

    Attributes:
        clean_accuracy: on test images as they are.
        attack_success: share of the test images of other classes that the mark turns into the target.
        accused: classes that Neural Cleanse accuses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clean_accuracy: Rate
    attack_success: Rate
    accused: tuple[int, ...]


class DetectorQuality(BaseModel):
    """How well a detector found the planted images.

    Attributes:
        detector: its name.
        recall: share of the planted images that it named.
        false_positive_rate: share of the clean images that it named.
        accused: classes in which it named any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    recall: Rate
    false_positive_rate: Rate
    accused: tuple[int, ...]


class DrillReport(BaseModel):
    """What a drill came to.

    Attributes:
        plan: what was planted.
        train_images: in the training set.
        planted: of them marked.
        test_images: for accuracy and attack success.
        control: trained on the set before anything was planted; whatever is accused here is a false alarm.
        before: trained on the poisoned set.
        after: trained on what was left of it.
        detectors: how well each found the planted images; `carriers` is what the clean-up goes by.
        rounds: trainings that the clean-up took.
        seconds: of the whole drill.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: Plan
    train_images: int
    planted: int
    test_images: int
    control: NetworkState
    before: NetworkState
    after: NetworkState
    detectors: tuple[DetectorQuality, ...]
    rounds: int
    seconds: float

    @property
    def accuracy_lost(self) -> float:
        """Clean accuracy that poison and clean-up cost together, against the control."""
        return self.control.clean_accuracy - self.after.clean_accuracy


@dataclass(frozen=True, slots=True)
class DrillData:
    """What a drill needs.

    Attributes:
        images: training images (n, c, h, w), believed to be clean.
        labels: their classes (n,).
        reference: trusted images (m, c, h, w) of all classes, as a defender has them.
        test_images: for the figures alone (t, c, h, w).
        test_labels: their classes (t,).
        classes: number of classes.
    """

    images: Tensor
    labels: Tensor
    reference: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int


def run_drill(
    data: DrillData,
    train: Train,
    plan: Plan | None = None,
    *,
    search: Search | None = None,
    weaken: Callable[[Tensor, Tensor], Tensor] | None = None,
    on_progress: Progress | None = None,
) -> DrillReport:
    """Plant, train, find, clean, train again.

    Args:
        data: images; the given tensors are not changed.
        train: trains a new network; called three times or more.
        plan: what to plant.
        search: how Neural Cleanse looks for marks.
        weaken: see `trigger.poison`.
        on_progress: called with steps done, all steps, and what comes next.

    Raises:
        NothingToPoison: the plan wants more images than may be marked.
    """
    plan = plan or Plan()
    tell = on_progress or (lambda done, total, message: None)
    start = time.perf_counter()
    mark = corner_patch(tuple(data.images.shape[1:]), plan.patch)  # type: ignore[arg-type]
    poisoned = poison(
        data.images, data.labels, mark, plan.target, share=plan.share, seed=plan.seed, kind=plan.kind, weaken=weaken
    )

    def state(network: nn.Module, accused: tuple[int, ...]) -> NetworkState:
        return NetworkState(
            clean_accuracy=_accuracy(network, data.test_images, data.test_labels),
            attack_success=attack_success(network, data.test_images, data.test_labels, mark, plan.target),
            accused=accused,
        )

    tell(0, _STEPS, "train the control")
    control = train(data.images, data.labels)
    tell(1, _STEPS, "look for marks in the control")
    control_state = state(control, reconstruct(control, data.reference, data.classes, search).accused)
    tell(2, _STEPS, "train on the poisoned set")
    network = train(poisoned.images, poisoned.labels)
    tell(3, _STEPS, "find and clean")
    cleaned = clean_up(
        network,
        poisoned.images,
        poisoned.labels,
        train,
        reference=data.reference,
        classes=data.classes,
        search=search,
        seed=plan.seed,
    )
    tell(4, _STEPS, "compare the detectors")
    report = DrillReport(
        plan=plan,
        train_images=len(data.images),
        planted=int(poisoned.poisoned.sum()),
        test_images=len(data.test_images),
        control=control_state,
        before=state(network, cleaned.accused[0]),
        after=state(cleaned.network, cleaned.accused[-1]),
        detectors=(
            _quality("carriers", ~cleaned.kept, poisoned),
            *_other_detectors(network, poisoned, data.reference, plan),
        ),
        rounds=len(cleaned.accused) - 1,
        seconds=time.perf_counter() - start,
    )
    tell(_STEPS, _STEPS, f"attack success {report.before.attack_success:.3f} -> {report.after.attack_success:.3f}")
    return report


def _other_detectors(
    network: nn.Module, poisoned: PoisonedSet, reference: Tensor, plan: Plan
) -> tuple[DetectorQuality, ...]:
    """The published detectors on the same network; spectral signatures are told the poison's share, as they ask."""
    clusters = activation_clustering(network, poisoned.images, poisoned.labels, seed=plan.seed)
    share = float(poisoned.poisoned.sum() / (poisoned.labels == plan.target).sum())
    spectrum = spectral_signatures(network, poisoned.images, poisoned.labels, expected_share=min(share, 0.5))
    return (
        _quality("activation_clustering", clusters.suspects, poisoned),
        _quality("spectral_signatures", spectrum.suspects, poisoned),
        _quality("strip", strip(network, poisoned.images, reference, seed=plan.seed).suspects, poisoned),
    )


def _quality(detector: str, named: Tensor, poisoned: PoisonedSet) -> DetectorQuality:
    return DetectorQuality(
        detector=detector,
        recall=float(named[poisoned.poisoned].float().mean()),
        false_positive_rate=float(named[~poisoned.poisoned].float().mean()),
        accused=tuple(poisoned.labels[named].unique().tolist()),
    )


def _accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float(stands(network, images, labels).float().mean())
