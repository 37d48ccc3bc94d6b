"""Every way in which a server says no: a closed set of reasons, one sentence for the client, the rest in the log."""

import logging
import secrets
from enum import StrEnum
from typing import NamedTuple

import grpc
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from starlette.exceptions import HTTPException

from secmlops.errors import SecmlopsError

logger = logging.getLogger("kserve.secmlops")


class Reason(StrEnum):
    """Why a request was refused; the label of the `rejected_inputs` counter, so the set stays small and closed."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    WRONG_SHAPE = "wrong_shape"
    WRONG_DATATYPE = "wrong_datatype"
    TOO_MANY_INSTANCES = "too_many_instances"
    UNREADABLE_REQUEST = "unreadable_request"
    OUT_OF_RANGE = "out_of_range"
    NOT_CERTIFIABLE = "not_certifiable"
    MISSING_HEADER = "missing_header"
    WRONG_HEADER = "wrong_header"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_SERVICE = "unknown_service"
    TOO_MANY_FEATURES = "too_many_features"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    NOT_ACCEPTED = "not_accepted"
    TOO_LARGE = "too_large"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    SLOW_BODY = "slow_body"
    BLOCKED = "blocked"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_READY = "not_ready"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    PREDICTOR_FAILED = "predictor_failed"
    INTERNAL = "internal"


class Status(NamedTuple):
    """What a reason becomes on the wire."""

    http: int
    rpc: grpc.StatusCode


_STATUS = {
    Reason.NOT_JSON: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.TOO_DEEP: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.WRONG_SHAPE: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.WRONG_DATATYPE: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.TOO_MANY_INSTANCES: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.UNREADABLE_REQUEST: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.OUT_OF_RANGE: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.NOT_CERTIFIABLE: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.MISSING_HEADER: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.WRONG_HEADER: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.UNKNOWN_TYPE: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.UNKNOWN_SERVICE: Status(404, grpc.StatusCode.NOT_FOUND),
    Reason.TOO_MANY_FEATURES: Status(400, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.WRONG_CONTENT_TYPE: Status(415, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.NOT_ACCEPTED: Status(403, grpc.StatusCode.PERMISSION_DENIED),
    Reason.TOO_LARGE: Status(413, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.UNSUPPORTED_ENCODING: Status(415, grpc.StatusCode.INVALID_ARGUMENT),
    Reason.SLOW_BODY: Status(408, grpc.StatusCode.DEADLINE_EXCEEDED),
    Reason.BLOCKED: Status(403, grpc.StatusCode.PERMISSION_DENIED),
    Reason.NOT_FOUND: Status(404, grpc.StatusCode.NOT_FOUND),
    Reason.METHOD_NOT_ALLOWED: Status(405, grpc.StatusCode.UNIMPLEMENTED),
    Reason.NOT_READY: Status(503, grpc.StatusCode.UNAVAILABLE),
    Reason.OVERLOADED: Status(503, grpc.StatusCode.UNAVAILABLE),
    Reason.TIMED_OUT: Status(504, grpc.StatusCode.DEADLINE_EXCEEDED),
    Reason.PREDICTOR_FAILED: Status(502, grpc.StatusCode.UNAVAILABLE),
    Reason.INTERNAL: Status(500, grpc.StatusCode.INTERNAL),
}

_FRAMEWORK_REASONS = {404: Reason.NOT_FOUND, 405: Reason.METHOD_NOT_ALLOWED}


class Refusal(SecmlopsError):
    """A request that gets no answer but this one.

    Attributes:
        reason: one of the closed set.
        sentence: what the client is told; it never holds paths, class names or the client's own bytes.
        id: names this refusal in the answer and in the log.
        status: HTTP status and gRPC code.
    """

    def __init__(self, reason: Reason, sentence: str):
        self.reason = reason
        self.sentence = sentence
        self.id = secrets.token_hex(8)
        self.status = _STATUS[reason]
        super().__init__(sentence)

    def document(self) -> dict[str, str]:
        """The JSON body of the refusal."""
        return {"error": self.sentence, "reason": str(self.reason), "id": self.id}


def blocked() -> Refusal:
    """The refusal of every call to the model repository: one such call would unload the model."""
    return Refusal(Reason.BLOCKED, "models are loaded and unloaded by deployment, never over the network")


def as_refusal(error: Exception) -> Refusal:
    """Turn whatever went wrong into a refusal, and write what the client is not told to the log."""
    refusal = _refusal_for(error)
    if refusal.reason is Reason.INTERNAL:
        logger.error("request failed, id %s", refusal.id, exc_info=error)
    else:
        logger.info("request refused, id %s: %s: %s", refusal.id, refusal.reason, refusal.sentence)
    return refusal


def _refusal_for(error: Exception) -> Refusal:
    match error:
        case Refusal():
            return error
        case InvalidInput():  # only KServe's gRPC checks still raise it here: they name the client's own fields
            return Refusal(Reason.WRONG_SHAPE, "the request is not a valid inference request: see the model's metadata")
        case ModelNotFound():
            return Refusal(Reason.NOT_FOUND, "there is no model of that name here")
        case ModelNotReady() | ServerNotReady():
            return Refusal(Reason.NOT_READY, "the model is not ready: try again later or ask its operator")
        case HTTPException(status_code=status) if status in _FRAMEWORK_REASONS:
            return Refusal(_FRAMEWORK_REASONS[status], "this server has no such resource")
        case NotImplementedError():
            return Refusal(Reason.NOT_FOUND, "this server has no such resource")
        case _:
            return Refusal(Reason.INTERNAL, "the server could not answer: give its operator this id")
