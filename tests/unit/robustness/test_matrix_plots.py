"""The pictures show the matrix's figures: what is drawn is read back."""

import base64
import io
import re

import pytest
import torch
from PIL import Image

from secmlops.robustness.attacks import build
from secmlops.robustness.attacks.goal import cross_entropy
from secmlops.robustness.matrix import attack_matrix
from secmlops.robustness.matrix_plots import accuracy_against_eps, examples, loss_landscape, plane
from tests.unit.robustness.small import held_out, trained


def decoded(uri, kind):
    head, _, body = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    return base64.b64decode(body)


@pytest.fixture(scope="module")
def matrix():
    attacks = [build(name, eps) for name in ("fgsm", "pgd") for eps in (0.05, 0.1)]
    certified = {0.05: torch.zeros(20, dtype=torch.bool)}
    return attack_matrix(trained(), *held_out(20), attacks, certified=certified)


def test_every_attack_the_worst_case_and_the_certified_share_have_their_line(matrix, monkeypatch):
    from matplotlib import figure

    drawn = []
    monkeypatch.setattr("secmlops.robustness.matrix_plots.svg_uri", drawn.append)
    accuracy_against_eps(matrix)
    assert isinstance(drawn[0], figure.Figure)
    lines = {line.get_label(): line.get_xydata().tolist() for line in drawn[0].axes[0].lines}
    assert set(lines) == {"fgsm", "pgd", "worst case", "certified"}
    assert lines["pgd"] == [
        [eps, matrix.accuracy("pgd", eps) if eps else matrix.clean_accuracy] for eps in (0, 0.05, 0.1)
    ]
    assert lines["certified"] == [[0.05, 0.0]]


def test_the_curve_is_an_svg_without_a_date(matrix):
    svg = decoded(accuracy_against_eps(matrix), "svg+xml").decode()
    assert svg == decoded(accuracy_against_eps(matrix), "svg+xml").decode()
    assert not re.search(r"<dc:date>", svg)


def test_examples_and_landscape_are_pictures():
    images, labels = held_out(4)
    attacked = build("fgsm", 0.2)(trained(), images, labels)
    for uri in (
        examples(trained(), images, attacked, [str(digit) for digit in range(10)]),
        loss_landscape(trained(), images[0], int(labels[0]), 0.2, points=9),
    ):
        picture = Image.open(io.BytesIO(decoded(uri, "png")))
        assert picture.width > 300
        assert len(set(picture.convert("L").getdata())) > 10


def test_the_plane_is_the_loss_where_it_says():
    images, labels = held_out(1)
    shares = torch.tensor([-0.1, 0.0, 0.1])
    loss, ahead = plane(trained(), images[0], int(labels[0]), shares)
    here = cross_entropy(trained()(images), labels).item()
    assert loss[1, 1].item() == pytest.approx(here, abs=1e-6)
    assert loss[1, 2] > loss[1, 1] > loss[1, 0]  # the second axis goes up the gradient
    assert (ahead[1, 1] < 0) == (trained()(images).argmax(1) == labels)
