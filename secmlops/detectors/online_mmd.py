"""MMD row by row, with thresholds for an expected run time (Cobb, Van Looveren and Klaise 2022, arXiv 2108.00883).

The thresholds are found once, by drawing streams out of the reference; every stream's statistics at every time come
from sums over one small kernel matrix. Afterwards a row costs one row of the kernel.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from secmlops.detectors.config import OnlineMmdConfig
from secmlops.detectors.detector import Answer, Arrays, BadWindow, Floats, as_rows, describe
from secmlops.detectors.kernels import gaussian, median_bandwidth, row_blocks


class OnlineMmdDrift:
    """MMD of the last rows against the reference.

    Args:
        config: what to build.
        reference: rows (n, ...), n more than four windows.
        thresholds: float (window_size,), where they are known already: configuring takes a second.
        split: int (n - window_size + 1,): the reference rows that are compared with, then those the window starts
            with, where they are known already.

    Raises:
        BadWindow: the reference is none, or too short.
    """

    def __init__(
        self,
        config: OnlineMmdConfig,
        reference: npt.NDArray[Any],
        thresholds: Floats | None = None,
        split: npt.NDArray[np.int64] | None = None,
    ):
        self.config = config
        self.reference = as_rows(reference)
        if len(self.reference) < 4 * config.window_size:
            raise BadWindow(f"a window of {config.window_size} wants at least {4 * config.window_size} reference rows")
        self.meta = describe("MMDDriftOnline", online=True)
        rows = self.reference.astype(np.float64)
        self._sigma = median_bandwidth(rows, config.seed)
        self._around = 2 * config.window_size - 1
        if thresholds is None or split is None:
            thresholds, split = self._configured(rows)
        self.thresholds, self.split = thresholds, split
        self._kept = rows[split[: len(rows) - self._around]]
        self._start = rows[split[-config.window_size :]]
        self._mean_within = _mean_within(self._kept, self._sigma)
        self._time = 0
        self._window: Floats
        self._towards: Floats
        self.reset()

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge the stream so far by its next row (...).

        Raises:
            BadWindow: it is none, or has other features.
        """
        row = as_rows(np.asarray(x)[None], self.reference.shape[1], least=1).astype(np.float64)
        self._window = np.concatenate([self._window[1:], row])
        self._towards = np.append(self._towards[1:], gaussian(row, self._kept, self._sigma).mean())
        self._time += 1
        statistic = self._statistic()
        threshold = float(self.thresholds[min(self._time, len(self.thresholds) - 1)])
        data = {
            "is_drift": int(statistic > threshold),
            "time": self._time,
            "ert": self.config.ert,
            "test_stat": statistic,
            "threshold": threshold,
        }
        return {"data": data, "meta": self.meta}

    def reset(self) -> None:
        """Forget the stream."""
        self._time = 0
        self._window = self._start.copy()
        self._towards = gaussian(self._window, self._kept, self._sigma).mean(axis=1)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Where the stream stands."""
        return {"time": np.array([self._time]), "window": self._window.copy()}

    def restore(self, state: Arrays) -> None:
        """Go on where a stream stood.

        Raises:
            BadWindow: the state is another detector's.
        """
        if state["window"].shape != self._start.shape:
            raise BadWindow("the saved stream has another window")
        self._time = int(state["time"][0])
        self._window = np.array(state["window"], dtype=np.float64)
        self._towards = gaussian(self._window, self._kept, self._sigma).mean(axis=1)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again, the stream not included."""
        return {"reference": self.reference, "thresholds": self.thresholds, "split": self.split}

    def _statistic(self) -> float:
        return self._mean_within + _mean_within(self._window, self._sigma) - 2 * float(self._towards.mean())

    def _configured(self, rows: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Thresholds (window_size,), and a split of the reference whose first window stays below the first of them."""
        generator = np.random.default_rng(self.config.seed)
        streams = np.stack([generator.permutation(len(rows))[: self._around] for _ in range(self.config.n_bootstraps)])
        thresholds = self._thresholds(self._simulated(rows, streams))
        for _ in range(self.config.n_bootstraps):
            split = generator.permutation(len(rows))
            split = np.concatenate([split[: -self._around], split[-self.config.window_size :]])
            kept, start = rows[split[: -self.config.window_size]], rows[split[-self.config.window_size :]]
            between = float(gaussian(start, kept, self._sigma).mean())
            within = _mean_within(kept, self._sigma) + _mean_within(start, self._sigma)
            if within - 2 * between < thresholds[0]:
                return thresholds, split
        raise BadWindow("no part of the reference is like the rest of it")

    def _simulated(self, rows: Floats, streams: npt.NDArray[np.int64]) -> Floats:
        """Statistics (streams, window_size) of rows drawn out of the reference, against all rows not drawn."""
        to_all = np.concatenate(
            [gaussian(rows[block], rows, self._sigma).sum(axis=1) for block in row_blocks(len(rows), len(rows))]
        )
        total = to_all.sum() - len(rows)
        size, kept = self.config.window_size, len(rows) - self._around
        found = np.empty((len(streams), size))
        for index, stream in enumerate(streams):
            kernel = gaussian(rows[stream], rows[stream], self._sigma)
            to_kept = to_all[stream] - kernel.sum(axis=1)
            np.fill_diagonal(kernel, 0)
            within_kept = (total - kernel.sum() - 2 * to_kept.sum()) / (kept * (kept - 1))
            within = _sums_of_squares_along(kernel, size) / (size * (size - 1))
            between = np.convolve(to_kept, np.ones(size), mode="valid") / (kept * size)
            found[index] = within_kept + within - 2 * between
        return found

    def _thresholds(self, statistics: Floats) -> Floats:
        """At each time, what one stream in `ert` of those still silent exceeds."""
        thresholds = np.empty(self.config.window_size)
        for time in range(self.config.window_size):
            thresholds[time] = np.quantile(statistics[:, time], 1 - 1 / self.config.ert)
            silent = statistics[:, time] < thresholds[time]
            if silent.any():
                statistics = statistics[silent]
        return thresholds


def _mean_within(rows: Floats, sigma: Floats) -> float:
    """Mean kernel of two different rows."""
    total = sum(gaussian(rows[block], rows, sigma).sum() for block in row_blocks(len(rows), len(rows)))
    return float(total - len(rows)) / (len(rows) * (len(rows) - 1))


def _sums_of_squares_along(kernel: Floats, size: int) -> Floats:
    """Sums over the `size` x `size` squares along the diagonal."""
    sums = np.pad(kernel, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    first = np.arange(len(kernel) - size + 1)
    last = first + size
    return sums[last, last] - sums[first, last] - sums[last, first] + sums[first, first]
