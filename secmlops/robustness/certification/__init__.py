"""What can be proved about a classifier: no image within a budget of this one changes its answer.

`certified` and `margin_bounds` are deterministic proofs for L-infinity budgets on the network family of
`robustness.networks` with ReLU; `smoothing` gives statistical ones for L2 on any classifier.

A proof holds for the network as float32 arithmetic runs it, not only for real numbers: bounds are computed in float64,
the box of images is a little wider than asked, and the margin must exceed what rounding can do (`rounding`).
"""

from secmlops.robustness.certification.margins import (
    METHODS,
    Method,
    certified,
    certified_radii,
    margin_bounds,
)
from secmlops.robustness.certification.network import UnsupportedLayer
from secmlops.robustness.certification.question import NotCertifiable

__all__ = ["METHODS", "Method", "NotCertifiable", "UnsupportedLayer", "certified", "certified_radii", "margin_bounds"]
