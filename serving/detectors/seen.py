"""The events that were seen already, so that a replayed one counts once."""

from typing import Any

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16


class Seen:
    """The latest digests, at most `size` and at least half of that: when the young half is full it becomes the old."""

    def __init__(self, size: int):
        self._half = max(size // 2, 1)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, digest: bytes) -> bool:
        """Remember a digest; returns whether it is new."""
        if digest in self._young or digest in self._old:
            return False
        if len(self._young) >= self._half:
            self._old, self._young = self._young, set()
        self._young.add(digest)
        return True

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Uint8 (n, 16) of both halves."""
        return {"young": _array(self._young), "old": _array(self._old)}

    def restore(self, young: npt.NDArray[Any], old: npt.NDArray[Any]) -> None:
        """Go on with what was remembered, as far as it fits.

        Raises:
            ValueError: these are no digests.
        """
        self._young, self._old = (set(_digests(each)[: self._half]) for each in (young, old))


def _array(digests: set[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def _digests(array: npt.NDArray[Any]) -> list[bytes]:
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != DIGEST_BYTES:
        raise ValueError("no digests")
    return [row.tobytes() for row in array]
