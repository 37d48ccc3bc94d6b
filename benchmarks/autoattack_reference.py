"""Our AutoAttack beside the authors' own code, on the same networks and images of MNIST: within one point.

The reference is not on PyPI. Put a checkout of it (https://github.com/fra31/auto-attack) where
`AUTOATTACK_REFERENCE` says; without it there is nothing to compare with and this is skipped. Two networks, trained here
on 20,000 images, standard and hardened by random-start FGSM at eps .1; 300 test images; Square with 1,000 queries in
both. Seconds are CPU time.

    AUTOATTACK_REFERENCE=../auto-attack python -m benchmarks.autoattack_reference
"""

import os
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.data import data_root
from benchmarks.report import Row, print_rows
from secmlops.digits.data import load_digits
from secmlops.robustness.attacks.autoattack import AutoAttack
from secmlops.robustness.hardening.adversarial_training import FgsmTraining
from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.trainer import trainer

NETWORK = NetworkConfig(image_shape=(1, 28, 28), classes=10)
TRAINED, ATTACKED, QUERIES = 20_000, 300, 1_000
EPS = 0.1
WITHIN = 0.01


def main() -> bool | None:
    """Measure and print; returns whether all figures agree; None without data or reference."""
    root, reference = data_root(), os.environ.get("AUTOATTACK_REFERENCE")
    if root is None or reference is None or not (Path(reference) / "autoattack").is_dir():
        print("autoattack_reference: skipped, it needs the public data and the reference (AUTOATTACK_REFERENCE)")
        return None
    sys.path.insert(0, reference)
    splits = load_digits(root / "vision" / "mnist")
    images, labels = (torch.from_numpy(some[:TRAINED]) for some in (splits.train.images, splits.train.labels))
    networks = {
        "standard": trainer(NETWORK, FitConfig(epochs=2, batch_size=128))(images, labels),
        "hardened": trainer(NETWORK, FitConfig(epochs=4, batch_size=128), FgsmTraining(EPS))(images, labels),
    }
    images, labels = (torch.from_numpy(some[:ATTACKED]) for some in (splits.test.images, splits.test.labels))
    return print_rows("AutoAttack", [_row(name, network, images, labels) for name, network in networks.items()])


def _row(name: str, network: nn.Module, images: Tensor, labels: Tensor) -> Row:
    began = time.process_time()
    ours = AutoAttack(EPS, queries=QUERIES)(network, images, labels)
    ours_s, began = time.process_time() - began, time.process_time()
    theirs = _reference(network, images, labels)
    theirs_s = time.process_time() - began
    left, peer_left = ((network(some).argmax(1) == labels).double().mean().item() for some in (ours, theirs))
    return Row(
        f"accuracy under AutoAttack at eps {EPS}, {len(images)} images, {name} network",
        f"{left:.4f} in {ours_s:.0f} s",
        f"reference {peer_left:.4f} in {theirs_s:.0f} s",
        f"{ours_s / theirs_s:.2f} of the time",
        f"within {WITHIN}",
        abs(left - peer_left) <= WITHIN,
    )


def _reference(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    from autoattack import AutoAttack as Reference

    attack = Reference(network, norm="Linf", eps=EPS, seed=0, verbose=False, device="cpu")
    attack.square.n_queries = QUERIES
    return attack.run_standard_evaluation(images, labels, bs=len(images))


if __name__ == "__main__":
    main()
