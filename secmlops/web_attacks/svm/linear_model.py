"""A linear model over hashed n-grams, read over sliding windows with exact integer sums."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks.svm.ngrams import Batch, Shape, features

_UNIT: Final = 2.0**-16


@dataclass(frozen=True, slots=True)
class Margins:
    """The linear model's answer for a batch of texts.

    Attributes:
        margin: signed distance, one per text; attacks lie above 0.
        start: where the stretch that gave it begins, in code indices from the separator before the text.
        stop: where it ends, likewise.
    """

    margin: npt.NDArray[np.float64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Weights of hashed n-grams, and the windows over which they are summed.

    Attributes:
        weights: int32, in multiples of `_UNIT`, `2**shape.bits` of them; the first is 0.
        bias: added to every margin.
        shape: the n-grams.
        windows: window lengths, in folded characters.
        window_penalty: taken off a window's margin before it is compared with the whole text's.
    """

    weights: npt.NDArray[np.int32]
    bias: float
    shape: Shape
    windows: tuple[int, ...]
    window_penalty: float

    @classmethod
    def from_floats(
        cls,
        weights: npt.NDArray[np.floating],
        bias: float,
        shape: Shape,
        windows: tuple[int, ...],
        window_penalty: float,
    ) -> "LinearModel":
        """Round weights to whole multiples of the unit; the bucket of no n-gram gets 0."""
        whole = np.rint(weights / _UNIT).astype(np.int32)
        whole[0] = 0
        return cls(whole, bias, shape, windows, window_penalty)

    def floats(self) -> npt.NDArray[np.float32]:
        """The weights as float32, from which `from_floats` makes the same model again."""
        return (self.weights * _UNIT).astype(np.float32)

    def margins(self, batch: Batch) -> Margins:
        """Score every text of a batch: the largest margin over the whole text and all windows inside it.

        A stretch's margin is the sum of its n-grams' weights over the square root of their number, plus the bias. The
        sums are integers, so what else lies in the batch changes no bit of it.
        """
        total, count = self._sums(batch)
        first, last = batch.begins - 1, batch.ends
        margin = self._stretch(total, count, first, last)
        start, stop = first.copy(), last.copy()
        longest = last - first
        for window in self.windows:
            long = np.flatnonzero(longest > window)
            if len(long):
                self._widen(total, count, batch, window, long, margin, start, stop)
        return Margins(margin, start - first, stop - first)

    def densest(self, batch: Batch, start: int, stop: int, width: int) -> tuple[int, int]:
        """The stretch of `width` codes with the largest sum, inside a stretch of a batch's only text."""
        if stop - start <= width:
            return start, stop
        total, _ = self._sums(batch)
        first = start + int(np.argmax(total[start + width : stop + 1] - total[start : stop + 1 - width]))
        return first, first + width

    def _sums(self, batch: Batch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        size = len(batch.codes)
        weight = np.zeros(size + 1, dtype=np.int64)
        number = np.zeros(size + 1, dtype=np.int64)
        for positions, buckets in features(batch, self.shape):
            found = self.weights[buckets]
            present = buckets != 0
            if positions is None:
                weight[1 : len(found) + 1] += found
                number[1 : len(found) + 1] += present
            else:
                at = positions[: len(found)] + 1
                weight[at] += found
                number[at] += present
        return np.cumsum(weight), np.cumsum(number)

    def _stretch(
        self,
        total: npt.NDArray[np.int64],
        count: npt.NDArray[np.int64],
        start: npt.NDArray[np.int64],
        stop: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        number = np.maximum(count[stop] - count[start], 1)
        return (total[stop] - total[start]) * _UNIT / np.sqrt(number) + self.bias

    def _widen(
        self,
        total: npt.NDArray[np.int64],
        count: npt.NDArray[np.int64],
        batch: Batch,
        window: int,
        long: npt.NDArray[np.int64],
        margin: npt.NDArray[np.float64],
        start: npt.NDArray[np.int64],
        stop: npt.NDArray[np.int64],
    ) -> None:
        """Raise a long text's margin to that of its best window, where that is larger; changes the last three."""
        sizes = batch.ends[long] - batch.begins[long] + 2 - window
        offsets = np.cumsum(sizes) - sizes
        places = np.arange(int(sizes.sum())) - np.repeat(offsets, sizes) + np.repeat(batch.begins[long] - 1, sizes)
        found = self._stretch(total, count, places, places + window) - self.window_penalty
        best = np.maximum.reduceat(found, offsets)
        better = best > margin[long]
        if not better.any():
            return
        for index in np.flatnonzero(better).tolist():
            first = int(offsets[index])
            place = int(places[first + int(np.argmax(found[first : first + int(sizes[index])]))])
            text = int(long[index])
            margin[text], start[text], stop[text] = best[index], place, place + window
