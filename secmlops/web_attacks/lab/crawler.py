"""Visitors: sessions of requests that follow a site's pages, forms, searches, APIs, files and uploads.

A visit is a generator: it yields `LabRequest`s and is sent the `LabReply`s, so it can be driven over the network
or in memory. Everything it does follows from its random generator and the replies.
"""

import re
from collections.abc import Generator
from random import Random
from typing import Any, Final

from secmlops.web_attacks.lab.browsers import Browser, Purpose, browser
from secmlops.web_attacks.lab.sites import Field, Route, Site
from secmlops.web_attacks.lab.suspicious import suspicious_text, suspicious_value
from secmlops.web_attacks.lab.vocabulary import TEXT_KINDS, fill, jwt, slug
from secmlops.web_attacks.lab.wire import Draft, LabReply, LabRequest, Upload, encode, target

__all__ = ["SUSPICIOUS", "SUSPICIOUS_SHARE", "Visitor", "suspicious_text", "visit"]

SUSPICIOUS: Final = "suspicious_benign"
SUSPICIOUS_SHARE: Final = 0.125
_CATCH_UP: Final = 1.35  # visits end before their next text is due

_PLACEHOLDER: Final = re.compile(r"\{([^}]*)\}")
_ARTICLE: Final = re.compile(rb'data-id="(\d+)" data-slug="([^"]*)"')
_TOKEN: Final = re.compile(rb'type="hidden" name="[^"]*" value="([^"]*)"')
_NUMBERS: Final = frozenset({"qty", "stars", "id", "page"})
_IMAGE_HEADS: Final = {
    "jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "png": b"\x89PNG\r\n\x1a\n",
    "pdf": b"%PDF-1.7\n",
    "webp": b"RIFF\x24\x00\x00\x00WEBP",
}
_UPLOAD_TYPES: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}
_PURPOSES: Final[dict[str, Purpose]] = {
    "page": "page",
    "api": "api",
    "asset": "asset",
    "beacon": "beacon",
    "redirect": "page",
    "login": "page",
}


