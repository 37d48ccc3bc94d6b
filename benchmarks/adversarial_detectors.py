"""Adversarial inputs on MNIST: the second opinion of an autoencoder, and telling drift from attack.

The classifier is trained as it comes; attacks are white-box on it and do not know the detector, but for the adaptive
one, which does. Scores are of the images that fool the classifier. Reference, fitting and testing of the judge take
different validation images, all of the same writers; it is tested on the kinds of drift and attack that it was fitted
on and on kinds that it was not. The test split has other writers: what the judge says of it untouched is told apart.

    python -m benchmarks.adversarial_detectors
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.data import data_root
from benchmarks.report import Row, at_least, print_rows
from secmlops.detectors.adversarial_ae import AdversarialAe, AdversarialAeConfig
from secmlops.detectors.changes import IMAGE_CHANGES
from secmlops.detectors.evaluation import roc
from secmlops.detectors.verdict import EvidenceReader, Judge, Kind, Signals, fit_judge, mixture
from secmlops.digits.data import load_digits
from secmlops.images.image_set import ImageSet
from secmlops.progress import say
from secmlops.robustness.attacks import build as build_attack
from secmlops.robustness.attacks.adaptive import DetectorAware
from secmlops.robustness.hardening.adversarial_training import CrossEntropy
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.networks import NetworkConfig, build

NETWORK = NetworkConfig(image_shape=(1, 28, 28), classes=10)
TRAINED, AUTOENCODED = 10_000, 12_000
TESTED, CALIBRATED, REFERENCE, POOL, ATTACKED = 300, 1_000, 1_000, 1_200, 300
EUCLIDEAN = 4.0
ROWS, REPEATS, LEVEL = 150, 3, 0.05
LEAST_AUROC, LEAST_RIGHT = 0.95, 0.9

TUNED_CHANGES = ("blurred", "noisy", "moved", "thickened")
NEW_CHANGES = ("faded", "turned", "slanted")
SIZES = (0.3, 0.6, 1.0)
MEASURED = (("fgsm", 0.1), ("fgsm", 0.2), ("pgd", 0.1), ("pgd", 0.2))
BOUND = (("fgsm", 0.3), ("pgd", 0.3), ("carlini_wagner", EUCLIDEAN))
TUNED_ATTACKS = (*MEASURED, ("carlini_wagner", EUCLIDEAN))
NEW_ATTACKS = (("fgsm", 0.3), ("pgd", 0.3), ("apgd_dlr", 0.15), ("deepfool", 0.5))
TUNED_SHARES, NEW_SHARES = (0.1, 0.3, 0.6, 1.0), (0.15, 0.25, 0.5, 0.9)
SETTINGS: dict[str, dict[str, int]] = {
    "pgd": {"steps": 15},
    "carlini_wagner": {"rounds": 3, "steps": 50},
    "apgd_dlr": {"steps": 20},
}

Window = tuple[Kind, Signals]


def main() -> bool | None:
    """Measure, print, and return whether every bound was met; None without MNIST."""
    root = data_root()
    if root is None:
        print("adversarial_detectors: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    splits = load_digits(root / "vision" / "mnist")
    images = torch.from_numpy(splits.train.images)
    torch.manual_seed(0)
    network = build(NETWORK)
    labels = torch.from_numpy(splits.train.labels)
    fit(
        network,
        images[:TRAINED],
        labels[:TRAINED],
        CrossEntropy(),
        FitConfig(epochs=4, batch_size=128, learning_rate=4e-3),
    )
    detector = AdversarialAe(AdversarialAeConfig(image_shape=(1, 28, 28), hidden=(256,)), network)
    report = detector.fit(images[:AUTOENCODED], FitConfig(epochs=8, batch_size=128))
    threshold = detector.infer_threshold(splits.validation.images[:CALIBRATED], LEVEL)
    say(f"the autoencoder took {report.seconds:.0f} s")
    rows = _auroc(detector, threshold, network, splits.test) + _verdicts(
        detector, network, splits.validation, splits.test
    )
    return print_rows("Detectors of adversarial inputs, MNIST", rows)


def _attack(network: nn.Module, name: str, eps: float, images: Tensor, labels: Tensor) -> Tensor:
    return build_attack(name, eps, **SETTINGS.get(name, {}))(network, images, labels)


def _auroc(detector: AdversarialAe, threshold: float, network: nn.Module, test: ImageSet) -> list[Row]:
    images, labels = torch.from_numpy(test.images[:TESTED]), torch.from_numpy(test.labels[:TESTED])
    clean = detector.score(images)
    false_positives = (clean > threshold).mean()
    rows = []
    for name, eps in (*MEASURED, *BOUND):
        attacked = _attack(network, name, eps, images, labels)
        fooled = network(attacked).argmax(1) != labels
        curve = roc(name, clean, detector.score(attacked[fooled]))
        norm = "L2" if name == "carlini_wagner" else "eps"
        claim = f"{name} at {norm} {eps:g}: AUROC ({fooled.float().mean():.0%} of {TESTED} fooled)"
        told = f"caught {curve.caught_at(LEVEL):.3f} at {LEVEL:g}"
        if (name, eps) in BOUND:
            rows.append(at_least(claim, curve.auroc, LEAST_AUROC, peer=told))
        else:
            rows.append(Row(claim, f"{curve.auroc:.4f}", told, "-", "", None))
    for eps in (0.1, 0.3):
        aware = DetectorAware(eps, detector.attackable_score, threshold, steps=50)
        evades = aware.evades(network, aware(network, images[:100], labels[:100]), labels[:100]).float().mean()
        claim = f"adaptive attack at eps {eps:g}: share of 100 wrong and not flagged"
        rows.append(Row(claim, f"{evades:.2f}", f"clean flagged {false_positives:.3f}", "-", "", None))
    return rows


def _verdicts(detector: AdversarialAe, network: nn.Module, validation: ImageSet, test: ImageSet) -> list[Row]:
    reader = EvidenceReader(_signals(detector, network, validation.images[:REFERENCE]))
    pool = validation.take(slice(REFERENCE, REFERENCE + POOL))
    fitted = _windows(detector, network, pool, TUNED_CHANGES, TUNED_ATTACKS, TUNED_SHARES, seed=0)
    judge = fit_judge([reader.read(signals) for _, signals in fitted], [kind for kind, _ in fitted], level=LEVEL)
    later = validation.take(slice(REFERENCE + POOL, REFERENCE + 2 * POOL))
    known = _windows(detector, network, later, TUNED_CHANGES, TUNED_ATTACKS, TUNED_SHARES, seed=1)
    unknown = _windows(detector, network, later, NEW_CHANGES, NEW_ATTACKS, NEW_SHARES, seed=2)
    others = _signals(detector, network, test.images[TESTED : TESTED + POOL])
    generator = np.random.default_rng(3)
    written = [judge.judge(reader.read(mixture(others, others, 0, ROWS, generator))).kind for _ in range(50)]
    told = ", ".join(f"{kind} {written.count(kind) / 50:.2f}" for kind in ("clean", "drift", "attack"))
    return [
        Row(f"verdict on 50 windows of {ROWS} by other writers ({POOL:,} MNIST test images)", told, "-", "-", "", None),
    ] + [
        row
        for name, windows in (("the kinds it was fitted on", known), ("other kinds", unknown))
        for row in _right(name, judge, reader, windows)
    ]


def _right(name: str, judge: Judge, reader: EvidenceReader, windows: list[Window]) -> list[Row]:
    right: Mapping[Kind, list[bool]] = {"clean": [], "drift": [], "attack": []}
    for kind, signals in windows:
        right[kind].append(judge.judge(reader.read(signals)).kind == kind)
    each = ", ".join(f"{kind} {np.mean(found):.3f} of {len(found)}" for kind, found in right.items())
    share = float(np.mean([found for some in right.values() for found in some]))
    return [at_least(f"verdict right on new windows of {ROWS}, {name}", share, LEAST_RIGHT, peer=each)]


def _windows(
    detector: AdversarialAe,
    network: nn.Module,
    images: ImageSet,
    changes: tuple[str, ...],
    attacks: tuple[tuple[str, float], ...],
    shares: tuple[float, ...],
    seed: int,
) -> list[Window]:
    generator = np.random.default_rng(seed)
    read = partial(_signals, detector, network)
    clean = read(images.images)
    windows: list[Window] = [("clean", mixture(clean, clean, 0, ROWS, generator)) for _ in range(16 * REPEATS)]
    for change in changes:
        for size in SIZES:
            drifted = read(IMAGE_CHANGES[change](images.images[:ATTACKED], size, generator))
            windows += [("drift", mixture(clean, drifted, 1, ROWS, generator)) for _ in range(REPEATS)]
    some, labels = torch.from_numpy(images.images[:ATTACKED]), torch.from_numpy(images.labels[:ATTACKED])
    for name, eps in attacks:
        attacked = _attack(network, name, eps, some, labels)
        fooled = read(attacked[network(attacked).argmax(1) != labels].numpy())
        for share in shares:
            share = min(share, len(fooled.scores) / ROWS)
            windows += [("attack", mixture(clean, fooled, share, ROWS, generator)) for _ in range(REPEATS)]
    return windows


@torch.no_grad()
def _signals(detector: AdversarialAe, network: nn.Module, images: np.ndarray) -> Signals:
    """The last hidden layer, the probabilities and the detector's scores."""
    assert isinstance(network, nn.Sequential)
    hidden = network[:-1](torch.from_numpy(images))
    return Signals(hidden.numpy(), network[-1](hidden).softmax(1).numpy(), detector.score(images))


if __name__ == "__main__":
    raise SystemExit(main() is False)
