"""KServe's V1 and V2 (Open Inference Protocol) bodies, read strictly and written plainly.

KServe's own readers answer a hostile body with a 500 that names the exception, and decode binary BYTES tensors as
UTF-8; these answer with a refusal and keep the bytes. V2's binary tensor extension is read and written as well.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from kserve import InferInput, InferOutput, InferRequest, InferResponse
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.protocol.infer_type import RequestedOutput, to_http_parameters
from kserve.utils.utils import generate_uuid

from serving.limits import Limits
from serving.recent import Answer
from serving.refusals import Reason, Refusal

_ELEMENT_LENGTH = struct.Struct("<I")
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor of a model's input or output; -1 in the shape is the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)

    def document(self) -> dict[str, Any]:
        """The form of the V2 metadata answer."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


def parse_json(data: bytes, limits: Limits) -> Any:
    """Parse JSON (RFC 8259, so no NaN and no lone surrogates) of bounded nesting.

    Raises:
        Refusal: not JSON, or nested deeper than `limits.max_depth`.
    """
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if "limit" in error.msg:  # orjson gives up at 1,024 levels by itself
            raise _too_deep(limits) from None
        raise Refusal(Reason.NOT_JSON, "the body is not valid JSON in UTF-8") from None
    # So few brackets cannot nest deeper; most bodies need no walk.
    if data.count(b"[") + data.count(b"{") > limits.max_depth and is_deeper(document, limits.max_depth):
        raise _too_deep(limits)
    return document


def is_deeper(document: Any, levels: int) -> bool:
    """Whether arrays and objects nest deeper than that; level by level, so the depth costs no stack."""
    level = [document] if isinstance(document, (dict, list)) else []
    for _ in range(levels):
        children = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for each in children for child in each if isinstance(child, (dict, list))]
        if not level:
            return False
    return bool(level)


def read_v1(body: bytes, limits: Limits) -> dict[str, Any]:
    """Read `{"instances": [...]}`, with or without an object of `"parameters"`.

    Raises:
        Refusal: another form, no instance, or more than `limits.max_instances`.
    """
    return v1_question(parse_json(body, limits), limits)


def v1_question(document: Any, limits: Limits) -> dict[str, Any]:
    """What `read_v1` reads, out of parsed JSON.

    Raises:
        Refusal: as there.
    """
    if not isinstance(document, dict) or not isinstance(document.get("instances"), list):
        raise Refusal(Reason.WRONG_SHAPE, 'the body must be an object with the array "instances"')
    _check_batch(len(document["instances"]), limits)
    return {"instances": document["instances"], "parameters": _parameters(document)}


def read_v2(body: bytes, headers: Mapping[str, str], model_name: str, limits: Limits) -> InferRequest:
    """Read a V2 inference request: JSON, or JSON followed by binary tensors (`Inference-Header-Content-Length`).

    Raises:
        Refusal: another form, or lengths that contradict each other.
    """
    json_length = _json_length(headers, len(body))
    return v2_question(parse_json(body[:json_length], limits), body[json_length:], model_name)


def v2_question(document: Any, binary: bytes, model_name: str) -> InferRequest:
    """What `read_v2` reads, out of parsed JSON and the binary data behind it.

    Raises:
        Refusal: as there.
    """
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise Refusal(Reason.WRONG_SHAPE, 'the body must be an object with the array "inputs"')
    parameters = _parameters(document)
    if not isinstance(parameters.get("binary_data_output", False), bool):
        raise Refusal(Reason.WRONG_SHAPE, 'the parameter "binary_data_output" must be true or false')
    inputs, raw, offset = [], [], 0
    for entry in document["inputs"]:
        tensor, size = _read_input(entry)
        if size is not None and offset + size > len(binary):
            raise Refusal(Reason.WRONG_SHAPE, "the binary data is shorter than the inputs say")
        inputs.append(tensor)
        raw.append(None if size is None else binary[offset : offset + size])
        offset += size or 0
    if offset != len(binary):
        raise Refusal(Reason.WRONG_SHAPE, "the binary data is longer than the inputs say")
    return InferRequest(
        model_name=model_name,
        infer_inputs=inputs,
        request_id=_request_id(document),
        raw_inputs=raw,
        parameters=parameters,
        request_outputs=_read_outputs(document),
    )


