"""The HTTP door: an allow-list, bounded and timed reading, and refusals that tell a stranger nothing.

KServe's application answers health, metadata and metrics. Inference is read here, because KServe's own routes buffer
any body, echo exceptions, and leave `POST /v2/repository/models/<name>/unload` open to everybody.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import orjson
from kserve.errors import ModelNotReady
from kserve.protocol.dataplane import DataPlane
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.limits import Limits
from serving.protocol import read_v1, read_v2, write
from serving.refusals import Reason, Refusal, as_refusal, blocked

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_READ = re.compile(r"/|/metrics|/v1/models(/[^/:]+)?|/v2/?|/v2/health/(live|ready)|/v2/models(/[^/]+(/ready)?)?")
_PREDICT = re.compile(r"/v1/models/(?P<v1>[^/:]+):predict|/v2/models/(?P<v2>[^/]+)/infer")
_BLOCKED = re.compile(r"/v2/repository(/.*)?")

_LINGER_S = 5.0
_LINGER_BYTES = 64 * 1024 * 1024


class Door:
    """The ASGI application in front of KServe's.

    Args:
        app: KServe's application, for everything that only reads.
        dataplane: runs inference.
        limits: bounds on size and time.
        count: called with each refusal of a request that wanted more than to read.
    """

    def __init__(self, app: Any, dataplane: DataPlane, limits: Limits, count: Callable[[Refusal], None]):
        self._app = app
        self._dataplane = dataplane
        self._limits = limits
        self._count = count
        self._buffered_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or (scope["method"] in ("GET", "HEAD") and _READ.fullmatch(scope["path"])):
            await self._app(scope, receive, send)
        else:
            await self._infer(scope, receive, send)

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive)
        try:
            answer, headers = await self._answer(scope, body)
        except Exception as error:
            refusal = as_refusal(error)
            self._count(refusal)
            await _refuse(refusal, scope, body, send)
        else:
            await _send(send, 200, answer, headers)
        finally:
            self._buffered_bytes -= body.buffered

    async def _answer(self, scope: Scope, body: "_Body") -> tuple[bytes, dict[str, str]]:
        route = _PREDICT.fullmatch(scope["path"])
        if _BLOCKED.fullmatch(scope["path"]):
            raise blocked()
        if route is None:
            raise Refusal(Reason.NOT_FOUND, "this server has no such resource")
        if scope["method"] != "POST":
            raise Refusal(Reason.METHOD_NOT_ALLOWED, "inference is asked for with POST")
        name = route["v1"] or route["v2"]
        if not await self._dataplane.model_ready(name, disable_predictor_health_check=True):
            raise ModelNotReady(name)
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        data = await self._read(headers, body)
        payload = read_v1(data, self._limits) if route["v1"] else read_v2(data, headers, name, self._limits)
        response, _ = await self._dataplane.infer(name, payload, headers)
        return write(response)

    async def _read(self, headers: dict[str, str], body: "_Body") -> bytes:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise Refusal(Reason.UNSUPPORTED_ENCODING, "compressed bodies are not taken: send it as it is")
        self._check_size(int(headers.get("content-length", "0")))
        parts = []
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                while not body.complete:
                    parts.append(await body.take())
                    self._check_size(body.size)
                    self._buffer(body, len(parts[-1]))
        except TimeoutError:
            raise Refusal(Reason.SLOW_BODY, "the body took too long to arrive") from None
        if body.broken:
            raise Refusal(Reason.SLOW_BODY, "the connection closed before the body was complete")
        return b"".join(parts)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_body_bytes:
            raise Refusal(Reason.TOO_LARGE, f"the body is larger than {self._limits.max_body_bytes} bytes")

    def _buffer(self, body: "_Body", size: int) -> None:
        if self._buffered_bytes + size > self._limits.max_buffered_bytes:
            raise Refusal(Reason.OVERLOADED, "the server is busy: try again shortly")
        self._buffered_bytes += size
        body.buffered += size


class _Body:
    """A body as it arrives: what has come, what of it is held, whether it is complete or its client has gone."""

    def __init__(self, receive: Receive):
        self._receive = receive
        self.size = 0
        self.buffered = 0
        self.complete = False
        self.broken = False

    async def take(self) -> bytes:
        """Wait for the next part."""
        message = await self._receive()
        self.broken = message["type"] == "http.disconnect"
        self.complete = self.broken or not message.get("more_body", False)
        part = message.get("body", b"")
        self.size += len(part)
        return part

    async def discard(self) -> None:
        """Let a client that is still sending read its refusal: closing at once would reset its connection."""
        left = _LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while left > 0 and not self.complete:
                    left -= len(await self.take())


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the two bounds that it lacks: the size and the time of a request's head."""

    limits = Limits()

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_clock: asyncio.TimerHandle | None = None
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; close when a head outgrows its bound."""
        super().data_received(data)
        if self.transport.is_closing() or not (self.cycle is None or self.cycle.response_complete):
            return
        self._start_head()
        self._head_bytes += len(data)
        if self._head_bytes > self.limits.max_header_bytes:
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        """The head is complete: stop the clock."""
        self._end_head()
        super().on_headers_complete()

    def _start_head(self) -> None:
        if self._head_clock is None:
            self._head_clock = self.loop.call_later(self.limits.head_timeout_s, self.transport.close)

    def _end_head(self) -> None:
        self._head_bytes = 0
        if self._head_clock is not None:
            self._head_clock.cancel()
            self._head_clock = None


def bounded_protocol(limits: Limits) -> type[BoundedProtocol]:
    """The protocol class for `uvicorn.Config(http=...)` with these limits."""
    return type("LimitedProtocol", (BoundedProtocol,), {"limits": limits})


async def refuse_read(_: Any, error: Exception) -> Response:
    """Exception handler for KServe's application: the same refusals as everywhere."""
    refusal = as_refusal(error)
    return Response(orjson.dumps(refusal.document()), refusal.status.http, media_type="application/json")


async def _refuse(refusal: Refusal, scope: Scope, body: _Body, send: Send) -> None:
    document = orjson.dumps(refusal.document())
    headers = {"content-type": "application/json"}
    if refusal.reason is Reason.OVERLOADED:
        headers["retry-after"] = "1"
    if body.complete:
        await _send(send, refusal.status.http, document, headers)
        return
    await _send(send, refusal.status.http, document, headers | {"connection": "close"}, more=True)
    if not any(name == b"expect" for name, _ in scope["headers"]):
        await body.discard()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, status: int, body: bytes, headers: dict[str, str], *, more: bool = False) -> None:
    fields = [(b"content-length", str(len(body)).encode())]
    fields += [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": more})
