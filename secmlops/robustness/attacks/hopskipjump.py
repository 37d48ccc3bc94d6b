"""HopSkipJump (Chen, Jordan and Wainwright, 2020, arXiv 1904.02144) by ART: it sees decisions and nothing else."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.ball import BallNorm, distance
from secmlops.robustness.attacks.standing import attack_standing


@dataclass(frozen=True)
class HopSkipJump:
    """Walk along the decision boundary towards the image, the direction estimated from answers alone.

    The weakest attacker that there is (MITRE ATLAS AML.T0043.001), and the slowest attack: images go one by one. The
    walk to an image begins at the nearest picture of another class, among the other images and random noise.

    Attributes:
        eps: budget; an image whose error lies further away is returned as it is.
        norm: of the budget, and what is minimized.
        rounds: of the walk.
        queries: answers used for a direction, at most.
        first_queries: for the first direction.
        noise: random images among the pictures to begin at.
        seed: of all random choices, which come from NumPy's global generator; its state is put back afterwards.
        batch_size: images that the classifier is asked at a time.
    """

    eps: float
    norm: BallNorm = "linf"
    rounds: int = 20
    queries: int = 1000
    first_queries: int = 100
    noise: int = 100
    seed: int = 0
    batch_size: int = 500
    name: ClassVar[str] = "hop_skip_jump"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            fooling = self._walk(classifier, images, labels).clamp_(0, 1)
            affordable = distance(fooling, images, self.norm) <= self.eps
            return torch.where(affordable.view(-1, 1, 1, 1), fooling, images)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)

    def _walk(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        from art.attacks.evasion import HopSkipJump as ArtHopSkipJump
        from art.estimators.classification import BlackBoxClassifier

        def answer(array: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                batch = torch.as_tensor(array, dtype=images.dtype, device=images.device)
                return classifier(batch).cpu().numpy()

        starts, possible, classes = self._starts(classifier, images, labels)
        if not bool(possible.any()):
            return images.clone()
        box = BlackBoxClassifier(answer, tuple(images.shape[1:]), classes, clip_values=(0.0, 1.0))
        walk = ArtHopSkipJump(
            box,
            batch_size=self.batch_size,
            norm=math.inf if self.norm == "linf" else 2,
            max_iter=self.rounds,
            max_eval=self.queries,
            init_eval=self.first_queries,
            verbose=False,
        )
        before = np.random.get_state()
        np.random.seed(self.seed)
        try:
            fooling = walk.generate(
                images[possible].cpu().numpy(),
                y=labels[possible].cpu().numpy(),
                x_adv_init=starts[possible].cpu().numpy(),
            )
        finally:
            np.random.set_state(before)
        result = images.clone()
        result[possible] = torch.as_tensor(fooling, dtype=images.dtype, device=images.device)
        return result

    def _starts(self, classifier: Classifier, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, int]:
        """For each image the nearest picture of another class, and whether there is one (n,); the number of classes."""
        generator = torch.Generator(images.device).manual_seed(self.seed)
        shape = (self.noise, *images.shape[1:])
        noise = torch.rand(shape, generator=generator, dtype=images.dtype, device=images.device)
        pictures = torch.cat([images, noise])
        with torch.no_grad():
            logits = torch.cat([classifier(some) for some in pictures.split(self.batch_size)])
        far = torch.cdist(images.flatten(1), pictures.flatten(1), p=math.inf if self.norm == "linf" else 2)
        far = torch.where(logits.argmax(1)[None] != labels[:, None], far, torch.inf)
        length, nearest = far.min(1)
        return pictures[nearest], length.isfinite(), logits.shape[1]
