"""Requests out of a file that holds them as they are on the wire."""

from collections.abc import Iterator
from typing import BinaryIO

from secmlops.web_attacks.http1 import Rejected, RequestParser, parse_request, split_request_line
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest


def looks_like_http(line: bytes) -> bool:
    """Whether a line is a request line with a version."""
    parts = split_request_line(line)
    return parts is not None and parts.version not in ("", "0.9")


def read_plain(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """One raw request, or several one after the other.

    A single request may have a body without Content-Length, as hand-written files do: the rest of the file is its body.
    """
    data = stream.read(limits.max_document_bytes + 1)
    if len(data) > limits.max_document_bytes:
        detail = f"the file is larger than {limits.max_document_bytes} bytes"
        yield Quarantined(source, 0, "document_too_large", detail, data[: limits.max_quarantine_bytes])
        return
    parser = RequestParser(limits=limits)
    items = parser.feed(data) + parser.finish()
    if parser.requests == 1 and len(items) > 1 and isinstance(items[0], HttpRequest):
        yield parse_request(data)
        return
    for item in items:
        if isinstance(item, Rejected):
            yield Quarantined(source, 0, item.reason, item.detail, item.data)
        else:
            yield item
