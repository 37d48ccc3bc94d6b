"""The alibi engine: alibi-detect 0.13 with its PyTorch backend, behind the same configs and the same answers.

alibi-detect is under the Business Source License 1.1: production use needs a licence of its vendor. It draws from
global generators, so they are seeded around it and put back. Its own saved form runs code when it is loaded, so a
detector is stored as the native engine's are, as arrays and JSON, and built again.
"""

import importlib
import importlib.util
import logging
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from secmlops.detectors import native
from secmlops.detectors.config import (
    ChiSquareConfig,
    ClassifierDriftConfig,
    CvmConfig,
    LsddConfig,
    MmdConfig,
    OnlineCvmConfig,
    OnlineMmdConfig,
    PerformanceConfig,
    UnivariateConfig,
)
from secmlops.detectors.detector import Answer, Arrays, BadWindow, as_rows, describe
from secmlops.detectors.univariate import categorical_columns, moved, view
from secmlops.errors import SecmlopsError

BACKEND: Final = "alibi"
_STREAM_LOGS: Final = ("test_stats", "drift_preds")
"""What alibi-detect's online detectors keep of every row they ever saw, and never read again."""


class AlibiMissing(SecmlopsError):
    """alibi-detect is asked for and not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the alibi engine needs alibi-detect: pip install 'secmlops[detectors]', or ask for engine='native'"
        )


def installed() -> bool:
    """Whether alibi-detect is there; it is not imported."""
    return importlib.util.find_spec("alibi_detect") is not None


def build(config: Any, arrays: Arrays) -> Any:
    """Build a detector from its config and `reference`, and whatever else `arrays()` of an earlier one gave.

    Performance drift is the native engine's: alibi-detect has no such detector.

    Raises:
        AlibiMissing: alibi-detect is not installed.
        BadWindow: the reference is none.
    """
    if not installed():
        raise AlibiMissing
    if isinstance(config, PerformanceConfig):
        return native.build(config, arrays)
    if isinstance(config, OnlineMmdConfig | OnlineCvmConfig):
        return AlibiOnlineDrift(config, **arrays)
    return AlibiDrift(config, **arrays)


class AlibiDrift:
    """One of alibi-detect's detectors of windows.

    Args:
        config: what to build.
        reference: rows (n, ...).

    Raises:
        BadWindow: the reference is none.
    """

    def __init__(self, config: Any, reference: npt.NDArray[Any]):
        self.config = config
        self.reference = as_rows(reference)
        self._univariate = isinstance(config, UnivariateConfig)
        self._rows = self._tested(self.reference)
        with _quiet_and_seeded(getattr(config, "seed", 0)):
            self.detector = _window_detector(config, self._rows)
        self.meta = describe(self.detector.meta["name"], backend=BACKEND)

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge a window (n, ...).

        Raises:
            BadWindow: it is none, or has other features.
        """
        x = as_rows(x, self.reference.shape[1])
        rows = self._tested(x)
        options = {"return_model": False} if isinstance(self.config, ClassifierDriftConfig) else {}
        # By the window too: with one draw for all windows, all answers would err alike.
        with _quiet_and_seeded(getattr(self.config, "seed", 0) + zlib.crc32(rows.tobytes())):
            data = dict(self.detector.predict(rows, **options)["data"])
        for key in ("x_ref_oof", "x_test_oof"):
            data.pop(key, None)
        if self._univariate:
            data["threshold"] = float(np.min(data["threshold"]))  # an array where nothing is below it
            data["moved"] = moved(
                self.config, self._rows, rows, data["p_val"], data["distance"], threshold=data["threshold"]
            )
        return {"data": data, "meta": self.meta}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again."""
        return {"reference": self.reference}

    def _tested(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._univariate:
            return view(self.config, rows)
        return rows.astype(np.float32 if isinstance(self.config, ClassifierDriftConfig) else np.float64)


class AlibiOnlineDrift:
    """One of alibi-detect's detectors of streams.

    Args:
        config: what to build.
        reference: rows (n, ...).
        thresholds: where they are known already: configuring takes seconds.

    Raises:
        BadWindow: the reference is none.
    """

    def __init__(self, config: Any, reference: npt.NDArray[Any], thresholds: npt.NDArray[Any] | None = None):
        self.config = config
        self.reference = as_rows(reference)
        with _quiet_and_seeded(config.seed):
            self.detector = _stream_detector(config, self.reference.astype(np.float64), thresholds)
        self.meta = describe(self.detector.meta["name"], online=True, backend=BACKEND)

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge the stream so far by its next row (...).

        Raises:
            BadWindow: it is none, or has other features.
        """
        row = as_rows(np.asarray(x)[None], self.reference.shape[1], least=1)[0]
        with _quiet_and_seeded(self.config.seed):
            data = dict(self.detector.predict(row.astype(np.float64))["data"])
        for log in _STREAM_LOGS:
            setattr(self.detector, log, getattr(self.detector, log)[:0])
        if isinstance(self.config, OnlineCvmConfig):
            self.detector.xs = self.detector.xs[-self.detector.max_ws :]
            data["moved"] = np.flatnonzero((data["test_stat"] > data["threshold"]).any(axis=0)).tolist()
        data["threshold"] = float(np.asarray(data["threshold"]).reshape(-1)[0])
        return {"data": data, "meta": self.meta}

    def reset(self) -> None:
        """Forget the stream."""
        self.detector.reset_state()

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Where the stream stands."""
        return {key: np.array(getattr(self.detector, key)) for key in self._keys()}

    def restore(self, state: Arrays) -> None:
        """Go on where a stream stood.

        Raises:
            BadWindow: the state is another detector's.
        """
        if set(state) != set(self._keys()):
            raise BadWindow("the saved stream is another detector's")
        self.detector.t = int(np.asarray(state["t"]).item())
        for key in self._keys():
            if key != "t":
                now = getattr(self.detector, key)
                value = np.array(state[key])
                setattr(self.detector, key, value if isinstance(now, np.ndarray) else now.new_tensor(value))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides the config to build it again, the stream not included."""
        return {"reference": self.reference, "thresholds": np.asarray(self.detector.thresholds, dtype=np.float64)}

    def _keys(self) -> list[str]:
        return [key for key in self.detector.online_state_keys if key not in _STREAM_LOGS]


