"""Activation clustering and spectral signatures on activations whose structure is known."""

import pytest
import torch
from torch import nn

from secmlops.robustness.backdoors.activation_clustering import Criteria, activation_clustering
from secmlops.robustness.backdoors.activations import NoLinearLayer, last_hidden
from secmlops.robustness.backdoors.spectral_signatures import spectral_signatures

FEATURES = 4
IDENTITY = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, 3)).eval()
"""Its last hidden layer is the image itself."""


def clouds(poison_share, seed=0, per_class=300, distance=10.0):
    """Three classes, a normal cloud each; a share of class 1 lies apart. Images, labels, poisoned."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(per_class)
    images = torch.randn(len(labels), 1, 2, 2, generator=generator) + 3 * labels.view(-1, 1, 1, 1)
    poisoned = torch.zeros(len(labels), dtype=torch.bool)
    poisoned[per_class : per_class + round(poison_share * per_class)] = True
    images[poisoned, 0, 1, 0] += distance
    return images, labels, poisoned


@pytest.mark.parametrize("share", [0.1, 0.2, 0.33])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clustering_names_the_poison_and_leaves_clean_classes_alone(share, seed):
    images, labels, poisoned = clouds(share, seed)
    found = activation_clustering(IDENTITY, images, labels)
    assert found.accused == (1,)
    assert found.suspects[poisoned].float().mean() > 0.98
    assert found.suspects[~poisoned].float().mean() < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_clustering_accuses_no_clean_class(seed):
    images, labels, _ = clouds(0, seed)
    found = activation_clustering(IDENTITY, images, labels)
    assert found.accused == ()
    assert not found.suspects.any()
    assert [split.label for split in found.splits] == [0, 1, 2]


def test_a_part_as_large_as_the_other_is_not_taken_for_poison():
    images, labels, _ = clouds(0.5)
    assert activation_clustering(IDENTITY, images, labels).accused == ()
    assert activation_clustering(IDENTITY, images, labels, criteria=Criteria(largest_share=0.5)).accused == (1,)


def test_classes_without_variation_or_with_few_images_are_passed_over():
    images, labels = torch.zeros(60, 1, 2, 2), torch.tensor([0] * 40 + [1] * 19 + [2])
    found = activation_clustering(IDENTITY, images, labels)
    assert [(split.label, split.accused) for split in found.splits] == [(0, False)]


@pytest.mark.parametrize("share", [0.1, 0.33])
def test_spectral_signatures_rank_the_poison_first(share):
    images, labels, poisoned = clouds(share)
    found = spectral_signatures(IDENTITY, images, labels, expected_share=share, classes=[1])
    assert found.suspects.sum() == round(1.5 * share * 300)
    assert found.suspects[poisoned].float().mean() > 0.95
    assert not found.suspects[labels != 1].any()


def test_spectral_signatures_name_their_share_of_every_class_poisoned_or_not():
    images, labels, _ = clouds(0)
    found = spectral_signatures(IDENTITY, images, labels, expected_share=0.1)
    assert [int(found.suspects[labels == label].sum()) for label in range(3)] == [45, 45, 45]


def test_last_hidden_is_the_input_of_the_last_linear_layer():
    network = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    images = torch.rand(2500, 1, 2, 2)
    assert torch.allclose(last_hidden(network, images), network[:3](images))
    assert not network[3]._forward_pre_hooks
    with pytest.raises(NoLinearLayer):
        last_hidden(nn.Flatten(), images)
