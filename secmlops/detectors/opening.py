"""One door to every drift detector: a config, reference data, an engine."""

from typing import Any

import numpy.typing as npt

from secmlops.detectors import alibi, native
from secmlops.detectors.detector import Arrays, Detector, Engine


def default_engine() -> Engine:
    """alibi-detect where it is installed, else ours."""
    return "alibi" if alibi.installed() else "native"


def open_detector(config: Any, reference: npt.NDArray[Any], engine: Engine | None = None) -> Detector:
    """Build a drift detector on reference data.

    Args:
        config: one of `config`'s classes.
        reference: rows (n, ...); probabilities (n, classes) for prediction and uncertainty drift, and (label,
            predicted class) for performance drift.
        engine: `alibi` or `native`; None: `alibi` where it is installed.

    Raises:
        AlibiMissing: the engine is `alibi`, and alibi-detect is not installed.
        BadWindow: the reference is no such data.
    """
    return rebuild(config, {"reference": reference}, engine or default_engine())


def rebuild(config: Any, arrays: Arrays, engine: Engine) -> Detector:
    """Build a detector as it was, from its `arrays()`.

    Raises:
        AlibiMissing: the engine is `alibi`, and alibi-detect is not installed.
        BadWindow: the reference is no such data.
    """
    return (alibi if engine == "alibi" else native).build(config, arrays)
