"""Auto-PGD against the published pseudo-code, written out for one image at a time."""

import pytest
import torch

from secmlops.robustness.attacks.apgd import Apgd, likeliest_wrong
from secmlops.robustness.attacks.ball import ball
from secmlops.robustness.attacks.goal import cross_entropy, dlr, gradient, targeted_dlr, untargeted
from tests.unit.robustness.small import held_out, trained


def one_image(classifier, image, label, start, eps, steps, norm):
    """Algorithm 1 of Croce and Hein (2020); returns the image of the highest loss and that loss.

    Checkpoints: p_0 = 0, p_1 = .22, p_j+1 = p_j + max(p_j - p_j-1 - .03, .06), in whole steps as their code has them.
    """

    def project(x):
        if norm == "linf":
            return torch.minimum(torch.maximum(x, image - eps), image + eps).clamp(0, 1)
        change = x - image
        return (image + change * min(1, eps / change.norm().item())).clamp(0, 1)

    def slope(x):
        x = x.clone().requires_grad_()
        loss = cross_entropy(classifier(x[None]), label[None])[0]
        upward = torch.autograd.grad(loss, x)[0]
        return loss.item(), upward.sign() if norm == "linf" else upward / upward.norm()

    checks, length, at = [], max(int(0.22 * steps), 1), 0
    while at < steps:
        at += length
        checks.append((at, length))
        length = max(length - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    step = 2 * eps
    points, losses = [start], []
    loss, upward = slope(start)
    losses.append(loss)
    best, best_loss, best_upward = start, loss, upward
    now, before, halved_before, best_before, rises = start, start, True, loss, 0
    for k in range(steps):
        onward = project(now + step * upward)
        if k:
            onward = project(now + 0.75 * (onward - now) + 0.25 * (now - before))
        before, now = now, onward
        loss, upward = slope(now)
        rises += loss > losses[-1]
        losses.append(loss)
        points.append(now)
        if loss > best_loss:
            best, best_loss, best_upward = now, loss, upward
        for check, length in checks:
            if k + 1 == check:
                halve = rises <= 0.75 * length or (not halved_before and best_loss <= best_before)
                if halve:
                    step, now, upward = step / 2, best, best_upward
                halved_before, best_before, rises = halve, best_loss, 0
    return best, best_loss


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_batch_climbs_as_the_published_algorithm_does(norm):
    classifier = trained(hardened=True).double()
    images, labels = held_out(8)
    images = images.double()
    eps, steps = {"linf": 0.02, "l2": 0.1}[norm], 60  # little enough that no image breaks and leaves
    attack = Apgd(eps, norm=norm, steps=steps)
    rows = torch.arange(len(images))
    start = ball(images, eps, norm).random(torch.Generator().manual_seed(7))
    attacked = attack.climb(untargeted(classifier, labels), images, torch.Generator().manual_seed(7))
    _, losses, fooled = gradient(untargeted(classifier, labels), attacked, rows)
    assert not fooled.any()
    for row in rows:
        image, loss = one_image(classifier, images[row], labels[row], start[row], eps, steps, norm)
        assert losses[row].item() == pytest.approx(loss, rel=1e-6)
        assert torch.allclose(attacked[row], image, atol=1e-7)
    classifier.float()


def test_dlr_is_the_papers():
    logits, labels = torch.tensor([[3.0, 1.0, 2.0, 0.0], [1.0, 5.0, 2.0, 4.0]]), torch.tensor([0, 3])
    assert dlr(logits, labels).tolist() == pytest.approx([-(3 - 2) / (3 - 1), -(4 - 5) / (5 - 2)])
    targets = torch.tensor([1, 0])
    assert targeted_dlr(logits, labels, targets).tolist() == pytest.approx(
        [-(3 - 1) / (3 - (1 + 0) / 2), -(4 - 1) / (5 - (2 + 1) / 2)]
    )


def test_dlr_does_not_see_the_logits_scale():
    logits, labels = torch.randn(5, 6), torch.arange(5)
    assert torch.allclose(dlr(logits, labels), dlr(1000 * logits + 3, labels), atol=1e-4)


def test_the_likeliest_wrong_classes_come_in_order_and_leave_the_true_one_out():
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    found = likeliest_wrong(lambda images: logits, torch.zeros(1, 1, 1, 1), torch.tensor([2]), 9)
    assert found.tolist() == [[0, 1, 3]]


def test_overflowing_logits_do_not_stop_dlr():
    """A classifier whose logits are huge has no cross-entropy gradient left; the ratio still finds its way."""
    classifier, (images, labels) = trained(), held_out(60)
    certain = lambda images: 1e5 * classifier(images)  # noqa: E731
    labels = classifier(images).argmax(1)
    by_ratio = Apgd(0.2, loss="dlr", steps=40)(certain, images, labels)
    plainly = Apgd(0.2, loss="dlr", steps=40)(classifier, images, labels)
    broken, as_before = ((classifier(one).argmax(1) != labels).sum().item() for one in (by_ratio, plainly))
    assert broken >= as_before - 1 > 20
