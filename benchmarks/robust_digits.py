"""Adversarial training on MNIST: FGSM within a minute, the best recipe within ten, and what its architecture is worth.

Networks are trained from scratch here and tested on the test split: clean, FGSM and PGD on all 10,000 images,
AutoAttack (100 steps, 5,000 queries of Square) on the first 1,000. Training times are wall time on the
threads that this run was given, so they mean something on a quiet machine only. The FGSM recipe is trained with three
seeds and its worst figure counts. The best recipe, `robust_architecture`, and `trades` differ in the network alone.
This takes one to two hours; a part of it can be asked for.

    python -m benchmarks.robust_digits [--only fgsm|best|architecture]
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.data import data_root
from benchmarks.report import Row, at_least, at_most, print_rows
from secmlops.digits.data import load_digits
from secmlops.digits.recipes import Trained, train_recipe
from secmlops.images.splits import Splits
from secmlops.progress import reporter
from secmlops.robustness.attacks.attack import Attack
from secmlops.robustness.attacks.autoattack import AutoAttack
from secmlops.robustness.attacks.fgsm import Fgsm
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.attacks.standing import stands
from secmlops.robustness.hardening.adversarial_training import RobustAccuracy

PARTS = ("fgsm", "best", "architecture")
BEST = "robust_architecture"
SEEDS = (0, 1, 2)
ATTACKED, DEEP = 10_000, 1_000
FGSM_SECONDS, BEST_SECONDS = 60, 600
A_POINT = 0.01


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a network.

    Attributes:
        name: what is measured.
        attack: the attack; None for clean images.
        images: how many, from the first of the test split.
        bound: least that it must be.
        peer: the published or earlier figure beside it.
    """

    name: str
    attack: Attack | None
    images: int
    bound: float
    peer: str


FGSM_COLUMNS = (
    Column("clean", None, 10_000, 0.985, "FGSM training, published example: .975"),
    Column("FGSM .1", Fgsm(0.1), 10_000, 0.97, "FGSM training, published example: .802"),
    Column("PGD-40 .1", Pgd(0.1, steps=40), ATTACKED, 0.955, "-"),
    Column("AutoAttack .1", AutoAttack(0.1), DEEP, 0.95, "-"),
)
BEST_COLUMNS = (
    Column("clean", None, 10_000, 0.989, "Madry et al.: .9853; TRADES: .9948"),
    Column("FGSM .1", Fgsm(0.1), 10_000, 0.982, "a plain TRADES script: .980"),
    Column("PGD-100x3 .3", Pgd(0.3, steps=100, restarts=3), ATTACKED, 0.94, "a plain TRADES script: .933"),
    Column("AutoAttack .3", AutoAttack(0.3), DEEP, 0.93, "Madry et al.: .885; TRADES: .928; Gowal et al.: .963"),
)


def main(parts: Sequence[str] = PARTS) -> bool | None:
    """Train, attack and print; returns whether every bound was met."""
    root = data_root()
    if root is None:
        print("robust_digits: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    splits = load_digits(root / "vision" / "mnist")
    rows = _fgsm(splits) if "fgsm" in parts else []
    if {"best", "architecture"} & set(parts):
        best, figures = _best(splits)
        rows += best
        rows += _architecture(splits, figures) if "architecture" in parts else []
    return print_rows("Robust digits (MNIST)", rows)


def _fgsm(splits: Splits) -> list[Row]:
    trained = [_trained("fgsm", splits, seed) for seed in SEEDS]
    figures = [_figures(each.classifier, splits, FGSM_COLUMNS) for each in trained]
    worst = [min(column) for column in zip(*figures, strict=True)]
    told = [" ".join(f"{value:.4f}" for value in column) for column in zip(*figures, strict=True)]
    return [
        _time("fgsm", max(each.seconds for each in trained), FGSM_SECONDS),
        *(
            at_least(
                f"fgsm, {column.name}, worst of seeds ({all_of_them}), n={column.images:,}",
                value,
                column.bound,
                peer=column.peer,
            )
            for column, value, all_of_them in zip(FGSM_COLUMNS, worst, told, strict=True)
        ),
    ]


def _best(splits: Splits) -> tuple[list[Row], list[float]]:
    trained = _trained(BEST, splits, 0)
    figures = _figures(trained.classifier, splits, BEST_COLUMNS)
    rows = [_time(BEST, trained.seconds, BEST_SECONDS)]
    for column, value in zip(BEST_COLUMNS, figures, strict=True):
        rows.append(at_least(f"{BEST}, {column.name}, n={column.images:,}", value, column.bound, peer=column.peer))
    return rows, figures


def _architecture(splits: Splits, best: list[float]) -> list[Row]:
    plain = _trained("trades", splits, 0)
    figures = _figures(plain.classifier, splits, BEST_COLUMNS)
    rows = [
        Row(
            f"{BEST} beside trades, {column.name}, n={column.images:,}",
            f"{value:.4f}",
            f"trades: {beside:.4f}",
            f"{value - beside:+.4f}",
            f">= {-A_POINT:+g}",
            value >= beside - A_POINT,
        )
        for column, value, beside in zip(BEST_COLUMNS, best, figures, strict=True)
    ]
    gain = max(value - beside for value, beside in zip(best, figures, strict=True))
    rows.append(at_least(f"{BEST}, its best gain over trades in a column", gain, 1e-4, peer="-"))
    rows.append(Row("trades, training, wall s", f"{plain.seconds:.0f}", "-", "-", "", None))
    return rows


def _time(name: str, seconds: float, bound: float) -> Row:
    return at_most(f"{name}, training, wall s, {torch.get_num_threads()} threads", seconds, bound, peer="-", digits=0)


def _trained(name: str, splits: Splits, seed: int) -> Trained:
    return train_recipe(name, splits.train, splits.validation, seed=seed, on_progress=reporter(f"{name} seed {seed}"))


def _figures(network: nn.Module, splits: Splits, columns: tuple[Column, ...]) -> list[float]:
    images, labels = torch.from_numpy(splits.test.images), torch.from_numpy(splits.test.labels)
    return [_accuracy(network, images[: column.images], labels[: column.images], column) for column in columns]


def _accuracy(network: nn.Module, images: Tensor, labels: Tensor, column: Column) -> float:
    if column.attack is None:
        value = stands(network, images, labels).double().mean().item()
    else:
        value = RobustAccuracy(column.attack, images, labels)(network)
    print(f">> {column.name}: {value:.4f} of {len(images):,}", flush=True)
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS, help="a part to measure; may be repeated")
    sys.exit(main(parser.parse_args().only or PARTS) is False)
