"""What each change of the architecture is worth under adversarial training (TRADES, eps .3), alone and together.

The changes are those of the literature that cost little: a smooth activation (SiLU, Xie et al. 2020) and thresholds
before the first layer (found in adversarially trained networks by Madry et al. 2018, here given as stretched contrast);
a wider hidden layer stands for capacity. Short trainings on 12,000 MNIST images, two seeds, tested on 1,000 images that
are held out of the training split: for comparing with each other, not with tables of full trainings. There is no bound;
the mean of the seeds is told, and behind it each seed.

    python -m benchmarks.architecture_ablation
"""

import time

import torch
from torch import Tensor

from benchmarks.data import data_root
from benchmarks.report import Row, print_rows
from secmlops.digits.data import load_digits
from secmlops.digits.recipes import Member
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.classifiers import ClassifierConfig, build_classifier
from secmlops.robustness.hardening.adversarial_training import RobustAccuracy, Trades
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.transformations import ContrastConfig

EPS = 0.3
IMAGES, TESTED = 12_000, 1_000
SEEDS = (0, 1)
CONFIG = FitConfig(epochs=6, batch_size=128, learning_rate=3e-3, averaging=0.99)
STRETCHED = ContrastConfig(low=EPS, high=1 - EPS)

VARIANTS = {
    "base: 32-64 channels, 256 hidden, ReLU": (Member(), None),
    "SiLU": (Member(activation="silu"), None),
    "hidden layer of 512": (Member(hidden=(512,)), None),
    "stretched contrast": (Member(), STRETCHED),
    "stretched contrast and SiLU": (Member(activation="silu"), STRETCHED),
}


def main() -> bool | None:
    """Train, attack and print."""
    root = data_root()
    if root is None:
        print("architecture_ablation: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    splits = load_digits(root / "vision" / "mnist")
    train = [torch.from_numpy(a[:IMAGES]) for a in (splits.train.images, splits.train.labels)]
    test = [torch.from_numpy(a[:TESTED]) for a in (splits.validation.images, splits.validation.labels)]
    rows = []
    for name, (member, contrast) in VARIANTS.items():
        config = ClassifierConfig(members=(member.config((1, 28, 28), 10),), transformation=contrast)
        measured = [_measured(config, train, test, seed) for seed in SEEDS]
        clean, robust, seconds = (list(column) for column in zip(*measured, strict=True))
        rows.append(Row(f"{name}: clean", _told(clean), "-", "-", "", None))
        rows.append(Row(f"{name}: PGD-40 at {EPS}", _told(robust), "-", "-", "", None))
        rows.append(Row(f"{name}: training, CPU s", f"{sum(seconds) / len(seconds):.0f}", "-", "-", "", None))
        print(f">> {name}: clean {_told(clean)}, robust {_told(robust)}", flush=True)
    return print_rows("Architectures", rows)


def _measured(
    config: ClassifierConfig, train: list[Tensor], test: list[Tensor], seed: int
) -> tuple[float, float, float]:
    """Clean and robust accuracy, and CPU seconds of the training."""
    torch.manual_seed(seed)
    network = build_classifier(config)
    began = time.process_time()
    fit(network, train[0], train[1], Trades(eps=EPS, steps=4), CONFIG.model_copy(update={"seed": seed}))
    seconds = time.process_time() - began
    clean, robust = (RobustAccuracy(Pgd(eps, steps=40), *test)(network) for eps in (0.0, EPS))
    return clean, robust, seconds


def _told(values: list[float]) -> str:
    return f"{sum(values) / len(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


if __name__ == "__main__":
    main()
