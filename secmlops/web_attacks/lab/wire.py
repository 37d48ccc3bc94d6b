"""Requests before they are bytes: a draft with named values, and its HTTP/1.x form."""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any, Final
from urllib.parse import quote, quote_plus

from secmlops.web_attacks.lab.browsers import Purpose
from secmlops.web_attacks.lab.sites import Body
from secmlops.web_attacks.taxonomy import NORMAL, Label

_FORM_SAFE: Final = "*-._"
_COMPONENT_SAFE: Final = "-_.!~*'()"
_PATH_SAFE: Final = "-._~!$&'()*+,;=:@"


class Encoded(str):
    """Text that already has its form on the wire (latin-1 characters stand for bytes) and is not escaped again."""

    __slots__ = ()


@dataclass(slots=True)
class Upload:
    """A file in a multipart form."""

    filename: str
    content_type: str
    content: bytes


@dataclass(slots=True)
class Draft:
    """A request as its sender thinks of it.

    Attributes:
        method: request method.
        segments: path segments, unescaped.
        purpose: what the browser wants it for.
        query: query parameters, unescaped.
        body: body format.
        fields: body fields: unescaped text, an `Upload`, or (JSON only) any JSON value; JSON names are dotted paths.
        cookies: cookies.
        headers: headers that the sender adds to those of its program; a name in it replaces the program's own.
        raw_body: replaces the body that `fields` would make.
        content_type: replaces the content type of the body format.
    """

    method: str
    segments: list[str]
    purpose: Purpose
    query: list[tuple[str, str]] = field(default_factory=list)
    body: Body = ""
    fields: list[tuple[str, Any]] = field(default_factory=list)
    cookies: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    raw_body: bytes | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class LabRequest:
    """One request ready to be sent, with what the lab knows of it.

    Attributes:
        wire: the bytes.
        label: `secu_label1`.
        attack_class: `secu_label2`; empty for normal requests.
        part: where the payload is, named as decoded parts are: `query:q`, `header:User-Agent`, `path`, ...
        payload: the payload before it was encoded for its place; empty for normal requests.
        tags: `suspicious_benign`, `malformed`, `obfuscated`.
        pause_s: the sender's pause before it, in seconds of recorded time.
        lane: which of the sender's connections carries it.
        has_body: whether its reply has a body (not for HEAD).
        complete: False when the server cannot know where it ends, so the sender closes its side to say so.
        last: the sender closes the connection after the reply.
    """

    wire: bytes
    label: Label = NORMAL
    attack_class: str = ""
    part: str = ""
    payload: str = ""
    tags: tuple[str, ...] = ()
    pause_s: float = 1.0
    lane: int = 0
    has_body: bool = True
    complete: bool = True
    last: bool = False


@dataclass(frozen=True, slots=True)
class LabReply:
    """What came back: status 0 when the server closed without a word."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of that (lower-case) name, or an empty string."""
        return next((value for key, value in self.headers if key == name), "")


def target(draft: Draft, *, plus_spaces: bool) -> str:
    """The request-target: escaped path and query."""
    path = "/" + "/".join(part if type(part) is Encoded else quote(part, safe=_PATH_SAFE) for part in draft.segments)
    if not draft.query:
        return path
    return f"{path}?{form_text(draft.query, plus_spaces=plus_spaces)}"


def form_text(pairs: list[tuple[str, str]], *, plus_spaces: bool) -> str:
    """URL-encoded pairs, with spaces as `+` (HTML forms) or `%20` (scripts)."""
    escape = _form_escape if plus_spaces else _component_escape
    return "&".join(f"{_name(name)}={value if type(value) is Encoded else escape(value)}" for name, value in pairs)


