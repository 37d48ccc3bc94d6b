r"""Requests out of nginx and Apache access logs: common, combined, and combined with the virtual host in front.

A log keeps only the request line, Referer and User-Agent. Escapes (`\xHH`, `\"`, `\\`, `\n`, `\t`) are undone.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Final

from secmlops.web_attacks.http1 import host_of, split_request_line
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.lines import read_lines
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest

_MAX_LINE: Final = 1024 * 1024
_TIME: Final = re.compile(rb"(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})")
_QUOTED: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"')
_STATUS: Final = re.compile(rb" (?:\d{3}|-) (?:\d+|-)(?= |$)")
_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_PLAIN_ESCAPES: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f"}
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}


def looks_like_access_log(line: bytes) -> bool:
    """Whether a line has the client, the time in brackets and the quoted request of an access log."""
    return _split(line[:_MAX_LINE]) is not None


def read_access_log(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """One request a line; a line of another form, or whose request is none (`-`, TLS bytes), is quarantined."""
    for line in read_lines(stream, source, limits, _MAX_LINE):
        if isinstance(line, Quarantined):
            yield line
            continue
        fields = _split(line.text)
        if fields is None:
            yield Quarantined(
                source, line.offset, "bad_log_line", "not a line of the common or combined log format",
                line.text[: limits.max_quarantine_bytes],
            )  # fmt: skip
            continue
        prefix, time, request_line, rest = fields
        request = _request(prefix, time, request_line, rest)
        if request is None:
            detail = "the logged request is no request line"
            yield Quarantined(source, line.offset, "bad_request_line", detail, line.text[: limits.max_quarantine_bytes])
        else:
            yield request


def _split(line: bytes) -> tuple[bytes, float | None, bytes, bytes] | None:
    """(what stands before the time, time, request line, what follows size), or None."""
    opening = line.find(b" [")
    time = _TIME.match(line, opening + 2) if opening >= 0 else None
    if time is None or line[time.end() : time.end() + 3] != b'] "':
        return None
    at = time.end() + 2
    quoted = _QUOTED.match(line, at)
    if quoted is not None and (status := _STATUS.match(line, quoted.end())):
        return line[:opening], _seconds(time), _unescape(quoted.group(1)), line[status.end() :]
    # Some formats do not escape quotes: take everything up to the first status that follows a quote.
    end = line.find(b'" ', at + 1)
    while end >= 0:
        if status := _STATUS.match(line, end + 1):
            return line[:opening], _seconds(time), line[at + 1 : end], line[status.end() :]
        end = line.find(b'" ', end + 1)
    return None


def _request(prefix: bytes, time: float | None, line: bytes, rest: bytes) -> HttpRequest | None:
    parts = split_request_line(line)
    if parts is None:
        return None
    words = prefix.split()
    virtual_host = len(words) > 3
    host = words[0].decode("latin-1") if virtual_host else ""
    quoted = [_unescape(found.group(1)).decode("latin-1") for found in _QUOTED.finditer(rest, 0, _MAX_LINE)]
    headers = [("Host", host)] if host else []
    headers += [(name, value) for name, value in zip(("Referer", "User-Agent"), quoted, strict=False) if value != "-"]
    return HttpRequest(
        *parts,
        headers=tuple(headers),
        host=host or host_of(parts.uri, ()),
        time=time,
        src=words[1 if virtual_host else 0].decode("latin-1") if words else "",
    )


def _seconds(found: re.Match[bytes]) -> float | None:
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    try:
        moment = datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC)
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return (moment - offset if sign == b"+" else moment + offset).timestamp()
    except (ValueError, KeyError, OverflowError):
        return None


def _unescape(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    return _ESCAPE.sub(_unescape_one, text)


def _unescape_one(found: re.Match[bytes]) -> bytes:
    code = found.group(1)
    if len(code) == 3:
        return bytes((int(code[1:], 16),))
    return _PLAIN_ESCAPES.get(code, code)
