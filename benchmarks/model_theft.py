"""What a digits model gives away to who may only ask it: a copy of itself, and whom it learned from.

Scikit-learn's 8x8 digits. The thief has 100 images of their own, asks about mixtures of them, and learns a smaller
network; the peer is ART's CopycatCNN with the same queries, network and epochs. Members and non-members are halves of
one set drawn by lot, and the model has learned its half until nothing is left to learn.

    python -m benchmarks.model_theft
"""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.report import Row, at_least, at_most, print_rows
from secmlops.digits.data import load_digits
from secmlops.images.image_set import ImageSet
from secmlops.robustness.hardening.fit import FitConfig
from secmlops.robustness.networks import NetworkConfig, build
from secmlops.robustness.theft.extraction import study_extraction
from secmlops.robustness.theft.membership import likelihood_ratio_attack, threshold_attack
from secmlops.robustness.theft.queries import mixed, of_network
from secmlops.robustness.trainer import trainer

VICTIM = NetworkConfig(image_shape=(1, 8, 8), classes=10, hidden=(64,))
STUDENT = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(16,), hidden=(32,))
FIT = FitConfig(epochs=30, batch_size=64, learning_rate=4e-3)
THIEF = FitConfig(epochs=40, batch_size=32, learning_rate=4e-3)
OWNED, BUDGETS = 100, (200, 2_000)
POOL, SHADOWS = 800, 8


def main() -> bool:
    """Steal, infer, print; returns whether every bound was met."""
    splits = load_digits()
    return print_rows("Model theft (8x8 digits)", [*_extraction(splits.train, splits.test), *_membership(splits.train)])


def _extraction(known: ImageSet, test: ImageSet) -> list[Row]:
    images, labels = _tensors(known)
    victim = trainer(VICTIM, FIT)(images[OWNED:], labels[OWNED:])
    rows = []
    for budget in BUDGETS:
        queries = mixed(images[:OWNED], budget)
        peer = f"CopycatCNN {_copycat(victim, queries, _tensors(test)[0]):.3f}"
        reports = study_extraction(of_network(victim), queries, *_tensors(test), student=STUDENT, config=THIEF)
        for report in reports:
            claim = f"agreement of the copy, {budget:,} queries, told: {report.obfuscation}"
            told = f"{report.agreement:.3f} (right: {report.student_accuracy:.3f} of {report.victim_accuracy:.3f})"
            rows.append(Row(claim, told, peer if report.obfuscation == "none" else "-", "-", "", None))
    rows.append(at_least(f"agreement, {BUDGETS[-1]:,} queries, all told", reports[0].agreement, 0.85, peer=peer))
    return rows


def _membership(known: ImageSet) -> list[Row]:
    images, labels = (each[:POOL] for each in _tensors(known))
    is_member = torch.randperm(POOL, generator=torch.Generator().manual_seed(0)) < POOL // 2
    train = trainer(VICTIM, FIT)
    predict = of_network(train(images[is_member], labels[is_member]))
    simple = threshold_attack(predict, images, labels, is_member)
    ratio = likelihood_ratio_attack(predict, images, labels, is_member, train, shadows=SHADOWS)
    by_lot = torch.randperm(POOL, generator=torch.Generator().manual_seed(1)) < POOL // 2
    nobody = threshold_attack(predict, images, labels, by_lot)
    rows = [
        Row(
            f"membership by {report.attack}: advantage, AUC, TPR at 1 % FPR",
            f"{report.advantage:.3f}, {report.auc:.3f}, {report.tpr_at_1_percent_fpr:.3f}",
            "-",
            "-",
            "",
            None,
        )
        for report in (simple, ratio)
    ]
    rows.append(at_least("membership: AUC of the likelihood ratio", ratio.auc, simple.auc, peer="threshold, as bound"))
    rows.append(at_most("membership by lot, which nothing can tell: |advantage|", abs(nobody.advantage), 0.1, peer="-"))
    return rows


def _copycat(victim: nn.Module, queries: Tensor, images: Tensor) -> float:
    """Agreement of the copy that ART's CopycatCNN makes, with probabilities."""
    from art.attacks.extraction import CopycatCNN

    torch.manual_seed(THIEF.seed)
    network = build(STUDENT)
    thief = CopycatCNN(
        classifier=_art(nn.Sequential(victim, nn.Softmax(dim=1))),
        batch_size_fit=THIEF.batch_size,
        nb_epochs=THIEF.epochs,
        nb_stolen=len(queries),
        use_probability=True,
    )
    thief.extract(x=queries.numpy(), y=None, thieved_classifier=_art(network))
    copy, original = (of_network(each.eval())(images.numpy()).argmax(axis=1) for each in (network, victim))
    return float(np.mean(copy == original))


def _art(network: nn.Module):
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=network,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(network.parameters(), lr=THIEF.learning_rate),
        input_shape=VICTIM.image_shape,
        nb_classes=VICTIM.classes,
        clip_values=(0, 1),
        device_type="cpu",
    )


def _tensors(images: ImageSet) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images.images), torch.from_numpy(images.labels)


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
