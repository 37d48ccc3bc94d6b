"""Small classifiers: scikit-learn's 8x8 digits, learnt in a second, and linear ones with known answers."""

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from secmlops.robustness.networks import NetworkConfig, build

SHAPE = (1, 8, 8)


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Images (1797, 1, 8, 8) in [0, 1], shuffled, and labels."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(5))
    return torch.tensor(images / 16, dtype=torch.float32).view(-1, *SHAPE)[order], torch.tensor(labels)[order]


def held_out(count: int = 100) -> tuple[Tensor, Tensor]:
    """Images and labels that `trained` has not seen."""
    images, labels = digits()
    return images[1400 : 1400 + count], labels[1400 : 1400 + count]


@cache
def trained(hardened: bool = False, seed: int = 0) -> nn.Sequential:
    """A convolutional network, trained as it comes or with random-start FGSM at eps .15 (Wong et al., 2020)."""
    torch.manual_seed(seed)
    network = build(NetworkConfig(image_shape=SHAPE, classes=10, channels=(16, 32), hidden=(64,)))
    images, labels = (some[:1400] for some in digits())
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(25 if hardened else 12):
        for rows in torch.randperm(len(images)).split(100):
            seen = _pushed(network, images[rows], labels[rows]) if hardened else images[rows]
            loss = nn.functional.cross_entropy(network(seen), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def _pushed(network: nn.Module, images: Tensor, labels: Tensor, eps: float = 0.15) -> Tensor:
    change = (torch.rand_like(images) * 2 - 1) * eps
    change.requires_grad_()
    loss = nn.functional.cross_entropy(network(images + change), labels)
    step = torch.autograd.grad(loss, change)[0].sign() * 1.25 * eps
    return (images + (change.detach() + step).clamp(-eps, eps)).clamp(0, 1)


def linear(classes: int = 5, seed: int = 0, shape: tuple[int, int, int] = (1, 4, 4)) -> nn.Sequential:
    """A linear classifier, for which the nearest error is known exactly."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes)).eval()


def accuracy(classifier, images: Tensor, labels: Tensor) -> float:
    """The share of images classified right."""
    with torch.no_grad():
        return (classifier(images).argmax(1) == labels).double().mean().item()