def _window_detector(config: Any, reference: npt.NDArray[Any]) -> Any:
    cd = importlib.import_module("alibi_detect.cd")
    if isinstance(config, MmdConfig):
        sigma = np.array(config.sigma, dtype=reference.dtype) if config.sigma else None
        return cd.MMDDrift(
            reference,
            backend="pytorch",
            device="cpu",
            p_val=config.p_val,
            sigma=sigma,
            configure_kernel_from_x_ref=sigma is None,
            n_permutations=config.n_permutations,
        )
    if isinstance(config, LsddConfig):
        return cd.LSDDDrift(
            reference,
            backend="pytorch",
            device="cpu",
            p_val=config.p_val,
            n_permutations=config.n_permutations,
            n_kernel_centers=config.n_kernel_centers,
            lambda_rd_max=config.lambda_rd_max,
        )
    if isinstance(config, ClassifierDriftConfig):
        return cd.ClassifierDrift(
            reference,
            _network(reference.shape[1]),
            backend="pytorch",
            device="cpu",
            p_val=config.p_val,
            preds_type="logits",
            n_folds=config.n_folds,
            seed=config.seed,
            epochs=10,
        )
    settings = {"p_val": config.p_val, "correction": config.correction}
    if isinstance(config, ChiSquareConfig):
        return cd.ChiSquareDrift(reference, **settings)
    if isinstance(config, CvmConfig):
        return cd.CVMDrift(reference, **settings)
    columns = categorical_columns(config, reference.shape[1])
    if not columns:
        return cd.KSDrift(reference, **settings)
    return cd.TabularDrift(reference, categories_per_feature=dict.fromkeys(columns), **settings)


def _network(features: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 2))


def _stream_detector(config: Any, reference: npt.NDArray[Any], thresholds: npt.NDArray[Any] | None) -> Any:
    if isinstance(config, OnlineMmdConfig):
        base: Any = importlib.import_module("alibi_detect.cd.pytorch.mmd_online").MMDDriftOnlineTorch
        settings: dict[str, Any] = {"window_size": config.window_size, "device": "cpu"}
        known: Any = None if thresholds is None else [_tensor(value) for value in thresholds]
    else:
        base = importlib.import_module("alibi_detect.cd.cvm_online").CVMDriftOnline
        settings = {"window_sizes": list(config.window_sizes)}
        known = thresholds
    return _with_thresholds(base, known, config.seed)(
        reference, ert=config.ert, n_bootstraps=config.n_bootstraps, verbose=False, **settings
    )


def _tensor(value: float) -> Any:
    import torch

    return torch.tensor(value)


def _with_thresholds(base: Any, thresholds: Any, seed: int) -> Callable[..., Any]:
    """A detector's class that takes known thresholds, and draws what follows them from the seed alone."""

    class Configured(base):
        def _configure_thresholds(self) -> None:
            if thresholds is None:
                super()._configure_thresholds()
            else:
                self.thresholds = thresholds
            _seed(seed)

    Configured.__name__ = base.__name__
    return Configured


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def _quiet_and_seeded(seed: int) -> Iterator[None]:
    """Global generators seeded inside and as they were outside; no advice to alibi-detect's developers."""
    import torch

    logger = logging.getLogger("alibi_detect")
    level, state = logger.level, np.random.get_state()
    logger.setLevel(logging.ERROR)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _seed(seed)
            yield
    finally:
        np.random.set_state(state)
        logger.setLevel(level)
