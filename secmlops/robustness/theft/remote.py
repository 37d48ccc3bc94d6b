"""A served model as a function: asks a KServe endpoint by the Open Inference Protocol (V2, REST)."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from secmlops.errors import SecmlopsError
from secmlops.robustness.theft.queries import Array

_LARGEST_ANSWER_BYTES = 64 * 1024**2


class RemoteModelFailed(SecmlopsError):
    """A served model that did not answer with probabilities.

    Attributes:
        url: what was asked.
        reason: what came instead.
        status: the HTTP status, where there was one.
    """

    def __init__(self, url: str, reason: str, status: int | None = None):
        self.url = url
        self.reason = reason
        self.status = status
        super().__init__(f"{url}: {reason}")


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """Asks a served model for probabilities.

    Attributes:
        base_url: scheme, host and port, such as `https://digits.example.org`.
        name: the model's.
        input_name: its FP32 tensor of images.
        output_name: its FP32 tensor of probabilities (n, classes).
        batch_size: images per request.
        timeout_s: per request.
        headers: added to each request, such as an API key; not shown by `repr`.
    """

    base_url: str
    name: str
    input_name: str = "images"
    output_name: str = "probabilities"
    batch_size: int = 32
    timeout_s: float = 30.0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        """Where inference requests go."""
        return f"{self.base_url.rstrip('/')}/v2/models/{quote(self.name, safe='')}/infer"

    def __call__(self, images: Array) -> Array:
        """Probabilities (n, classes) of images (n, c, h, w).

        Raises:
            RemoteModelFailed: no connection, a refusal, or an answer that is none.
        """
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise RemoteModelFailed(self.url, "not an http or https URL")
        batches = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        return np.concatenate([self._ask(batch) for batch in batches])

    def _ask(self, images: Array) -> Array:
        question = {
            "inputs": [
                {
                    "name": self.input_name,
                    "datatype": "FP32",
                    "shape": list(images.shape),
                    "data": images.ravel().tolist(),
                }
            ],
            "outputs": [{"name": self.output_name}],
        }
        return self._probabilities(self._post(json.dumps(question).encode()), len(images))

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json", **dict(self.headers)}
        request = urllib.request.Request(self.url, data=body, headers=headers)  # noqa: S310 - the scheme is checked
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:  # noqa: S310
                answer = response.read(_LARGEST_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as error:
            raise RemoteModelFailed(self.url, f"refused with status {error.code}", error.code) from None
        except OSError as error:
            raise RemoteModelFailed(self.url, f"cannot be asked ({error}): check host, port and certificate") from None
        if len(answer) > _LARGEST_ANSWER_BYTES:
            raise RemoteModelFailed(self.url, f"answered with more than {_LARGEST_ANSWER_BYTES} bytes")
        try:
            return json.loads(answer)
        except ValueError:
            raise RemoteModelFailed(self.url, "the answer is not JSON") from None

    def _probabilities(self, answer: Any, images: int) -> Array:
        try:
            [tensor] = [output for output in answer["outputs"] if output["name"] == self.output_name]
            found = np.asarray(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        except (KeyError, TypeError, ValueError):
            raise RemoteModelFailed(self.url, f"the answer has no tensor {self.output_name!r}") from None
        if found.ndim != 2 or len(found) != images or not np.isfinite(found).all():
            raise RemoteModelFailed(self.url, f"{images} images were answered with shape {list(found.shape)}")
        return found
