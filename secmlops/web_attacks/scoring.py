"""Score a stream of JSON lines with a verified bundle."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from secmlops import bundle
from secmlops.web_attacks import jsonl
from secmlops.web_attacks.classifier import Classifier, Score
from secmlops.web_attacks.models import load_classifier
from secmlops.web_attacks.request import HttpRequest, InvalidRequest

BATCH = 256


def open_classifier(path: str | Path, trusted_key: str | Path) -> Classifier:
    """The classifier of a bundle that verifies.

    Raises:
        BundleError: it does not; each reason has its own error.
    """
    return load_classifier(bundle.load(path, trusted_key).model_files())


def score_lines(classifier: Classifier, stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Score one request per line.

    Args:
        classifier: the model.
        stream: JSON lines as `jsonl.from_json` takes them, at most `jsonl.MAX_LINE_BYTES` each.

    Yields:
        One object per line, in order: `score`, `verdict`, `attack_class`, `reason`; or `error` for a line that
        is no request.
    """
    requests = (_read(line) for line in _lines(stream))
    while batch := list(islice(requests, BATCH)):
        scores = iter(classifier.score([item for item in batch if isinstance(item, HttpRequest)]))
        for item in batch:
            yield _answer(next(scores)) if isinstance(item, HttpRequest) else {"error": str(item)}


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines of bounded length; a longer one is cut after its bound, which no reader takes for a request."""
    while line := stream.readline(jsonl.MAX_LINE_BYTES + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(jsonl.MAX_LINE_BYTES + 1)
        yield line


def _read(line: bytes) -> HttpRequest | InvalidRequest:
    try:
        return jsonl.from_json(jsonl.parse_line(line))
    except InvalidRequest as error:
        return error


def _answer(score: Score) -> dict[str, Any]:
    return {
        "score": round(score.score, 6),
        "verdict": score.verdict,
        "attack_class": score.attack_class,
        "reason": f"{score.part}: {score.evidence}" if score.evidence else "",
    }
