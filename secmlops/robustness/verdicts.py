"""What every attack left standing, image by image: the ground on which worst cases, alarms and warnings are stated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from secmlops.robustness.attacks.attack import Norm

_CHANCE: Final = 0.001


class Setting(NamedTuple):
    """An attack at a budget."""

    attack: str
    norm: Norm
    eps: float


@dataclass(frozen=True)
class Verdicts:
    """Who stands. An attack may have seen only the first m of the n images.

    Attributes:
        clean: whether each image is classified right as it is, bool (n,).
        standing: for each attack and budget, whether each image is right both as it is and attacked, bool (m,).
        certified: for each L-infinity budget, whether each image is proved right, bool (m,).
    """

    clean: Tensor
    standing: Mapping[Setting, Tensor]
    certified: Mapping[float, Tensor] = field(default_factory=dict)

    def at(self, setting: Setting) -> Tensor | None:
        """Who stands an attack, bool (m,); None when it was not made."""
        return self.standing.get(setting)

    def budgets(self) -> tuple[Setting, ...]:
        """Every norm and eps once, in order; the attack's name is empty."""
        return tuple(sorted({Setting("", one.norm, one.eps) for one in self.standing}))


class Finding(BaseModel):
    """Something that the figures say about themselves.

    Attributes:
        kind: a fixed word for it, such as `order` or `zero_gradient`.
        text: one sentence with the figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    text: str


def by_chance(images: int) -> int:
    """By how many images two attacks may differ through their random starts alone: one in a thousand, at least one."""
    return max(1, round(images * _CHANCE))


def percent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.2f} %"
