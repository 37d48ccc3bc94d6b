"""Other forms of a request, and what a disagreement between them says."""

import numpy as np

from secmlops.detectors.disagreement import Disagreement, DisagreementConfig
from secmlops.web_attacks.classifier import Score
from secmlops.web_attacks.decoding import decode, take
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.rewriting import REWRITERS, rewritten, scorer, undone


def texts(request: HttpRequest) -> list[str]:
    return sorted(decode(part.text) for part in take(request).parts)


def test_a_plain_request_is_its_own_canonical_form():
    request = HttpRequest("GET", "/search?q=blue%20shoes&page=2", headers=(("Accept", "*/*"),))
    assert REWRITERS["canonical"](request) is request


def test_the_canonical_form_says_plainly_what_a_disguise_says():
    request = HttpRequest(
        "POST",
        "/a?q=un/**/ion%2520select",
        headers=(("Content-Type", "application/json"), ("X-Api", "a%2527b")),
        body=b'{"name": "1/*x*/or 1", "n": 3}',
    )
    plain = REWRITERS["canonical"](request)
    assert plain != request
    assert texts(plain) == sorted([undone(part.text) for part in take(plain).parts])
    assert any("or 1" in text and "/*" not in text for text in texts(plain))
    assert REWRITERS["canonical"](plain) == plain


def test_every_value_is_rewritten_in_its_place():
    request = HttpRequest("GET", "/p?a=1&b=2", headers=(("Cookie", "c=3; d=4"), ("X-E", "5")), body=b"f=6")
    changed = rewritten(request, lambda text: text + "!")
    found = {part.label.lower(): decode(part.text) for part in take(changed).parts}
    assert found["query:a"] == "1!" and found["query:b"] == "2!"
    assert found["cookie:c"] == "3!" and found["cookie:d"] == "4!"
    assert found["header:x-e"] == "5!" and found["body:f"] == "6!"


class Suspicious:
    """Scores a request by whether a word stands in it that no honest one has."""

    name, threshold = "suspicious", 0.9

    def score(self, requests):
        return [Score(0.6 if "evil" in r.uri else 0.01, "normal", "", "", "") for r in requests]


def test_who_stops_below_the_threshold_is_flagged_all_the_same():
    detector = Disagreement(DisagreementConfig(views=tuple(REWRITERS)), scorer(Suspicious()), REWRITERS)
    honest = [HttpRequest("GET", f"/search?q={number}") for number in range(40)]
    detector.infer_threshold(honest, 0.05)
    data = detector.predict([*honest[:2], HttpRequest("GET", "/search?q=evil")])["data"]
    assert data["is_adversarial"].tolist() == [0, 0, 1]
    assert data["view"][2] == "without_values"
    assert np.isclose(data["instance_score"][2], 2 * 0.59)
