"""The honeypot answers like a shop, stays within its bounds and never does what it is told."""

import json

import pytest

from secmlops.web_attacks.lab.shop import MAX_BODY_BYTES, Shop
from secmlops.web_attacks.lab.sites import SITES

BOOKS = SITES[0]


async def ask(shop: Shop, method: str, path: str, query: bytes = b"", headers=(), body: bytes = b"", pieces: int = 1):
    size = -(-len(body) // pieces) or 1
    chunks = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    sent = []

    async def receive():
        piece = chunks.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query,
        "headers": list(headers), "client": ("192.0.2.1", 1234), "server": ("127.0.0.1", 80), "lab.time": 1772409600.0,
    }  # fmt: skip
    await shop(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
async def test_every_route_of_every_site_answers(site):
    shop = Shop(site, seed=1)
    for route in site.routes:
        path = route.path.replace("{", "").replace("}", "")
        body = b"{}" if route.body == "json" else b""
        status, headers, content = await ask(shop, route.method, path, body=body)
        assert status in (200, 204, 303)
        assert int(headers[b"content-length"]) == len(content)
        assert headers[b"server"] == site.server.encode()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing-here", b"", 404),
        ("GET", "/../etc/passwd", b"", 403),
        ("GET", "/.env", b"", 403),
        ("DELETE", "/search", b"", 405),
        ("OPTIONS", "/search", b"", 204),
        ("POST", "/api/v2/wishlist", b"{not json", 400),
        ("POST", "/api/v2/wishlist", b"[" * 100_000, 400),
        ("POST", "/api/v2/wishlist", b"\xff\xfe\x00", 400),
        ("POST", "/cart/items", b"x" * (MAX_BODY_BYTES + 1), 413),
    ],
)
async def test_odd_requests_get_what_a_shop_would_say(method, path, body, status):
    assert (await ask(Shop(BOOKS), method, path, body=body, pieces=3))[0] == status


async def test_sessions_start_with_a_cookie_and_are_bounded():
    shop = Shop(BOOKS, seed=4)
    _, headers, _ = await ask(shop, "GET", "/")
    cookie = headers[b"set-cookie"].split(b";")[0]
    _, again, page = await ask(shop, "GET", "/", headers=[(b"cookie", cookie)])
    assert b"set-cookie" not in again
    assert b'name="_csrf"' in page
    status, after, _ = await ask(shop, "POST", "/cart/items", headers=[(b"cookie", cookie)], body=b"sku=1")
    assert (status, after[b"location"]) == (303, b"/")
    for number in range(6000):
        shop._session({"headers": [], "client": number})
    assert len(shop._sessions) <= 4096


async def test_files_have_versions_and_head_has_no_body():
    shop = Shop(BOOKS)
    status, headers, content = await ask(shop, "GET", "/favicon.ico")
    assert status == 200 and content
    assert (await ask(shop, "GET", "/favicon.ico", headers=[(b"if-none-match", headers[b"etag"])]))[0] == 304
    status, headers, content = await ask(shop, "HEAD", "/favicon.ico")
    assert (status, content) == (200, b"") and int(headers[b"content-length"]) > 0


async def test_what_is_reflected_is_escaped():
    _, _, page = await ask(Shop(BOOKS), "GET", "/search", b"q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert b"<script>" not in page and b"&lt;script&gt;" in page


async def test_the_api_answers_json_and_some_quotes_earn_a_fake_database_error():
    shop = Shop(BOOKS)
    _, headers, content = await ask(shop, "GET", "/api/v2/suggest", b"term=map")
    assert headers[b"content-type"] == b"application/json" and json.loads(content)["ok"] is True
    statuses = {(await ask(shop, "GET", "/api/v2/suggest", b"term=%%27%d" % n))[0] for n in range(60)}
    assert statuses == {200, 500}


async def test_only_http_is_served():
    with pytest.raises(NotImplementedError, match="websocket"):
        await Shop(BOOKS)({"type": "websocket"}, None, None)
