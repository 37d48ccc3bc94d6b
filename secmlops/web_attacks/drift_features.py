"""What the detectors beside a web-attack model look at: a request and the model's score, as a short row of numbers.

The same row comes out of a request in a Parquet file, from which host, time and header order were removed, and out of
the request as the payload logger saw it: only what `decoding.take` gives is read, and in no order. The numbers are the
model's log-odds, lengths, shares of kinds of characters, and two embeddings: fixed random projections of the hashed
n-grams (Achlioptas 2003; Weinberger et al. 2009), one of what is asked and one of who asks. They need no labels.

Requests of one visit are alike, and a test that takes them for independent alarms at every window. So a window, and the
reference, hold one request of a client at most (`client_of`); which one does not matter.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.decoding import Part, take
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.svm.ngrams import Shape, features, lay_out

Floats = npt.NDArray[np.float64]

VERSION: Final = 1
"""Of the view; a detector's card names the one that it was fitted on."""

EMBEDDED: Final = 8
"""Dimensions of each embedding."""

MOST_CHARS: Final = 16_384
"""Characters of a request's values, and again of its client's headers, that are looked at; lengths count all."""

_KINDS: Final = ("letters", "digits", "marks", "escapes", "foreign")
_SIZES: Final = ("path_chars", "query_chars", "body_chars", "header_chars", "values", "longest_value", "path_depth")

NAMES: Final = (
    "log_odds",
    *_SIZES,
    *_KINDS,
    "entropy_bits",
    *(f"content_{index}" for index in range(EMBEDDED)),
    *(f"client_{index}" for index in range(EMBEDDED)),
    "writes",
)
"""The columns of `view`."""

CATEGORICAL: Final = (len(NAMES) - 1,)
"""Columns of categories: `writes` is 1 where the method is none of GET, HEAD and OPTIONS."""

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CLIENT: Final = frozenset({"header:user-agent", "header:accept-language", "header:accept"})
_REPEATED: Final = ("user-agent", "accept-language", "authorization", "cookie")
_SHAPE: Final = Shape(bits=12, chars=(3, 3), tokens=(2, 2))
_SEED: Final = 20_111
_LEAST_ODDS: Final = 1e-6
_ROWS_AT_ONCE: Final = 1_024
_TINY: Final = 1e-12


class ScoresDoNotFit(SecmlopsError):
    """Requests and scores that are not of the same rows, or scores that are no probabilities."""

    def __init__(self, requests: int, scores: int):
        super().__init__(f"{scores} scores do not fit {requests} requests: one probability each is wanted")


@dataclass(frozen=True, slots=True)
class _Texts:
    """What is looked at of a request.

    Attributes:
        content: path, query and body as sent.
        client: the headers by which programs differ.
        sizes: in the order of `_SIZES`.
        writes: whether the method is more than a reading one.
    """

    content: str
    client: str
    sizes: tuple[float, ...]
    writes: bool


def view(requests: Sequence[HttpRequest], scores: npt.NDArray[Any]) -> Floats:
    """Rows (n, len(NAMES)) of requests and of what the model said of them; counts of characters are log(1 + count).

    Args:
        requests: as captured, logged, or read from a data set.
        scores: (n,) probabilities of an attack, as `Score.score` or the service's output `score`.

    Raises:
        ScoresDoNotFit: they are not (n,) finite numbers from 0 to 1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (len(requests),) or not ((scores >= 0) & (scores <= 1)).all():
        raise ScoresDoNotFit(len(requests), scores.size)
    rows = np.empty((len(requests), len(NAMES)))
    for block in _blocks(len(requests)):
        rows[block] = _rows([_texts(request) for request in requests[block]], scores[block])
    return rows


def client_of(request: HttpRequest) -> str:
    """Who asks, as far as the request tells it: a digest of the headers that a client repeats.

    It is the same before and after leaks are stripped. Visitors with the same program and no cookie count as one.
    """
    told = (request.header(name) or "" for name in _REPEATED)
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def probabilities(scores: npt.NDArray[Any]) -> Floats:
    """The model's answers as probabilities (n, 2) of normal and attack."""
    scores = np.asarray(scores, dtype=np.float64)
    return np.column_stack([1 - scores, scores])


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, count, _ROWS_AT_ONCE))