class Visitor:
    """One program at one site: its cookies, where it has been, and how it writes requests."""

    def __init__(self, site: Site, rng: Random, *, attacker: bool = False):
        """Make a visitor with a program drawn from `rng`; attackers use the same programs in another mixture."""
        self.site = site
        self.rng = rng
        self.program: Browser = browser(rng, site.language, attacker=attacker)
        self.cookies: dict[str, str] = {}
        self.referer = self._first_referer()
        self.token = ""
        self.articles: list[tuple[str, str]] = []
        self.sent = 0
        self.suspicious = 0
        self._phase = rng.random()
        self._bearer = jwt(rng, str(rng.randrange(10**6))) if self.program.family == "app" else ""
        self._tags: dict[str, str] = {}

    def draft(self, route: Route, *, suspicious: bool = False) -> tuple[Draft, bool]:
        """Fill in a route as a visitor would; returns the draft and whether a suspicious text went into it."""
        used = False
        query: list[tuple[str, Any]] = []
        fields: list[tuple[str, Any]] = []
        for place, made in ((route.query, query), (route.fields, fields)):
            for field in place:
                if (
                    field.chance < 1
                    and self.rng.random() > field.chance
                    and not (suspicious and not used and field.kind in TEXT_KINDS)
                ):
                    continue
                wanted = suspicious and not used and _takes_text(field)
                made.append((field.name, self._value(field, route.body, suspicious=wanted)))
                used = used or wanted
        if route.body == "form" and self.token and self.site.csrf_field:
            fields.append((self.site.csrf_field, self.token))
        draft = Draft(
            method=route.method,
            segments=self._segments(route.path),
            purpose=_PURPOSES[route.answer],
            query=query,
            body=route.body,
            fields=fields,
            cookies=list(self.cookies.items()),
        )
        return draft, used

    def write(self, draft: Draft, **known: Any) -> LabRequest:
        """Turn a draft into a request with this visitor's headers; `known` are further fields of `LabRequest`."""
        program, rng, site = self.program, self.rng, self.site
        plus = site.plus_spaces if draft.purpose == "page" else False
        origin = f"http://{site.authority}"
        address = target(draft, plus_spaces=plus)
        headers = [("Host", site.authority), *program.headers(draft.purpose, draft.method, origin, self.referer)]
        if self._bearer and draft.purpose == "api":
            headers.append(("Authorization", f"Bearer {self._bearer}"))
        if draft.purpose == "asset" and address in self._tags:
            headers.append(("If-None-Match", self._tags[address]))
        if draft.cookies and program.runs_scripts:
            headers.append(("Cookie", "; ".join(f"{name}={value}" for name, value in draft.cookies)))
        chunked = program.family in ("app", "script") and program.version == "1.1" and rng.random() < 0.1
        start = f"{draft.method} {address} HTTP/{program.version}"
        wire = encode(draft, start, _replaced(headers, draft.headers), rng, plus_spaces=plus, chunked=chunked)
        self.sent += 1
        if draft.purpose == "page" and draft.method == "GET" and program.runs_scripts and "label" not in known:
            shown = address.partition("?")[0] if known.get("tags") else address
            self.referer = origin + shown
        lane = rng.randint(1, 2) if draft.purpose == "asset" and program.runs_scripts else 0
        known = {"pause_s": self._pause(draft.purpose), "lane": lane, **known}
        return LabRequest(wire=wire, has_body=draft.method != "HEAD", **known)

    def browse(self, route: Route) -> LabRequest:
        """A harmless request to a route; keeps the share of suspicious texts near `SUSPICIOUS_SHARE`."""
        due = int(self.sent * SUSPICIOUS_SHARE * _CATCH_UP + self._phase) > self.suspicious
        wanted = due and _has_text(route)
        draft, used = self.draft(route, suspicious=wanted)
        if draft.method == "GET" and not self.program.runs_scripts and self.rng.random() < 0.08:
            draft.method = "HEAD"
        self.suspicious += used
        return self.write(draft, tags=(SUSPICIOUS,) if used else ())

    def learn(self, request: LabRequest, reply: LabReply) -> None:
        """Keep cookies, form tokens, articles and file versions from a reply."""
        for name, value in reply.headers:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
            elif name == "etag":
                self._remember_tag(request, value)
        if reply.status != 200 or not reply.body.startswith(b"<!DOCTYPE"):
            return
        if found := _TOKEN.search(reply.body):
            self.token = found[1].decode()
        self.articles = [(a.decode(), b.decode()) for a, b in _ARTICLE.findall(reply.body)]
        if not self._has_site_cookies() and self.program.runs_scripts:
            self.cookies.update((f.name, self._cookie(f)) for f in self.site.cookies if self.rng.random() <= f.chance)

    def _remember_tag(self, request: LabRequest, tag: str) -> None:
        if self.program.runs_scripts and len(self._tags) < 32:
            self._tags[request.wire.split(b" ", 2)[1].decode("latin-1")] = tag

    def _has_site_cookies(self) -> bool:
        return not self.site.cookies or self.site.cookies[0].name in self.cookies

    def _cookie(self, field: Field) -> str:
        value = fill(field.kind, self.rng, self.site.words)
        if field.name == "_ga":
            value += f".{self.rng.randrange(10**9)}.{1770000000 + self.rng.randrange(10**6)}"
        return value.replace(" ", "%20").replace(";", "%3B")

    def _value(self, field: Field, body: str, *, suspicious: bool) -> Any:
        rng, words = self.rng, self.site.words
        kind = field.kind
        if kind.startswith("file:"):
            return self._upload(suspicious_value("filename", rng) if suspicious else fill("filename", rng, words))
        if suspicious:
            return suspicious_value(kind, rng)
        if self.articles and kind in ("id", "slug") and rng.random() < 0.6:
            article, name = rng.choice(self.articles)
            return int(article) if kind == "id" and body == "json" else article if kind == "id" else name
        value = fill(kind, rng, words)
        if body == "json" and kind in _NUMBERS and rng.random() < 0.8:
            return int(value)
        return value == "true" if body == "json" and kind == "bool" else value

    def _upload(self, filename: str) -> Upload:
        ending = filename.rpartition(".")[2].lower()
        kind = _UPLOAD_TYPES.get(ending, "application/octet-stream")
        if kind.startswith("text/"):
            text = "\r\n".join(fill("comment", self.rng, self.site.words) for _ in range(self.rng.randint(1, 4)))
            return Upload(filename, kind, text.encode())
        if ending == "svg":
            return Upload(
                filename,
                kind,
                b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="%d"/></svg>' % self.rng.randint(1, 99),
            )
        return Upload(filename, kind, _IMAGE_HEADS.get(ending, b"") + self.rng.randbytes(self.rng.randint(80, 900)))

    def _segments(self, path: str) -> list[str]:
        def value(found: re.Match[str]) -> str:
            kind = found[1]
            if self.articles and kind in ("id", "slug") and self.rng.random() < 0.7:
                return self.rng.choice(self.articles)[kind == "slug"]
            text = fill(kind, self.rng, self.site.words)
            return text if kind != "slug" else slug(text)

        return [_PLACEHOLDER.sub(value, segment) for segment in path.removeprefix("/").split("/")]

    def _pause(self, purpose: Purpose) -> float:
        if purpose == "asset":
            return self.rng.uniform(0.005, 0.2)
        if purpose in ("api", "beacon"):
            return self.rng.uniform(0.1, 4.0)
        if not self.program.runs_scripts:
            return self.rng.uniform(0.2, 12.0)
        return min(self.rng.lognormvariate(2.0, 0.9), 180.0)

    def _first_referer(self) -> str:
        if not self.program.runs_scripts or self.rng.random() < 0.45:
            return ""
        query = fill("text", self.rng, self.site.words).replace(" ", "+")
        return self.rng.choice(
            [
                "https://www.google.com/",
                "https://duckduckgo.com/",
                f"https://www.bing.com/search?q={query.encode().decode('latin-1')}",
                fill("url", self.rng, self.site.words),
                f"http://{self.site.authority}/",
            ]
        )


