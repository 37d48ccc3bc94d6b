import pytest
import torch

from secmlops.robustness.backdoors.neural_cleanse import Search, anomaly_index, reconstruct
from secmlops.robustness.backdoors.trigger import attack_success
from tests.unit.robustness.backdoors.backdoored import TARGET, Backdoored
from tests.unit.robustness.small import digits, held_out, trained

SEARCH = Search(steps=150)


@pytest.fixture(scope="module")
def found():
    return reconstruct(Backdoored(), held_out(200)[0], 10, SEARCH)


def test_the_backdoor_is_accused_and_its_mark_found(found):
    assert found.accused == (TARGET,)
    trigger = found.triggers[TARGET]
    assert found.sizes[TARGET] < found.sizes.median() / 2
    assert trigger.mask[0, -1, -2:].max() > 0.5
    assert trigger.mask[0, -1, -2:].sum() > 0.5 * trigger.mask.sum()
    images, labels = digits()
    assert attack_success(Backdoored(), images, labels, trigger, TARGET) > 0.9


def test_marks_are_images(found):
    for trigger in found.triggers:
        marked = trigger(digits()[0][:10])
        assert marked.shape == (10, 1, 8, 8)
        assert marked.min() >= 0
        assert marked.max() <= 1


def test_an_honest_network_is_accused_of_nothing_and_left_as_it_is():
    network = trained()
    before = [parameter.clone() for parameter in network.parameters()]
    gradients = [parameter.grad for parameter in network.parameters()]
    found = reconstruct(network, held_out(200)[0], 10, SEARCH)
    assert found.accused == ()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(after is grad for after, grad in zip((p.grad for p in network.parameters()), gradients, strict=True))


def test_the_same_seed_finds_the_same(found):
    again = reconstruct(Backdoored(), held_out(200)[0], 10, SEARCH)
    assert torch.equal(again.sizes, found.sizes)


def test_sizes_that_differ_by_factors_hide_no_backdoor():
    honest = torch.tensor([52.0, 126.2, 44.9, 75.4, 29.0, 50.9, 75.1, 43.0, 63.8])
    assert (anomaly_index(torch.cat([honest, torch.tensor([5.9])])) > 3).tolist() == [False] * 9 + [True]
    assert not (anomaly_index(torch.cat([honest, torch.tensor([48.0])])) > 3).any()


def test_nearly_equal_sizes_accuse_nobody():
    assert not (anomaly_index(torch.tensor([10.0] * 9 + [8.0])) > 3).any()
