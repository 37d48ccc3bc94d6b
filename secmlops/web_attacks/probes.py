"""Standing probes: harmless requests whose text looks like an attack, the same for every model and data set.

A model that has only learnt the words of attacks flags help desks, forums and technical shops. The texts come from
the traffic lab's grammar, which takes no part in training unless the lab's own traffic does.
"""

from random import Random
from urllib.parse import quote_plus

from secmlops.web_attacks.classifier import Classifier
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.lab.suspicious import suspicious_text
from secmlops.web_attacks.request import HttpRequest, wire_text
from secmlops.web_attacks.taxonomy import ATTACK, NORMAL

PROBES = 400
SEED = 40_961
SUSPICIOUS_BENIGN = "suspicious_benign"
_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def probe_fpr(classifier: Classifier) -> float:
    """Share of the standing probes that a model calls attacks, 0..1."""
    answers = classifier.score([probe.request for probe in suspicious_requests(PROBES, SEED)])
    return sum(answer.verdict == ATTACK for answer in answers) / PROBES


def suspicious_requests(count: int, seed: int) -> list[LabelledRequest]:
    """Searches and posts of harmless visitors who write about code, shells, menus and prices.

    Args:
        count: how many.
        seed: the same seed gives the same requests.
    """
    rng = Random(seed)
    return [_request(quote_plus(wire_text(suspicious_text(rng)), encoding="latin-1"), rng) for _ in range(count)]


def _request(text: str, rng: Random) -> LabelledRequest:
    if rng.random() < 0.5:
        request = HttpRequest("GET", f"/search?q={text}")
    else:
        request = HttpRequest("POST", "/comments", headers=_FORM, body=f"text={text}".encode())
    return LabelledRequest(request, NORMAL, site="probes", tags=(SUSPICIOUS_BENIGN,))
