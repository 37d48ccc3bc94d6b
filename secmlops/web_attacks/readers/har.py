"""Requests out of HTTP Archive files (HAR 1.2)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO
from urllib.parse import urlencode

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.jsonl import from_json, parse_line
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.lines import quarantine
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest, InvalidRequest


def read_har(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """The requests of `log.entries`; an entry that cannot be read is quarantined by itself (as JSON)."""
    document = stream.read(limits.max_document_bytes + 1)
    kept = document[: limits.max_quarantine_bytes]
    if len(document) > limits.max_document_bytes:
        detail = f"the archive is larger than {limits.max_document_bytes} bytes"
        yield Quarantined(source, 0, "document_too_large", detail, kept)
        return
    try:
        entries = _entries(parse_line(document.removeprefix(b"\xef\xbb\xbf")))
    except SecmlopsError as error:
        yield quarantine(source, 0, error, document, limits)
        return
    for number, entry in enumerate(entries):
        try:
            yield _request(entry)
        except SecmlopsError as error:
            found = quarantine(source, 0, error, _as_json(entry), limits)
            yield replace(found, detail=f"entry {number}: {found.detail}")


def _as_json(entry: Any) -> bytes:
    try:
        return json.dumps(entry).encode()
    except RecursionError:
        return b""


def _entries(document: Any) -> list[Any]:
    log = document.get("log") if isinstance(document, Mapping) else None
    entries = log.get("entries") if isinstance(log, Mapping) else None
    if not isinstance(entries, list):
        raise InvalidRequest("not_a_har", "the document has no list `log.entries`: export it as HAR 1.2")
    return entries


def _request(entry: Any) -> HttpRequest:
    request = entry.get("request") if isinstance(entry, Mapping) else None
    if not isinstance(request, Mapping):
        raise InvalidRequest("bad_field", "the entry has no object `request`")
    headers, authority = _headers(request.get("headers"))
    server = entry.get("serverIPAddress")
    return from_json(
        {
            "time": entry.get("startedDateTime"),
            "dst": server if isinstance(server, str) else "",
            "method": request.get("method"),
            "url": request.get("url"),
            "host": authority,
            "version": _version(request.get("httpVersion")),
            "headers": headers,
            "body": _body(request.get("postData")),
        }
    )


def _headers(value: Any) -> tuple[list[list[Any]], str | None]:
    """Header pairs without HTTP/2 pseudo-headers, and the `:authority` among them."""
    if value is None:
        return [], None
    if not isinstance(value, list) or not all(isinstance(header, Mapping) for header in value):
        raise InvalidRequest("bad_field", "`headers` must be a list of objects with `name` and `value`")
    pairs = [[header.get("name"), header.get("value")] for header in value]
    authority = next((value for name, value in pairs if name == ":authority" and isinstance(value, str)), None)
    return [pair for pair in pairs if not str(pair[0]).startswith(":")], authority


def _version(value: Any) -> str:
    text = value.lower() if isinstance(value, str) else ""
    text = text.removeprefix("http/").removeprefix("h")
    return {"2.0": "2", "3.0": "3"}.get(text, text if text[:1].isdigit() else "")


def _body(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return None
    text = value.get("text")
    if isinstance(text, str) and text:
        return {"base64": text} if value.get("encoding") == "base64" else text
    fields = value.get("params")
    if not isinstance(fields, list):
        return None
    return urlencode(
        [(str(field.get("name", "")), str(field.get("value", ""))) for field in fields if isinstance(field, Mapping)],
        errors="replace",
    )
