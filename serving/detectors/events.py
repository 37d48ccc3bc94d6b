"""CloudEvents of KServe's payload logger, binary mode: what their headers say, and what is refused.

Source: CloudEvents 1.0, HTTP protocol binding; kserve/kserve:pkg/logger. Request and response of one inference call
have the same `ce-id`; the body of each is the raw payload.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from serving.refusals import Reason, Refusal

MAX_ID_CHARS: Final = 256


class Half(StrEnum):
    """Which half of an inference call an event is."""

    REQUEST = "request"
    RESPONSE = "response"


TYPES: Final = {f"org.kubeflow.serving.inference.{half}": half for half in Half}

_REQUIRED: Final = ("ce-specversion", "ce-id", "ce-type", "ce-source", "ce-inferenceservicename", "ce-namespace")
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_ID_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Head:
    """The headers of an event.

    Attributes:
        half: request or response.
        id: of the inference call.
        namespace: of the InferenceService.
        service: its name.
    """

    half: Half
    id: str
    namespace: str
    service: str

    @property
    def watched(self) -> tuple[str, str]:
        """Whose window it belongs to."""
        return self.namespace, self.service

    @property
    def call(self) -> bytes:
        """A digest that the two halves of one call share; ids of different services do not meet."""
        return _digest(self.namespace, self.service, self.id)

    @property
    def digest(self) -> bytes:
        """A digest of this very event."""
        return _digest(self.half, self.namespace, self.service, self.id)


@dataclass(frozen=True, slots=True)
class Event:
    """An event: its head and its body."""

    head: Head
    body: bytes


def is_event(headers: Mapping[str, str]) -> bool:
    """Whether the headers (names in lower case) claim to be of a CloudEvent."""
    return any(name.startswith("ce-") for name in headers) or _media_type(headers) == "application/cloudevents+json"


def read_head(headers: Mapping[str, str]) -> Head:
    """Read the headers of an event, names in lower case.

    Raises:
        Refusal: one is missing, malformed, or of an event that is not the payload logger's.
    """
    media_type = _media_type(headers)
    # The logger gives both halves the content type of the client's request; clients of JSON routes often give none.
    if media_type not in ("", "application/json"):
        raise Refusal(Reason.WRONG_CONTENT_TYPE, "events are taken in binary mode, with application/json data")
    for name in _REQUIRED:
        if not headers.get(name):
            raise Refusal(Reason.MISSING_HEADER, f"the event lacks the header {name}")
    if headers["ce-specversion"] != "1.0":
        raise Refusal(Reason.WRONG_HEADER, "the event's ce-specversion must be 1.0")
    half = TYPES.get(headers["ce-type"])
    if half is None:
        raise Refusal(Reason.UNKNOWN_TYPE, f"the event's ce-type must be one of {', '.join(TYPES)}")
    if not _ID.fullmatch(headers["ce-id"]):
        raise Refusal(Reason.WRONG_HEADER, f"the event's ce-id must be 1 to {MAX_ID_CHARS} printable characters")
    for name in ("ce-namespace", "ce-inferenceservicename"):
        if not _NAME.fullmatch(headers[name]):
            raise Refusal(Reason.WRONG_HEADER, f"the event's {name} must be a Kubernetes name")
    return Head(half, headers["ce-id"], headers["ce-namespace"], headers["ce-inferenceservicename"])


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _digest(*texts: str) -> bytes:
    return blake2b("\0".join(texts).encode(), digest_size=16).digest()
