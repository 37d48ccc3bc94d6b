import pytest
import torch

from secmlops.robustness.certification import certified
from secmlops.robustness.certification.curves import (
    CertifiedCurve,
    NormsDiffer,
    certified_curve,
    plot_curves,
    smoothed_curve,
)
from secmlops.robustness.certification.smoothing import Smoothed
from tests.unit.robustness.small import accuracy, held_out, trained

BUDGETS = (0.0, 0.03, 0.01, 0.02)


def test_a_curve_falls_from_clean_accuracy_and_says_what_certificates_say():
    images, labels = held_out(50)
    curve = certified_curve(trained(True), images, labels, BUDGETS, method="crown-ibp")
    assert curve.budgets == (0.0, 0.01, 0.02, 0.03)
    assert curve.certified[0] == pytest.approx(accuracy(trained(True), images, labels))
    assert list(curve.certified) == sorted(curve.certified, reverse=True)
    assert curve.certified[-1] < curve.certified[0]
    at_each = [certified(trained(True), images, labels, eps, method="crown-ibp") for eps in curve.budgets]
    assert curve.certified == pytest.approx([float(proved.double().mean()) for proved in at_each])
    assert CertifiedCurve.model_validate_json(curve.model_dump_json()) == curve


def test_the_curve_of_smoothing_counts_right_answers_with_radii_large_enough():
    smoothed = Smoothed(torch.tensor([1, 0, -1, 1]), torch.tensor([0.5, 0.9, 0.0, 0.2], dtype=torch.float64))
    curve = smoothed_curve(smoothed, torch.tensor([1, 1, 0, 1]), (0.0, 0.2, 0.3, 0.6))
    assert curve.norm == "l2"
    assert curve.certified == (0.5, 0.5, 0.25, 0.0)


def test_curves_are_drawn_one_norm_at_a_time(tmp_path):
    linf = CertifiedCurve(norm="linf", method="crown", images=4, budgets=(0.0, 0.1), certified=(1.0, 0.5))
    l2 = CertifiedCurve(norm="l2", method="smoothing", images=4, budgets=(0.0, 0.1), certified=(1.0, 0.5))
    plot_curves({"hardened": linf, "standard": linf}, tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_text()
    assert "<svg" in drawn and len(drawn) > 5_000
    plot_curves({"hardened": l2}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(NormsDiffer):
        plot_curves({"one": linf, "other": l2}, tmp_path / "no.png")
