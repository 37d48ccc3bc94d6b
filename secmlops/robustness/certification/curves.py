"""Certified accuracy against the budget: how many images are proved right, and up to which change."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.certification.margins import Method, certified
from secmlops.robustness.certification.smoothing import Smoothed

Share = Annotated[float, Field(ge=0, le=1)]


class NormsDiffer(SecmlopsError):
    """Curves of different norms cannot share an axis.

    Attributes:
        norms: of the curves.
    """

    def __init__(self, norms: Iterable[str]):
        self.norms = sorted(norms)
        super().__init__(f"one figure shows curves of one norm, not of {len(self.norms)}: draw them apart")


class CertifiedCurve(BaseModel):
    """Certified accuracy at rising budgets, over all images given, also those answered wrongly.

    Attributes:
        norm: of the budgets.
        method: how it was proved; `smoothing` holds for each image with the confidence that it was asked for.
        images: how many.
        budgets: in pixel values, rising.
        certified: share of the images that are right and proved at each budget.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: Literal["linf", "l2"]
    method: Method | Literal["smoothing"]
    images: Annotated[int, Field(gt=0)]
    budgets: tuple[float, ...]
    certified: tuple[Share, ...]


def certified_curve(
    network: nn.Module, images: Tensor, labels: Tensor, budgets: Sequence[float], *, method: Method = "alpha-crown"
) -> CertifiedCurve:
    """The curve in L-infinity by bounds.

    An image that is not proved at one budget is not tried at larger ones.

    Args:
        network: Sequential of Conv2d, ReLU, Flatten, Linear.
        images: float32 (n, c, h, w) in [0, 1], at least one.
        labels: int64 (n,), the true ones.
        budgets: in pixel values.
        method: how tight.

    Raises:
        UnsupportedLayer: the network has a layer without bounds.
        NotCertifiable: images, labels or a budget are out of their range.
    """
    standing, shares = torch.arange(len(images), device=images.device), []
    for eps in sorted(budgets):
        standing = standing[certified(network, images[standing], labels[standing], eps, method=method)]
        shares.append(len(standing) / len(images))
    return CertifiedCurve(
        norm="linf", method=method, images=len(images), budgets=tuple(sorted(budgets)), certified=tuple(shares)
    )


def smoothed_curve(smoothed: Smoothed, labels: Tensor, budgets: Sequence[float]) -> CertifiedCurve:
    """The curve in L2 by randomized smoothing, from what `smoothing.certify` found.

    Args:
        smoothed: answers and radii of at least one image.
        labels: int64 (n,), the true ones.
        budgets: in pixel values.
    """
    shares = [float(smoothed.certified(labels, radius).double().mean()) for radius in sorted(budgets)]
    return CertifiedCurve(
        norm="l2", method="smoothing", images=len(labels), budgets=tuple(sorted(budgets)), certified=tuple(shares)
    )


def plot_curves(curves: Mapping[str, CertifiedCurve], path: Path) -> None:
    """Draw curves of one norm into one figure.

    Args:
        curves: by the name in the legend.
        path: of the PNG or SVG file.

    Raises:
        NormsDiffer: the curves are of different norms.
    """
    from matplotlib.figure import Figure

    norms = {curve.norm for curve in curves.values()}
    if len(norms) != 1:
        raise NormsDiffer(norms)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(curve.budgets, curve.certified, marker=".", label=f"{name} ({curve.method}, {curve.images:,} images)")
    axes.set(
        xlabel=f"largest change, {'L-infinity' if norms == {'linf'} else 'L2'} (pixel values in [0, 1])",
        ylabel="certified accuracy",
        ylim=(0, 1),
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
