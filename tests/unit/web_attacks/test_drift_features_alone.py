"""A request's row is its own, whatever stands beside it: detectors are fitted on thousands, asked in small batches."""

import numpy as np

from secmlops.web_attacks import drift_features
from secmlops.web_attacks.request import HttpRequest


def test_a_row_does_not_depend_on_its_neighbours():
    requests = [
        HttpRequest("GET", f"/search?q={'ab' * (number % 5)}&page={number}", headers=(("User-Agent", f"a {number}"),))
        for number in range(12)
    ]
    scores = np.linspace(0.1, 0.9, 12)
    together = drift_features.view(requests, scores)
    alone = [drift_features.view([request], scores[at : at + 1]) for at, request in enumerate(requests)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=1e-12)
