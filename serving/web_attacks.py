"""The web-attacks inference service: HTTP requests in, verdicts out (V1, V2 REST, V2 gRPC).

An instance is an HTTP request: raw HTTP/1.1 bytes, or a JSON object (`method`, `uri`, `headers`, `body`; or `raw` as
latin-1 text; or `raw_base64`). In a V2 BYTES tensor each element is one or the other, told apart by a leading `{`.

    python -m serving.web_attacks --model_dir BUNDLE --trusted_key PUB --model_name web-attacks
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import prometheus_client

from secmlops.bundle import Bundle
from secmlops.web_attacks.models import load_classifier
from secmlops.web_attacks.request import HttpRequest, InvalidRequest
from serving.base import VerifiedModel
from serving.http_instances import read_instance
from serving.metrics import BatchHistogram
from serving.protocol import Tensor
from serving.recent import Answer
from serving.refusals import Reason, Refusal
from serving.server import argument_parser, serve

VERDICTS = prometheus_client.Counter(
    "secmlops_web_attacks_verdicts", "verdicts by attack class", ["verdict", "attack_class"]
)
SCORE = BatchHistogram(
    "secmlops_web_attacks_score",
    "calibrated probability of an attack",
    (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0),
)


class WebAttacks(VerifiedModel):
    """Answers each request with `Score`: probability, verdict, attack class, part and evidence."""

    use_case: ClassVar[str] = "web_attacks"
    inputs = (Tensor("requests", "BYTES"),)
    outputs = (
        Tensor("score", "FP64"),
        Tensor("verdict", "BYTES"),
        Tensor("attack_class", "BYTES"),
        Tensor("part", "BYTES"),
        Tensor("evidence", "BYTES"),
    )

    def open(self, bundle: Bundle) -> None:
        """Build the classifier, whatever kind of model the bundle holds."""
        self._classifier = load_classifier(bundle.model_files())

    def read(self, instance: Any) -> HttpRequest:
        """Read an HTTP request in any of the accepted forms."""
        try:
            return read_instance(instance, self.limits)
        except InvalidRequest as error:
            raise Refusal(Reason.UNREADABLE_REQUEST, str(error)) from None

    def answer(self, items: Sequence[HttpRequest]) -> list[Answer]:
        """Score the requests of one batch."""
        return [
            (float(score.score), score.verdict, *map(_plain, (score.attack_class, score.part, score.evidence)))
            for score in self._classifier.score(items)
        ]

    def observe(self, answers: Sequence[Answer]) -> None:
        """Count verdicts and scores."""
        for (verdict, attack_class), count in Counter(answer[1:3] for answer in answers).items():
            VERDICTS.labels(verdict, attack_class).inc(count)
        SCORE.observe([answer[0] for answer in answers])


def _plain(text: str) -> str:
    """Text that every protocol can carry: decoded evidence may hold halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    serve(WebAttacks, argument_parser("Web-attack detection", "web-attacks").parse_args())
