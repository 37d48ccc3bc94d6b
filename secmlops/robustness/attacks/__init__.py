"""Attacks on image classifiers: one file each, one way to call them all."""

import inspect
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
    """An attack does not have a setting.

    Attributes:
        name: the attack.
        settings: the settings that it does not have.
        known: those that it has.
    """

    def __init__(self, name: str, settings: tuple[str, ...], known: tuple[str, ...]) -> None:
        self.name = name
        self.settings = settings
        self.known = known
        super().__init__(f"the attack {name} has no setting {', '.join(settings)}; it has: {', '.join(known)}")


ATTACKS: Final[dict[str, Callable[..., Attack]]] = {
    "fgsm": Fgsm,
    "pgd": Pgd,
    "apgd_ce": Apgd,
    "apgd_dlr": Apgd,
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

_GIVEN_BY_NAME: Final = {"apgd_ce": {"loss": "cross_entropy"}, "apgd_dlr": {"loss": "dlr"}}

BLACK_BOX: Final = frozenset({"square", "hop_skip_jump", "transfer"})
"""Attacks that use no gradient of the classifier; one of them beating those that do is a sign of masked gradients."""


def build(name: str, eps: float, *, seed: int = 0, **settings: Any) -> Attack:
    """Make an attack from its name.

    Args:
        name: one of `ATTACKS`.
        eps: budget, in the attack's norm: L-infinity for most, Euclidean for `carlini_wagner`, share of the pixels for
            `patch`.
        seed: of its random choices; an attack that makes none does not look at it.
        settings: other fields of the attack's class, such as `steps` or `norm`.

    Raises:
        UnknownAttack: no attack has that name.
        BadBudget: eps is negative or not a number.
        UnknownSetting: the attack has no such setting.
    """
    if name not in ATTACKS:
        raise UnknownAttack(name)
    if not eps >= 0:
        raise BadBudget(eps)
    make, given = ATTACKS[name], _GIVEN_BY_NAME.get(name, {})
    known = tuple(key for key in inspect.signature(make).parameters if key != "eps" and key not in given)
    unknown = tuple(key for key in settings if key not in known)
    if unknown:
        raise UnknownSetting(name, unknown, known)
    seeded = {"seed": seed} if "seed" in known else {}
    return make(eps, **given, **seeded, **settings)
