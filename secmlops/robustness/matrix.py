"""The attack matrix: attack by budget on one model, worst case per image, and what the figures say about themselves.

Every attack is made on every image that the classifier gets right (or on the first of them, where a limit says so), and
accuracy is the share of **all** images that are right both as they are and attacked. No attack is spared an image that
another has broken, so its own figure is its own; what saves time is that attacks let broken images go.

Where an attack knows a detector, an image that errs and is detected stands that attack. The others do not ask the
detector, so the worst case of all grants the detector nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from secmlops.errors import SecmlopsError
from secmlops.robustness import masking
from secmlops.robustness.attacks.adaptive import DetectorAware
from secmlops.robustness.attacks.attack import Attack, Classifier, Norm
from secmlops.robustness.attacks.ball import distance
from secmlops.robustness.attacks.standing import stands
from secmlops.robustness.verdicts import Finding, Setting, Verdicts, by_chance

_ROUNDING = 1e-5
_STRONGER = ("fgsm", "pgd", "autoattack")


class OutsideBudget(SecmlopsError):
    """An attack returned images that it may not.

    Attributes:
        attack: its name.
        eps: its budget.
        found: the largest distance found; infinite for pixels outside [0, 1] or not a number.
    """

    def __init__(self, attack: str, eps: float, found: float) -> None:
        self.attack = attack
        self.eps = eps
        self.found = found
        super().__init__(
            f"{attack} returned images at distance {found:g} with a budget of {eps:g}: mend it, its figures say nothing"
        )


class SameAttackTwice(SecmlopsError):
    """Two attacks of a matrix have the same name, norm and budget.

    Attributes:
        attack: the name.
        eps: the budget.
    """

    def __init__(self, attack: str, eps: float) -> None:
        self.attack = attack
        self.eps = eps
        super().__init__(f"{attack} at eps {eps:g} is there twice: a matrix has one figure for it, give the stronger")


class NoImages(SecmlopsError):
    """There is nothing to attack."""

    def __init__(self) -> None:
        super().__init__("the attack matrix needs at least one image: the given set is empty")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cell(_Record):
    """One attack at one budget.

    Attributes:
        attack: its name.
        norm: of the budget.
        eps: the budget.
        n: images, right and wrong ones.
        accuracy: share of them that are right as they are and attacked; for an attack that knows a detector also those
            that are right as they are and, attacked, wrong but detected.
        mean_distance: of the images that this attack broke, in its norm; None where it broke none.
        seconds: what the attack took.
    """

    attack: str
    norm: Norm
    eps: float
    n: int
    accuracy: float
    mean_distance: float | None
    seconds: float


class WorstCase(_Record):
    """What stands every attack of a budget, image by image.

    Attributes:
        norm: of the budget.
        eps: the budget.
        n: images that every one of the attacks has seen.
        accuracy: share of them that stand all attacks.
        attacks: the attacks.
    """

    norm: Norm
    eps: float
    n: int
    accuracy: float
    attacks: tuple[str, ...]


class CertifiedShare(_Record):
    """What is proved at an L-infinity budget.

    Attributes:
        eps: the budget.
        n: images.
        accuracy: share of them that no change within the budget can turn.
    """

    eps: float
    n: int
    accuracy: float


class AttackMatrix(_Record):
    """How a classifier stands attacks.

    Attributes:
        n: images.
        clean_accuracy: share of them that are right as they are.
        cells: each attack at each budget, in the order given.
        worst: for each norm and budget.
        certified: for each budget that a certificate was given for.
        alarms: figures that cannot be: a broken certificate, or a stronger attack that breaks less.
        warnings: signs of masked gradients.
    """

    n: int
    clean_accuracy: float
    cells: tuple[Cell, ...]
    worst: tuple[WorstCase, ...]
    certified: tuple[CertifiedShare, ...]
    alarms: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    def accuracy(self, attack: str, eps: float, norm: Norm = "linf") -> float | None:
        """The accuracy under an attack; None when it was not made."""
        found = [one.accuracy for one in self.cells if (one.attack, one.eps, one.norm) == (attack, eps, norm)]
        return found[0] if found else None

    def worst_accuracy(self, eps: float, norm: Norm = "linf") -> float | None:
        """The accuracy under all attacks of a budget; None when there was none."""
        found = [one.accuracy for one in self.worst if (one.eps, one.norm) == (eps, norm)]
        return found[0] if found else None


def attack_matrix(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    attacks: Sequence[Attack],
    *,
    certified: Mapping[float, Tensor] | None = None,
    limits: Mapping[str, int] | None = None,
    training_eps: float | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> AttackMatrix:
    """Make every attack and judge the figures.

    Args:
        classifier: in evaluation mode.
        images: (n, channels, height, width) in [0, 1].
        labels: true classes, (n,).
        attacks: attacks with their budgets, as `attacks.build` makes them.
        certified: for L-infinity budgets, whether each of the first images is proved right, bool (m,).
        limits: for an attack's name, how many images, from the first and at least one, it is made on; all without one.
        training_eps: L-infinity budget that the model was trained for, if it was.
        on_progress: told after every attack: how many are done, of how many, and the last one's figure.

    Raises:
        NoImages: there are none.
        ImagesDoNotFit: images and labels do not go together.
        SameAttackTwice: two attacks of the same name and budget.
        OutsideBudget: an attack broke its own rules.
    """
    if not len(images):
        raise NoImages
    _once_each(attacks)
    clean = stands(classifier, images, labels)
    standing: dict[Setting, Tensor] = {}
    cells = []
    for done, attack in enumerate(attacks, 1):
        seen = max((limits or {}).get(attack.name, len(images)), 1)
        left, cell = _make(attack, classifier, images[:seen], labels[:seen], clean[:seen])
        standing[Setting(attack.name, attack.norm, attack.eps)] = left
        cells.append(cell)
        if on_progress:
            on_progress(
                done, len(attacks), f"{attack.name} eps {attack.eps:g}: {cell.accuracy:.4f} in {cell.seconds:.1f} s"
            )
    verdicts = Verdicts(clean, standing, certified or {})
    return AttackMatrix(
        n=len(images),
        clean_accuracy=_share(clean),
        cells=tuple(cells),
        worst=tuple(_worst(verdicts, norm, eps) for _, norm, eps in verdicts.budgets()),
        certified=tuple(
            CertifiedShare(eps=eps, n=len(proved), accuracy=_share(proved))
            for eps, proved in sorted(verdicts.certified.items())
        ),
        alarms=tuple(alarms(verdicts)),
        warnings=(*masking.warnings(verdicts, training_eps), *masking.probe(classifier, images, labels)),
    )


def alarms(verdicts: Verdicts) -> list[Finding]:
    """What cannot be: certified <= AutoAttack <= PGD <= FGSM <= clean must hold, and no attack breaks a certificate.

    A certificate is held to every single image. Between attacks a difference that random starts explain is no alarm.
    """
    found = []
    for eps, proved in sorted(verdicts.certified.items()):
        for setting, left in [(None, verdicts.clean), *verdicts.standing.items()]:
            if setting and (setting.norm != "linf" or setting.eps > eps):
                continue
            seen = min(len(proved), len(left))
            broken = int((proved[:seen] & ~left[:seen]).sum())
            if broken:
                by = f"{setting.attack} at eps {setting.eps:g} breaks" if setting else "the classifier gets wrong"
                text = f"{by} {broken} of {seen} images that are certified at eps {eps:g}: the certificate is unsound"
                found.append(Finding(kind="certificate_broken", text=text))
    for _, norm, eps in verdicts.budgets():
        made = [name for name in _STRONGER if verdicts.at(Setting(name, norm, eps)) is not None]
        for at, weaker in enumerate(made):
            for stronger in made[at + 1 :]:
                less, more = (
                    verdicts.standing[Setting(weaker, norm, eps)],
                    verdicts.standing[Setting(stronger, norm, eps)],
                )
                seen = min(len(less), len(more))
                lead = int(more[:seen].sum()) - int(less[:seen].sum())
                if lead > by_chance(seen):
                    text = f"{stronger} breaks {lead} of {seen} images less than {weaker} at {norm} eps {eps:g}"
                    found.append(Finding(kind="order", text=text))
    return found


def _once_each(attacks: Sequence[Attack]) -> None:
    known = set()
    for attack in attacks:
        setting = Setting(attack.name, attack.norm, attack.eps)
        if setting in known:
            raise SameAttackTwice(attack.name, attack.eps)
        known.add(setting)


def _make(attack: Attack, classifier: Classifier, images: Tensor, labels: Tensor, clean: Tensor) -> tuple[Tensor, Cell]:
    began = time.perf_counter()
    attacked = attack(classifier, images, labels)
    seconds = time.perf_counter() - began
    far = distance(attacked, images, attack.norm)
    _within(attack, attacked, far)
    left = clean & _withstands(attack, classifier, attacked, labels)
    broken = clean & ~left
    return left, Cell(
        attack=attack.name,
        norm=attack.norm,
        eps=attack.eps,
        n=len(images),
        accuracy=_share(left),
        mean_distance=far[broken].double().mean().item() if bool(broken.any()) else None,
        seconds=seconds,
    )


def _withstands(attack: Attack, classifier: Classifier, attacked: Tensor, labels: Tensor) -> Tensor:
    if isinstance(attack, DetectorAware):
        return ~attack.evades(classifier, attacked, labels)
    return stands(classifier, attacked, labels)


def _within(attack: Attack, attacked: Tensor, far: Tensor) -> None:
    inside = bool(((attacked >= 0) & (attacked <= 1)).all())
    pixels = attacked[0, 0].numel()
    allowed = max(attack.eps, 1 / pixels) if attack.norm == "l0" else attack.eps
    found = far.max().item() if inside else float("inf")
    if not found <= allowed * (1 + _ROUNDING) + _ROUNDING:
        raise OutsideBudget(attack.name, attack.eps, found)


def _worst(verdicts: Verdicts, norm: Norm, eps: float) -> WorstCase:
    made = {one.attack: left for one, left in verdicts.standing.items() if (one.norm, one.eps) == (norm, eps)}
    seen = min(map(len, made.values()))
    left = torch.stack([one[:seen] for one in made.values()]).all(0)
    return WorstCase(norm=norm, eps=eps, n=seen, accuracy=_share(left), attacks=tuple(made))


def _share(standing: Tensor) -> float:
    return standing.double().mean().item()