def _rows(texts: Sequence[_Texts], scores: Floats) -> Floats:
    odds = scores.clip(_LEAST_ODDS, 1 - _LEAST_ODDS)
    content = [text.content for text in texts]
    return np.column_stack(
        [
            np.log(odds / (1 - odds)),
            np.log1p([text.sizes for text in texts]),
            _characters(content),
            _embedding(content),
            _embedding([text.client for text in texts]),
            [float(text.writes) for text in texts],
        ]
    )


def _texts(request: HttpRequest) -> _Texts:
    found = take(request).parts
    values = [part for part in found if part.location in ("query", "body")]
    path = next((part.text for part in found if part.location == "path"), "")
    headers = [part for part in found if part.location in ("header", "cookie")]
    texts = sorted(f"{part.label.lower()}={part.text}" for part in values)
    client = sorted(f"{part.label.lower()}={part.text}" for part in headers if part.label.lower() in _CLIENT)
    sizes = (
        len(path),
        _length(part for part in values if part.location == "query"),
        _length(part for part in values if part.location == "body"),
        _length(iter(headers)),
        len(values),
        max((len(part.text) for part in values), default=0),
        path.count("/"),
    )
    return _Texts(
        content="\n".join([path, *texts])[:MOST_CHARS],
        client="\n".join(client)[:MOST_CHARS],
        sizes=tuple(map(float, sizes)),
        writes=request.method.upper() not in _READS,
    )


def _length(parts: Iterator[Part]) -> int:
    return sum(len(part.text) for part in parts)


def _kind_table() -> Floats:
    """(256, kinds): which bytes are of which kind; an escape is counted by its percent sign."""
    table = np.zeros((256, len(_KINDS)))
    for code in range(256):
        char = chr(code)
        if code >= 128:
            table[code, 4] = 1
        elif char == "%":
            table[code, 3] = 1
        elif char.isalpha():
            table[code, 0] = 1
        elif char.isdigit():
            table[code, 1] = 1
        elif char not in " +\n":
            table[code, 2] = 1
    return table


_TABLE: Final = _kind_table()


def _characters(texts: Sequence[str]) -> Floats:
    """(n, kinds + 1): the share of each kind of character, and the entropy of the characters in bits."""
    data = [text.encode("latin-1", "replace") for text in texts]
    lengths = np.array([len(each) for each in data])
    codes = np.frombuffer(b"".join(data), dtype=np.uint8).astype(np.int64)
    owners = np.repeat(np.arange(len(texts)), lengths)
    counts = np.bincount(owners * 256 + codes, minlength=256 * len(texts)).reshape(len(texts), 256)
    shares = counts / np.maximum(lengths, 1)[:, None]
    entropy = -(shares * np.log2(np.maximum(shares, _TINY))).sum(axis=1)
    return np.column_stack([shares @ _TABLE, entropy])


def _projection() -> Floats:
    signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], size=(1 << _SHAPE.bits, EMBEDDED))
    signs[0] = 0  # bucket 0 stands for no n-gram
    return signs


_PROJECTION: Final = _projection()


def _embedding(texts: Sequence[str]) -> Floats:
    """(n, EMBEDDED): each text's n-grams, projected, over the square root of their number."""
    batch = lay_out(texts)
    # An n-gram that begins at a separator is the beginning of the text behind it.
    owners = np.searchsorted(batch.begins, np.arange(1, len(batch.codes) + 1), side="right") - 1
    total, number = np.zeros((len(texts), EMBEDDED)), np.zeros(len(texts))
    for positions, buckets in features(batch, _SHAPE):
        at = np.arange(len(buckets)) if positions is None else positions[: len(buckets)]
        kept = (buckets != 0) & (owners[at] >= 0)
        owner, signs = owners[at][kept], _PROJECTION[buckets[kept]]
        number += np.bincount(owner, minlength=len(texts))
        for dimension in range(EMBEDDED):
            total[:, dimension] += np.bincount(owner, weights=signs[:, dimension], minlength=len(texts))
    return total / np.sqrt(np.maximum(number, 1))[:, None]
