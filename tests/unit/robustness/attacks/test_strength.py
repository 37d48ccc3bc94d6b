"""Attacks on a trained network: each at least as strong as a plain reading of its paper, and as ART's."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from secmlops.robustness.attacks import build
from secmlops.robustness.attacks.goal import cross_entropy
from secmlops.robustness.attacks.patch import UniversalPatch, random_places, stick
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.attacks.square import Square
from secmlops.robustness.attacks.transfer import Transfer
from tests.unit.robustness.small import accuracy, held_out, linear, trained

EPS = 0.1
LUCK = 0.02
"""What other random starts are worth on a hundred images; the last bits of a sum decide some too."""


def left(name, eps=EPS, hardened=True, **settings):
    network, (images, labels) = trained(hardened), held_out()
    return accuracy(network, build(name, eps, **settings)(network, images, labels), labels)


def plain_pgd(network, images, labels, eps, steps, runs):
    """Madry et al. (2018), written out: worst case over runs."""
    standing = torch.ones(len(images), dtype=torch.bool)
    for run in range(runs):
        torch.manual_seed(run)
        at = images + (torch.rand_like(images) * 2 - 1) * eps
        for _ in range(steps):
            at = at.clamp(0, 1).requires_grad_()
            upward = torch.autograd.grad(cross_entropy(network(at), labels).sum(), at)[0]
            at = torch.clamp(at.detach() + 2.5 * eps / steps * upward.sign(), images - eps, images + eps)
        standing &= network(at.clamp(0, 1)).argmax(1) == labels
    return standing.double().mean().item()


def test_the_stronger_the_attack_the_less_is_left():
    clean = accuracy(trained(hardened=True), *held_out())
    fgsm, pgd, deepest = left("fgsm"), left("pgd", restarts=2), left("autoattack", queries=30, steps=20)
    assert clean > 0.9
    assert deepest <= pgd <= fgsm < clean
    assert left("apgd_ce") <= pgd + 0.01
    assert left("apgd_t", steps=20) <= deepest + 0.01


@pytest.mark.parametrize("hardened", [False, True])
def test_pgd_leaves_no_more_than_a_plain_pgd_of_as_many_steps(hardened):
    network, (images, labels) = trained(hardened), held_out()
    theirs = plain_pgd(network, images, labels, EPS, 20, 2)
    assert left("pgd", hardened=hardened, steps=20, restarts=2) <= theirs + LUCK


def test_pgd_leaves_no_more_than_arts():
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    network, (images, labels) = trained(hardened=True), held_out()
    wrapped = PyTorchClassifier(network, nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0.0, 1.0))
    art = ProjectedGradientDescent(
        wrapped, eps=EPS, eps_step=EPS / 16, max_iter=40, num_random_init=1, batch_size=100, verbose=False
    )
    theirs = accuracy(network, torch.from_numpy(art.generate(images.numpy(), labels.numpy())), labels)
    network.zero_grad(set_to_none=True)
    assert left("pgd") <= theirs + LUCK


def test_deepfool_breaks_what_arts_breaks_with_about_as_little_change():
    from art.attacks.evasion import DeepFool
    from art.estimators.classification import PyTorchClassifier

    network, (images, labels) = trained(), held_out(40)
    wrapped = PyTorchClassifier(network, nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0.0, 1.0))
    theirs = torch.from_numpy(DeepFool(wrapped, batch_size=40, verbose=False).generate(images.numpy()))
    ours = build("deepfool", math.inf, norm="l2")(network, images, labels)
    right = network(images).argmax(1) == labels
    broken = [(network(one).argmax(1) != labels)[right].double().mean() for one in (ours, theirs)]
    far = [(one - images).flatten(1).norm(dim=1)[right].mean() for one in (ours, theirs)]
    assert broken[0] == 1 >= broken[1]
    assert far[0] <= 1.1 * far[1]


def test_the_nearest_errors_are_ordered_as_the_attacks_are():
    """FAB and Carlini-Wagner search for the nearest error, DeepFool is greedy; none can be nearer than a finer one."""
    network, (images, labels) = trained(), held_out(40)
    right = network(images).argmax(1) == labels
    far = {}
    for name, settings in {
        "fab_t": {"norm": "l2", "early_stop": False, "steps": 30, "targets": 5},
        "carlini_wagner": {},
        "deepfool": {"norm": "l2"},
    }.items():
        attacked = build(name, math.inf, **settings)(network, images, labels)
        assert (network(attacked).argmax(1) != labels).all()
        far[name] = (attacked - images).flatten(1).norm(dim=1)[right].mean().item()
    assert far["carlini_wagner"] == pytest.approx(far["fab_t"], rel=0.05)
    assert far["fab_t"] <= far["deepfool"]


def test_broken_images_leave_the_batch():
    asked = []
    network, (images, labels) = trained(), held_out()

    def counting(images):
        asked.append(len(images))
        return network(images)

    stopped = Pgd(0.3, steps=40)(counting, images, labels)
    early = sum(asked)
    asked.clear()
    Pgd(0.3, steps=40, early_stop=False)(counting, images, labels)
    assert accuracy(network, stopped, labels) == 0
    assert early < sum(asked) / 4


def test_square_asks_within_its_budget_and_without_gradient():
    asked = []
    network, (images, labels) = trained(hardened=True), held_out(30)

    def black_box(images):
        assert not torch.is_grad_enabled()
        asked.append(len(images))
        return torch.from_numpy(network(images).numpy())

    attacked = Square(EPS, queries=50)(black_box, images, labels)
    assert len(asked) == 51  # one to see what stands
    assert sum(asked) <= 51 * 30
    assert accuracy(network, attacked, labels) < accuracy(network, images, labels)


def test_squares_shrink_as_the_paper_schedules():
    image = torch.zeros(1, 1, 28, 28)
    attack = Square(0.3, queries=10_000)
    sides = [attack._side(query, image) for query in (1, 10, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    shares = [0.8, 0.8, *(0.8 / 2**halvings for halvings in range(1, 10))]
    assert sides == [max(round(28 * math.sqrt(share)), 1) for share in shares]
    assert Square(0.3, queries=100)._side(1, image) == attack._side(100, image)


def test_images_that_are_pushed_to_the_end_transfer_better():
    surrogate, target, (images, labels) = trained(seed=1), trained(), held_out()
    clean = accuracy(target, images, labels)
    short, far = (
        accuracy(target, Transfer(Pgd(0.2, early_stop=stop), surrogate)(target, images, labels), labels)
        for stop in (True, False)
    )
    assert far < short < clean


def test_hop_skip_jump_knows_decisions_only():
    network, (images, labels) = trained(), held_out(6)

    def decisions(images):
        assert not torch.is_grad_enabled()
        return nn.functional.one_hot(network(images).argmax(1), 10).float()

    attack = build("hop_skip_jump", math.inf, norm="l2", rounds=6, queries=300)
    attacked = attack(decisions, images, labels)
    state = np.random.get_state()[1].copy()
    assert (network(attacked).argmax(1) != labels).all()
    nearest = build("carlini_wagner", math.inf)(network, images, labels)
    far, least = ((one - images).flatten(1).norm(dim=1).mean() for one in (attacked, nearest))
    assert least <= far <= 3 * least
    attack(decisions, images, labels)
    assert (np.random.get_state()[1] == state).all()


def test_a_learnt_patch_fools_more_than_noise_of_its_size_and_changes_nothing_else():
    network, (images, labels) = trained(), held_out()
    attack = UniversalPatch(0.15, steps=60)
    attacked = attack(network, images, labels)
    noise = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(0))
    places = random_places(len(images), (8, 8), 3, torch.Generator().manual_seed(1))
    by_noise = accuracy(network, stick(images, noise, places), labels)
    assert accuracy(network, attacked, labels) < by_noise - 0.2
    assert ((attacked != images).flatten(1).sum(1) <= 9).all()


def test_a_patch_is_stuck_where_it_should_be():
    images, patch = torch.zeros(2, 2, 4, 5), torch.ones(2, 2, 2)
    stuck = stick(images, patch, torch.tensor([[0, 0], [2, 3]]))
    assert stuck.sum() == 2 * 8
    assert (stuck[0, :, :2, :2] == 1).all()
    assert (stuck[1, :, 2:, 3:] == 1).all()


def test_pgd_on_a_linear_network_by_l2_reaches_the_sphere():
    classifier = linear(seed=4)
    images = torch.full((5, 1, 4, 4), 0.5)
    labels = classifier(images).argmax(1)
    attacked = build("pgd", 0.05, norm="l2", early_stop=False)(classifier, images, labels)
    assert (attacked - images).flatten(1).norm(dim=1).tolist() == pytest.approx([0.05] * 5, rel=0.02)
