"""Auto-PGD (Croce and Hein, 2020, arXiv 2003.01690): PGD with momentum that halves its step where it stops helping."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import Tensor

from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.ball import BallNorm, L2Ball, LinfBall, ball
from secmlops.robustness.attacks.goal import Goal, LossName, gradient, targeted, untargeted
from secmlops.robustness.attacks.standing import attack_standing

_MOMENTUM = 0.25
_FIRST_PERIOD, _SHORTER, _SHORTEST_PERIOD = 0.22, 0.03, 0.06
_ENOUGH_RISES = 0.75


@dataclass(frozen=True)
class Apgd:
    """Auto-PGD on a loss, any wrong class being a success.

    Attributes:
        eps: budget.
        loss: `cross_entropy` (APGD-CE), `dlr` (APGD-DLR) or `margin`.
        norm: of the budget.
        steps: of each run.
        restarts: runs at most; each from another random start, for what still stands.
        seed: of the starts.
        batch_size: images at a time.
    """

    eps: float
    loss: LossName = "cross_entropy"
    norm: BallNorm = "linf"
    steps: int = 100
    restarts: int = 1
    seed: int = 0
    batch_size: int = 500

    @property
    def name(self) -> str:
        """`apgd_ce`, `apgd_dlr` or `apgd_margin`."""
        return {"cross_entropy": "apgd_ce", "dlr": "apgd_dlr", "margin": "apgd_margin"}[self.loss]

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        generator = torch.Generator(images.device).manual_seed(self.seed)

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            return self.climb(untargeted(classifier, labels, self.loss), images, generator)

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)

    def climb(self, goal: Goal, images: Tensor, generator: torch.Generator) -> Tensor:
        """Attack one batch towards any goal; what does not get there is returned at the last run's highest loss."""
        return _climb_again(goal, images, generator, self.eps, self.norm, self.steps, self.restarts)