def elements(request: InferRequest, tensors: Sequence[Tensor], limits: Limits) -> list[bytes] | list[np.ndarray]:
    """The elements of the request's only input, which is one of these tensors: bytes, or float32 arrays.

    Raises:
        Refusal: another input, name, datatype, shape or number of elements.
    """
    known = {tensor.name: tensor for tensor in tensors}
    if len(request.inputs) != 1 or request.inputs[0].name not in known:
        names = " or ".join(f'"{name}"' for name in known)
        raise Refusal(Reason.WRONG_SHAPE, f"exactly one input is expected: {names}")
    given, tensor = request.inputs[0], known[request.inputs[0].name]
    if given.datatype != tensor.datatype:
        raise Refusal(Reason.WRONG_DATATYPE, f'the input "{tensor.name}" must have the datatype {tensor.datatype}')
    if len(given.shape) != len(tensor.shape) or tuple(given.shape[1:]) != tensor.shape[1:]:
        shape = ", ".join(["n", *map(str, tensor.shape[1:])])
        raise Refusal(Reason.WRONG_SHAPE, f'the input "{tensor.name}" must have the shape [{shape}]')
    _check_batch(given.shape[0], limits)
    return _bytes(given, limits) if tensor.datatype == "BYTES" else _arrays(given)


def read_numbers(data: Any) -> np.ndarray:
    """An array (float32) out of JSON numbers, nested or not; numbers that float32 cannot hold become infinite.

    Raises:
        Refusal: something else than numbers, or arrays of unequal length.
    """
    level, shape = [data], []
    while isinstance(level[0], list):
        lengths = {len(item) if isinstance(item, list) else -1 for item in level}
        if len(lengths) > 1 or lengths == {0}:
            raise Refusal(Reason.WRONG_SHAPE, "the numbers must be arrays of equal length, none of them empty")
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    if not set(map(type, level)) <= {int, float}:
        raise Refusal(Reason.WRONG_DATATYPE, "each value must be a number")
    with np.errstate(over="ignore"):
        return np.array(level, dtype=np.float64).astype(np.float32).reshape(shape)


def asks_for(payload: dict | InferRequest, parameter: str, tensor: Tensor) -> bool:
    """Whether a question asks for an output that is given on request only: by a parameter, or by the output's name.

    Raises:
        Refusal: the parameter is neither true nor false.
    """
    if isinstance(payload, InferRequest):
        parameters = to_http_parameters(payload.parameters or {})
        is_named = any(output.name == tensor.name for output in payload.request_outputs or ())
    else:
        parameters, is_named = payload.get("parameters", {}), False
    wanted = parameters.get(parameter, False)
    if not isinstance(wanted, bool):
        raise Refusal(Reason.WRONG_SHAPE, f'the parameter "{parameter}" must be true or false')
    return wanted or is_named


def check_outputs(request: InferRequest, tensors: Sequence[Tensor]) -> None:
    """Check that every requested output exists.

    Raises:
        Refusal: one does not.
    """
    known = {tensor.name for tensor in tensors}
    if not all(output.name in known for output in request.request_outputs or ()):
        raise Refusal(Reason.WRONG_SHAPE, f"the outputs are: {', '.join(tensor.name for tensor in tensors)}")


def respond(
    payload: dict | InferRequest, tensors: Sequence[Tensor], answers: Sequence[Answer], model_name: str
) -> dict | InferResponse:
    """Answer in the protocol of the question: an object per instance (V1) or a tensor per output (V2)."""
    if not isinstance(payload, InferRequest):
        names = [tensor.name for tensor in tensors]
        return {"predictions": [dict(zip(names, answer, strict=True)) for answer in answers]}
    wanted = {output.name for output in payload.request_outputs or ()}
    return InferResponse(
        response_id=payload.id or generate_uuid(),
        model_name=model_name,
        infer_outputs=[
            InferOutput(
                name=tensor.name,
                shape=[len(column), *tensor.shape[1:]],
                datatype=tensor.datatype,
                data=list(column) if len(tensor.shape) == 1 else list(chain.from_iterable(column)),
            )
            for tensor, column in zip(tensors, zip(*answers, strict=True), strict=True)
            if not wanted or tensor.name in wanted
        ],
        use_binary_outputs=payload.use_binary_outputs,
        requested_outputs=payload.request_outputs,
    )


def write(response: dict | InferResponse) -> tuple[bytes, dict[str, str]]:
    """Serialize an answer for REST: the body, and headers beyond its length."""
    if not isinstance(response, InferResponse):
        return orjson.dumps(response), {"content-type": "application/json"}
    if not _wants_binary(response):
        return orjson.dumps(_v2_document(response)), {"content-type": "application/json"}
    body, json_length = response.to_rest()
    return body, {"content-type": "application/octet-stream", INFERENCE_CONTENT_LENGTH_HEADER: str(json_length)}


def _too_deep(limits: Limits) -> Refusal:
    return Refusal(Reason.TOO_DEEP, f"the JSON is nested deeper than {limits.max_depth} levels")


