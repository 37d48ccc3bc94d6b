"""Cramer-von-Mises row by row and feature by feature (Ross and Adams 2012; Cobb et al. 2022, arXiv 2108.00883).

The statistic depends on ranks alone, so the thresholds hold for any continuous feature, and simulating them takes only
the ranks of a stream among the reference.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from secmlops.detectors.config import OnlineCvmConfig
from secmlops.detectors.detector import Answer, Arrays, BadWindow, Floats, as_rows, describe


class OnlineCvmDrift:
    """The last rows of each feature against the reference.

    Args:
        config: what to build.
        reference: rows (n, ...).
        thresholds: float (times,), where they are known already.

    Raises:
        BadWindow: the reference is none, or shorter than the longest window.
    """

    def __init__(self, config: OnlineCvmConfig, reference: npt.NDArray[Any], thresholds: Floats | None = None):
        self.config = config
        self.reference = as_rows(reference, least=max(config.window_sizes))
        self.meta = describe("CVMDriftOnline", online=True)
        self._sorted = np.sort(self.reference.astype(np.float64), axis=0)
        self._longest = max(config.window_sizes)
        self.thresholds = self._configured() if thresholds is None else thresholds
        self._time = 0
        self._window: Floats
        self.reset()

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge the stream so far by its next row (...).

        `test_stat` is float (window sizes, features), NaN until a window is full; `moved` names the features above
        the threshold.

        Raises:
            BadWindow: it is none, or has other features.
        """
        row = as_rows(np.asarray(x)[None], self.reference.shape[1], least=1).astype(np.float64)
        self._window = np.concatenate([self._window[-(self._longest - 1) :], row])
        self._time += 1
        statistics = np.stack([self._statistics(size) for size in self.config.window_sizes])
        threshold = float(self.thresholds[min(self._time, len(self.thresholds)) - 1])
        above = (statistics > threshold).any(axis=0)
        data = {
            "is_drift": int(above.any()),
            "time": self._time,
            "ert": self.config.ert,
            "test_stat": statistics,
            "threshold": threshold,
            "moved": np.flatnonzero(above).tolist(),
        }
        return {"data": data, "meta": self.meta}

    def reset(self) -> None:
        """Forget the stream."""
        self._time = 0
        self._window = np.empty((0, self.reference.shape[1]))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Where the stream stands."""
        return {"time": np.array([self._time]), "window": self._window.copy()}

    def restore(self, state: Arrays) -> None:
        """Go on where a stream stood.

        Raises:
            BadWindow: the state is another detector's.
        """
        window = np.array(state["window"], dtype=np.float64)
        if window.ndim != 2 or window.shape[1] != self.reference.shape[1] or len(window) > self._longest:
            raise BadWindow("the saved stream has another window")
        self._time, self._window = int(state["time"][0]), window

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again, the stream not included."""
        return {"reference": self.reference, "thresholds": self.thresholds}

    def _statistics(self, size: int) -> Floats:
        """Normalized statistics (features,) of the last `size` rows."""
        if len(self._window) < size:
            return np.full(self.reference.shape[1], np.nan)
        window = self._window[-size:]
        return np.array([_cramer_von_mises(old, new) for old, new in zip(self._sorted.T, window.T, strict=True)])

    def _configured(self) -> Floats:
        """At each time, what one stream in `ert` of those still silent exceeds, in any of its features."""
        times = 2 * self._longest - 1
        rate = 1 - (1 - 1 / self.config.ert) ** (1 / self.reference.shape[1])
        statistics = self._simulated(times)
        thresholds = np.full(times, np.inf)
        for time in range(min(self.config.window_sizes) - 1, times):
            thresholds[time] = np.quantile(statistics[:, time], 1 - rate)
            statistics = statistics[statistics[:, time] <= thresholds[time]]
        return thresholds

    def _simulated(self, times: int) -> Floats:
        """Largest statistic over the window sizes (streams, times) of streams from the reference's distribution."""
        generator = np.random.default_rng(self.config.seed)
        n = len(self.reference)
        ranks = np.empty((self.config.n_bootstraps, times), dtype=np.int64)
        for stream in ranks:
            stream[:] = np.searchsorted(np.sort(generator.random(n)), generator.random(times))
        found = np.full(ranks.shape, -np.inf)
        for size in self.config.window_sizes:
            for time in range(size - 1, times):
                window = np.sort(ranks[:, time - size + 1 : time + 1], axis=1)
                found[:, time] = np.maximum(found[:, time], _of_ranks(window, n))
        return found


def _cramer_von_mises(reference: Floats, window: Floats) -> float:
    """Normalized statistic of a window against a sorted reference; ties count on both sides."""
    n, m = len(reference), len(window)
    window = np.sort(window)
    at_reference = np.searchsorted(reference, reference, side="right") / n
    at_reference -= np.searchsorted(window, reference, side="right") / m
    at_window = np.searchsorted(reference, window, side="right") / n
    at_window -= np.searchsorted(window, window, side="right") / m
    return float(_normalized((at_reference**2).sum() + (at_window**2).sum(), n, m))


def _of_ranks(ranks: npt.NDArray[np.int64], n: int) -> Floats:
    """Normalized statistics (streams,) of windows, given sorted: how many of n reference rows lie below each row."""
    m = ranks.shape[1]
    place = np.arange(1, m + 1)
    # Over the reference: sum of (i/n - c_i/m)^2, with c_i the window's rows below the i-th.
    i = n * (n + 1) * (2 * n + 1) / 6
    squares_of_c = ((2 * place - 1) * (n - ranks)).sum(axis=1)
    i_times_c = ((n * (n + 1) - ranks * (ranks + 1)) / 2).sum(axis=1)
    at_reference = i / n**2 - 2 * i_times_c / (n * m) + squares_of_c / m**2
    at_window = ((ranks / n - place / m) ** 2).sum(axis=1)
    return _normalized(at_reference + at_window, n, m)


def _normalized(squares: Any, n: int, m: int) -> Any:
    """Anderson's (1962) statistic, less its mean and over its standard deviation."""
    total = n + m
    mean = 1 / 6 + 1 / (6 * total)
    variance = (total + 1) * (4 * n * m * total - 3 * (n * n + m * m) - 2 * n * m) / (45 * total**2 * 4 * n * m)
    return (squares * n * m / total**2 - mean) / np.sqrt(variance)
