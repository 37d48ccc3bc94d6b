"""Input transformations and the squeezing detector on MNIST, before attackers who ignore them and who know them.

One standard network, trained here on the first 20,000 training images, and 500 test images attacked by PGD-40 at
eps .1. Ignorant: the attack sees the bare network, and goes on after an image errs. Knowing: it goes through the
transformation (BPDA), or minds the detector. The figures of the knowing attacker are the ones that count.

    python -m benchmarks.input_defences
"""

import torch
from torch import Tensor, nn

from benchmarks.data import data_root
from benchmarks.report import Row, at_most, print_rows
from secmlops.digits.data import load_digits
from secmlops.images.image_set import ImageSet
from secmlops.progress import say
from secmlops.robustness.attacks.adaptive import DetectorAware, through
from secmlops.robustness.attacks.fgsm import Fgsm
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.squeezing_detector import choose, measure
from secmlops.robustness.trainer import trainer
from secmlops.robustness.transformations import (
    BitDepthConfig,
    Denoising,
    DenoisingConfig,
    JpegConfig,
    MedianConfig,
    Transformed,
)

EPS, STEPS = 0.1, 40
TRAINED, CALIBRATED, ATTACKED = 20_000, 1_000, 500
FALSE_POSITIVE_RATE = 0.05
PLAIN = (BitDepthConfig(bits=1), MedianConfig(size=2), MedianConfig(size=3), JpegConfig(quality=50))


def main() -> bool | None:
    """Train, attack, print; returns whether every bound was met."""
    root = data_root()
    if root is None:
        print("input_defences: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    splits = load_digits(root / "vision" / "mnist")
    images, labels = _tensors(splits.train.take(slice(TRAINED)))
    train = trainer(NetworkConfig(image_shape=(1, 28, 28), classes=10), FitConfig(epochs=4, batch_size=128))
    network = train(images, labels)
    torch.manual_seed(0)
    denoised = Transformed(DenoisingConfig().build(), network)
    fit(denoised, images, labels, Denoising(), FitConfig(epochs=3, batch_size=128))
    test = _tensors(splits.test.take(slice(ATTACKED)))
    attacked = Pgd(EPS, steps=STEPS, early_stop=False)(network, *test)
    defences = {config.model_dump_json(): Transformed(config.build(), network) for config in PLAIN}
    rows = [_transformation(name, defence, attacked, *test) for name, defence in defences.items()]
    rows.append(_transformation("denoising autoencoder", denoised, attacked, *test))
    rows += _detector(network, _tensors(splits.validation.take(slice(CALIBRATED))), attacked, *test)
    return print_rows(f"Input defences (MNIST, eps {EPS:g}, n={ATTACKED})", rows)


def _transformation(name: str, defence: Transformed, attacked: Tensor, images: Tensor, labels: Tensor) -> Row:
    knowing = Pgd(EPS, steps=STEPS)(through(defence.transformation, defence.network), images, labels)
    bare, clean, ignored, known = (
        _accuracy(classifier, seen, labels)
        for classifier, seen in (
            (defence.network, attacked),
            (defence, images),
            (defence, attacked),
            (defence, knowing),
        )
    )
    say(f"{name}: clean {clean:.3f}, ignorant {ignored:.3f}, knowing {known:.3f}")
    claim = f"{name}: clean, ignorant, knowing attacker"
    return Row(claim, f"{clean:.3f}, {ignored:.3f}, {known:.3f}", f"undefended {bare:.3f}", "-", "", None)


def _detector(
    network: nn.Module, validation: tuple[Tensor, Tensor], attacked: Tensor, images: Tensor, labels: Tensor
) -> list[Row]:
    trials = {
        "fgsm": Fgsm(EPS)(network, *validation),
        "pgd": Pgd(EPS, steps=STEPS, early_stop=False)(network, *validation),
    }
    detector = choose(network, *validation, trials, false_positive_rate=FALSE_POSITIVE_RATE)
    aware = DetectorAware(EPS, detector.attackable_score, detector.threshold)(network, images, labels)
    tried = {"FGSM": Fgsm(EPS)(network, images, labels), "PGD-40": attacked, "knowing the detector": aware}
    report = measure(detector, images, labels, tried)
    say(f"detector: {', '.join(squeezer.model_dump_json() for squeezer in detector.config.squeezers)}")
    rows = [
        at_most("detector: false positives, set to .05 on validation images", report.false_positive_rate, 0.1, peer="-")
    ]
    for attack in report.attacks:
        found = attack.true_positive_rate
        told = f"{attack.fooled:.3f}, {'-' if found is None else f'{found:.3f}'}, {attack.survives:.3f}"
        rows.append(Row(f"detector, {attack.attack}: fooled, of them found, survive", told, "-", "-", "", None))
    return rows


@torch.no_grad()
def _accuracy(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float((classifier(images).argmax(1) == labels).float().mean())


def _tensors(images: ImageSet) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images.images), torch.from_numpy(images.labels)


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
