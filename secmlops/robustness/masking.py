"""Signs that gradients are masked: that robust accuracy is high because attacks are lost, not because the model holds.

The list is that of Athalye, Carlini and Wagner (2018, arXiv 1802.00420) and Carlini et al. (2019, arXiv 1902.06705);
the gap between one step and many at the training budget is catastrophic overfitting (Wong et al., 2020).
"""

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from secmlops.robustness.attacks import BLACK_BOX
from secmlops.robustness.attacks.attack import Classifier
from secmlops.robustness.attacks.goal import gradient, untargeted
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.attacks.standing import stands
from secmlops.robustness.verdicts import Finding, Setting, Verdicts, by_chance, percent

OVERFITTING_GAP: Final = 0.03
"""FGSM accuracy less PGD accuracy at the training budget above which FGSM training has collapsed."""

UNSEEN_SHARE: Final = 0.01
"""Share of the images that gradient attacks may miss, or whose gradient may be zero."""

_NOT_COMPARED: Final = BLACK_BOX | {"autoattack", "patch"}
_PROBED_IMAGES: Final = 200


def warnings(verdicts: Verdicts, training_eps: float | None = None) -> list[Finding]:
    """What the attacks' verdicts say about the gradients.

    Args:
        verdicts: of all attacks made.
        training_eps: L-infinity budget that the model was trained for, if it was.
    """
    found = [*_black_box_wins(verdicts), *_one_step_wins(verdicts), *_more_eps_helps_less(verdicts)]
    if training_eps is not None:
        found += _overfitting(verdicts, training_eps)
    return found


def probe(classifier: Classifier, images: Tensor, labels: Tensor, *, count: int = _PROBED_IMAGES) -> list[Finding]:
    """Look at the gradients themselves, on the first `count` images that are classified right.

    Their gradient must not vanish, and an attack that may change everything must break every image.
    """
    right = stands(classifier, images, labels).nonzero().flatten()[:count]
    if not len(right):
        return []
    images, labels = images[right], labels[right]
    found = []
    zero = zero_gradient_share(classifier, images, labels)
    if zero > UNSEEN_SHARE:
        found.append(
            Finding(
                kind="zero_gradient",
                text=f"the loss has no gradient at all at {percent(zero)} of {len(images)} images: "
                "do not trust gradient attacks alone",
            )
        )
    unbounded = Pgd(1.0, steps=50, step_size=0.05)(classifier, images, labels)
    left = stands(classifier, unbounded, labels).double().mean().item()
    if left > UNSEEN_SHARE:
        found.append(
            Finding(
                kind="unbounded",
                text=f"{percent(left)} of {len(images)} images stand an attack that may change every pixel at will "
                "(PGD, eps 1): the attack does not find its way",
            )
        )
    return found


def zero_gradient_share(classifier: Classifier, images: Tensor, labels: Tensor, *, batch_size: int = 500) -> float:
    """The share of images where the cross-entropy's gradient is zero in every pixel."""
    zero = []
    for some, their in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        rows = torch.arange(len(some), device=some.device)
        upward, _, _ = gradient(untargeted(classifier, their), some, rows)
        zero.append((upward == 0).flatten(1).all(1))
    return torch.cat(zero).double().mean().item()


def _black_box_wins(verdicts: Verdicts) -> Iterator[Finding]:
    for _, norm, eps in verdicts.budgets():
        here = {one.attack: left for one, left in verdicts.standing.items() if (one.norm, one.eps) == (norm, eps)}
        by_gradient = [left for name, left in here.items() if name not in _NOT_COMPARED]
        for name in sorted(BLACK_BOX & here.keys()):
            if not by_gradient:
                continue
            seen = min(map(len, [*by_gradient, here[name]]))
            left_by_gradient = torch.stack([left[:seen] for left in by_gradient]).all(0)
            only = int((left_by_gradient & ~here[name][:seen]).sum())
            if only > max(UNSEEN_SHARE * seen, 1):
                yield Finding(
                    kind="black_box_wins",
                    text=f"{name} at {norm} eps {eps:g} breaks {only} of {seen} images that no gradient attack breaks",
                )


def _one_step_wins(verdicts: Verdicts) -> Iterator[Finding]:
    for setting, fgsm in verdicts.standing.items():
        pgd = verdicts.at(setting._replace(attack="pgd"))
        if setting.attack != "fgsm" or pgd is None:
            continue
        seen = min(len(fgsm), len(pgd))
        lead = int(pgd[:seen].sum()) - int(fgsm[:seen].sum())
        if lead > by_chance(seen):
            yield Finding(
                kind="one_step_wins",
                text=f"one step breaks {lead} of {seen} images more than many at {setting.norm} eps {setting.eps:g}",
            )


def _more_eps_helps_less(verdicts: Verdicts) -> Iterator[Finding]:
    for setting, left in verdicts.standing.items():
        for wider, left_wider in verdicts.standing.items():
            if (wider.attack, wider.norm) != (setting.attack, setting.norm) or wider.eps <= setting.eps:
                continue
            seen = min(len(left), len(left_wider))
            lead = int(left_wider[:seen].sum()) - int(left[:seen].sum())
            if lead > by_chance(seen):
                yield Finding(
                    kind="more_eps_helps_less",
                    text=f"{setting.attack} breaks {lead} of {seen} images more at eps {setting.eps:g} "
                    f"than at {wider.eps:g}",
                )


def _overfitting(verdicts: Verdicts, eps: float) -> Iterator[Finding]:
    fgsm, pgd = (verdicts.at(Setting(name, "linf", eps)) for name in ("fgsm", "pgd"))
    if fgsm is None or pgd is None:
        return
    seen = min(len(fgsm), len(pgd))
    gap = (int(fgsm[:seen].sum()) - int(pgd[:seen].sum())) / max(seen, 1)
    if gap > OVERFITTING_GAP:
        yield Finding(
            kind="catastrophic_overfitting",
            text=f"FGSM accuracy is {percent(gap)} above PGD accuracy at the training eps {eps:g}: "
            "the training learnt to mislead one step",
        )
