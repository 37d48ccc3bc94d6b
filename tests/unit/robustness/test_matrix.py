"""The attack matrix: true shares of all images, worst cases per image, and alarms where figures cannot be."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from secmlops.robustness.attacks import build
from secmlops.robustness.attacks.attack import Norm
from secmlops.robustness.matrix import AttackMatrix, NoImages, OutsideBudget, SameAttackTwice, alarms, attack_matrix
from secmlops.robustness.verdicts import Setting, Verdicts
from tests.unit.robustness.small import held_out, trained


@dataclass(frozen=True)
class Breaks:
    """An attack that breaks the images of some rows, told by the first pixel of the toy's images."""

    name: str
    rows: tuple[int, ...]
    eps: float = 0.5
    norm: Norm = "linf"

    def __call__(self, classifier, images, labels):
        number = (images[:, 0, 0, 0] * 100).round().long()
        broken = torch.isin(number, torch.tensor(self.rows, dtype=torch.long))
        attacked = images.clone()
        attacked[broken, 0, 0, 1] = 0.4
        return attacked


def toy(images: Tensor) -> Tensor:
    """Class 1 where the second pixel says so."""
    wrong = images[:, 0, 0, 1]
    return torch.stack([0.3 - wrong, wrong], 1)


def rows(count=10, wrong=(9,)):
    """Images whose first pixel numbers them; those of `wrong` are classified wrong as they are."""
    images = torch.zeros(count, 1, 2, 2)
    images[:, 0, 0, 0] = torch.arange(count) / 100
    images[list(wrong), 0, 0, 1] = 1
    return images, torch.zeros(count, dtype=torch.long)


def test_shares_are_of_all_images_and_worst_cases_per_image():
    told = []
    matrix = attack_matrix(
        toy,
        *rows(),
        [Breaks("first", (0, 1)), Breaks("second", (1, 2, 3)), Breaks("second", (1,), eps=0.45)],
        on_progress=lambda done, total, message: told.append((done, total, message.split(":")[0])),
    )
    assert (matrix.n, matrix.clean_accuracy) == (10, 0.9)
    assert matrix.accuracy("first", 0.5) == 0.7
    assert matrix.accuracy("second", 0.5) == 0.6
    assert matrix.worst_accuracy(0.5) == 0.5
    assert matrix.worst_accuracy(0.45) == 0.8
    assert matrix.accuracy("first", 0.1) is None
    assert matrix.cells[0].mean_distance == pytest.approx(0.4)
    assert told == [(1, 3, "first eps 0.5"), (2, 3, "second eps 0.5"), (3, 3, "second eps 0.45")]
    assert AttackMatrix.model_validate_json(matrix.model_dump_json()) == matrix


def test_a_limited_attack_is_told_with_its_number_and_worst_cases_are_over_what_all_saw():
    matrix = attack_matrix(toy, *rows(), [Breaks("quick", (0, 8)), Breaks("deep", (0, 1, 2))], limits={"deep": 4})
    assert [cell.n for cell in matrix.cells] == [10, 4]
    assert matrix.accuracy("deep", 0.5) == 0.25
    (worst,) = matrix.worst
    assert (worst.n, worst.accuracy, worst.attacks) == (4, 0.25, ("quick", "deep"))


def test_norms_are_kept_apart():
    matrix = attack_matrix(toy, *rows(), [Breaks("a", (0,)), Breaks("b", (1,), norm="l2")])
    assert [(one.norm, one.accuracy) for one in matrix.worst] == [("l2", 0.8), ("linf", 0.8)]


def test_an_attack_outside_its_budget_is_not_counted_but_refused():
    with pytest.raises(OutsideBudget) as caught:
        attack_matrix(toy, *rows(), [Breaks("cheat", (0,), eps=0.1)])
    assert caught.value.found == pytest.approx(0.4)


@dataclass(frozen=True)
class NotANumber:
    eps: float = 1.0
    norm: ClassVar[Norm] = "linf"
    name: ClassVar[str] = "nan"

    def __call__(self, classifier, images, labels):
        return images * torch.nan


def test_pixels_that_are_no_numbers_are_refused():
    with pytest.raises(OutsideBudget):
        attack_matrix(toy, *rows(), [NotANumber()])


def test_the_same_attack_twice_and_no_images_are_refused():
    with pytest.raises(SameAttackTwice, match="first"):
        attack_matrix(toy, *rows(), [Breaks("first", ()), Breaks("first", (1,))])
    with pytest.raises(NoImages):
        attack_matrix(toy, torch.zeros(0, 1, 2, 2), torch.zeros(0, dtype=torch.long), [])


def standing(count, broken):
    left = torch.ones(count, dtype=torch.bool)
    left[:broken] = False
    return left


def verdicts(certified=None, clean=0, **broken):
    return Verdicts(
        standing(1000, clean),
        {Setting(name, "linf", 0.1): standing(1000, count) for name, count in broken.items()},
        certified or {},
    )


def test_order_as_it_should_be_raises_no_alarm():
    in_order = verdicts({0.1: standing(1000, 400)}, clean=10, fgsm=100, pgd=200, autoattack=300)
    assert alarms(in_order) == []
    by_chance = verdicts(fgsm=100, pgd=99, autoattack=100)
    assert alarms(by_chance) == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"fgsm": 100, "pgd": 90}, "pgd breaks 10 of 1000 images less than fgsm"),
        ({"pgd": 100, "autoattack": 50}, "autoattack breaks 50 of 1000 images less than pgd"),
        ({"fgsm": 100, "autoattack": 50}, "autoattack breaks 50 of 1000 images less than fgsm"),
    ],
)
def test_a_stronger_attack_that_breaks_less_is_an_alarm(broken, says):
    (alarm,) = alarms(verdicts(**broken))
    assert alarm.kind == "order"
    assert says in alarm.text


def test_one_broken_certificate_is_an_alarm_even_where_the_shares_are_in_order():
    proved = torch.zeros(1000, dtype=torch.bool)
    proved[:1] = True
    (alarm,) = alarms(verdicts({0.1: proved}, pgd=1))
    assert alarm.kind == "certificate_broken"
    assert "pgd at eps 0.1 breaks 1 of 1000" in alarm.text
    assert alarms(verdicts({0.05: proved}, pgd=1)) == []  # the attack had more room than the proof speaks of
    (alarm,) = alarms(verdicts({0.2: proved}, clean=1))
    assert "the classifier gets wrong 1" in alarm.text


def test_a_real_network_under_real_attacks():
    images, labels = held_out(60)
    attacks = [build(name, eps) for name in ("fgsm", "pgd") for eps in (0.05, 0.2)]
    attacks += [build("autoattack", 0.05, queries=20, steps=15), build("carlini_wagner", 0.3, rounds=3)]
    matrix = attack_matrix(trained(hardened=True), images, labels, attacks, training_eps=0.15)
    assert matrix.alarms == ()
    assert matrix.accuracy("autoattack", 0.05) <= matrix.accuracy("pgd", 0.05) <= matrix.accuracy("fgsm", 0.05)
    assert matrix.accuracy("pgd", 0.2) < matrix.accuracy("pgd", 0.05) < matrix.clean_accuracy
    assert matrix.worst_accuracy(0.3, "l2") == matrix.accuracy("carlini_wagner", 0.3, "l2")
