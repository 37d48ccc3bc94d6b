"""Where in a request a payload sits, and how to put another one in its place."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, unquote, unquote_plus

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.request import HttpRequest, wire_text

Carrier = Literal["query", "path", "form", "json", "header", "cookie", "body"]

_WHOLE_PATH_CLASSES = ("path_traversal", "scanner")
_MOST_LAYERS = 3
_STILL_ENCODED = re.compile(r"[\w.~!*()+/%=&:,;@-]*%[2-7][0-9a-fA-F][\w.~!*()+/%=&:,;@-]*\Z")
_STRONG_SIGN = re.compile(
    r"['\"<>`|\\]|\.\./|--|/\*|\$[({]|\{\{|<!|://|\(\)\s*\{|\"\$|[\r\n\0]|"
    r"\b(?:select|union|script|onerror|alert|etc/passwd|jndi|sleep|exec|cmd)\b",
    re.IGNORECASE,
)
_WEAK_SIGN = re.compile(r"[;()={}\[\]&$]")
_IGNORED_HEADER_LIST = """
    host accept accept-encoding accept-language connection content-encoding content-length content-type cookie
    transfer-encoding upgrade-insecure-requests cache-control pragma if-none-match if-modified-since te range date
"""
_IGNORED_HEADERS = frozenset(_IGNORED_HEADER_LIST.split())


class UnfitPayload(SecmlopsError):
    """A payload that its place in the request cannot carry, such as a line end in a header.

    Attributes:
        carrier: the kind of place.
    """

    def __init__(self, carrier: str):
        self.carrier = carrier
        super().__init__(f"a {carrier} cannot carry this payload: choose another place or another payload")


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a request and the payload found there.

    Attributes:
        part: its name, as in `Score.part`: `query:q`, `body:name`, `header:User-Agent`, `cookie:id`, `path`, `body`.
        carrier: what kind of place it is; it decides how a payload is encoded.
        field: `uri`, `body`, or `header:N` with the header's index.
        before: the text of that field before the value, as sent.
        after: the text after it.
        payload: the decoded value, one character per byte.
        layers: how often the value was URL-encoded.
    """

    part: str
    carrier: Carrier
    field: str
    before: str
    after: str
    payload: str
    layers: int = 0

    def encode(self, payload: str) -> str:
        """The text to send for a payload, encoded as often as the original was.

        Raises:
            UnfitPayload: this place cannot carry the payload at all.
        """
        if self.carrier == "json":
            return json.dumps(payload.encode("latin-1").decode("utf-8", "replace"))[1:-1]
        if self.carrier in ("header", "cookie") and not self.layers:
            if re.search(r"[\r\n\0]" if self.carrier == "header" else r"[\r\n\0;]", payload):
                raise UnfitPayload(self.carrier)
            return payload
        for _ in range(self.layers):
            payload = quote(payload, safe="/" if self.carrier == "path" else "", encoding="latin-1")
        return payload

    def fill(self, request: HttpRequest, value: str, *, prefix: str = "", suffix: str = "") -> HttpRequest:
        """The request with `value`, already encoded, in this place; raw bytes and Content-Length follow.

        `prefix` and `suffix` are further parameters right before and after this one.
        """
        before = self.before
        if prefix:
            start = max(before.rfind("&"), before.rfind("?")) + 1
            before = f"{before[:start]}{prefix}&{before[start:]}"
        text = before + value + (f"&{suffix}" if suffix else "") + self.after
        if self.field == "uri":
            return replace(request, uri=text, raw=b"")
        if self.field == "body":
            body = text.encode("latin-1")
            headers = tuple(
                (name, str(len(body)) if name.lower() == "content-length" else header)
                for name, header in request.headers
            )
            return replace(request, body=body, headers=headers, raw=b"")
        index = int(self.field.partition(":")[2])
        changed = tuple(
            (name, text if position == index else header) for position, (name, header) in enumerate(request.headers)
        )
        return replace(request, headers=changed, raw=b"")


def locate(request: HttpRequest, attack_class: str, part: str | None = None) -> Slot | None:
    """The place that carries the payload: the one named by `part`, else the most suspicious-looking one.

    Returns None for a request that holds no value at all.
    """
    slots = list(_slots(request, attack_class))
    if not slots:
        return None
    named = [slot for slot in slots if part and _same_part(slot.part, part)]
    return max(named or slots, key=_suspicion)


def _suspicion(slot: Slot) -> int:
    weak = 0 if slot.carrier in ("header", "cookie") else len(_WEAK_SIGN.findall(slot.payload))
    return 3 * len(_STRONG_SIGN.findall(slot.payload)) + weak