def encode(
    draft: Draft, start: str, headers: list[tuple[str, str]], rng: Random, *, plus_spaces: bool, chunked: bool = False
) -> bytes:
    """The bytes of a request.

    Args:
        draft: the request.
        start: the request line without line end.
        headers: all headers but those of the body.
        rng: draws multipart boundaries and chunk sizes.
        plus_spaces: how forms encode spaces.
        chunked: send the body with chunked transfer coding.
    """
    content_type, body = encode_body(draft, rng, plus_spaces=plus_spaces)
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    if chunked and body:
        lines.append("Transfer-Encoding: chunked")
        body = _chunks(body, rng)
    elif body or draft.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def encode_body(draft: Draft, rng: Random, *, plus_spaces: bool) -> tuple[str, bytes]:
    """Content type and body bytes of a draft."""
    if draft.raw_body is not None:
        return draft.content_type or _CONTENT_TYPES.get(draft.body, "text/plain"), draft.raw_body
    if not draft.body:
        return "", b""
    if draft.body == "multipart":
        boundary = f"----WebKitFormBoundary{rng.getrandbits(80):020x}"
        return draft.content_type or f"multipart/form-data; boundary={boundary}", _multipart(draft.fields, boundary)
    if draft.body == "json":
        text = json.dumps(nested(draft.fields), ensure_ascii=False, separators=(",", ":"))
    elif draft.body == "xml":
        text = _xml(draft.fields)
    else:
        text = form_text(draft.fields, plus_spaces=plus_spaces)
        return draft.content_type or _CONTENT_TYPES["form"], text.encode("latin-1", "replace")
    return draft.content_type or _CONTENT_TYPES[draft.body], text.encode("utf-8", "replace")


def nested(fields: list[tuple[str, Any]]) -> Any:
    """Turn dotted paths into nested JSON objects and arrays (a number in a path is an array index)."""
    root: dict[str, Any] = {}
    for path, value in fields:
        node: Any = root
        steps = path.split(".")
        for step, following in pairwise(steps):
            node = _child(node, step, [] if following.isdigit() else {})
        if isinstance(node, list):
            node.append(value)
        else:
            node[steps[-1]] = value
    return root


def _child(node: Any, step: str, empty: Any) -> Any:
    if isinstance(node, dict):
        return node.setdefault(step, empty)
    index = int(step)
    if index >= len(node):
        node.append(empty)
    return node[min(index, len(node) - 1)]


_CONTENT_TYPES: Final = {
    "form": "application/x-www-form-urlencoded",
    "json": "application/json",
    "xml": "text/xml; charset=utf-8",
}


def _form_escape(text: str) -> str:
    return quote_plus(text, safe=_FORM_SAFE)


def _component_escape(text: str) -> str:
    return quote(text, safe=_COMPONENT_SAFE)


def _name(name: str) -> str:
    return name if type(name) is Encoded else quote(name, safe="-_.$[]:")


def _multipart(fields: list[tuple[str, Any]], boundary: str) -> bytes:
    made = []
    for name, value in fields:
        if isinstance(value, Upload):
            filename = value.filename.replace('"', "%22") if type(value.filename) is not Encoded else value.filename
            place = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
            head = f"{place}\r\nContent-Type: {value.content_type}"
            content = value.content
        else:
            head = f'Content-Disposition: form-data; name="{name}"'
            content = str(value).encode("utf-8", "replace")
        made.append(f"--{boundary}\r\n{head}\r\n\r\n".encode("utf-8", "replace") + content + b"\r\n")
    return b"".join(made) + f"--{boundary}--\r\n".encode()


def _xml(fields: list[tuple[str, Any]]) -> str:
    inner = "".join(
        f"<{name}>{value if type(value) is Encoded else _xml_escape(str(value))}</{name}>" for name, value in fields
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<request>{inner}</request>'


def _xml_escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _chunks(body: bytes, rng: Random) -> bytes:
    made, position = [], 0
    while position < len(body):
        size = rng.randint(20, 400)
        piece = body[position : position + size]
        made.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        position += size
    return b"".join(made) + b"0\r\n\r\n"
