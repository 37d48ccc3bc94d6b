"""Membership inference: was this image in the training set? (Shokri et al. 2017; Carlini et al. 2022, LiRA).

ATLAS AML.T0024.000 (infer training data membership). Members and non-members must come from one source by lot, or the
attack tells sources apart instead. What counts is how many members are named with few false alarms, so beside the
advantage the true-positive rate at 1 % false positives is reported.
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from secmlops.errors import SecmlopsError
from secmlops.robustness.theft.queries import Array, Predict, of_network
from secmlops.robustness.trainer import Train

Rate = Annotated[float, Field(ge=0, le=1)]
Scores = npt.NDArray[np.float64]
"""Higher for likelier members."""

_STRICT = 0.01
_SMALLEST = 1e-7
_FEWEST = 20


class TooFewMembers(SecmlopsError):
    """Not enough members or non-members for a rate.

    Attributes:
        members: how many there are.
        non_members: how many there are.
    """

    def __init__(self, members: int, non_members: int):
        self.members = members
        self.non_members = non_members
        super().__init__(f"{members} members and {non_members} non-members: give at least {_FEWEST} of each")


class MembershipReport(BaseModel):
    """How well members are told from non-members.

    Attributes:
        attack: its name.
        members: how many were judged.
        non_members: how many were judged.
        advantage: true minus false positive rate, the threshold being set on one half and used on the other; about 0
            for a model that gives nothing away.
        auc: area under the ROC curve; .5 for such a model.
        tpr_at_1_percent_fpr: share of the members found at the threshold that names 1 % of the non-members.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attack: str
    members: int
    non_members: int
    advantage: Annotated[float, Field(ge=-1, le=1)]
    auc: Rate
    tpr_at_1_percent_fpr: Rate


def threshold_attack(
    predict: Predict, images: Tensor, labels: Tensor, is_member: Tensor, *, seed: int = 0
) -> MembershipReport:
    """Take those for members that the model is surest about (Yeom et al. 2018: lowest loss).

    Args:
        predict: the model.
        images: members and non-members (n, c, h, w).
        labels: their classes (n,).
        is_member: which the model was trained on, bool (n,).
        seed: of the halves.

    Raises:
        TooFewMembers: fewer than 20 members or non-members.
    """
    return judge("threshold", confidence(predict(images.numpy()), labels.numpy()), is_member.numpy(), seed=seed)


def likelihood_ratio_attack(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    is_member: Tensor,
    train: Train,
    *,
    shadows: int = 8,
    seed: int = 0,
) -> MembershipReport:
    """Ask for each image which is likelier: this confidence from models that saw it, or from models that did not.

    Shadow models are trained on halves of the images drawn by lot; the confidences of those with and without an image
    are taken for normal, with one variance each for all images (Carlini et al. 2022, LiRA, for few shadows).

    Args:
        predict: the model.
        images: members and non-members (n, c, h, w).
        labels: their classes (n,).
        is_member: which the model was trained on, bool (n,).
        train: trains a shadow as the model is thought to have been trained.
        shadows: how many; an even number, every image being in half of them.
        seed: of the halves.

    Raises:
        TooFewMembers: fewer than 20 members or non-members.
    """
    truth = labels.numpy()
    inside = _halves(len(images), shadows, seed)
    seen = np.stack([_shadow_confidence(train, images, labels, torch.from_numpy(half)) for half in inside])
    means = [np.where(where, seen, 0).sum(axis=0) / where.sum(axis=0) for where in (inside, ~inside)]
    spreads = [
        np.sqrt(np.where(where, (seen - mean) ** 2, 0).sum() / where.sum())
        for where, mean in zip((inside, ~inside), means, strict=True)
    ]
    observed = confidence(predict(images.numpy()), truth)
    with_it, without_it = (
        -(((observed - mean) / max(spread, _SMALLEST)) ** 2) / 2 - np.log(max(spread, _SMALLEST))
        for mean, spread in zip(means, spreads, strict=True)
    )
    return judge("likelihood_ratio", with_it - without_it, is_member.numpy(), seed=seed)


def confidence(probabilities: Array, labels: npt.NDArray[np.int64]) -> Scores:
    """The log-odds (n,) of the true class: about normally distributed, unlike the probability."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64).clip(_SMALLEST, 1 - _SMALLEST)
    return np.log(true) - np.log1p(-true)


def judge(attack: str, scores: Scores, is_member: npt.NDArray[np.bool_], *, seed: int = 0) -> MembershipReport:
    """Measure an attack by its scores.

    Raises:
        TooFewMembers: fewer than 20 members or non-members.
    """
    from sklearn.metrics import roc_auc_score

    members, others = scores[is_member], scores[~is_member]
    if min(len(members), len(others)) < _FEWEST:
        raise TooFewMembers(len(members), len(others))
    strict = np.quantile(others, 1 - _STRICT, method="higher")
    return MembershipReport(
        attack=attack,
        members=len(members),
        non_members=len(others),
        advantage=_advantage(members, others, seed),
        auc=float(roc_auc_score(is_member, scores)),
        tpr_at_1_percent_fpr=float((members > strict).mean()),
    )


def _advantage(members: Scores, others: Scores, seed: int) -> float:
    """Mean over two halves, each judged by the other's best threshold: a threshold of their own would flatter it."""
    rng = np.random.default_rng(seed)
    sets = [np.array_split(rng.permutation(scores), 2) for scores in (members, others)]
    found = []
    for own, other in ((0, 1), (1, 0)):
        threshold = _best_threshold(sets[0][own], sets[1][own])
        found.append((sets[0][other] >= threshold).mean() - (sets[1][other] >= threshold).mean())
    return float(np.mean(found))


def _best_threshold(members: Scores, others: Scores) -> float:
    tried = np.concatenate([members, others])
    above = [1 - np.searchsorted(np.sort(scores), tried, side="left") / len(scores) for scores in (members, others)]
    return float(tried[np.argmax(above[0] - above[1])])


def _halves(images: int, shadows: int, seed: int) -> npt.NDArray[np.bool_]:
    """For each shadow, the images it is trained on (shadows, n); every image is in half of the shadows."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(shadows), (images, 1)), axis=1)
    return (order < shadows // 2).T


def _shadow_confidence(train: Train, images: Tensor, labels: Tensor, half: Tensor) -> Scores:
    network = train(images[half], labels[half])
    return confidence(of_network(network)(images.numpy()), labels.numpy())
