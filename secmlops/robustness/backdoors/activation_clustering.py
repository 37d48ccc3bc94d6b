"""Activation clustering: images that carry a trigger reach their class by another way (Chen et al. 2018).

The activations of each class are split in two. Two-means splits any class, so a split alone says nothing: only a class
whose parts lie well apart, the smaller one clearly smaller, is accused.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.robustness.backdoors.activations import last_hidden

_COMPONENTS = 10
_SILHOUETTE_SAMPLE = 2_000


class Criteria(BaseModel):
    """When a split is taken for a backdoor.

    Attributes:
        largest_share: of the class, that the smaller part may have; a poisoner rarely owns half of a class.
        least_silhouette: mean silhouette (Rousseeuw 1987) of the two parts along the line that parts them best. One
            normally distributed cloud cut in two reaches about .6 there.
        fewest: images a class needs to be looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest_share: float = Field(default=0.4, gt=0, le=0.5)
    least_silhouette: float = Field(default=0.8, gt=-1, le=1)
    fewest: int = Field(default=20, ge=20)


@dataclass(frozen=True, slots=True)
class Split:
    """How one class falls in two.

    Attributes:
        label: the class.
        size: its images.
        smaller_share: share of the smaller part.
        silhouette: how well the parts lie apart, in [-1, 1].
        accused: whether that passes for a backdoor.
    """

    label: int
    size: int
    smaller_share: float
    silhouette: float
    accused: bool


@dataclass(frozen=True, slots=True)
class Clustering:
    """The verdict on a training set.

    Attributes:
        suspects: the smaller parts of the accused classes, bool (n,).
        splits: class by class, the evidence.
    """

    suspects: Tensor
    splits: tuple[Split, ...]

    @property
    def accused(self) -> tuple[int, ...]:
        """The accused classes."""
        return tuple(split.label for split in self.splits if split.accused)


def activation_clustering(
    network: nn.Module, images: Tensor, labels: Tensor, *, criteria: Criteria | None = None, seed: int = 0
) -> Clustering:
    """Look for a backdoor in the training set (images (n, c, h, w), labels (n,)) that a network was trained on."""
    criteria = criteria or Criteria()
    activations = last_hidden(network, images)
    suspects = torch.zeros(len(images), dtype=torch.bool)
    splits = []
    for label in labels.unique().tolist():
        of_class = torch.nonzero(labels == label).flatten()
        if len(of_class) < criteria.fewest:
            continue
        smaller, silhouette = _two_parts(activations[of_class].double().numpy(), seed)
        share = float(smaller.mean())
        accused = share <= criteria.largest_share and silhouette >= criteria.least_silhouette
        splits.append(Split(label, len(of_class), share, silhouette, accused))
        if accused:
            suspects[of_class[torch.from_numpy(smaller)]] = True
    return Clustering(suspects, tuple(splits))


def _two_parts(activations: npt.NDArray[np.float64], seed: int) -> tuple[npt.NDArray[np.bool_], float]:
    """The smaller of two parts, and their silhouette along the discriminant (Fisher 1936) between them."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_score

    varied = activations[:, activations.std(axis=0) > 0]
    components = min(_COMPONENTS, varied.shape[1], len(varied) - 1)
    if components == 0:
        return np.zeros(len(activations), dtype=bool), -1.0
    places = PCA(components, whiten=True, random_state=seed).fit_transform(varied)
    parts = KMeans(2, n_init=10, random_state=seed).fit_predict(places)
    smaller = parts == np.argmin(np.bincount(parts, minlength=2))
    if smaller.sum() < 2:
        return smaller, -1.0
    centred = np.where(smaller[:, None], places - places[smaller].mean(axis=0), places - places[~smaller].mean(axis=0))
    within = centred.T @ centred / len(places) + 1e-6 * np.eye(components)
    line = np.linalg.solve(within, places[smaller].mean(axis=0) - places[~smaller].mean(axis=0))
    along = (places @ line)[:, None]
    sample = min(_SILHOUETTE_SAMPLE, len(along))
    try:
        return smaller, float(silhouette_score(along, smaller, sample_size=sample, random_state=seed))
    except ValueError:  # the sample holds one part only
        return smaller, -1.0