def visit(site: Site, rng: Random, requests: int, *, attacker: bool = False) -> Generator[LabRequest, LabReply, None]:
    """A visit of exactly `requests` harmless requests.

    Args:
        site: where.
        rng: decides everything.
        requests: how many requests to send.
        attacker: whether the visitor uses an attacker's mixture of programs (still sending harmless requests).
    """
    yield from wander(Visitor(site, rng, attacker=attacker), requests)


def wander(visitor: Visitor, requests: int) -> Generator[LabRequest, LabReply, None]:
    """Let a visitor send exactly `requests` harmless requests."""
    site, rng = visitor.site, visitor.rng
    weights = [route.weight for route in site.pages]
    files_due = 0
    for number in range(requests):
        if files_due and site.assets:
            files_due -= 1
            route = rng.choice(site.assets)
        elif number == 0 and rng.random() < 0.5:
            route = site.pages[0]
        else:
            route = rng.choices(site.pages, weights)[0]
        request = visitor.browse(route)
        reply = yield request
        visitor.learn(request, reply)
        if route.answer == "page" and visitor.program.runs_scripts and reply.status == 200:
            files_due = rng.choice([0, 0, 0, 1, 1, 2, 3])


def _has_text(route: Route) -> bool:
    return any(_takes_text(field) for field in (*route.query, *route.fields))


def _takes_text(field: Field) -> bool:
    return field.kind.removeprefix("file:") in TEXT_KINDS


def _replaced(headers: list[tuple[str, str]], own: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The program's headers, with those that the draft names replaced in place or added at the end."""
    if not own:
        return headers
    named = {name.lower(): (name, value) for name, value in own}
    made = [named.pop(name.lower(), (name, value)) for name, value in headers]
    return made + list(named.values())
