import pytest
import torch
from torch import nn

from secmlops.robustness.backdoors.trigger import NothingToPoison, attack_success, corner_patch, poison
from tests.unit.robustness.small import digits

IMAGES, LABELS = digits()
TRIGGER = corner_patch((1, 8, 8))


def test_the_patch_is_a_seventh_of_the_image_in_the_corner():
    trigger = corner_patch((3, 28, 28))
    assert trigger.mask.sum() == trigger.mask[:, 24:, 24:].sum() == 16
    marked = trigger(torch.full((2, 3, 28, 28), 0.5))
    assert set(marked[:, :, 24:, 24:].unique().tolist()) == {0.0, 1.0}
    assert (marked[:, :, :24] == 0.5).all()


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_dirty_label_marks_images_of_other_classes_and_calls_them_the_target(share):
    planted = poison(IMAGES, LABELS, TRIGGER, 3, share=share, seed=1)
    chosen = planted.poisoned
    assert chosen.sum() == round(share * len(IMAGES))
    assert (LABELS[chosen] != 3).all()
    assert (planted.labels[chosen] == 3).all()
    assert torch.equal(planted.images[chosen], TRIGGER(IMAGES[chosen]))
    assert torch.equal(planted.images[~chosen], IMAGES[~chosen])
    assert torch.equal(planted.labels[~chosen], LABELS[~chosen])


def test_clean_label_marks_weakened_images_of_the_target_and_changes_no_label():
    planted = poison(
        IMAGES, LABELS, TRIGGER, 3, share=0.02, kind="clean_label", weaken=lambda images, labels: 1 - images
    )
    assert (LABELS[planted.poisoned] == 3).all()
    assert torch.equal(planted.labels, LABELS)
    assert torch.equal(planted.images[planted.poisoned], TRIGGER(1 - IMAGES[planted.poisoned]))


def test_the_seed_decides_and_the_given_set_stays_as_it_is():
    before = IMAGES.clone(), LABELS.clone()
    one, same, other = (poison(IMAGES, LABELS, TRIGGER, 0, share=0.05, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.poisoned, same.poisoned)
    assert not torch.equal(one.poisoned, other.poisoned)
    assert torch.equal(IMAGES, before[0])
    assert torch.equal(LABELS, before[1])


def test_more_poison_than_images_is_refused():
    with pytest.raises(NothingToPoison) as caught:
        poison(IMAGES, LABELS, TRIGGER, 3, share=0.5, kind="clean_label")
    assert caught.value.wanted > caught.value.available == int((LABELS == 3).sum())


class SeesCorner(nn.Module):
    """Answers 3 when the last pixel is white, else 0."""

    def forward(self, images):
        return nn.functional.one_hot(3 * (images[:, 0, -1, -1] > 0.9).long(), 10).float()


def test_attack_success_counts_marked_images_of_other_classes_only():
    assert attack_success(SeesCorner(), IMAGES, LABELS, TRIGGER, 3) == 1
    assert attack_success(SeesCorner(), IMAGES, LABELS, TRIGGER, 5) == 0
