"""One epoch of adversarial training (PGD, 10 steps), ours beside ART's `AdversarialTrainerMadryPGD`.

The same network from the same weights, the same 3,000 MNIST images, Adam with the same learning rate, the same attack;
ART at the better of two batch sizes. Seconds are CPU time. Robust accuracy (PGD-40, 500 test images) is told beside
it, as speed alone would be no merit.

    python -m benchmarks.adversarial_training_epoch
"""

import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks.data import data_root
from benchmarks.report import Row, print_rows
from secmlops.digits.data import load_digits
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.hardening.adversarial_training import PgdTraining, RobustAccuracy
from secmlops.robustness.hardening.fit import FitConfig, Precision, fit
from secmlops.robustness.networks import NetworkConfig, build

NETWORK = NetworkConfig(image_shape=(1, 28, 28), classes=10, channels=(32, 64), hidden=(256,))
EPS, STEPS, LENGTH = 0.1, 10, 2.5
IMAGES, TESTED = 3_000, 500
BATCH_SIZE = 256
ART_BATCH_SIZES = (256, 512)
LEARNING_RATE = 1e-3
BOUND = 2 / 3
Asked = Literal["auto"] | Precision


def main() -> bool | None:
    """Measure and print; returns whether the bound was met; None without the data."""
    root = data_root()
    if root is None:
        print("adversarial_training_epoch: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    splits = load_digits(root / "vision" / "mnist")
    images = torch.from_numpy(splits.train.images[:IMAGES])
    labels = torch.from_numpy(splits.train.labels[:IMAGES])
    score = RobustAccuracy(
        Pgd(eps=EPS, steps=40),
        torch.from_numpy(splits.test.images[:TESTED]),
        torch.from_numpy(splits.test.labels[:TESTED]),
    )
    theirs = [
        _measured(partial(_art, images=images, labels=labels, batch_size=size), score) for size in ART_BATCH_SIZES
    ]
    peer_s, peer_accuracy = min(theirs)
    size = ART_BATCH_SIZES[theirs.index((peer_s, peer_accuracy))]
    rows = []
    bounds: dict[Asked, float | None] = {"auto": BOUND, "float32": None}
    for precision, bound in bounds.items():
        seconds, accuracy = _measured(partial(_ours, images=images, labels=labels, precision=precision), score)
        rows.append(
            Row(
                f"CPU seconds of an epoch, {IMAGES:,} images, PGD-{STEPS}, precision {precision}",
                f"{seconds:.1f}, robust accuracy {accuracy:.3f}",
                f"ART {peer_s:.1f}, robust accuracy {peer_accuracy:.3f} (batch {size})",
                f"{seconds / peer_s:.2f}",
                f"<= {bound:.2f}" if bound else "",
                seconds <= bound * peer_s if bound else None,
            )
        )
    return print_rows("Adversarial training", rows)


def _measured(train: Callable[[nn.Sequential], None], score: RobustAccuracy) -> tuple[float, float]:
    """CPU seconds of a training, and the robust accuracy of what it trained."""
    torch.manual_seed(0)
    network = build(NETWORK)
    began = time.process_time()
    train(network)
    return time.process_time() - began, score(network.eval())


def _ours(network: nn.Module, images: Tensor, labels: Tensor, precision: Asked) -> None:
    config = FitConfig(epochs=1, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, precision=precision, device="cpu")
    fit(network, images, labels, PgdTraining(eps=EPS, steps=STEPS, step=LENGTH, growth=0.0), config)


def _art(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> None:
    os.environ.setdefault("TQDM_DISABLE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.defences.trainer import AdversarialTrainerMadryPGD
        from art.estimators.classification import PyTorchClassifier

        classifier = PyTorchClassifier(
            network,
            loss=nn.CrossEntropyLoss(),
            optimizer=torch.optim.Adam(network.parameters(), lr=LEARNING_RATE),
            input_shape=NETWORK.image_shape,
            nb_classes=NETWORK.classes,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        trainer = AdversarialTrainerMadryPGD(
            classifier,
            nb_epochs=1,
            batch_size=batch_size,
            eps=EPS,
            eps_step=LENGTH * EPS / STEPS,
            max_iter=STEPS,
            num_random_init=1,
        )
        trainer.fit(images.numpy(), nn.functional.one_hot(labels, NETWORK.classes).float().numpy())


if __name__ == "__main__":
    raise SystemExit(main() is False)
