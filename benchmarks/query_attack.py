"""How many detected attacks a score-guided attacker talks past a model: before hardening, after, and a plain SVM.

Trained on the official training split of HttpParams; the attacks are drawn from the official test split, evenly
over its classes. Each model's threshold keeps 1 % false alarms on held-out training rows.
"""

import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, quote

import numpy as np
from rich.console import Console

from benchmarks.data import data_root
from benchmarks.report import Row, at_most, print_rows
from secmlops.web_attacks.classifier import Classifier, Score
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest, wire_text
from secmlops.web_attacks.robustness import RobustnessReport, attack
from secmlops.web_attacks.svm.classifier import SvmClassifier
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.training import train as train_svm
from secmlops.web_attacks.taxonomy import parse_attack_class, parse_label

ROUNDS, CANDIDATES = 100, 20
RECORDS = 60
MOST_EVASION = 0.05
FALSE_POSITIVE_RATE = 0.01
SEED = 7
UNHARDENED = SvmConfig(mutate=0, background=0)
"""The same model from the training split alone: no mutated attacks, no generated texts."""


class PlainSvm:
    """The usual character 2-4-gram TF-IDF and LinearSVC on the decoded values, without calibration or hardening."""

    name = "char TF-IDF + LinearSVC"

    def __init__(self, train: Sequence[LabelledRequest], validation: Sequence[LabelledRequest]):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        self._model = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(2, 4)), LinearSVC())
        self._model.fit([_values(one.request) for one in train], [one.is_attack for one in train])
        normals = [one.request for one in validation if not one.is_attack]
        self.threshold = float(np.quantile(self._probabilities(normals), 1 - FALSE_POSITIVE_RATE))

    def score(self, requests: Sequence[HttpRequest]) -> list[Score]:
        """A squashed margin per request; it names no class and no part."""
        return [
            Score(float(p), "attack" if p >= self.threshold else "normal", "", "", "")
            for p in self._probabilities(requests)
        ]

    def _probabilities(self, requests: Sequence[HttpRequest]) -> np.ndarray:
        margins = self._model.decision_function([_values(request) for request in requests])
        return 1 / (1 + np.exp(-4 * margins))


def main() -> bool | None:
    """Measure and print; returns whether the hardened model met the bound; None without the data."""
    folder = data_root()
    if folder is None:
        print("query_attack: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    train, validation = _split(read(folder / "http" / "httpparams" / "payload_train.csv"))
    attacks = [one for one in read(folder / "http" / "httpparams" / "payload_test.csv") if one.is_attack]
    plain = _attacked(PlainSvm(train, validation), attacks)
    before = _attacked(_svm(train, validation, UNHARDENED), attacks)
    after = _attacked(_svm(train, validation, SvmConfig()), attacks)
    claim = f"query attack, {ROUNDS} rounds x {CANDIDATES} candidates, HttpParams test attacks: evasion"
    peer = f"{PlainSvm.name}: {_told(plain)}; svm before hardening: {_told(before)}"
    rows: list[Row] = [
        at_most(f"{claim} of the hardened svm ({_told(after)})", after.evasion_rate, MOST_EVASION, peer=peer)
    ]
    rows += [
        Row(f"most evading mutation alone, {name}", _worst(report), "-", "-", "", None)
        for name, report in (("plain SVM", plain), ("before hardening", before), ("after", after))
    ]
    return print_rows("Robustness against a query attack", rows)


def read(path: Path) -> list[LabelledRequest]:
    """Rows of HttpParams as requests that carry the payload in a query parameter."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [_record(row) for row in csv.DictReader(file)]


def _record(row: dict[str, str]) -> LabelledRequest:
    label = parse_label(row["label"])
    value = quote(wire_text(row["payload"]), safe="", encoding="latin-1")
    attack_class = parse_attack_class(row["attack_type"]) if label == "attack" else ""
    return LabelledRequest(HttpRequest("GET", f"/search?q={value}"), label, attack_class, site="httpparams")


def _split(records: list[LabelledRequest]) -> tuple[list[LabelledRequest], list[LabelledRequest]]:
    held = np.random.default_rng(SEED).random(len(records)) < 0.1
    return (
        [one for one, out in zip(records, held, strict=True) if not out],
        [one for one, out in zip(records, held, strict=True) if out],
    )


def _svm(train: Sequence[LabelledRequest], validation: Sequence[LabelledRequest], config: SvmConfig) -> SvmClassifier:
    with tempfile.TemporaryDirectory() as folder:
        train_svm(train, validation, Path(folder), config, max_false_positive_rate=FALSE_POSITIVE_RATE)
        return SvmClassifier.from_files({file.name: file.read_bytes() for file in Path(folder).iterdir()})


def _attacked(classifier: Classifier, attacks: Sequence[LabelledRequest]) -> RobustnessReport:
    began = time.monotonic()
    report = attack(classifier, attacks, rounds=ROUNDS, candidates=CANDIDATES, seed=SEED, max_records=RECORDS)
    took = time.monotonic() - began
    Console().print(f"{classifier.name}: {_told(report)}, {report.queries:,} queries in {took:.0f} s", highlight=False)
    return report


def _told(report: RobustnessReport) -> str:
    missed = f", {report.n_undetected} missed at once" if report.n_undetected else ""
    return f"{report.n_evaded} of {report.n_attacked}{missed}"


def _worst(report: RobustnessReport) -> str:
    worst = report.most_evading
    if worst is None:
        return "none ever helped"
    return f"{worst.name}: {worst.evaded} of {worst.tried} alone, in {worst.in_evasions} successes"


def _values(request: HttpRequest) -> str:
    return " ".join(value for _, value in parse_qsl(request.uri.partition("?")[2], encoding="latin-1"))


if __name__ == "__main__":
    raise SystemExit(main() is False)
