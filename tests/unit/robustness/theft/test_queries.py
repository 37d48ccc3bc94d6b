import numpy as np
import torch

from secmlops.robustness.theft.queries import mixed, obfuscated, of_network, rounded, top_one
from tests.unit.robustness.small import digits, trained

IMAGES = digits()[0]


def test_a_network_is_asked_for_probabilities():
    found = of_network(trained())(IMAGES.numpy())
    assert found.shape == (len(IMAGES), 10)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    with torch.no_grad():
        assert np.allclose(found, trained()(IMAGES).softmax(1).numpy(), atol=1e-6)


def test_rounding_leaves_so_many_decimals():
    told = obfuscated(of_network(trained()), rounded(1))(IMAGES[:50].numpy())
    assert set((told * 10).round(4).ravel().tolist()) <= set(range(11))


def test_top_one_tells_the_class_alone():
    told = top_one(np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]], dtype=np.float32))
    assert told.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert told.dtype == np.float32


def test_mixtures_are_new_images_and_the_seed_decides():
    few = IMAGES[:10]
    found = mixed(few, 500, seed=1)
    assert found.shape == (500, 1, 8, 8)
    assert found.min() >= 0
    assert found.max() <= 1
    assert len(found.flatten(1).unique(dim=0)) > 400
    assert torch.equal(found, mixed(few, 500, seed=1))
    assert not torch.equal(found, mixed(few, 500, seed=2))