@dataclass(frozen=True)
class TargetedApgd:
    """Auto-PGD on the targeted DLR loss, towards one class after the other (APGD-T).

    Attributes:
        eps: budget.
        norm: of the budget.
        steps: of each run.
        targets: how many classes to try, the likeliest wrong one first.
        restarts: runs for each class at most.
        seed: of the starts.
        batch_size: images at a time.
    """

    eps: float
    norm: BallNorm = "linf"
    steps: int = 100
    targets: int = 9
    restarts: int = 1
    seed: int = 0
    batch_size: int = 500
    name: ClassVar[str] = "apgd_t"

    def __call__(self, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
        """Attack images, with their true labels (n,)."""
        generator = torch.Generator(images.device).manual_seed(self.seed)

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            attacked, standing = images.clone(), torch.arange(len(images), device=images.device)
            likeliest = likeliest_wrong(classifier, images, labels, self.targets)
            for targets in likeliest.unbind(1):
                goal = targeted(classifier, labels[standing], targets[standing])
                at = _climb_again(goal, images[standing], generator, self.eps, self.norm, self.steps, self.restarts)
                attacked[standing] = at
                with torch.no_grad():
                    standing = standing[classifier(at).argmax(1) == labels[standing]]
                if not len(standing):
                    break
            return attacked

        return attack_standing(classifier, images, labels, attack, batch_size=self.batch_size)


def likeliest_wrong(classifier: Classifier, images: Tensor, labels: Tensor, count: int) -> Tensor:
    """The wrong classes of each image, the highest logit first, (n, at most `count`)."""
    with torch.no_grad():
        logits = classifier(images).scatter(1, labels[:, None], -torch.inf)
    return logits.argsort(1, descending=True)[:, : min(count, logits.shape[1] - 1)]


def _climb_again(
    goal: Goal, images: Tensor, generator: torch.Generator, eps: float, norm: BallNorm, steps: int, restarts: int
) -> Tensor:
    attacked, standing = images.clone(), torch.arange(len(images), device=images.device)
    for _ in range(restarts):
        best, fooled = _climb_once(goal, images[standing], standing, generator, eps, norm, steps)
        attacked[standing] = best
        standing = standing[~fooled]
        if not len(standing):
            break
    return attacked


@dataclass
class _State:
    """What is known of every image that still stands; rows go together.

    Attributes:
        rows: which image of the batch.
        at: the image now.
        before: the image of the step before.
        upward: gradient at `at`.
        loss: at `at`.
        best: the image of the highest loss.
        best_upward: gradient there.
        best_loss: the highest loss.
        best_at_check: the highest loss at the last check.
        halved: whether the last check halved the step.
        rises: steps since the last check that raised the loss.
        step: its length, (m, 1, 1, 1).
    """

    rows: Tensor
    at: Tensor
    before: Tensor
    upward: Tensor
    loss: Tensor
    best: Tensor
    best_upward: Tensor
    best_loss: Tensor
    best_at_check: Tensor
    halved: Tensor
    rises: Tensor
    step: Tensor

    def keep(self, kept: Tensor) -> "_State":
        return replace(self, **{field.name: getattr(self, field.name)[kept] for field in fields(self)})


def _climb_once(
    goal: Goal, images: Tensor, rows: Tensor, generator: torch.Generator, eps: float, norm: BallNorm, steps: int
) -> tuple[Tensor, Tensor]:
    """One run; the images at their highest loss, broken ones where they broke, and which are broken."""
    result, broken = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    place = torch.arange(len(images), device=images.device)
    around = ball(images, eps, norm)
    at = around.random(generator)
    upward, loss, fooled = gradient(goal, at, rows)
    state = _State(
        rows=rows,
        at=at,
        before=at,
        upward=upward,
        loss=loss,
        best=at,
        best_upward=upward,
        best_loss=loss,
        best_at_check=loss,
        halved=torch.ones_like(fooled),
        rises=torch.zeros_like(loss),
        step=torch.full((len(images), 1, 1, 1), 2 * eps, dtype=images.dtype, device=images.device),
    )
    period = until_check = max(int(_FIRST_PERIOD * steps), 1)
    for step in range(steps + 1):
        if bool(fooled.any()):
            gone = place[fooled]
            result[gone], broken[gone] = state.at[fooled], True
            kept = ~fooled
            state, place, around = state.keep(kept), place[kept], around.keep(kept)
            if not len(place):
                return result, broken
        if step == steps:
            break
        if step and not until_check:
            _check(state, period)
            period = max(period - max(int(_SHORTER * steps), 1), max(int(_SHORTEST_PERIOD * steps), 1))
            until_check = period
        fooled = _advance(state, goal, around, first=step == 0)
        until_check -= 1
    result[place] = state.best
    return result, broken


def _advance(state: _State, goal: Goal, around: LinfBall | L2Ball, *, first: bool) -> Tensor:
    """A step with momentum; returns which images it broke."""
    onward = around.climb(state.at, state.upward.clone(), state.step)
    if not first:
        onward = torch.lerp(state.at, onward, 1 - _MOMENTUM).add_(state.at - state.before, alpha=_MOMENTUM)
        onward = around.project(onward)
    state.before, state.at = state.at, onward
    state.upward, loss, fooled = gradient(goal, onward, state.rows)
    state.rises = state.rises + (loss > state.loss)
    state.loss = loss
    better = loss > state.best_loss
    wide = better.view(-1, 1, 1, 1)
    state.best = torch.where(wide, onward, state.best)
    state.best_upward = torch.where(wide, state.upward, state.best_upward)
    state.best_loss = torch.where(better, loss, state.best_loss)
    return fooled


def _check(state: _State, period: int) -> None:
    """Halve the step, and go back to the best image, where the loss rose too seldom or the best stayed as it was."""
    stuck = ~state.halved & (state.best_at_check >= state.best_loss)
    halve = (state.rises <= _ENOUGH_RISES * period) | stuck
    wide = halve.view(-1, 1, 1, 1)
    state.step = torch.where(wide, state.step / 2, state.step)
    state.at = torch.where(wide, state.best, state.at)
    state.upward = torch.where(wide, state.best_upward, state.upward)
    state.halved, state.best_at_check = halve, state.best_loss
    state.rises = torch.zeros_like(state.rises)
