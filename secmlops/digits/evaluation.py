"""What an image classifier is worth: on clean images, under attack, by proof, and what an answer costs.

Evidence for MITRE ATLAS AML.M0008 (validate AI model) and AML.M0003 (model hardening).
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from secmlops.bundle import bytes_digest
from secmlops.digits.attacking import attack_classifier, past_detector
from secmlops.digits.model import ImageClassifier, onnx_difference
from secmlops.images.image_set import ImageSet
from secmlops.robustness import attacks
from secmlops.robustness.matrix import AttackMatrix

SHARES_OF_EPS: Final = (0.5, 1.0, 1.5)
"""The budgets of the matrix, as shares of the policy's eps: half of it, itself, and beyond."""

_SWEPT: Final = "pgd"
"""Attacks made at every budget; the others only at the policy's."""

_ON_ALL: Final = frozenset({"fgsm"})
"""Attacks so cheap that they are made on every image, as published figures are."""

_TIMED = 200


class Evaluation(BaseModel):
    """Everything measured about one variant.

    Attributes:
        recipe: how it was trained.
        family: of defence.
        classes: names of the classes.
        images_digest: `sha256:...` of the images and labels that it was measured on.
        eps: the policy's budget (L-infinity, pixel values).
        training_eps: what it was hardened against; 0: nothing.
        n: images that it was measured on.
        clean_accuracy: share of all of them that are right, also where the model would abstain.
        answered_share: share of all of them on which the model does not abstain.
        answered_accuracy: share of those that are right.
        confusion: counts, a row per true class, a column per answer.
        matrix: the attacks.
        latency_p50_ms: median time of one image alone through ONNX Runtime, one thread.
        latency_p95_ms: 95 of 100 are faster.
        training_s: wall time of all trainings.
        onnx_difference: largest difference of a logit between ONNX Runtime and PyTorch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    family: str
    classes: tuple[str, ...]
    images_digest: str
    eps: float
    training_eps: float
    n: int
    clean_accuracy: float
    answered_share: float
    answered_accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    matrix: AttackMatrix
    latency_p50_ms: float
    latency_p95_ms: float
    training_s: float
    onnx_difference: float

    @property
    def attacked(self) -> int:
        """Images that met every attack at the policy's eps."""
        return next((one.n for one in self.matrix.worst if (one.eps, one.norm) == (self.eps, "linf")), 0)

    @property
    def certified_accuracy(self) -> float:
        """Share of the attacked images proved right at the policy's eps; 0 where nothing can be proved."""
        return next((one.accuracy for one in self.matrix.certified if one.eps == self.eps), 0.0)

    def metrics(self) -> dict[str, float]:
        """Every figure, by the names that policies use."""
        at_eps = {
            f"accuracy_{cell.attack}": cell.accuracy
            for cell in self.matrix.cells
            if cell.eps == self.eps and cell.norm == "linf"
        }
        found = {
            "clean_accuracy": self.clean_accuracy,
            "answered_share": self.answered_share,
            "answered_accuracy": self.answered_accuracy,
            "attacked_images": float(self.attacked),
            "certified_accuracy": self.certified_accuracy,
            "masking_alarms": float(len(self.matrix.alarms)),
            "masking_warnings": float(len(self.matrix.warnings)),
            "onnx_difference": self.onnx_difference,
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "training_s": self.training_s,
            **at_eps,
        }
        worst = self.matrix.worst_accuracy(self.eps)
        return found if worst is None else found | {"robust_accuracy": worst}


def evaluate(
    classifier: ImageClassifier,
    unseen: ImageSet,
    *,
    recipe: str,
    family: str,
    eps: float,
    training_eps: float,
    training_s: float,
    attack_names: Sequence[str],
    attacked_images: int = 0,
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Measure one classifier.

    Args:
        classifier: what would be served.
        unseen: images that it was not trained on.
        recipe: how it was trained.
        family: of defence.
        eps: the policy's budget.
        training_eps: what it was hardened against; 0: nothing.
        training_s: wall time of its trainings.
        attack_names: names out of `attacks.ATTACKS`; those of `_SWEPT` are made at every budget. A detector is attacked
            as well, together with the network, at the policy's.
        attacked_images: how many images the attacks but those of `_ON_ALL` are made on, drawn by lot; 0: all.
        seed: of the attacks and the lot.
        on_progress: told after every attack.

    Raises:
        UnknownAttack: no attack has one of the names.
        ImagesError: the images do not fit the classifier.
    """
    answers = classifier.predict(unseen.images)
    labels, answered = torch.from_numpy(unseen.labels), torch.from_numpy(answers.labels)
    right, taken = labels == answered, ~torch.from_numpy(answers.abstained)
    made = [*plan(attack_names, eps, training_eps, seed), *past_detector(classifier, eps, seed)]
    matrix = attack_classifier(
        classifier,
        unseen.take(np.random.default_rng(seed).permutation(len(unseen))),
        made,
        limits={attack.name: attacked_images for attack in made if attacked_images and attack.name not in _ON_ALL},
        training_eps=training_eps or None,
        on_progress=on_progress,
    )
    p50, p95 = _latency_ms(classifier, unseen.images)
    return Evaluation(
        recipe=recipe,
        family=family,
        classes=unseen.classes,
        images_digest=digest_of(unseen),
        eps=eps,
        training_eps=training_eps,
        n=len(unseen),
        clean_accuracy=float(right.double().mean()),
        answered_share=float(taken.double().mean()),
        answered_accuracy=float(right[taken].double().mean()) if bool(taken.any()) else 0.0,
        confusion=_confusion(labels, answered, len(unseen.classes)),
        matrix=matrix,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        training_s=training_s,
        onnx_difference=onnx_difference(classifier, unseen.images),
    )


def digest_of(images: ImageSet) -> str:
    """`sha256:...` of pixels and labels, in whatever files they came."""
    return bytes_digest(images.images.tobytes() + images.labels.tobytes())


def plan(names: Sequence[str], eps: float, training_eps: float, seed: int) -> list[attacks.Attack]:
    """Every attack at the policy's eps, the swept one at the other budgets too, weakest first.

    FGSM and the swept one are also made at the training's eps: the gap between them there tells catastrophic
    overfitting (Wong et al. 2020).
    """
    made = []
    for name in dict.fromkeys(names):
        budgets = {eps * share for share in SHARES_OF_EPS} if name == _SWEPT else {eps}
        if training_eps and name in (_SWEPT, "fgsm"):
            budgets.add(training_eps)
        made += [attacks.build(name, budget, seed=seed) for budget in sorted(budgets)]
    return made


def _confusion(labels: Tensor, answered: Tensor, classes: int) -> tuple[tuple[int, ...], ...]:
    counts = torch.bincount(labels * classes + answered, minlength=classes * classes).reshape(classes, classes)
    return tuple(tuple(row) for row in counts.tolist())


def _latency_ms(classifier: ImageClassifier, images: np.ndarray) -> tuple[float, float]:
    times = []
    for image in images[:_TIMED]:
        began = time.perf_counter()
        classifier.predict(image[None])
        times.append(1000 * (time.perf_counter() - began))
    p50, p95 = np.percentile(times, (50, 95))
    return float(p50), float(p95)
