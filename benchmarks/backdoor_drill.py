"""The backdoor drill: a planted trigger works, is found, and is gone after training without the images that carry it.

On scikit-learn's 8x8 digits a drill for each class as the target; on the first 20,000 MNIST training images two drills,
5 % and 1 % of the images marked. The peers are ART's ActivationDefence and SpectralSignatureDefense, with their default
settings, on the same poisoned network and images.

    python -m benchmarks.backdoor_drill
"""

from collections.abc import Sequence
from statistics import mean

import numpy as np
import torch
from torch import nn

from benchmarks.data import data_root
from benchmarks.report import Row, at_least, at_most, print_rows
from secmlops.digits.data import load_digits
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits
from secmlops.progress import say
from secmlops.robustness.backdoors.drill import DrillData, DrillReport, Plan, run_drill
from secmlops.robustness.backdoors.trigger import PoisonedSet, corner_patch, poison
from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.trainer import Train, trainer

CLASSES = 10
MNIST_IMAGES, REFERENCE = 20_000, 500
DIGITS_FIT = FitConfig(epochs=30, batch_size=64, learning_rate=4e-3)
MNIST_FIT = FitConfig(epochs=5, batch_size=128, learning_rate=3e-3)


def main() -> bool:
    """Drill, print, and return whether every bound was met."""
    digits = load_digits()
    rows = _digits(digits)
    root = data_root()
    if root is None:
        print("backdoor_drill: without MNIST, the public data is not here (set SECMLOPS_DATA)")
        return print_rows("Backdoor drill", rows)
    return print_rows("Backdoor drill", rows + _mnist(load_digits(root / "vision" / "mnist")))


def _digits(splits: Splits) -> list[Row]:
    train = trainer(NetworkConfig(image_shape=(1, 8, 8), classes=CLASSES, hidden=(64,)), DIGITS_FIT)
    data = _data(splits, len(splits.train))
    plans = [Plan(target=target, share=0.1, seed=target) for target in range(CLASSES)]
    return _rows("8x8 digits, 10 drills", data, train, plans)


def _mnist(splits: Splits) -> list[Row]:
    train = trainer(NetworkConfig(image_shape=(1, 28, 28), classes=CLASSES), MNIST_FIT)
    data = _data(splits, MNIST_IMAGES)
    rows = _rows("MNIST 20,000, 5 %", data, train, [Plan(target=3, share=0.05)])
    return rows + _rows("MNIST 20,000, 1 %", data, train, [Plan(target=0, share=0.01, seed=1)])


def _rows(name: str, data: DrillData, train: Train, plans: Sequence[Plan]) -> list[Row]:
    reports = [_drill(name, data, train, plan) for plan in plans]
    peers = [_art(data, train, plan) for plan in plans]
    alarms = sum(bool(report.control.accused) for report in reports)
    missed = sum(report.before.accused != (report.plan.target,) for report in reports)
    least = min(report.before.attack_success for report in reports)
    most = max(report.after.attack_success for report in reports)
    lost = mean(report.accuracy_lost for report in reports)
    control = mean(report.control.clean_accuracy for report in reports)
    rows = [
        at_least(f"{name}: attack success before, least", least, 0.9, peer="-"),
        at_most(f"{name}: attack success after, most", most, 0.05, peer="-"),
        at_most(f"{name}: clean accuracy lost, mean", lost, 0.01, peer=f"never poisoned {control:.4f}"),
        at_most(f"{name}: drills whose backdoored class was not the one accused", missed, 0, peer="-", digits=0),
        at_most(f"{name}: false alarms on networks never poisoned", alarms, 0, peer="-", digits=0),
    ]
    for index, detector in enumerate(("carriers", "activation_clustering", "spectral_signatures", "strip")):
        found = [report.detectors[index] for report in reports]
        figures = [(quality.recall, quality.false_positive_rate) for quality in found]
        theirs = [peer[index - 1] for peer in peers] if index in (1, 2) else []
        rows.append(
            Row(
                f"{name}: {detector}, recall and false-positive rate",
                _both(figures),
                f"ART {_both(theirs)}" if theirs else "-",
                "-",
                "",
                None,
            )
        )
    return rows


def _both(figures: Sequence[tuple[float, float]]) -> str:
    recalls, rates = zip(*figures, strict=True)
    return f"{mean(recalls):.3f}, {mean(rates):.3f}"


def _drill(name: str, data: DrillData, train: Train, plan: Plan) -> DrillReport:
    report = run_drill(data, train, plan)
    say(
        f"{name}, target {plan.target}: attack success {report.before.attack_success:.4f} -> "
        f"{report.after.attack_success:.4f}, clean {report.control.clean_accuracy:.4f} -> "
        f"{report.after.clean_accuracy:.4f}, accused {report.before.accused}, {report.seconds:.0f} s"
    )
    return report


def _data(splits: Splits, count: int) -> DrillData:
    train, reference, test = splits.train.take(slice(count)), splits.validation.take(slice(REFERENCE)), splits.test
    return DrillData(*_tensors(train), _tensors(reference)[0], *_tensors(test), classes=CLASSES)


def _tensors(images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(images.images), torch.from_numpy(images.labels)


def _art(data: DrillData, train: Train, plan: Plan) -> tuple[tuple[float, float], tuple[float, float]]:
    """Recall and false-positive rate of ART's activation clustering and spectral signatures."""
    from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
    from art.estimators.classification import PyTorchClassifier

    channels, height, width = data.images.shape[1:]
    shape = channels, height, width
    planted = poison(
        data.images, data.labels, corner_patch(shape), plan.target, share=plan.share, seed=plan.seed, kind=plan.kind
    )
    network = train(planted.images, planted.labels)
    classifier = PyTorchClassifier(
        model=network,
        loss=nn.CrossEntropyLoss(),
        input_shape=shape,
        nb_classes=CLASSES,
        clip_values=(0, 1),
        device_type="cpu",
    )
    images, labels = planted.images.numpy(), np.eye(CLASSES, dtype=np.float32)[planted.labels.numpy()]
    clustering = ActivationDefence(classifier, images, labels)
    _, clean_by_clusters = clustering.detect_poison(nb_clusters=2, nb_dims=10, reduce="PCA")
    spectral = SpectralSignatureDefense(classifier, images, labels)
    _, clean_by_spectrum = spectral.detect_poison()
    return _found(clean_by_clusters, planted), _found(clean_by_spectrum, planted)


def _found(is_clean: Sequence[int], planted: PoisonedSet) -> tuple[float, float]:
    named = torch.tensor(is_clean) == 0
    return float(named[planted.poisoned].float().mean()), float(named[~planted.poisoned].float().mean())


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
