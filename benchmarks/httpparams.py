"""HttpParams on its official split, and its stress set of benign text that looks like an attack.

Trained on the official training split alone; the test split and the stress set are read once, at the end. The peer is
the usual character 2-4-gram TF-IDF with LinearSVC on the same decoded values.

    python -m benchmarks.httpparams
"""

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import data_root
from benchmarks.query_attack import read
from benchmarks.report import Row, at_least, at_most, print_rows
from secmlops.web_attacks.classifier import Classifier
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import decode, parts
from secmlops.web_attacks.svm.classifier import SvmClassifier
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.training import train

FALSE_POSITIVE_RATE = 0.0003


def main() -> bool | None:
    """Measure and print; returns whether every bound was met; None without the data."""
    root = data_root()
    if root is None:
        print("httpparams: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    folder = root / "http" / "httpparams"
    ours = trained_on_httpparams(folder)
    plain = plain_svm(read(folder / "payload_train.csv"))
    test, stress = read(folder / "payload_test.csv"), read(folder / "payload_test_lexical.csv")
    peer = "char TF-IDF + LinearSVC"
    mine, theirs = _verdicts(ours, test), plain.predict(values(test))
    lexical_mine, lexical_theirs = _verdicts(ours, stress), plain.predict(values(stress))
    prose = np.array([not record.is_attack for record in stress])
    rows = [
        at_least("HttpParams test: F1", _f1(mine, test), 0.9985, peer=f"{peer} {_f1(theirs, test):.4f}"),
        at_most("HttpParams test: FPR", _fpr(mine, test), 0.0005, peer=f"{peer} {_fpr(theirs, test):.4f}", digits=5),
        Row(
            "HttpParams test: recall",
            f"{_recall(mine, test, ''):.4f}",
            f"{peer} {_recall(theirs, test, ''):.4f}",
            "-",
            "",
            None,
        ),
        at_least(
            "HttpParams test: command injection recall (30 rows)",
            _recall(mine, test, "cmd_injection"),
            0.93,
            peer=f"{peer} {_recall(theirs, test, 'cmd_injection'):.3f}",
            digits=3,
        ),
        at_most(
            "HttpParams lexical stress set, 1,000 benign texts: FPR",
            float(lexical_mine[prose].mean()),
            0.05,
            peer=f"{peer} {lexical_theirs[prose].mean():.3f}",
            digits=3,
        ),
        Row(
            "the stress set's 106 rows of mere SQL or JavaScript source, labelled attack: share flagged",
            f"{lexical_mine[~prose].mean():.3f}",
            f"{peer} {lexical_theirs[~prose].mean():.3f}",
            "-",
            "",
            None,
        ),
    ]
    return print_rows("HttpParams, official split", rows)


@lru_cache(maxsize=1)
def trained_on_httpparams(folder: Path) -> SvmClassifier:
    """Our svm, trained once a run on the official training split."""
    return trained(read(folder / "payload_train.csv"), FALSE_POSITIVE_RATE)


def trained(records: Sequence[LabelledRequest], rate: float, config: SvmConfig | None = None) -> SvmClassifier:
    """Train, write, and load back as a server would."""
    with tempfile.TemporaryDirectory() as out:
        train(records, [], Path(out), config, max_false_positive_rate=rate)
        return SvmClassifier.from_files({file.name: file.read_bytes() for file in Path(out).iterdir()})


def plain_svm(records: Sequence[LabelledRequest]) -> Any:
    """The peer: character 2-4-grams, TF-IDF, LinearSVC, as scikit-learn gives them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(2, 4)), LinearSVC())
    return model.fit(values(records), [record.is_attack for record in records])


def values(records: Sequence[LabelledRequest]) -> list[str]:
    """All decoded values of each request as one text: what the peer reads."""
    return ["\n".join(decode(part.text) for part in parts(record.request)) for record in records]


def scores(classifier: Classifier, records: Sequence[LabelledRequest]) -> np.ndarray:
    """Calibrated scores in the order of the records."""
    found: list[float] = []
    for at in range(0, len(records), 512):
        found += [score.score for score in classifier.score([r.request for r in records[at : at + 512]])]
    return np.array(found)


def labels(records: Sequence[LabelledRequest]) -> np.ndarray:
    """Whether each record is an attack."""
    return np.array([record.is_attack for record in records])


def _verdicts(classifier: SvmClassifier, records: Sequence[LabelledRequest]) -> np.ndarray:
    return scores(classifier, records) >= classifier.threshold


def _f1(flagged: np.ndarray, records: Sequence[LabelledRequest]) -> float:
    attacks = labels(records)
    return float(2 * (flagged & attacks).sum() / (flagged.sum() + attacks.sum()))


def _fpr(flagged: np.ndarray, records: Sequence[LabelledRequest]) -> float:
    return float(flagged[~labels(records)].mean())


def _recall(flagged: np.ndarray, records: Sequence[LabelledRequest], attack_class: str) -> float:
    wanted = [record.is_attack and attack_class in ("", record.attack_class) for record in records]
    return float(flagged[np.array(wanted)].mean())


if __name__ == "__main__":
    raise SystemExit(main() is False)
