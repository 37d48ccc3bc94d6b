"""Certified training on MNIST at eps .1 and .3: what is proved, what attacks reach, and that the two never cross.

Networks are trained from scratch here, behind contrast stretched by the budget (the published ones beside them see
images as they are), and tested on the test split: clean, FGSM and certificates on all 10,000 images, PGD on the first
2,000, AutoAttack (100 steps, 5,000 queries of Square) on the first 500. Training times are wall time of this run on the
threads it was given, so they mean something on a quiet machine only. This takes up to an hour.

    python -m benchmarks.certified_digits
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.data import data_root
from benchmarks.report import Row, at_least, at_most, print_rows
from secmlops.digits.data import load_digits
from secmlops.digits.recipes import train_recipe
from secmlops.images.splits import Splits
from secmlops.progress import reporter, say
from secmlops.robustness.attacks.attack import Attack
from secmlops.robustness.attacks.autoattack import AutoAttack
from secmlops.robustness.attacks.fgsm import Fgsm
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.attacks.standing import stands
from secmlops.robustness.certification import METHODS, certified
from secmlops.robustness.certification.smoothing import GaussianNoise, Smoothing, certify
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.networks import NetworkConfig, build

SECONDS = 900
ATTACKED, DEEP, SMOOTHED = 2_000, 500, 100
SIGMA = 0.25
RADII = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a recipe must reach.

    Attributes:
        recipe: its name.
        eps: budget that is proved.
        clean: least clean accuracy.
        certified: least certified accuracy.
        peer: published figures beside it, of larger networks trained for longer.
    """

    recipe: str
    eps: float
    clean: float
    certified: float
    peer: str


CLAIMS = (
    Claim("certified_small", 0.1, 0.98, 0.965, "clean .9903, certified .9775 (CROWN-IBP); .9894, .9708 (IBP)"),
    Claim("certified_large", 0.3, 0.96, 0.88, "clean .9838, certified .9332 (CROWN-IBP); .9834, .9179 (IBP)"),
)


def main() -> bool | None:
    """Train, attack, prove and print; returns whether every bound was met."""
    root = data_root()
    if root is None:
        print("certified_digits: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    splits = load_digits(root / "vision" / "mnist")
    rows = [row for claim in CLAIMS for row in _certified(claim, splits)]
    return print_rows("Certified digits (MNIST)", [*rows, *_smoothed(splits)])


def _certified(claim: Claim, splits: Splits) -> list[Row]:
    trained = train_recipe(claim.recipe, splits.train, splits.validation, on_progress=reporter(claim.recipe))
    network, (images, labels) = trained.classifier, _test(splits)
    with torch.no_grad():
        right = network(images).argmax(1) == labels
    rows = [
        at_most(
            f"{claim.recipe}, training, wall s, {torch.get_num_threads()} threads",
            trained.seconds,
            SECONDS,
            peer="-",
            digits=0,
        ),
        at_least(f"{claim.recipe}, clean, n={len(images):,}", _share(right), claim.clean, peer=claim.peer),
    ]
    for method in METHODS:
        began = time.perf_counter()
        proved = certified(network, images, labels, claim.eps, method=method)
        told = f"{claim.recipe}, certified {claim.eps:g} by {method}, n={len(images):,}"
        say(f"{told}: {_share(proved):.4f} in {time.perf_counter() - began:.0f} s")
        if method == METHODS[-1]:
            rows.append(at_least(told, _share(proved), claim.certified, peer=claim.peer))
        else:
            rows.append(Row(told, f"{_share(proved):.4f}", "-", "-", "", None))
    return [*rows, *_attacked(claim, network, images, labels, proved)]


def _attacked(claim: Claim, network: nn.Module, images: Tensor, labels: Tensor, proved: Tensor) -> list[Row]:
    """Accuracy under attack, which the certificates of the same images may not exceed."""
    attacks: tuple[tuple[str, Attack, int], ...] = (
        ("FGSM", Fgsm(claim.eps), len(images)),
        ("PGD-40", Pgd(claim.eps, steps=40), ATTACKED),
        ("AutoAttack", AutoAttack(claim.eps), DEEP),
    )
    rows, broken = [], 0
    for name, attack, count in attacks:
        attacked = attack(network, images[:count], labels[:count])
        held = stands(network, attacked, labels[:count])
        broken += int((proved[:count] & ~held).sum())
        beside = f"certified on these: {_share(proved[:count]):.4f}"
        told = f"{claim.recipe}, {name} {claim.eps:g}, n={count:,}"
        say(f"{told}: {_share(held):.4f}, {beside}")
        rows.append(Row(told, f"{_share(held):.4f}", beside, "-", "", None))
    return [*rows, at_most(f"{claim.recipe}, certificates that an attack broke", broken, 0, peer="-", digits=0)]


def _smoothed(splits: Splits) -> list[Row]:
    """Randomized smoothing in L2, told for comparison: another norm, so nothing to compare the above with."""
    torch.manual_seed(0)
    network = build(NetworkConfig(image_shape=(1, 28, 28), classes=10, channels=(32, 64), hidden=(256,)))
    images, labels = torch.from_numpy(splits.train.images), torch.from_numpy(splits.train.labels)
    report = fit(network, images, labels, GaussianNoise(SIGMA), FitConfig(epochs=5, averaging=0.995))
    images, labels = (some[:SMOOTHED] for some in _test(splits))
    found = certify(network, images, Smoothing(sigma=SIGMA))
    told = f"smoothing, sigma {SIGMA}, 10,000 samples, trained in {report.seconds:.0f} s, n={SMOOTHED}: certified L2"
    return [
        Row(f"{told} {radius:g}", f"{_share(found.certified(labels, radius)):.4f}", "-", "-", "", None)
        for radius in RADII
    ]


def _test(splits: Splits) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(splits.test.images), torch.from_numpy(splits.test.labels)


def _share(held: Tensor) -> float:
    return float(held.double().mean())


if __name__ == "__main__":
    main()
