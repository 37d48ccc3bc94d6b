"""Attacks on image classifiers: one file each, one way to call them all."""

from collections.abc import Callable
from typing import Any, Final

from secmlops.errors import SecmlopsError
from secmlops.robustness.attacks.apgd import Apgd, TargetedApgd
from secmlops.robustness.attacks.attack import Attack
from secmlops.robustness.attacks.autoattack import AutoAttack
from secmlops.robustness.attacks.carlini_wagner import CarliniWagner
from secmlops.robustness.attacks.deepfool import DeepFool
from secmlops.robustness.attacks.fab import TargetedFab
from secmlops.robustness.attacks.fgsm import Fgsm
from secmlops.robustness.attacks.hopskipjump import HopSkipJump
from secmlops.robustness.attacks.patch import UniversalPatch
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.attacks.square import Square


class UnknownAttack(SecmlopsError):
    """No attack has that name.

    Attributes:
        name: what was asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no attack is called {name!r}; there are: {', '.join(ATTACKS)}")


class BadBudget(SecmlopsError):
    """A budget that is none.

    Attributes:
        eps: what was given.
    """

    def __init__(self, eps: float) -> None:
        self.eps = eps
        super().__init__(f"an attack's budget must be a number of at least 0, not {eps}")


class UnknownSetting(SecmlopsError):
    """An attack does not know a setting.

    Attributes:
        name: the attack.
        settings: what it was given.
    """

    def __init__(self, name: str, settings: tuple[str, ...], reason: str) -> None:
        self.name = name
        self.settings = settings
        super().__init__(f"the attack {name} cannot be made with {', '.join(settings) or 'these settings'}: {reason}")


def _apgd_ce(eps: float, **settings: Any) -> Attack:
    return Apgd(eps, loss="cross_entropy", **settings)


def _apgd_dlr(eps: float, **settings: Any) -> Attack:
    return Apgd(eps, loss="dlr", **settings)


ATTACKS: Final[dict[str, Callable[..., Attack]]] = {
    "fgsm": Fgsm,
    "pgd": Pgd,
    "apgd_ce": _apgd_ce,
    "apgd_dlr": _apgd_dlr,
    "apgd_t": TargetedApgd,
    "fab_t": TargetedFab,
    "square": Square,
    "autoattack": AutoAttack,
    "deepfool": DeepFool,
    "carlini_wagner": CarliniWagner,
    "hop_skip_jump": HopSkipJump,
    "patch": UniversalPatch,
}
"""What a name alone can build; `Transfer` needs a surrogate too and `DetectorAware` a detector."""

BLACK_BOX: Final = frozenset({"square", "hop_skip_jump", "transfer"})
"""Attacks that use no gradient of the classifier; one of them beating those that do is a sign of masked gradients."""


def build(name: str, eps: float, **settings: Any) -> Attack:
    """Make an attack from its name.

    Args:
        name: one of `ATTACKS`.
        eps: budget, in the attack's norm: L-infinity for most, Euclidean for `carlini_wagner`, share of the pixels for
            `patch`.
        settings: other fields of the attack's class, such as `steps` or `seed`.

    Raises:
        UnknownAttack: no attack has that name.
        BadBudget: eps is negative or not a number.
        UnknownSetting: the attack has no such setting.
    """
    if name not in ATTACKS:
        raise UnknownAttack(name)
    if not eps >= 0:
        raise BadBudget(eps)
    try:
        return ATTACKS[name](eps, **settings)
    except TypeError as error:
        raise UnknownSetting(name, tuple(settings), str(error)) from error
