"""The native engine: NumPy and SciPy alone."""

from typing import Any, Final

from secmlops.detectors.classifier_drift import ClassifierDrift
from secmlops.detectors.detector import Arrays
from secmlops.detectors.lsdd import LsddDrift
from secmlops.detectors.mmd import MmdDrift
from secmlops.detectors.online_cvm import OnlineCvmDrift
from secmlops.detectors.online_mmd import OnlineMmdDrift
from secmlops.detectors.performance import PerformanceDrift
from secmlops.detectors.univariate import UnivariateDrift

DRIFT: Final[dict[str, Any]] = {
    "ks": UnivariateDrift,
    "cvm": UnivariateDrift,
    "chi_square": UnivariateDrift,
    "tabular": UnivariateDrift,
    "prediction": UnivariateDrift,
    "uncertainty": UnivariateDrift,
    "performance": PerformanceDrift,
    "mmd": MmdDrift,
    "lsdd": LsddDrift,
    "classifier": ClassifierDrift,
    "mmd_online": OnlineMmdDrift,
    "cvm_online": OnlineCvmDrift,
}


def build(config: Any, arrays: Arrays) -> Any:
    """Build a detector from its config and `reference`, and whatever else `arrays()` of an earlier one gave."""
    return DRIFT[config.kind](config, **arrays)
