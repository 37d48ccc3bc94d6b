"""The honeypot: a small web shop as a plain ASGI application. It answers; it never executes or stores what it is sent.

Pages, JSON answers, files, redirects, forms with tokens, logins and errors are made from the site's table of
routes. Odd input gets what a real shop would give: 400, 403, 404, 405, 413, 500 with an error text that invites
more of the same. State is a bounded table of sessions with the number of articles in the cart.
"""

import hashlib
import html
import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from email.utils import formatdate
from random import Random
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_plus

from secmlops.web_attacks.lab.sites import Route, Site
from secmlops.web_attacks.lab.vocabulary import fill, slug

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

MAX_BODY_BYTES: Final = 1 << 20
_MAX_SESSIONS: Final = 4096
_SHELF_SIZE: Final = 64
_FILE_TYPES: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "svg": "image/svg+xml",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "xml": "application/rss+xml",
    "ics": "text/calendar",
}
_BAIT: Final = re.compile(rb"%27|'|%22.*(?:%3D|=).*%22", re.I)
_ERROR_PAGES: Final = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    500: "Internal Server Error",
}


class Shop:
    """One site as an ASGI application.

    Args:
        site: what to serve.
        seed: makes articles, tokens and session identifiers.
        clock: seconds since the epoch for the Date header; a request's scope may bring its own as `lab.time`.
    """

    def __init__(self, site: Site, seed: int = 0, clock: Callable[[], float] = time.time):
        self.site = site
        self._clock = clock
        self._secret = f"{seed}:{site.name}".encode()
        self._sessions: OrderedDict[str, int] = OrderedDict()
        self._routes = [(route, route.pattern()) for route in site.routes]
        self._found: dict[tuple[str, str], Route | None] = {}
        rng = Random(f"shelf:{seed}:{site.name}")
        self._shelf = [
            (rng.randint(1, 20000), fill("product", rng, site.words), rng.randint(100, 40000) / 100)
            for _ in range(_SHELF_SIZE)
        ]
        self._blurbs = [html.escape(fill("comment", rng, site.words)) for _ in range(_SHELF_SIZE)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; websockets and lifespan events are not served."""
        if scope["type"] != "http":
            raise NotImplementedError(f"the lab shop serves HTTP only, not {scope['type']}")
        body = await _read(receive)
        status, headers, content = self.answer(scope, body)
        headers += [
            (b"content-length", b"%d" % len(content)),
            (b"date", formatdate(scope.get("lab.time") or self._clock(), usegmt=True).encode()),
            (b"server", self.site.server.encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    def answer(self, scope: Scope, body: bytes | None) -> tuple[int, Headers, bytes]:
        """Status, headers and content for a request; `body` is None when it was too large."""
        if body is None:
            return self._error(413)
        method, path = scope["method"], scope["path"]
        route = self._route(method, path)
        if route is None:
            return self._missing(method, path)
        session, headers = self._session(scope)
        if (
            _BAIT.search(scope["query_string"])
            and route.answer in ("page", "api")
            and hash_share(scope["query_string"]) < 0.3
        ):
            return self._broken_database(headers)
        if route.body == "json" and not _is_json(body):
            return self._error(400)
        if route.answer == "asset":
            return self._file(path, scope["headers"])
        if route.answer == "api":
            return 200, [*headers, (b"content-type", b"application/json")], self._api(path, scope["query_string"])
        if route.answer == "beacon":
            return 204, headers, b""
        if route.answer in ("redirect", "login"):
            self._count(session, path)
            return 303, [*headers, (b"location", self._after(route).encode())], b""
        return 200, [*headers, (b"content-type", b"text/html; charset=utf-8")], self._page(route, path, scope, session)

    def _route(self, method: str, path: str) -> Route | None:
        wanted = "GET" if method == "HEAD" else method
        key = (wanted, path)
        if key not in self._found:
            if len(self._found) > 2048:
                self._found.clear()
            self._found[key] = next((r for r, p in self._routes if r.method == wanted and p.fullmatch(path)), None)
        return self._found[key]

    def _missing(self, method: str, path: str) -> tuple[int, Headers, bytes]:
        if any(pattern.fullmatch(path) for _, pattern in self._routes):
            if method == "OPTIONS":
                return (
                    204,
                    [(b"allow", b"GET, POST, OPTIONS"), (b"access-control-allow-methods", b"GET, POST, PUT, PATCH")],
                    b"",
                )
            return self._error(405)
        return self._error(403 if ".." in path or path.startswith("/.") else 404)

    def _error(self, status: int) -> tuple[int, Headers, bytes]:
        name = _ERROR_PAGES[status]
        head = f"<html><head><title>{status} {name}</title></head>"
        page = f"{head}<body><h1>{name}</h1><hr>{html.escape(self.site.server)}</body></html>"
        return status, [(b"content-type", b"text/html")], page.encode()

    def _broken_database(self, headers: Headers) -> tuple[int, Headers, bytes]:
        text = "You have an error in your SQL syntax; check the manual that corresponds to your server version"
        return 500, [*headers, (b"content-type", b"text/plain")], text.encode()

    def _session(self, scope: Scope) -> tuple[str, Headers]:
        name = self.site.session_cookie
        cookies = next((value for key, value in scope["headers"] if key == b"cookie"), b"").decode("latin-1")
        for cookie in cookies.split("; "):
            if cookie.startswith(f"{name}="):
                return cookie[len(name) + 1 :], []
        new = hashlib.sha256(self._secret + repr(scope.get("client")).encode()).hexdigest()[:32]
        self._sessions[new] = 0
        if len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return new, [(b"set-cookie", f"{name}={new}; Path=/; HttpOnly; SameSite=Lax".encode())]

    def _count(self, session: str, path: str) -> None:
        if session in self._sessions:
            self._sessions[session] += "cart" in path or "basket" in path or "korb" in path

    def _after(self, route: Route) -> str:
        home = next(r.path for r in self.site.routes if r.answer == "page" and "{" not in r.path)
        same = any(r.path == route.path and r.method == "GET" and r.answer == "page" for r in self.site.routes)
        return route.path if same and route.answer == "redirect" else home

    def _file(self, path: str, request_headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, Headers, bytes]:
        digest = hashlib.sha256(self._secret + path.encode("utf-8", "replace")).hexdigest()
        tag = f'"{digest[:16]}"'.encode()
        headers = [(b"etag", tag), (b"cache-control", b"public, max-age=86400")]
        if any(key == b"if-none-match" and value == tag for key, value in request_headers):
            return 304, headers, b""
        kind = _FILE_TYPES.get(path.rpartition(".")[2], "application/octet-stream")
        size = 300 + int(digest[:3], 16) % 1800
        return 200, [*headers, (b"content-type", kind.encode())], (digest * (size // 64 + 1))[:size].encode()

    def _api(self, path: str, query: bytes) -> bytes:
        start = int(hashlib.sha256(path.encode("utf-8", "replace") + query).hexdigest()[:4], 16)
        items = [self._shelf[(start + i) % _SHELF_SIZE] for i in range(start % 7)]
        data = {"ok": True, "total": len(items), "items": [{"id": i, "name": n, "price": p} for i, n, p in items]}
        return json.dumps(data, ensure_ascii=False).encode()

    def _page(self, route: Route, path: str, scope: Scope, session: str) -> bytes:
        query = unquote_plus(scope["query_string"][:300].decode("latin-1"))
        start = int(hashlib.sha256(path.encode("utf-8", "replace") + scope["query_string"]).hexdigest()[:4], 16)
        rows = "".join(self._row(start + i) for i in range(4 + start % 5))
        form = ""
        if self.site.csrf_field:
            token = hashlib.sha256(self._secret + session.encode()).hexdigest()[:24]
            form = f'<form method="post"><input type="hidden" name="{self.site.csrf_field}" value="{token}"></form>'
        cart = self._sessions.get(session, 0)
        title = html.escape(self.site.title)
        return (
            f'<!DOCTYPE html><html lang="{self.site.language}"><head><title>{title}</title></head>'
            f"<body><h1>{title}</h1><p>{html.escape(path[:200])} {html.escape(query)}</p>"
            f"<ul>{rows}</ul>{form}<p>{self._blurbs[start % _SHELF_SIZE]}</p><footer>{cart}</footer></body></html>"
        ).encode()

    def _row(self, number: int) -> str:
        article, name, price = self._shelf[number % _SHELF_SIZE]
        return f'<li><a data-id="{article}" data-slug="{slug(name)}">{html.escape(name)}</a> {price:.2f}</li>'


def hash_share(data: bytes) -> float:
    """A number in 0..1 that depends on the bytes alone."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "big") / 2**32


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when it is larger than `MAX_BODY_BYTES`."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