def _same_part(ours: str, given: str) -> bool:
    kind, _, name = given.partition(":")
    our_kind, _, our_name = ours.partition(":")
    if kind != our_kind:
        return False
    last_key = re.sub(r"(\[\d+\])+\Z", "", name).rpartition(".")[2]
    return not name or our_name.lower() in (name.lower(), last_key.lower())


def _slots(request: HttpRequest, attack_class: str) -> Iterator[Slot]:
    path, mark, query = request.uri.partition("?")
    yield from _path_slots(path, mark + query, attack_class)
    yield from _parameter_slots(query, "query", "uri", path + mark)
    for index, (name, value) in enumerate(request.headers):
        if name.lower() == "cookie":
            yield from _cookie_slots(value, index)
        elif name.lower() not in _IGNORED_HEADERS and value:
            yield Slot(f"header:{name}", "header", f"header:{index}", "", "", value)
    if request.body and request.header("content-encoding") in (None, "", "identity"):
        yield from _body_slots(
            request.body.decode("latin-1"), (request.header("content-type") or "").lower(), attack_class
        )


def _path_slots(path: str, rest: str, attack_class: str) -> Iterator[Slot]:
    if path in ("", "/", "*"):
        return
    if attack_class in _WHOLE_PATH_CLASSES:
        yield _url_slot("path", "path", "uri", "", path, rest)
        return
    start = 0
    for segment in re.finditer(r"[^/]+", path):
        start = segment.start()
        yield _url_slot("path", "path", "uri", path[:start], segment.group(), path[segment.end() :] + rest)


def _parameter_slots(text: str, carrier: Carrier, field: str, before: str) -> Iterator[Slot]:
    kind = "body" if carrier == "form" else "query"
    for match in re.finditer(r"(?P<name>[^&=]*)=(?P<value>[^&]+)|(?P<bare>[^&=]+)", text):
        group = "value" if match["value"] else "bare"
        name = _decode(match["name"] or "", unquote_plus)[0]
        yield _url_slot(
            f"{kind}:{name}",
            carrier,
            field,
            before + text[: match.start(group)],
            match[group],
            text[match.end(group) :],
        )


def _cookie_slots(value: str, index: int) -> Iterator[Slot]:
    for match in re.finditer(r"(?P<name>[^=;\s]+)=(?P<value>[^;]+)", value):
        payload, layers = _decode(match["value"], unquote)
        before, after = value[: match.start("value")], value[match.end("value") :]
        yield Slot(f"cookie:{match['name']}", "cookie", f"header:{index}", before, after, payload, layers)


def _body_slots(text: str, content_type: str, attack_class: str) -> Iterator[Slot]:
    if "json" in content_type or (not content_type and re.match(r"\s*[{\[]", text)):
        if attack_class == "nosqli":
            yield Slot("body", "body", "body", "", "", text)
        else:
            yield from _json_slots(text)
    elif "multipart/" in content_type:
        yield from _multipart_slots(text)
    elif "urlencoded" in content_type or (not content_type and re.match(r"[\w.\[\]$%+-]+=", text)):
        yield from _parameter_slots(text, "form", "body", "")
    else:
        yield Slot("body", "body", "body", "", "", text)


def _json_slots(text: str) -> Iterator[Slot]:
    key = ""
    for match in re.finditer(r'"(?P<value>(?:[^"\\]|\\.)*)"(?P<colon>\s*:)?', text):
        try:
            value = wire_text(json.loads(f'"{match["value"]}"'.encode("latin-1").decode("utf-8", "replace")))
        except (ValueError, SecmlopsError):
            continue
        if match["colon"]:
            key = value
        elif value:
            yield Slot(f"body:{key}", "json", "body", text[: match.start("value")], text[match.end("value") :], value)


def _multipart_slots(text: str) -> Iterator[Slot]:
    for match in re.finditer(
        r'name="(?P<name>[^"]*)"[^\n]*\n(?:[\w-]+:[^\n]*\n)*\r?\n(?P<value>.*?)(?=\r?\n--)', text, re.S
    ):
        if match["value"]:
            before, after = text[: match.start("value")], text[match.end("value") :]
            yield Slot(f"body:{match['name']}", "body", "body", before, after, match["value"])


def _url_slot(part: str, carrier: Carrier, field: str, before: str, value: str, after: str) -> Slot:
    payload, layers = _decode(value, unquote if carrier == "path" else unquote_plus)
    return Slot(part, carrier, field, before, after, payload, max(1, layers))


def _decode(value: str, decoder: Callable[..., str]) -> tuple[str, int]:
    """URL-decode as long as nothing but encoded text is left; returns the payload and how often it was encoded."""
    layers = 0
    text = value
    while layers < _MOST_LAYERS and (("%" in text or "+" in text) if not layers else _STILL_ENCODED.match(text)):
        text = (decoder if not layers else unquote)(text, encoding="latin-1")
        layers += 1
    return text, layers
