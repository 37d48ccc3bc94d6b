"""What a detector is, what it answers, and what it refuses to look at."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol, TypedDict, runtime_checkable

import numpy as np
import numpy.typing as npt

from secmlops import __version__
from secmlops.errors import SecmlopsError

Engine = Literal["alibi", "native"]
Arrays = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]

LEAST_ROWS: Final = 2
"""No spread can be told from fewer."""


class Answer(TypedDict):
    """What a detector says of a window, in alibi-detect's form.

    `data` holds `is_drift` (0 or 1), `distance`, `p_val` and `threshold` for drift, `is_adversarial` and
    `instance_score`, one entry per row, for adversarial inputs; `meta` holds `name`, `detector_type`, `online`,
    `data_type`, `version` and `backend`.
    """

    data: dict[str, Any]
    meta: dict[str, Any]


@runtime_checkable
class Detector(Protocol):
    """Built on reference data, asked about windows."""

    @property
    def meta(self) -> dict[str, Any]:
        """What stands in every answer's `meta`."""
        ...

    def predict(self, x: npt.NDArray[Any]) -> Answer:
        """Judge a window (n, ...), or for an online detector the next row (...)."""
        ...


class BadWindow(SecmlopsError):
    """Rows that a detector cannot judge, or cannot be built on.

    Attributes:
        reason: what is wrong.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"these rows cannot be judged: {reason}")


def describe(name: str, *, kind: str = "drift", online: bool = False, backend: str = "native") -> dict[str, Any]:
    """The `meta` of an answer."""
    return {
        "name": name,
        "online": online,
        "data_type": None,
        "version": __version__,
        "detector_type": kind,
        "backend": backend,
    }


def as_rows(x: npt.NDArray[Any], features: int | None = None, *, least: int = LEAST_ROWS) -> npt.NDArray[Any]:
    """Rows (n, features), each flattened; the type is kept.

    Raises:
        BadWindow: not numbers, not finite, too few, or not of so many features.
    """
    x = np.asarray(x)
    if x.dtype.kind not in "biuf":
        raise BadWindow(f"they are {x.dtype} and not numbers")
    if x.ndim == 0 or len(x) < least:
        raise BadWindow(f"at least {least} are needed")
    rows = x.reshape(len(x), -1)
    if rows.shape[1] == 0 or features not in (None, rows.shape[1]):
        raise BadWindow(f"a row has {rows.shape[1]} features and the reference {features}")
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise BadWindow("some values are not finite")
    return rows
