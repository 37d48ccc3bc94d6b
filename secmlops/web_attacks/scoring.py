"""Score a stream of JSON lines with a verified bundle."""

import json
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
MAX_LINE_BYTES = 32 * 2**20


def open_classifier(path: str | Path, trusted_key: str | Path) -> Classifier:
    """The classifier of a bundle that verifies.

    Raises:
        BundleError: it does not; each reason has its own error.
    """
    return load_classifier(bundle.load(path, trusted_key).files())


def score_lines(classifier: Classifier, stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Score one request per line.

    Args:
        classifier: the model.
        stream: JSON lines as `jsonl.from_json` takes them, at most `MAX_LINE_BYTES` each.

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
    """Lines of bounded length; of a longer one only its beginning is kept, which no longer is JSON."""
    while line := stream.readline(MAX_LINE_BYTES):
        while not line.endswith(b"\n") and (rest := stream.readline(MAX_LINE_BYTES)):
            if rest.endswith(b"\n"):
                break
        yield line


def _read(line: bytes) -> HttpRequest | InvalidRequest:
    try:
        return jsonl.from_json(json.loads(line))
    except InvalidRequest as error:
        return error
    except (ValueError, RecursionError):
        return InvalidRequest("bad_json", "the line is not a JSON object of a request")


def _answer(score: Score) -> dict[str, Any]:
    return {
        "score": round(score.score, 6),
        "verdict": score.verdict,
        "attack_class": score.attack_class,
        "reason": f"{score.part}: {score.evidence}" if score.part else score.evidence,
    }
