"""The detector of adversarial inputs in the request path (KServe transformer; MITRE ATLAS AML.M0015).

The answer of the predictor comes back as it is, with the parameters `adversarial` (whether an instance was flagged) and
`adversarial_instances` (their numbers, joined by commas). Under `refuse` a flagged request never reaches the predictor,
and what the client is told does not say what betrayed it.
"""

import struct
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import numpy as np
import orjson
from kserve import InferInput, InferRequest, InferResponse
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.model import append_forwardable_headers
from kserve.protocol.infer_type import to_http_parameters

from serving.detectors import metrics
from serving.detectors.model import DetectorModel, Question
from serving.detectors.opening import Sources
from serving.detectors.settings import Settings
from serving.limits import Limits
from serving.protocol import parse_json
from serving.refusals import Reason, Refusal, logger

Policy = Literal["flag", "refuse"]

POLICIES: Final = ("flag", "refuse")

_CLIENT_ERRORS: Final = range(400, 500)


class Predictor:
    """The predictor behind a transformer, asked by REST in the protocol of the question.

    Args:
        url: its base.
        timeout_s: of one call.
        limits: an answer is at most as large, and as deep, as a question may be.
    """

    def __init__(self, url: str, timeout_s: float, limits: Limits):
        self._url = url
        self._limits = limits
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, trust_env=False)

    async def ask(self, name: str, question: Question, headers: dict[str, str] | None) -> dict | InferResponse:
        """The predictor's answer.

        Raises:
            Refusal: it refused, failed, or answered with something else.
        """
        sent = append_forwardable_headers(headers, {"content-type": "application/json"})
        if isinstance(question, InferRequest):
            path = f"/v2/models/{name}/infer"
            body, binary = _v2_body(question)
            if binary:
                sent |= {"content-type": "application/octet-stream", INFERENCE_CONTENT_LENGTH_HEADER: str(len(body))}
            body += binary
        else:
            path, body = f"/v1/models/{name}:predict", orjson.dumps(question)
        status, head, data = await self._post(path, body, sent)
        if status in _CLIENT_ERRORS:
            raise Refusal(Reason.UNREADABLE_REQUEST, "the model refused the request: see its metadata")
        if status != httpx.codes.OK:
            raise _failed(f"status {status}")
        try:
            if not isinstance(question, InferRequest):
                return parse_json(data, self._limits)
            return InferResponse.from_bytes(data, int(head.get(INFERENCE_CONTENT_LENGTH_HEADER, len(data))))
        except Exception as error:  # KServe's reader raises whatever the malformed part brings about
            raise _failed(type(error).__name__) from None

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        try:
            async with self._client.stream("POST", self._url + path, content=body, headers=headers) as response:
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > self._limits.max_body_bytes:
                        raise _failed("an answer that is too large")
                return response.status_code, response.headers, b"".join(parts)
        except httpx.HTTPError as error:
            raise _failed(type(error).__name__) from None


class AdversarialTransformer(DetectorModel):
    """Judges each request, then passes it to the predictor, flags it or refuses it.

    Args:
        name: of the predictor's model, which is the transformer's too.
        sources: of the bundles.
        settings: bounds of the windows.
        limits: bounds of the process.
        state_dir: as of `DetectorModel`.
        predictor: asked about what passes.
        policy: what becomes of a flagged request. Under `refuse`, one that could not be judged is refused too; under
            `flag` it passes, and the parameter `adversarial` is `unknown`.
    """

    def __init__(
        self,
        name: str,
        sources: Sources,
        settings: Settings,
        limits: Limits,
        state_dir: Path | None = None,
        *,
        predictor: Predictor,
        policy: Policy,
    ):
        super().__init__(name, "adversarial", sources, settings, limits, state_dir)
        self.outputs = ()
        self._predictor = predictor
        self._policy = policy

    async def preprocess(self, payload: Question, headers: dict[str, str] | None = None) -> Any:
        """Leave the outputs that are asked for to the predictor."""
        return payload

    async def predict(self, question: Question, headers: dict[str, str] | None = None, *_: Any) -> Any:
        """Judge, and ask the predictor about what may pass."""
        flags = await self._flags(question)
        answer = await self._predictor.ask(self.name, question, headers)
        return _with_parameters(answer, flags)

    async def _flags(self, question: Question) -> dict[str, Any]:
        try:
            answer = await self.ask(question, "transformer")
        except Exception as error:
            if self._policy == "refuse" or (isinstance(error, Refusal) and error.status.http in _CLIENT_ERRORS):
                raise
            logger.error("a request passes unjudged", exc_info=error)
            return {"adversarial": "unknown"}
        flagged = np.flatnonzero(answer["data"]["is_adversarial"]).tolist()
        if flagged and self._policy == "refuse":
            metrics.REQUESTS.labels(self.name, "transformer", "refused").inc()
            raise Refusal(Reason.NOT_ACCEPTED, "the request was not accepted: give the operator this id")
        return {"adversarial": bool(flagged), "adversarial_instances": ",".join(map(str, flagged))}


def _v2_body(question: InferRequest) -> tuple[bytes, bytes]:
    """The JSON and the binary part of a V2 question, whichever way it came: KServe's own writer loses gRPC's bytes."""
    inputs, binary = [], b""
    for tensor in question.inputs:
        raw = _raw(tensor)
        parameters = to_http_parameters(tensor.parameters or {})
        parameters.pop("binary_data_size", None)
        entry = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
        if raw is None:
            entry["data"] = list(tensor.data)
        else:
            parameters["binary_data_size"] = len(raw)
            binary += raw
        inputs.append(entry | ({"parameters": parameters} if parameters else {}))
    document: dict[str, Any] = {"inputs": inputs}
    if question.id:
        document["id"] = question.id
    if question.parameters:
        document["parameters"] = to_http_parameters(question.parameters)
    if question.request_outputs:
        document["outputs"] = [
            {"name": output.name, "parameters": to_http_parameters(output.parameters or {})}
            for output in question.request_outputs
        ]
    return orjson.dumps(document), binary


def _raw(tensor: InferInput) -> bytes | None:
    """The bytes of a tensor that JSON cannot carry; None: it can."""
    if tensor._raw_data is not None:
        return bytes(tensor._raw_data)
    elements = list(tensor.data)
    if elements and isinstance(elements[0], bytes):
        return b"".join(struct.pack("<I", len(element)) + element for element in elements)
    return None


def _with_parameters(answer: dict | InferResponse, flags: dict[str, Any]) -> dict | InferResponse:
    if isinstance(answer, InferResponse):
        answer.parameters = {**(answer.parameters or {}), **flags}
        return answer
    if not isinstance(answer, dict):
        raise _failed("an answer that is no object")
    told = answer.get("parameters")
    return answer | {"parameters": {**(told if isinstance(told, dict) else {}), **flags}}


def _failed(how: str) -> Refusal:
    logger.error("the predictor failed: %s", how)
    return Refusal(Reason.PREDICTOR_FAILED, "the model behind this one did not answer: try again later")
