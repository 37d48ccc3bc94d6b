"""Groups of requests that say nearly the same thing, by MinHash and locality-sensitive hashing.

Two requests are near duplicates when the Jaccard similarity of their character 5-grams, digits and long hexadecimal
strings made alike, is at least the threshold. Each of `_BANDS` bands compares `_ROWS` minima, so that a pair of
similarity .8 meets in at least one band with probability .998; what meets is compared on all minima.

Sources: Broder, On the resemblance and containment of documents (1997); Leskovec, Rajaraman, Ullman, Mining of
Massive Datasets, chapter 3.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

import numpy as np

from secmlops.web_attacks.request import HttpRequest

THRESHOLD: Final = 0.8

_BANDS: Final = 12
_ROWS: Final = 4
_SHINGLE: Final = 5
_COMPARED: Final = 128
_MAX_CHARS: Final = 2_000
_SHINGLES_AT_ONCE: Final = 2_000_000
_HASH_SEED: Final = 20_240_229
"""Not a parameter: what counts as a near duplicate must not change from run to run."""

_HEXADECIMAL = re.compile(r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}")
_DIGITS = re.compile(r"\d+")
_AUTHORITY = re.compile(r"^[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)
_UNUSUAL = re.compile(r"['\"<>{}|$`\\]|\.\./|%[0-9a-f]{2}|\r|\n", re.IGNORECASE)
_ROUTINE_HEADERS = ("sec-", "if-none-match", "etag", "accept", "host", "content-")


def request_text(request: HttpRequest) -> str:
    """What a request says, without what only tells who said it to whom and when.

    Method, target, body, and those header values in which a payload may sit; percent-decoded once, in lower case,
    digits as `0`, long hexadecimal strings as `h`; at most the first and last 1,000 characters.
    """
    target = _AUTHORITY.sub("", request.uri)
    headers = [value for name, value in request.headers if may_carry(name, value)]
    text = "\n".join([f"{request.method} {target}", *headers, request.body[:_MAX_CHARS].decode("latin-1")])
    text = unquote(text.replace("+", " "), encoding="latin-1").lower()
    text = _DIGITS.sub("0", _HEXADECIMAL.sub("h", text))
    half = _MAX_CHARS // 2
    return text if len(text) <= _MAX_CHARS else text[:half] + text[-half:]


def may_carry(name: str, value: str) -> bool:
    """Whether a header's value holds characters that a payload needs and that such a header seldom holds."""
    return not name.lower().startswith(_ROUTINE_HEADERS) and _UNUSUAL.search(value) is not None


def cluster(requests: Sequence[HttpRequest], threshold: float = THRESHOLD) -> np.ndarray:
    """Give near duplicates the same number.

    Args:
        requests: any number of requests.
        threshold: least similarity, 0..1.

    Returns:
        One integer per request, 0 up to the number of groups; near duplicates of near duplicates share one.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts = [request_text(request) for request in requests]
    distinct = sorted(set(texts))
    position = {text: place for place, text in enumerate(distinct)}
    owner = np.array([position[text] for text in texts], dtype=np.int64)
    if not distinct:
        return owner
    minima = _minima(distinct)
    edges = np.concatenate([_edges(minima, band, threshold) for band in range(_BANDS)])
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(len(distinct),) * 2)
    _, group = connected_components(graph, directed=False)
    return group[owner].astype(np.int64)


def _minima(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures, one row of `_BANDS * _ROWS` 32-bit minima per text."""
    rng = np.random.default_rng(_HASH_SEED)
    factors = rng.integers(1, 2**63, size=_BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
    offsets = rng.integers(0, 2**63, size=_BANDS * _ROWS, dtype=np.uint64)
    found = []
    for hashes, starts in _shingle_hashes(texts):
        rows = np.empty((len(starts), len(factors)), dtype=np.uint32)
        for column, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
            mixed = ((hashes * factor + offset) >> np.uint64(32)).astype(np.uint32)
            rows[:, column] = np.minimum.reduceat(mixed, starts)
        found.append(rows)
    return np.concatenate(found)


def _shingle_hashes(texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """64-bit hashes of all 5-grams of a run of texts, and where each text's begin."""
    batch: list[bytes] = []
    size = 0
    for text in texts:
        data = text.encode("latin-1", "replace").ljust(_SHINGLE, b"\0")
        batch.append(data)
        size += len(data)
        if size >= _SHINGLES_AT_ONCE:
            yield _hashed(batch)
            batch, size = [], 0
    if batch:
        yield _hashed(batch)


def _hashed(batch: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    data = np.frombuffer(b"".join(batch), dtype=np.uint8).astype(np.uint64)
    lengths = np.array([len(text) for text in batch])
    packed = np.zeros(len(data) - _SHINGLE + 1, dtype=np.uint64)
    for place in range(_SHINGLE):
        packed |= data[place : place + len(packed)] << np.uint64(8 * place)
    packed *= np.uint64(0x9E3779B97F4A7C15)
    packed ^= packed >> np.uint64(29)
    # Windows that reach over the end of a text belong to no text.
    ends = np.cumsum(lengths)
    keep = np.ones(len(packed), dtype=bool)
    for back in range(1, _SHINGLE):
        crossing = ends - back
        keep[crossing[crossing < len(keep)]] = False
    counts = lengths - _SHINGLE + 1
    return packed[keep], np.concatenate([[0], np.cumsum(counts)[:-1]])


def _edges(minima: np.ndarray, band: int, threshold: float) -> np.ndarray:
    """Pairs of one bucket that are similar enough: all of a bucket's, or in a huge one each with its next ones."""
    part = np.ascontiguousarray(minima[:, band * _ROWS : (band + 1) * _ROWS])
    keys = part.view(np.dtype((np.void, part.dtype.itemsize * _ROWS))).ravel()
    _, first, bucket = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(bucket, kind="stable")
    pairs = [np.stack([first[bucket], np.arange(len(keys))], axis=1)]
    for distance in range(1, _COMPARED):
        near = np.flatnonzero(bucket[order[:-distance]] == bucket[order[distance:]])
        if not len(near):
            break
        pairs.append(np.stack([order[near], order[near + distance]], axis=1))
    return np.concatenate([pair[_similarity(minima, pair) >= threshold] for pair in pairs])


def _similarity(minima: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return (minima[pairs[:, 0]] == minima[pairs[:, 1]]).mean(axis=1)
