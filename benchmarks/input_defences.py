"""Input transformations and the squeezing detector on MNIST, before attackers who ignore them and who know them.

One standard network, trained here on the first 20,000 training images, and 200 test images. Ignorant: PGD-40 on the
bare network, which goes on after an image errs. Knowing: per image the best of PGD through the transformation with its
own gradient, with the identity's (BPDA), and Square with 200 queries, which needs none; for the detector, the attack on
network and detector together as well as all ignorant ones. The figures of the knowing attacker are those that count.

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
from secmlops.robustness.attacks.square import Square
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

BUDGETS, STEPS, QUERIES = (0.1, 0.3), 40, 200
TRAINED, CALIBRATED, ATTACKED = 20_000, 1_000, 200
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
    validation = _tensors(splits.validation.take(slice(CALIBRATED)))
    test = _tensors(splits.test.take(slice(ATTACKED)))
    defences = {config.model_dump_json(): Transformed(config.build(), network) for config in PLAIN}
    defences["denoising autoencoder"] = denoised
    rows = []
    for eps in BUDGETS:
        ignorant = {"FGSM": Fgsm(eps)(network, *test), "PGD-40": _thorough(eps)(network, *test)}
        rows += [_transformation(eps, name, defence, ignorant["PGD-40"], *test) for name, defence in defences.items()]
        rows += _detector(eps, network, validation, ignorant, *test)
    return print_rows(f"Input defences (MNIST, n={ATTACKED})", rows)


def _thorough(eps: float) -> Pgd:
    return Pgd(eps, steps=STEPS, early_stop=False)


def _transformation(
    eps: float, name: str, defence: Transformed, attacked: Tensor, images: Tensor, labels: Tensor
) -> Row:
    straight = through(defence.transformation, defence.network)
    knowing = [
        Pgd(eps, steps=STEPS)(defence, images, labels),
        Pgd(eps, steps=STEPS)(straight, images, labels),
        Square(eps, queries=QUERIES)(defence, images, labels),
    ]
    stands = torch.stack([_right(defence, seen, labels) for seen in (images, *knowing)]).all(dim=0)
    bare, clean, ignored, known = (
        float(right.float().mean())
        for right in (
            _right(defence.network, attacked, labels),
            _right(defence, images, labels),
            _right(defence, attacked, labels),
            stands,
        )
    )
    say(f"eps {eps:g}, {name}: clean {clean:.3f}, ignorant {ignored:.3f}, knowing {known:.3f}")
    claim = f"eps {eps:g}, {name}: clean, ignorant, knowing attacker"
    return Row(claim, f"{clean:.3f}, {ignored:.3f}, {known:.3f}", f"undefended {bare:.3f}", "-", "", None)


def _detector(
    eps: float,
    network: nn.Module,
    validation: tuple[Tensor, Tensor],
    ignorant: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
) -> list[Row]:
    trials = {"fgsm": Fgsm(eps)(network, *validation), "pgd": _thorough(eps)(network, *validation)}
    detector = choose(network, *validation, trials, false_positive_rate=FALSE_POSITIVE_RATE)
    aware = DetectorAware(eps, detector.attackable_score, detector.threshold)(network, images, labels)
    report = measure(detector, images, labels, ignorant | {"knowing": aware})
    name = f"eps {eps:g}, detector"
    say(f"{name}: {', '.join(squeezer.model_dump_json() for squeezer in detector.config.squeezers)}")
    rows = [
        at_most(f"{name}: false positives, set to .05 on validation", report.false_positive_rate, 0.1, peer="-"),
        Row(f"{name}: survive by the best attack on each", f"{report.worst_survives:.3f}", "-", "-", "", None),
    ]
    for attack in report.attacks:
        found = attack.true_positive_rate
        told = f"{attack.fooled:.3f}, {'-' if found is None else f'{found:.3f}'}, {attack.survives:.3f}"
        rows.append(Row(f"{name}, {attack.attack}: fooled, of them found, survive", told, "-", "-", "", None))
    return rows


@torch.no_grad()
def _right(classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return classifier(images).argmax(1) == labels


def _tensors(images: ImageSet) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images.images), torch.from_numpy(images.labels)


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
