from urllib.parse import unquote

import numpy as np
import pytest

from secmlops.detectors.adversarial import TooFewClean
from secmlops.detectors.detector import BadWindow
from secmlops.detectors.disagreement import Disagreement, DisagreementConfig, UnknownView
from secmlops.detectors.storage import detector_files, load_detector

REWRITERS = {"decoded": unquote, "folded": str.casefold}
CONFIG = DisagreementConfig(views=("decoded", "folded"))
CLEAN = [f"id={number}&name=a{number}" for number in range(100)]


def scorer(texts):
    """Knows one attack, and only in small letters and unencoded."""
    return np.array([0.95 if "union select" in text else 0.05 + 0.001 * len(text) for text in texts])


def test_an_evasion_scores_where_its_other_form_is_read_otherwise():
    detector = Disagreement(CONFIG, scorer, REWRITERS)
    detector.infer_threshold(CLEAN, 0.05)
    data = detector.predict(["id=1", "id=1%20union%20select", "UNION SELECT", "union select", "a%20b"])["data"]
    assert data["is_adversarial"].tolist() == [0, 1, 1, 0, 1]
    assert data["view"][1:3] == ["decoded", "folded"]
    assert data["instance_score"][2] == pytest.approx(2 * (0.95 - 0.062))
    assert data["instance_score"][4] == pytest.approx(2 * 0.002)


def test_forms_that_change_nothing_are_not_scored():
    asked = []

    def counting(texts):
        asked.extend(texts)
        return scorer(texts)

    detector = Disagreement(CONFIG, counting, REWRITERS)
    assert detector.score(["id=1", "ID=1"]).tolist() == [0, 0]
    assert asked == ["id=1", "ID=1", "id=1"]
    assert detector.score([]).shape == (0,)


def test_probabilities_of_classes_will_do():
    def three_classes(texts):
        return np.array([[0.2, 0.3, 0.5] if text.islower() else [0.5, 0.3, 0.2] for text in texts])

    detector = Disagreement(DisagreementConfig(views=("folded",)), three_classes, REWRITERS)
    assert detector.score(["ABC", "abc"]) == pytest.approx([0.6, 0])


def test_it_is_stored_and_needs_its_functions_again():
    detector = Disagreement(CONFIG, scorer, REWRITERS)
    detector.infer_threshold(CLEAN)
    files = detector_files(detector)
    again = load_detector(files, watched=scorer, rewriters=REWRITERS)
    assert again.config == detector.config
    assert again.score(["A%20b"]) == pytest.approx(detector.score(["A%20b"]))
    with pytest.raises(UnknownView, match="'decoded'"):
        Disagreement(CONFIG, scorer, {})
    with pytest.raises(TooFewClean):
        detector.infer_threshold(CLEAN[:10])
    with pytest.raises(BadWindow, match="shape"):
        Disagreement(CONFIG, lambda texts: np.zeros(1), REWRITERS).score(["a", "b"])
