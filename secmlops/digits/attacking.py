"""Attack a classifier that is about to be served, or is: every attack at every budget, and what can be proved."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from secmlops.bundle import Bundle
from secmlops.digits.data import load_digits
from secmlops.digits.model import ImageClassifier, InvalidImages, load_classifier
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits
from secmlops.robustness import attacks
from secmlops.robustness.attacks.adaptive import DetectorAware, through
from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.certification import certified
from secmlops.robustness.matrix import AttackMatrix, attack_matrix
from secmlops.robustness.squeezing_detector import SqueezingDetector
from secmlops.robustness.transformations import Transformed

Progress = Callable[[int, int, str], None]


class AttackReport(BaseModel):
    """How a bundle's model stands attacks.

    Attributes:
        model_digest: `sha256:...` of the model.
        data: what it was attacked on.
        sources: `sha256:...` of what was read there, by name.
        test_images: images of the test set, `matrix.n` of which were attacked.
        seed: of the attacks and of the choice of images.
        matrix: accuracy per attack and budget, the worst case, what is proved, and what is suspicious about it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_digest: str
    data: str
    sources: dict[str, str]
    test_images: int
    seed: int
    matrix: AttackMatrix


def attack_bundle(
    opened: Bundle,
    data: str,
    names: Sequence[str],
    budgets: Sequence[float],
    *,
    images: int = 0,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> AttackReport:
    """Attack the model of a verified bundle on the test images of some data; its detector too, if it has one.

    Args:
        opened: the bundle, as `secmlops.bundle.load` gives it.
        data: a URI as `load_digits` takes it; its test images are attacked.
        names: names out of `attacks.ATTACKS`.
        budgets: sizes of the attacks, in their own norm (L-infinity for most).
        images: how many test images are attacked, drawn by lot; 0: all.
        seed: of the attacks and the lot.
        on_progress: told after every attack.

    Raises:
        InvalidModel: the bundle holds no image classifier.
        UnknownAttack, BadBudget: an attack that is none.
        InvalidImages: the images are not of the shape or classes that the model takes.
    """
    plan = planned(names, budgets, seed)
    classifier = load_classifier(opened.model_files())
    splits = as_divided_for(opened, data)
    matrix = attack_classifier(
        classifier,
        drawn(splits.test, images, seed),
        [*plan, *(attack for eps in sorted(set(budgets)) for attack in past_detector(classifier, eps, seed))],
        training_eps=_of_training(opened.card, "training_eps", 0) or None,
        on_progress=on_progress,
    )
    return AttackReport(
        model_digest=opened.model_digest,
        data=data,
        sources=dict(splits.sources),
        test_images=len(splits.test),
        seed=seed,
        matrix=matrix,
    )


def as_divided_for(opened: Bundle, data: str) -> Splits:
    """Load data divided as for the training of a bundle, so that no image that it learned from counts as unseen.

    Raises:
        ImagesError, StorageError: the data cannot be read.
    """
    return load_digits(data, seed=int(_of_training(opened.card, "seed", 0)))


def attack_classifier(
    classifier: ImageClassifier,
    chosen: ImageSet,
    plan: Sequence[attacks.Attack],
    *,
    limits: Mapping[str, int] | None = None,
    training_eps: float | None = None,
    on_progress: Progress | None = None,
) -> AttackMatrix:
    """Attack a classifier with all that is known of it, and prove what can be proved at the same L-infinity budgets.

    Args:
        classifier: what is attacked.
        chosen: images with their true labels.
        plan: the attacks.
        limits: for an attack's name, on how many images, from the first, it is made; the least of them is also how
            many are tried to be proved. Without one: all.
        training_eps: what it was hardened against, if that is known.
        on_progress: told after every attack.

    Raises:
        InvalidImages: the images are not of the shape or classes that the model takes.
    """
    require_same_kind(classifier, chosen)
    images, labels = torch.from_numpy(chosen.images), torch.from_numpy(chosen.labels)
    tried = chosen.take(slice(min((limits or {}).values(), default=len(chosen))))
    return attack_matrix(
        attackable(classifier.network),
        images,
        labels,
        plan,
        certified=proved(classifier, tried, {attack.eps for attack in plan if attack.norm == "linf"}),
        limits=limits,
        training_eps=training_eps,
        on_progress=on_progress,
    )


def attackable(network: nn.Module) -> Classifier:
    """The network as an attacker who knows it attacks it: through a transformation that hides the gradient (BPDA)."""
    return through(network.transformation, network.network) if isinstance(network, Transformed) else network


def past_detector(classifier: ImageClassifier, eps: float, seed: int) -> list[attacks.Attack]:
    """The attack on network and detector together; none where there is no detector."""
    config = classifier.config.detector
    if config is None:
        return []
    detector = SqueezingDetector(_Attackable(classifier.network), config)
    return [DetectorAware(eps, detector.attackable_score, detector.threshold, seed=seed)]


def planned(names: Sequence[str], budgets: Sequence[float], seed: int) -> list[attacks.Attack]:
    """Every attack at every budget.

    Raises:
        UnknownAttack, BadBudget: an attack that is none.
    """
    return [attacks.build(name, eps, seed=seed) for name in dict.fromkeys(names) for eps in sorted(set(budgets))]


def drawn(images: ImageSet, count: int, seed: int) -> ImageSet:
    """So many images, drawn by lot and in their order; all where 0 are asked for."""
    order = np.random.default_rng(seed).permutation(len(images))
    return images.take(np.sort(order[: count or len(images)]))


def proved(classifier: ImageClassifier, chosen: ImageSet, budgets: set[float]) -> dict[float, torch.Tensor]:
    """For each L-infinity budget, whether each image is proved right, bool (n,); nothing where no bounds apply.

    Raises:
        OtherNetwork: the file that is served is not the network that the proof would be about.
    """
    if not classifier.config.certifiable:
        return {}
    classifier.require_same_layers()
    images, labels = torch.from_numpy(chosen.images), torch.from_numpy(chosen.labels)
    found, open_ = {}, torch.arange(len(images))
    for eps in sorted(budgets):  # ascending: what falls within one falls within the next
        open_ = open_[certified(classifier.network, images[open_], labels[open_], eps)]
        found[eps] = torch.zeros(len(images), dtype=torch.bool)
        found[eps][open_] = True
    return found


def require_same_kind(classifier: ImageClassifier, images: ImageSet) -> None:
    """Check that images are of the shape and classes that a model takes.

    Raises:
        InvalidImages: they are not.
    """
    config = classifier.config
    if (images.shape, images.classes) != (config.image_shape, config.classes):
        raise InvalidImages(
            f"the images are {list(images.shape)} with {len(images.classes)} classes, the model takes "
            f"{list(config.image_shape)} with {', '.join(config.classes[:12])}: name the data that it was made for"
        )


def table(matrix: AttackMatrix) -> str:
    """The matrix as text: a line per attack, a column per budget; shares of all images that stay right, in percent."""
    budgets = sorted({cell.eps for cell in matrix.cells} | {share.eps for share in matrix.certified})
    lines = [("eps", *(f"{eps:g}" for eps in budgets)), ("clean", *[_percent(matrix.clean_accuracy)] * len(budgets))]
    for name in dict.fromkeys(cell.attack for cell in matrix.cells):
        found = {cell.eps: cell.accuracy for cell in matrix.cells if cell.attack == name}
        lines.append((name, *(_percent(found.get(eps)) for eps in budgets)))
    lines.append(("worst case", *(_percent(matrix.worst_accuracy(eps)) for eps in budgets)))
    if matrix.certified:
        found = {share.eps: share.accuracy for share in matrix.certified}
        lines.append(("certified", *(_percent(found.get(eps)) for eps in budgets)))
    width = max(len(line[0]) for line in lines)
    rows = [line[0].ljust(width) + "".join(value.rjust(8) for value in line[1:]) for line in lines]
    return "\n".join([*rows, f"of {matrix.n:,} images"])


class _Attackable(nn.Module):
    """`attackable` as a module, around which a detector can stand."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return attackable(self.network)(images)


def _of_training(card: Mapping[str, Any], name: str, otherwise: float) -> float:
    """A number that the model card tells about the training."""
    training = card.get("training")
    found = training.get(name) if isinstance(training, Mapping) else None
    return found if isinstance(found, int | float) and math.isfinite(found) else otherwise


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