def _check_batch(instances: int, limits: Limits) -> None:
    if instances < 1:
        raise Refusal(Reason.WRONG_SHAPE, "at least one instance is expected")
    if instances > limits.max_instances:
        raise Refusal(Reason.TOO_MANY_INSTANCES, f"at most {limits.max_instances} instances are taken at once")


def _json_length(headers: Mapping[str, str], body_length: int) -> int:
    text = headers.get(INFERENCE_CONTENT_LENGTH_HEADER)
    if text is None:
        return body_length
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= body_length):
        raise Refusal(Reason.WRONG_SHAPE, "Inference-Header-Content-Length must be the length of the JSON part")
    return int(text)


def _read_input(entry: Any) -> tuple[InferInput, int | None]:
    if not isinstance(entry, dict):
        raise Refusal(Reason.WRONG_SHAPE, "each input must be an object")
    name, datatype, shape, data = (entry.get(key) for key in ("name", "datatype", "shape", "data"))
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise Refusal(Reason.WRONG_SHAPE, 'each input needs the strings "name" and "datatype"')
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise Refusal(Reason.WRONG_SHAPE, 'each input needs "shape", an array of sizes')
    parameters = _parameters(entry)
    size = parameters.get("binary_data_size")
    if size is None and not isinstance(data, list):
        raise Refusal(Reason.WRONG_SHAPE, 'each input needs the array "data" or the parameter "binary_data_size"')
    if size is not None and (data is not None or type(size) is not int or size < 0):
        raise Refusal(Reason.WRONG_SHAPE, '"binary_data_size" must be a length, and excludes "data"')
    return InferInput(name=name, shape=shape, datatype=datatype, data=data, parameters=parameters), size


def _read_outputs(document: Mapping[str, Any]) -> list[RequestedOutput] | None:
    entries = document.get("outputs")
    if not entries:
        return None
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries
    ):
        raise Refusal(Reason.WRONG_SHAPE, '"outputs" must be an array of objects with a "name"')
    return [RequestedOutput(name=entry["name"], parameters=_parameters(entry)) for entry in entries]


def _parameters(entry: Mapping[str, Any]) -> dict[str, Any]:
    parameters = entry.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refusal(Reason.WRONG_SHAPE, '"parameters" must be an object')
    return parameters


def _request_id(document: Mapping[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not (isinstance(request_id, str) and len(request_id) <= 256):
        raise Refusal(Reason.WRONG_SHAPE, '"id" must be a string of at most 256 characters')
    return request_id


def _bytes(given: InferInput, limits: Limits) -> list[bytes]:
    raw = given._raw_data
    found = given.data if raw is None else _split_elements(raw, limits)
    if len(found) != given.shape[0]:
        raise Refusal(Reason.WRONG_SHAPE, "the shape and the number of elements differ")
    return [element.encode() if isinstance(element, str) else _as_bytes(element) for element in found]


def _arrays(given: InferInput) -> list[np.ndarray]:
    if given._raw_data is not None:
        if len(given._raw_data) != math.prod(given.shape) * _FLOAT.itemsize:
            raise Refusal(Reason.WRONG_SHAPE, "the shape and the length of the binary data differ")
        return list(np.frombuffer(given._raw_data, _FLOAT).reshape(given.shape))
    found = read_numbers(list(given.data))
    if found.size != math.prod(given.shape) or found.ndim not in (1, len(given.shape)):
        raise Refusal(Reason.WRONG_SHAPE, "the shape and the number of elements differ")
    return list(found.reshape(given.shape))


def _split_elements(raw: bytes, limits: Limits) -> list[bytes]:
    elements: list[bytes] = []
    offset = 0
    while offset < len(raw) and len(elements) <= limits.max_instances:
        start = offset + _ELEMENT_LENGTH.size
        end = start + _ELEMENT_LENGTH.unpack_from(raw, offset)[0] if start <= len(raw) else start
        if end > len(raw):
            raise Refusal(Reason.WRONG_SHAPE, "a BYTES element is longer than the binary data")
        elements.append(raw[start:end])
        offset = end
    return elements


def _as_bytes(element: Any) -> bytes:
    if isinstance(element, bytes):
        return element
    raise Refusal(Reason.WRONG_DATATYPE, "each BYTES element must be a string")


def _wants_binary(response: InferResponse) -> bool:
    return response._use_binary_outputs or any(output.binary_data for output in response._requested_outputs or ())


def _v2_document(response: InferResponse) -> dict[str, Any]:
    parameters = {"parameters": to_http_parameters(response.parameters)} if response.parameters else {}
    return {
        "id": response.id,
        "model_name": response.model_name,
        **parameters,
        "outputs": [
            {"name": output.name, "shape": output.shape, "datatype": output.datatype, "data": output.data}
            for output in response.outputs
        ],
    }
