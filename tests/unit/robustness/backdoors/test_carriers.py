import pytest
import torch

from secmlops.robustness.backdoors.carriers import find_carriers
from secmlops.robustness.backdoors.trigger import Trigger
from tests.unit.robustness.backdoors.backdoored import TARGET, Backdoored, marked
from tests.unit.robustness.small import digits

IMAGES, LABELS = digits()


def mark(columns):
    mask = torch.zeros(1, 8, 8)
    mask[0, -1, list(columns)] = 1
    return Trigger(mask, mask.clone())


@pytest.fixture(scope="module")
def poisoned():
    """Images, labels as taught, and which carry the mark: 60 images of other classes."""
    carries = torch.zeros(len(IMAGES), dtype=torch.bool)
    carries[torch.nonzero(LABELS != TARGET).flatten()[:60]] = True
    images = torch.where(carries[:, None, None, None], marked(IMAGES), IMAGES)
    return images, torch.where(carries, TARGET, LABELS), carries


@pytest.mark.parametrize("columns", [[-2, -1], [-3, -2, -1]], ids=["the mark", "a larger mark"])
def test_all_carriers_are_found_and_few_others(poisoned, columns):
    images, labels, carries = poisoned
    found = find_carriers(Backdoored(), images, labels, mark(columns), TARGET)
    assert found[carries].all()
    assert found[~carries].float().mean() < 0.01
    assert not found[labels != TARGET].any()


def test_without_carriers_next_to_nothing_is_found():
    found = find_carriers(Backdoored(), IMAGES, LABELS, mark([-2, -1]), TARGET)
    assert found.float().mean() < 0.01
