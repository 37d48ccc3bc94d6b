"""The HTTP door of a detector service: events are acknowledged at once, everything else goes the usual way."""

import time
from typing import Any, Final

from kserve.errors import ModelNotReady

from serving.detectors import metrics
from serving.detectors.events import Event, is_event, read_head
from serving.detectors.intake import Intake
from serving.detectors.settings import Settings
from serving.refusals import Reason, Refusal, as_refusal
from serving.rest import Door, Scope

_ACCEPTED: Final = b'{"status":"accepted"}'
_DROPPED: Final = b'{"status":"dropped"}'
_JSON: Final = {"content-type": "application/json"}


class EventDoor(Door):
    """Takes events by POST to `/` or to the model's V1 route.

    An event that was read gets 200 whether it was queued or, for lack of room, dropped: the payload logger does not
    send again, and an error would only fill its log. One that can be seen to be malformed gets a 4xx.

    Args:
        parts: as of `Door`.
        intake: takes the events.
        name: of the model.
        settings: the services that are watched.
    """

    def __init__(self, *parts: Any, intake: Intake, name: str, settings: Settings):
        super().__init__(*parts)
        self._intake = intake
        self._name = name
        self._watch = frozenset(settings.watch)
        self._acknowledged = metrics.ACKNOWLEDGE_SECONDS.labels(name)

    async def _answer(self, scope: Scope, body: Any) -> tuple[bytes, dict[str, str]]:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        at_root = scope["path"] == "/" and scope["method"] == "POST"
        if not at_root and not (is_event(headers) and scope["path"] == f"/v1/models/{self._name}:predict"):
            return await super()._answer(scope, body)
        try:
            return await self._take(scope, headers, body)
        except Exception as error:
            refusal = as_refusal(error)
            self._intake.refused(refusal)
            raise refusal from None

    async def _take(self, scope: Scope, headers: dict[str, str], body: Any) -> tuple[bytes, dict[str, str]]:
        if scope["method"] != "POST":
            raise Refusal(Reason.METHOD_NOT_ALLOWED, "events are sent with POST")
        head = read_head(headers)
        if self._watch and f"{head.namespace}/{head.service}" not in self._watch:
            raise Refusal(Reason.UNKNOWN_SERVICE, "that service is not watched here")
        model = self._dataplane.get_model_from_registry(self._name)
        if not model.ready:
            raise ModelNotReady(self._name)
        data = await self._read(headers, body)
        began = time.perf_counter()
        accepted = self._intake.offer(Event(head, data))
        self._acknowledged.observe(time.perf_counter() - began)
        return (_ACCEPTED if accepted else _DROPPED), _JSON
