"""DistilBERT and MobileBERT, from configuration at the default size, beside the svm on the same requests.

Two sets: rows of the official training split of HttpParams (the test split stays unread), and requests of the
open-appsec subset with no site, and no near copy of an attack, on both sides. Each model gets the same training and
validation requests and is read back as a server reads it. Costs are CPU time of one core, decode to verdict, on
requests not seen before. There is no bound: the table says what a transformer of this size gains and costs.

    python -m benchmarks.transformers
"""

import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.httpparams import labels, scores
from benchmarks.openappsec import half_of
from benchmarks.openappsec import read as read_openappsec
from benchmarks.query_attack import read as read_httpparams
from benchmarks.report import Row, print_rows
from secmlops.web_attacks import models
from secmlops.web_attacks.dataset import LabelledRequest, by_label

FALSE_POSITIVE_RATE = 0.01
TRAINING, VALIDATION, TEST = 4_000, 1_000, 3_000
SEED = 7


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on one set.

    Attributes:
        f1: at the threshold.
        tpr: share of attacks above the score that 1 % of the test's normals exceed.
        fpr: at the threshold.
        cpu_ms: per request.
        training_cpu_s: CPU time of training.
    """

    f1: float
    tpr: float
    fpr: float
    cpu_ms: float
    training_cpu_s: float


def main() -> bool | None:
    """Measure and print."""
    from benchmarks.data import data_root

    root = data_root()
    if root is None:
        print("transformers: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    rows: list[Row] = []
    for name, parts in (
        ("HttpParams, training split", _httpparams(root / "http" / "httpparams" / "payload_train.csv")),
        ("open-appsec, unseen sites", _openappsec(root / "http" / "openappsec.jsonl.gz")),
    ):
        measured = {model: measure(model, *parts) for model in models.MODELS}
        rows += [row for model in models.MODELS[1:] for row in _rows(name, model, measured[model], measured["svm"])]
    return print_rows("Transformers from configuration, beside the svm", rows)


def measure(
    model: str,
    train: Sequence[LabelledRequest],
    validation: Sequence[LabelledRequest],
    test: Sequence[LabelledRequest],
) -> Measured:
    """Train a model, load it, and score the test requests one by one."""
    with tempfile.TemporaryDirectory() as out:
        began = time.process_time()
        models.train(model, train, validation, out, max_false_positive_rate=FALSE_POSITIVE_RATE, seed=SEED)
        training_cpu_s = time.process_time() - began
        classifier = models.load_classifier({file.name: file.read_bytes() for file in Path(out).iterdir()})
    began = time.process_time()
    found = scores(classifier, test)
    cpu_ms = (time.process_time() - began) / len(test) * 1e3
    attack, flagged = labels(test), found >= classifier.threshold
    bar = np.quantile(found[~attack], 1 - FALSE_POSITIVE_RATE)
    return Measured(
        f1=float(2 * (flagged & attack).sum() / (flagged.sum() + attack.sum())),
        tpr=float((found[attack] > bar).mean()),
        fpr=float(flagged[~attack].mean()),
        cpu_ms=cpu_ms,
        training_cpu_s=training_cpu_s,
    )


def _rows(name: str, model: str, ours: Measured, svm: Measured) -> list[Row]:
    def row(what: str, mine: float, theirs: float, digits: int) -> Row:
        ratio = f"{mine / theirs:.2f}" if theirs else "-"
        return Row(f"{name}, {model}: {what}", f"{mine:.{digits}f}", f"svm {theirs:.{digits}f}", ratio, "", None)

    return [
        row("F1", ours.f1, svm.f1, 4),
        row("TPR at 1 % FPR", ours.tpr, svm.tpr, 4),
        row("FPR at the threshold", ours.fpr, svm.fpr, 4),
        row("CPU ms per request", ours.cpu_ms, svm.cpu_ms, 2),
        row("CPU seconds of training", ours.training_cpu_s, svm.training_cpu_s, 0),
    ]


def _httpparams(path: Path) -> tuple[list[LabelledRequest], ...]:
    records = read_httpparams(path)
    random.Random(SEED).shuffle(records)
    ends = np.cumsum([TRAINING, VALIDATION, TEST])
    return records[: ends[0]], records[ends[0] : ends[1]], records[ends[1] : ends[2]]


def _openappsec(path: Path) -> tuple[list[LabelledRequest], ...]:
    """The first half trains and, by a fourth of its sites, validates; the second half tests; all attacks are used."""
    halves: tuple[list[LabelledRequest], list[LabelledRequest]] = ([], [])
    for record in read_openappsec(path):
        halves[half_of(record)].append(record)
    rng = random.Random(SEED)
    normals, attacks = by_label(halves[0])
    rng.shuffle(attacks)
    sites = sorted({record.site for record in normals})
    held_out = set(rng.sample(sites, max(len(sites) // 4, 1)))
    training = [record for record in normals if record.site not in held_out]
    validation = [record for record in normals if record.site in held_out]
    fifth = len(attacks) // 5
    test_normals, test_attacks = by_label(halves[1])
    return (
        rng.sample(training, min(TRAINING, len(training))) + attacks[fifth:],
        rng.sample(validation, min(VALIDATION, len(validation))) + attacks[:fifth],
        rng.sample(test_normals, min(TEST, len(test_normals))) + test_attacks,
    )


if __name__ == "__main__":
    raise SystemExit(main() is False)
