"""The HTTP side: one route that takes notifications, and health and metrics."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from secmlops.errors import SecmlopsError
from serving.retrain.alerts import Notification
from serving.retrain.bearer import BearerToken
from serving.retrain.desk import Desk
from serving.retrain.outcomes import Decision, Outcome

logger = logging.getLogger("secmlops.retrain")

ALERTS: Final = "/v1/alerts"
MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 10.0
MAX_AT_ONCE: Final = 8
"""Calls that are read or wait for their decision at the same time."""

_STATUS: Final = {
    Outcome.UNAUTHORIZED: 401,
    Outcome.METHOD_NOT_ALLOWED: 405,
    Outcome.TOO_SLOW: 408,
    Outcome.TOO_LARGE: 413,
    Outcome.NOT_JSON: 415,
    Outcome.MALFORMED: 400,
    # Alertmanager comes again after these, and only after these.
    Outcome.OVERLOADED: 503,
    Outcome.NO_AUDIT: 503,
    Outcome.START_FAILED: 503,
}


class NotTaken(SecmlopsError):
    """A call that is no notification.

    Attributes:
        outcome: why.
        sentence: for the caller; nothing of the call is repeated in it.
    """

    def __init__(self, outcome: Outcome, sentence: str):
        self.outcome, self.sentence = outcome, sentence
        super().__init__(sentence)


class Webhook:
    """Takes Alertmanager's notifications.

    Args:
        desk: decides.
        token: whom it answers.
        registry: what `/metrics` shows.
        poll_s: time between two looks at the retraining under way.
    """

    def __init__(self, desk: Desk, token: BearerToken, *, registry: CollectorRegistry = REGISTRY, poll_s: float = 5.0):
        self._desk = desk
        self._token = token
        self._registry = registry
        self._poll_s = poll_s
        self._at_once = 0

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route(ALERTS, self._notified, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
                Route("/metrics", self._metrics),
            ],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _plain},
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        yield
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await asyncio.to_thread(self._desk.close)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await asyncio.to_thread(self._desk.follow)
            except Exception:
                logger.exception("the retraining could not be looked at")

    async def _notified(self, request: Request) -> Response:
        self._at_once += 1
        try:
            decisions = await self._take(request)
        except NotTaken as refused:
            return await self._refuse(refused, request)
        except OSError:
            return _answer([Decision(Outcome.NO_AUDIT, "the audit log cannot be written")])
        finally:
            self._at_once -= 1
        return _answer(decisions)

    async def _take(self, request: Request) -> list[Decision]:
        # The token comes first: a stranger learns nothing, and costs nothing.
        if not self._token.admits(request.headers.get("authorization", "")):
            raise NotTaken(Outcome.UNAUTHORIZED, "a valid bearer token is needed")
        if self._at_once > MAX_AT_ONCE:
            raise NotTaken(Outcome.OVERLOADED, "busy: try again shortly")
        if request.method != "POST":
            raise NotTaken(Outcome.METHOD_NOT_ALLOWED, "notifications are sent with POST")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise NotTaken(Outcome.NOT_JSON, "a notification is application/json")
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise NotTaken(Outcome.NOT_JSON, "a notification is not compressed")
        body = await _read(request)
        try:
            notification = Notification.model_validate_json(body)
        except ValidationError:
            raise NotTaken(Outcome.MALFORMED, "this is no notification of Alertmanager's webhook version 4") from None
        if not self._desk.healthy:
            raise NotTaken(Outcome.NO_AUDIT, "the audit log cannot be written")
        return await asyncio.to_thread(self._desk.take, notification)

    async def _refuse(self, refused: NotTaken, request: Request) -> Response:
        client = request.client.host if request.client else "unknown"
        logger.info("refused a call of %s: %s", client, refused.outcome)
        with contextlib.suppress(OSError):  # refused all the same
            await asyncio.to_thread(self._desk.refuse, refused.outcome, refused.sentence, client)
        return _answer([Decision(refused.outcome, refused.sentence)])

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _ready(self, _: Request) -> Response:
        if self._desk.healthy:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready: see the log"}, 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


async def _read(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    too_large = NotTaken(Outcome.TOO_LARGE, f"a notification has at most {MAX_BODY_BYTES} bytes")
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit():
        raise too_large
    # Digits are counted first: Python reads no number of more than 4,300.
    if len(declared) > len(str(MAX_BODY_BYTES)) or int(declared) > MAX_BODY_BYTES:
        raise too_large
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise too_large
                parts.append(part)
    except (TimeoutError, ClientDisconnect):
        raise NotTaken(Outcome.TOO_SLOW, "the notification took too long to arrive") from None
    return b"".join(parts)


def _answer(decisions: list[Decision]) -> Response:
    status = max((_STATUS.get(decision.outcome, 200) for decision in decisions), default=200)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"decisions": [decision.document() for decision in decisions]}, status, headers)


async def _plain(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": "there is nothing here"}, status)
