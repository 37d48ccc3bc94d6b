"""Benign changes of a site's traffic, to measure detectors with: a release, other programs, another language, a season.

Each takes honest requests and a source of chance and gives as many changed ones; whose requests they are stays.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from secmlops.web_attacks.request import HttpRequest, wire_text

SiteChange = Callable[[Sequence[HttpRequest], Random], list[HttpRequest]]

_EXTENSION: Final = re.compile(r"\.(?:php|do|html?|aspx?)(?=[/?]|\Z)")
_FIELD: Final = re.compile(r"(?:(?<=[?&])|\A)([A-Za-z][\w.-]*)(?==)", re.ASCII)
_KEY: Final = re.compile(r'"([A-Za-z]\w*)"(?=\s*:)', re.ASCII)
_WORD: Final = re.compile(r"(?<![%\w])[A-Za-z]{4,}(?!\w)", re.ASCII)
_JSON_TEXT: Final = re.compile(r'(?<=:)(\s*"[^"\\]*")')
_GREEK_LINES: Final = """
παπούτσια καλοκαίρι προσφορά παραγγελία παράδοση διεύθυνση χειμώνας μπουφάν μέγεθος μπλε βαμβάκι κήπος καφές
ταξίδι τιμολόγιο συνάντηση ομάδα έκθεση διακοπές φωτογραφία μουσική συνταγή οικογένεια τρένο εισιτήριο
"""
_GREEK: Final = tuple(_GREEK_LINES.split())
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def new_release(requests: Sequence[HttpRequest], rng: Random) -> list[HttpRequest]:
    """Every address moves below a version, loses its extension, and every field gets another name."""
    prefix = rng.choice(("/v2", "/app/2027", "/shop/next"))
    mark = rng.choice(("p_", "item.", "data-"))

    def changed(request: HttpRequest) -> HttpRequest:
        path, question, query = request.uri.partition("?")
        uri = prefix + _EXTENSION.sub("", path) + question + _FIELD.sub(mark + r"\1", query)
        body = request.body.decode("latin-1")
        if body[:1] in "{[" and body:
            body = _KEY.sub(rf'"{mark}\1"', body)
        elif _is_form(request):
            body = _FIELD.sub(mark + r"\1", body)
        return replace(request, uri=uri, body=body.encode("latin-1"), raw=b"")

    return [changed(request) for request in requests]


def new_programs(requests: Sequence[HttpRequest], rng: Random) -> list[HttpRequest]:
    """Everybody uses a browser generation that did not exist before."""
    agents = [
        f"Mozilla/5.0 (Linux; Android {rng.randint(17, 19)}; Pixel {rng.randint(12, 15)}) AppleWebKit/537.36 "
        f"(KHTML, like Gecko) Chrome/{rng.randint(190, 230)}.0.0.0 Mobile Safari/537.36",
        f"Mozilla/5.0 (iPhone; CPU iPhone OS {rng.randint(27, 29)}_1 like Mac OS X) AppleWebKit/705.1 "
        f"(KHTML, like Gecko) Version/{rng.randint(27, 29)}.0 Mobile/22A5 Safari/705.1",
    ]
    return [_with_header(request, "user-agent", rng.choice(agents)) for request in requests]


def other_language(requests: Sequence[HttpRequest], rng: Random) -> list[HttpRequest]:
    """Visitors who write Greek: the words of every value, and what their browsers ask for."""

    def words(text: str) -> str:
        return _WORD.sub(lambda _: quote(rng.choice(_GREEK)), text)

    def changed(request: HttpRequest) -> HttpRequest:
        path, question, query = request.uri.partition("?")
        body = request.body.decode("latin-1")
        if body[:1] in "{[" and body:
            body = _JSON_TEXT.sub(lambda text: _WORD.sub(lambda _: wire_text(rng.choice(_GREEK)), text[1]), body)
        elif _is_form(request):
            body = _values(words, body)
        spoken = _with_header(request, "accept-language", "el-GR,el;q=0.9,en;q=0.4")
        return replace(spoken, uri=f"{path}{question}{_values(words, query)}", body=body.encode("latin-1"), raw=b"")

    return [changed(request) for request in requests]


def busy_season(requests: Sequence[HttpRequest], rng: Random) -> list[HttpRequest]:
    """Less browsing and more ordering: everybody sends what only some of these requests sent, a body.

    Where none has one, everybody asks what the longest tenth of the addresses asks.
    """
    wanted = [request for request in requests if request.method.upper() not in _READS]
    if not wanted:
        wanted = sorted(requests, key=lambda request: -len(request.uri))[: max(1, len(requests) // 10)]
    return [_asked_by(request, rng.choice(wanted)) for request in requests]


CHANGES: Final[Mapping[str, SiteChange]] = MappingProxyType(
    {
        "new_release": new_release,
        "new_programs": new_programs,
        "other_language": other_language,
        "busy_season": busy_season,
    }
)


def _asked_by(asker: HttpRequest, asked: HttpRequest) -> HttpRequest:
    agent = asker.header("user-agent")
    return asked if agent is None else _with_header(asked, "user-agent", agent)


def _with_header(request: HttpRequest, name: str, value: str) -> HttpRequest:
    others = tuple(header for header in request.headers if header[0].lower() != name)
    return replace(request, headers=(*others, (name, value)), raw=b"")


def _is_form(request: HttpRequest) -> bool:
    return "urlencoded" in (request.header("content-type") or "").lower()


def _values(change: Callable[[str], str], form: str) -> str:
    """A form with its values changed and its names kept."""
    pairs = (pair.partition("=") for pair in form.split("&"))
    return "&".join(f"{name}{equals}{change(value)}" for name, equals, value in pairs)
