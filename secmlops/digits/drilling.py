"""The drills of this use case: a backdoor in a copy of the training images, and a thief who asks the model.

They show whether a search would find poison if there were any, and what the answers give away; the trained variants
themselves are not changed by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from secmlops.digits.attacking import drawn
from secmlops.digits.model import ImageClassifier
from secmlops.digits.recipes import Member, recipe_named, sized
from secmlops.images.image_set import ImageSet
from secmlops.robustness.backdoors.drill import DrillData, DrillReport, Plan, run_drill
from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.theft.extraction import ExtractionReport, study_extraction
from secmlops.robustness.theft.membership import MembershipReport, threshold_attack
from secmlops.robustness.theft.queries import Array, mixed
from secmlops.robustness.trainer import trainer

Progress = Callable[[int, int, str], None]

MOST_IMAGES: Final = 20_000
"""Training images of a drill: more make it longer, not harder."""

TRUSTED: Final = 500
"""Clean images that the defender needs, at most."""

OWNED: Final = 100
"""Images that the thief has; they ask about mixtures of them."""

QUERIES: Final = (200, 2_000)
"""What a thief asks who is stopped early, and one who is not."""

_DRILLED = Member(channels=(16, 32), hidden=(64,))
_THIEF = Member(channels=(16,), hidden=(32,))
_THIEF_FIT = FitConfig(epochs=20, batch_size=32, learning_rate=4e-3)


def drill_backdoor(
    train: ImageSet,
    trusted: ImageSet,
    unseen: ImageSet,
    *,
    target: int = 0,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> DrillReport:
    """Plant a mark in a tenth of the training images, look for it, and train without it, on an undefended network.

    Args:
        train: the training images; of many, some drawn by lot.
        trusted: clean images that the defender searches with.
        unseen: images for the figures alone.
        target: the class that the mark leads to.
        seed: of everything random.
        on_progress: told after every step.

    Raises:
        TrainingDiverged, TrainingCollapsed: the training failed.
    """
    taught = drawn(train, min(MOST_IMAGES, len(train)), seed)
    network = _DRILLED.config(train.shape, len(train.classes))
    fit = sized(recipe_named("standard").fit, len(taught), train.shape).model_copy(update={"seed": seed})
    images, labels = _tensors(taught)
    reference, _ = _tensors(drawn(trusted, min(TRUSTED, len(trusted)), seed))
    data = DrillData(images, labels, reference, *_tensors(unseen), classes=len(train.classes))
    return run_drill(data, trainer(network, fit), Plan(target=target, seed=seed), on_progress=on_progress)


@dataclass(frozen=True, slots=True)
class TheftReport:
    """What a model gives away to who may only ask it.

    Attributes:
        extractions: the thief's copies: of few answers and of many, told all, rounded, and the class alone.
        membership: whether images that it learned from are told from others.
    """

    extractions: tuple[ExtractionReport, ...]
    membership: MembershipReport

    def agreement(self, obfuscation: str, queries: int) -> float:
        """Share of the images that copy and model call the same."""
        return next(r.agreement for r in self.extractions if (r.obfuscation, r.queries) == (obfuscation, queries))

    def metrics(self) -> dict[str, float]:
        """Every figure, by name."""
        return {
            **{f"copy_agreement_{r.obfuscation}_{r.queries}_queries": r.agreement for r in self.extractions},
            "membership_advantage": self.membership.advantage,
            "membership_auc": self.membership.auc,
            "membership_tpr_at_1_percent_fpr": self.membership.tpr_at_1_percent_fpr,
        }


def assess_theft(
    classifier: ImageClassifier, train: ImageSet, thiefs: ImageSet, unseen: ImageSet, *, seed: int = 0
) -> TheftReport:
    """Steal a model through its answers, and guess by them what it learned from.

    It is asked as it is served, through ONNX Runtime.

    Args:
        classifier: the model.
        train: images that it learned from.
        thiefs: images of the thief's, which it did not.
        unseen: others that it did not; from the same source as `train`, divided by lot.
        seed: of everything random.

    Raises:
        TooFewMembers: there are fewer than 20 images of a kind.
    """
    student = _THIEF.config(train.shape, len(train.classes))
    owned, _ = _tensors(drawn(thiefs, min(OWNED, len(thiefs)), seed))
    copies = [
        report
        for count in QUERIES
        for report in study_extraction(
            _told(classifier),
            mixed(owned, count, seed),
            *_tensors(unseen),
            student=student,
            config=_THIEF_FIT.model_copy(update={"seed": seed}),
        )
    ]
    return TheftReport(tuple(copies), _membership(classifier, train, unseen, seed))


def _membership(classifier: ImageClassifier, train: ImageSet, unseen: ImageSet, seed: int) -> MembershipReport:
    members = drawn(train, min(len(unseen), len(train)), seed)
    images, labels = (torch.cat(pair) for pair in zip(_tensors(members), _tensors(unseen), strict=True))
    return threshold_attack(_told(classifier), images, labels, torch.arange(len(images)) < len(members), seed=seed)


def _told(classifier: ImageClassifier) -> Callable[[Array], Array]:
    return lambda images: classifier.predict(np.ascontiguousarray(images)).probabilities


def _tensors(images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(images.images), torch.from_numpy(images.labels)
