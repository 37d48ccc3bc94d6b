"""A request as a dozen numbers that say what it looks like and not what it says: what drift is looked for in.

A new release of a site, another client population or a scanner moves these; an exact text does not. All of them are
cheap, bounded by the request's own length, and mean something to a person who reads which of them moved.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks.request import HttpRequest

SHAPE_NAMES: Final = (
    "path_chars",
    "path_depth",
    "query_chars",
    "query_parameters",
    "body_bytes",
    "headers",
    "digit_share",
    "letter_share",
    "special_share",
    "encoded_share",
    "target_entropy_bits",
    "reads_only",
)
"""The columns of `request_shapes`, in their order."""

_DIGIT, _LETTER, _PLAIN, _SPECIAL = range(4)
_PLAIN_MARKS: Final = b"/.-_=&?:"


def request_shapes(requests: Sequence[HttpRequest]) -> npt.NDArray[np.float64]:
    """Float64 (n, 12): the numbers of `SHAPE_NAMES` for each request.

    Lengths are in bytes as sent, shares and the entropy are of the request-target's bytes, and `reads_only` is 1 for
    GET and HEAD, else 0.
    """
    return np.array([_shape(request) for request in requests], dtype=np.float64).reshape(-1, len(SHAPE_NAMES))


def _shape(request: HttpRequest) -> tuple[float, ...]:
    path, _, query = request.uri.partition("?")
    counts = np.bincount(
        np.frombuffer(request.uri.encode("latin-1", "replace"), np.uint8), minlength=_KINDS.size
    ).astype(np.float64)
    length = max(counts.sum(), 1.0)
    kinds = np.bincount(_KINDS, weights=counts, minlength=4) / length
    present = counts[counts > 0] / length
    return (
        len(path),
        path.count("/"),
        len(query),
        query.count("&") + 1 if query else 0,
        len(request.body),
        len(request.headers),
        kinds[_DIGIT],
        kinds[_LETTER],
        kinds[_SPECIAL],
        counts[ord("%")] / length,
        float(-(present * np.log2(present)).sum()),
        request.method.upper() in ("GET", "HEAD"),
    )


def _kinds() -> npt.NDArray[np.intp]:
    kinds = np.full(256, _SPECIAL)
    kinds[np.frombuffer(b"0123456789", np.uint8)] = _DIGIT
    kinds[np.frombuffer(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)] = _LETTER
    kinds[np.frombuffer(_PLAIN_MARKS, np.uint8)] = _PLAIN
    return kinds


_KINDS: Final = _kinds()
