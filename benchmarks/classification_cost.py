"""What a verdict costs: from the request to decoded parts, n-grams, score, class and evidence, on one core.

CPU time of this process, so a busy machine does not blur it, over full browser requests and attacks (open-appsec where
the public data is here, generated ones otherwise). Ours is told with nothing remembered from earlier requests, one at
a time and 32 at a time, and with what it remembers of header values that clients repeat. Peer: what most
people would write, scikit-learn's TfidfVectorizer (characters, 2-4) and LinearSVC on the raw request text.

    python -m benchmarks.classification_cost
"""

import os
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.data import data_root
from benchmarks.httpparams import trained
from benchmarks.openappsec import read
from benchmarks.report import Row, at_most, print_rows
from secmlops.web_attacks import background, known_attacks
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest, wire_text
from secmlops.web_attacks.svm.classifier import SvmClassifier
from secmlops.web_attacks.svm.config import SvmConfig

REQUESTS = 2000
BOUND_MS = 0.5
QUICK = SvmConfig(folds=2, rounds=1, mutate=0, background=2000)
"""The cost does not depend on how well the weights are learnt, only on their number."""


def main() -> bool:
    """Measure and print; returns whether the bound was met."""
    records, origin = _records()
    chance = np.random.default_rng(7)
    order = chance.permutation(len(records))
    test = [records[i] for i in order[:REQUESTS]]
    training = [records[i] for i in order[REQUESTS : REQUESTS + 6000]]
    ours = trained(training, 0.01, QUICK)
    requests = [record.request for record in test]
    single = _cost_ms(lambda: _one_by_one(ours, requests, forget=True))
    batched = _cost_ms(lambda: _batched(ours, requests, forget=True))
    recorded = _cost_ms(lambda: _one_by_one(ours, requests, forget=False))
    plain = _plain(training)
    texts = [request.to_wire().decode("latin-1") for request in requests]
    their_single = _cost_ms(lambda: [plain.predict([text]) for text in texts])
    their_batched = _cost_ms(lambda: [plain.predict(texts[at : at + 32]) for at in range(0, len(texts), 32)])
    size = sum(map(len, texts)) / len(texts)
    claim = f"svm, CPU ms per request, {REQUESTS:,} {origin} requests of {size:.0f} bytes on average"
    return print_rows(
        "Cost of a verdict",
        [
            _row(f"{claim}: nothing remembered, 32 at a time", batched, their_batched, bound=True),
            _row("the same, one at a time, repeated header values remembered", recorded, their_single, bound=True),
            _row("nothing remembered, one at a time", single, their_single, bound=False),
        ],
    )


def _row(claim: str, ours: float, theirs: float, *, bound: bool) -> Row:
    peer = f"char TF-IDF + LinearSVC {theirs:.3f}"
    ratio = f"{ours / theirs:.2f}"
    if bound:
        return at_most(claim, ours, BOUND_MS, peer=peer, ratio=ratio, digits=3)
    return Row(claim, f"{ours:.3f}", peer, ratio, "", None)


def _cost_ms(work: Callable[[], object]) -> float:
    """The least of three runs, per request."""
    costs = []
    for _ in range(3):
        began = time.process_time()
        work()
        costs.append(time.process_time() - began)
    return min(costs) / REQUESTS * 1000


def _one_by_one(classifier: SvmClassifier, requests: Sequence[HttpRequest], *, forget: bool) -> None:
    classifier.forget()
    for request in requests:
        if forget:
            classifier.forget()
        classifier.score([request])


def _batched(classifier: SvmClassifier, requests: Sequence[HttpRequest], *, forget: bool) -> None:
    for at in range(0, len(requests), 32):
        if forget:
            classifier.forget()
        classifier.score(requests[at : at + 32])


def _plain(training: Sequence[LabelledRequest]):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(2, 4)), LinearSVC())
    texts = [record.request.to_wire().decode("latin-1") for record in training]
    return model.fit(texts, [record.is_attack for record in training])


def _records() -> tuple[list[LabelledRequest], str]:
    root = data_root()
    if root is not None:
        return read(root / "http" / "openappsec.jsonl.gz"), "open-appsec"
    values = background.normal_texts(16_000, 7)
    normals = [_request(values[at : at + 8], "normal") for at in range(0, 16_000, 8)] * 5
    attacks = [_request([text], "attack") for text, _ in known_attacks.attack_texts(2000, 7)]
    return normals + attacks, "generated"


def _request(values: Sequence[str], label: str) -> LabelledRequest:
    headers = tuple((f"X-{number}", wire_text(value)) for number, value in enumerate(values))
    return LabelledRequest(HttpRequest("GET", "/", headers=headers), label, "other" if label == "attack" else "")  # type: ignore[arg-type]


if __name__ == "__main__":
    raise SystemExit(main() is False)
