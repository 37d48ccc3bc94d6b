"""The Carlini-Wagner attack (2017, arXiv 1608.04644) in the Euclidean norm, for a whole batch at once."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Final

import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Classifier, Norm
from secmlops.robustness.attacks.goal import margin
from secmlops.robustness.attacks.standing import attack_standing

_INSIDE: Final = 0.9999
_BETA1, _BETA2, _ADAM_TINY = 0.9, 0.999, 1e-8
_LARGEST_CONSTANT: Final = 1e10
_IMPROVEMENT: Final = 1e-4
_CHECKS: Final = 10


@dataclass(frozen=True)
class CarliniWagner:
    """Minimize |change|^2 + c max(margin + confidence, 0) over tanh space with Adam, and search for the smallest c.

    Every image has its own c, and leaves a round once its objective no longer falls.

    Attributes:
        eps: Euclidean budget; an image whose nearest error lies further away is returned as it is. `math.inf` for none.
        confidence: by how many logits the error must be sure.
        rounds: of the binary search for c.
        steps: of Adam in a round.
        learning_rate: of Adam's first step; it falls linearly to nothing.
        first_constant: c of the first round.
        batch_size: images at a time.
    """

    eps: float
    confidence: float = 0.0
    rounds: int = 6
    steps: int = 100
    learning_rate: float = 0.2
    first_constant: float = 1.0
    batch_size: int = 500
    norm: ClassVar[Norm] = "l2"
    name: ClassVar[str] = "carlini_wagner"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            search = _Search.over(images, self.first_constant)
            for _ in range(self.rounds):
                if not self._round(classifier, images, labels, search):
                    break
            return torch.where((search.nearest <= self.eps**2).view(-1, 1, 1, 1), search.errors, images)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)

    def _round(self, classifier: Classifier, images: Tensor, labels: Tensor, search: "_Search") -> bool:
        """Descend with the present constants and adapt them; whether any image is still searched."""
        rows = (search.constant < _LARGEST_CONSTANT).nonzero().flatten()
        if not len(rows):
            return False
        succeeded = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        run = _Descent.start(rows, images[rows])
        for step in range(1, self.steps + 1):
            objective, squared, fooled, at, downward = self._objective(classifier, run, labels, search)
            if bool(fooled.any()):
                succeeded[run.rows[fooled]] = True
                search.note(run.rows[fooled], at[fooled], squared[fooled])
            if step % max(self.steps // _CHECKS, 1) == 0:
                falling = objective <= run.checked * (1 - _IMPROVEMENT)
                run.checked = objective
                run, downward = run.keep(falling), downward[falling]
                if not len(run.rows):
                    break
            run.descend(downward, self.learning_rate * (1 - (step - 1) / self.steps), step)
        search.adapt(rows, succeeded[rows])
        return True

    def _objective(
        self, classifier: Classifier, run: "_Descent", labels: Tensor, search: "_Search"
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The objective (m,), the squared change (m,), which images err surely enough, the images, and the gradient."""
        position = run.position.detach().requires_grad_()
        with torch.enable_grad():
            at = (torch.tanh(position) + 1) / 2
            squared = (at - run.images).square().flatten(1).sum(1)
            ahead = margin(classifier(at), labels[run.rows])
            objective = squared + search.constant[run.rows] * (self.confidence - ahead).clamp(min=0)
        downward = torch.autograd.grad(objective.sum(), position)[0]
        sure = (ahead > 0) & (ahead >= self.confidence)
        return objective.detach(), squared.detach(), sure.detach(), at.detach(), downward


@dataclass
class _Search:
    """The binary search for every image's constant, and the nearest error found.

    Attributes:
        constant: now, (n,).
        low: the largest that did not suffice, (n,).
        high: the smallest that did, infinite where none did, (n,).
        nearest: squared length of the smallest change that errs, infinite where none is known, (n,).
        errors: the images with it, (n, channels, height, width).
    """

    constant: Tensor
    low: Tensor
    high: Tensor
    nearest: Tensor
    errors: Tensor

    @classmethod
    def over(cls, images: Tensor, constant: float) -> "_Search":
        ones = torch.ones(len(images), dtype=images.dtype, device=images.device)
        return cls(ones * constant, ones * 0, ones * torch.inf, ones * torch.inf, images.clone())

    def note(self, rows: Tensor, images: Tensor, squared: Tensor) -> None:
        """Remember the errors that are nearer than what is known."""
        nearer = squared < self.nearest[rows]
        self.nearest[rows[nearer]] = squared[nearer]
        self.errors[rows[nearer]] = images[nearer]

    def adapt(self, rows: Tensor, succeeded: Tensor) -> None:
        """Halve the interval; ten times more where nothing has sufficed yet."""
        constant = self.constant[rows]
        low = torch.where(succeeded, self.low[rows], constant)
        high = torch.where(succeeded, constant, self.high[rows])
        self.low[rows], self.high[rows] = low, high
        self.constant[rows] = torch.where(high.isinf(), constant * 10, (low + high) / 2)


@dataclass
class _Descent:
    """One round's state of Adam for the images that are still in it; rows go together.

    Attributes:
        rows: which image of the batch.
        images: as given.
        position: in tanh space.
        momentum: Adam's first moment.
        spread: Adam's second moment.
        checked: the objective at the last check.
    """

    rows: Tensor
    images: Tensor
    position: Tensor
    momentum: Tensor
    spread: Tensor
    checked: Tensor

    @classmethod
    def start(cls, rows: Tensor, images: Tensor) -> "_Descent":
        position = torch.atanh((images * 2 - 1) * _INSIDE)
        unknown = torch.full((len(rows),), torch.inf, dtype=images.dtype, device=images.device)
        return cls(rows, images, position, torch.zeros_like(images), torch.zeros_like(images), unknown)

    def keep(self, kept: Tensor) -> "_Descent":
        return replace(self, **{field.name: getattr(self, field.name)[kept] for field in fields(self)})

    def descend(self, downward: Tensor, learning_rate: float, step: int) -> None:
        """One step of Adam (Kingma and Ba, 2015)."""
        self.momentum.lerp_(downward, 1 - _BETA1)
        self.spread.lerp_(downward.square(), 1 - _BETA2)
        scale = (self.spread / (1 - _BETA2**step)).sqrt_().add_(_ADAM_TINY)
        self.position = self.position.addcdiv(self.momentum, scale, value=-learning_rate / (1 - _BETA1**step))
