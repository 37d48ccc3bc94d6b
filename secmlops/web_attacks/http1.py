"""HTTP/1.x requests out of bytes: one request at a door, or a stream of them from a TCP connection.

Attacks live in malformed requests, so the parser is lenient (bare LF, missing target, spaces in the target, stray
header lines, trailing text after the version) and keeps the bytes. Where framing is ambiguous it takes the reading that
shows most to a detector: `chunked` anywhere in Transfer-Encoding wins, the smallest of several Content-Lengths wins,
an unreadable Content-Length is no body, and after a message that makes no sense it looks for the next line that is
plainly a request (RFC 9112 sections 2.2, 3, 6 and 11.2; RFC 1945 section 4.1 for HTTP/0.9).
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from secmlops.web_attacks.request import HttpRequest, InvalidRequest

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_METHOD: Final = re.compile(rb"[ \t]{0,16}(" + _TOKEN + rb"{1,64})")
_OPENING: Final = re.compile(rb"[ \t]{0,16}(?:" + _TOKEN + rb"{1,64}(?:[ \t]|\Z)|\Z)")
_VERSION: Final = re.compile(rb"[0-9]{1,3}(?:\.[0-9]{1,3})?")
_HEAD_END: Final = re.compile(rb"\n\r{0,2}\n")
_PLAIN_REQUEST_LINE: Final = re.compile(
    rb"[A-Za-z][A-Za-z_-]{1,31}[ \t]+[^ \t\r\n][^\r\n]*[ \t]HTTP/[0-9](?:\.[0-9])?[ \t]*\r?\n"
)
_SIMPLE_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"})
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r*\n")
_MAX_CHUNK_LINE: Final = 16_384
_MAX_LENGTH: Final = 2**63 - 1
_SKETCH_BYTES: Final = 1_024

NOT_HTTP: Final = "not_http"
BAD_REQUEST_LINE: Final = "bad_request_line"
HEADER_TOO_LARGE: Final = "header_too_large"
BAD_CHUNK: Final = "bad_chunk"
BODY_TRUNCATED: Final = "body_truncated"
GAP: Final = "gap"
TUNNEL: Final = "tunnel"


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What one message may cost, in bytes.

    Attributes:
        max_header_bytes: request line and headers together; also the longest line looked at.
        max_body_bytes: body bytes kept; the rest is counted and reported.
        max_quarantine_bytes: bytes kept of what could not be read.
    """

    max_header_bytes: int = 256 * 1024
    max_body_bytes: int = 8 * 1024 * 1024
    max_quarantine_bytes: int = 64 * 1024


class RequestLine(NamedTuple):
    """The three parts of a request line, as sent (latin-1 text); `version` is empty when it cannot be read."""

    method: str
    uri: str
    version: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Bytes of a stream that are not a request.

    Attributes:
        reason: one of the reasons named in this module, e.g. `bad_request_line`.
        detail: a sentence for a person.
        data: the first of these bytes.
        time: when they arrived, seconds since the Unix epoch.
    """

    reason: str
    detail: str
    data: bytes
    time: float | None


def split_request_line(line: bytes, *, any_words: bool = False) -> RequestLine | None:
    """Read a request line the way lenient servers do; None when it is not one.

    The target is everything between the method and the last `HTTP/`, spaces included. A line without a version is
    HTTP/0.9, but only with a well-known method and a target that starts with `/` or is absolute, because
    many text protocols speak in lines of two words.

    Args:
        line: the line, with or without its line break.
        any_words: take any method of three characters or more and any target for HTTP/0.9.
    """
    found = _METHOD.match(line)
    if found is None or line[found.end() : found.end() + 1] not in (b" ", b"\t"):
        return None
    method = found.group(1)
    rest = line[found.end() :].rstrip(b"\r\n \t")
    upper = rest.upper()
    at = max(upper.rfind(b" HTTP/"), upper.rfind(b"\tHTTP/"))
    if at < 0:
        target = rest.strip(b" \t")
        known = method in _SIMPLE_METHODS and (target.startswith(b"/") or b"://" in target)
        if known or (any_words and len(method) >= 3 and target):
            return RequestLine(_text(method), _text(target), "0.9")
        return None
    version = _VERSION.match(rest, at + 6)
    return RequestLine(_text(method), _text(rest[:at].strip(b" \t")), _text(version.group()) if version else "")


def parse_headers(block: bytes) -> tuple[tuple[str, str], ...]:
    """Header lines to (name, value) pairs: folded lines joined by one space, a line without a colon kept as a name."""
    names: list[str] = []
    values: list[list[str]] = []
    for line in block.decode("latin-1").split("\n"):
        line = line.rstrip("\r")
        if not line:
            continue
        if line[0] in " \t" and names:
            values[-1].append(line.strip(" \t"))
            continue
        name, _, value = line.partition(":")
        names.append(name.strip(" \t"))
        values.append([value.strip(" \t")])
    return tuple(
        (name, parts[0] if len(parts) == 1 else " ".join(parts).strip(" "))
        for name, parts in zip(names, values, strict=True)
    )


def parse_request(raw: bytes) -> HttpRequest:
    """Read bytes that are known to be one request, however malformed.

    Everything after the headers is the body, whatever Content-Length says, so nothing hides behind it; a chunked
    body is decoded as far as it goes and the rest is kept as it is.

    Args:
        raw: the request on the wire; kept in `HttpRequest.raw`.

    Raises:
        InvalidRequest: nothing usable: `empty`, or `no_request_line` when the first line holds no method and target.
    """
    start = len(raw) - len(raw.lstrip(b"\r\n"))
    if start == len(raw) or not raw[start:].strip():
        raise InvalidRequest("empty", "the request is empty: send a request line, headers and an empty line")
    line_end = raw.find(b"\n", start)
    line = raw[start:] if line_end < 0 else raw[start:line_end]
    parts = split_request_line(line) or _salvage_line(line)
    if parts is None:
        raise InvalidRequest("no_request_line", "the first line is no HTTP request line: send `METHOD TARGET HTTP/1.1`")
    head, body = b"", b""
    if line_end >= 0:
        end = _HEAD_END.search(raw, line_end)
        head = raw[line_end + 1 : end.start() + 1] if end else raw[line_end + 1 :]
        body = raw[end.end() :] if end else b""
    headers = parse_headers(head)
    if body and _is_chunked(headers):
        body = _dechunk(body)
    return HttpRequest(*parts, headers=headers, body=body, host=host_of(parts.uri, headers), raw=raw)


def host_of(uri: str, headers: tuple[tuple[str, str], ...]) -> str:
    """The first `Host` header, else the authority of an absolute request-target, else an empty string."""
    for name, value in headers:
        if len(name) == 4 and name.lower() == "host":
            return value
    scheme, mark, rest = uri.partition("://")
    if mark and scheme.isalpha():
        return re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return ""


class _State(IntEnum):
    LINE = 0
    HEADERS = 1
    BODY = 2
    CHUNK_SIZE = 3
    CHUNK_DATA = 4
    TRAILER = 5
    LOST = 6


class RequestParser:
    """Requests out of one direction of a connection, as its bytes arrive.

    Work is linear in the bytes fed and memory is bounded by the limits: about `max_header_bytes` plus twice
    `max_body_bytes`.

    Args:
        src: the client, `address:port`.
        dst: the server, likewise.
        limits: what one message may cost.
        http_port: the server's port is one where HTTP is usual: then the first line may be any two words.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_dropped",
        "_head",
        "_head_line",
        "_headers",
        "_http_port",
        "_limits",
        "_line",
        "_midline",
        "_missing",
        "_now",
        "_reason",
        "_remaining",
        "_scan",
        "_skipped",
        "_skipped_bytes",
        "_state",
        "_time",
        "_tunnel",
        "_wire",
        "dst",
        "requests",
        "src",
    )
    _headers: tuple[tuple[str, str], ...]

    def __init__(self, src: str = "", dst: str = "", limits: MessageLimits | None = None, *, http_port: bool = False):
        self.src = src
        self.dst = dst
        self._http_port = http_port
        self.requests = 0
        self._limits = limits or MessageLimits()
        self._buffer = bytearray()
        self._state = _State.LINE
        self._scan = 0
        self._now: float | None = None
        self._time: float | None = None
        self._tunnel = False
        self._reset_message()
        self._reset_lost("")

    @property
    def buffered(self) -> int:
        """Bytes held now."""
        return len(self._buffer) + len(self._head) + len(self._body) + len(self._wire) + len(self._skipped)

    @property
    def lost(self) -> bool:
        """Whether the parser is looking for the next plain request line."""
        return self._state == _State.LOST

    def join_midway(self) -> None:
        """Before the first byte: the stream was not seen from its start, so wait for a plain request line."""
        self._lose(BAD_REQUEST_LINE, 0)

    def feed(self, data: bytes, time: float | None = None) -> list[HttpRequest | Rejected]:
        """Take the next bytes; returns what they completed, in wire order."""
        self._now = time
        out: list[HttpRequest | Rejected] = []
        if self._state == _State.LOST and _PLAIN_REQUEST_LINE.match(data):
            # A segment that starts with a plain request line: what came before it needs no line break.
            self._skip(len(self._buffer))
            self._report_lost(out)
            self._state = _State.LINE
        self._buffer += data
        while self._buffer and _STEPS[self._state](self, out):
            pass
        return out

    def gap(self, size: int, time: float | None = None) -> list[HttpRequest | Rejected]:
        """Note that `size` bytes are missing here: a gap inside a body is passed over, any other loses the framing."""
        self._now = time
        out: list[HttpRequest | Rejected] = []
        if self._state in (_State.BODY, _State.CHUNK_DATA) and size <= self._remaining:
            self._remaining -= size
            self._dropped += size
            if self._remaining == 0 and self._state == _State.BODY:
                self._emit(out)
            return out
        if self._state != _State.LOST:
            out += self._complete_what_is_there()
        if self._state != _State.LOST:
            self._lose(GAP, 0)
        self._missing += size
        return out

    def finish(self) -> list[HttpRequest | Rejected]:
        """The connection is over: returns the message under way, or what was left of it."""
        out = self._complete_what_is_there()
        if self._state == _State.LOST:
            self._skip(len(self._buffer))
            self._report_lost(out)
            self._state = _State.LINE
        return out

    def _complete_what_is_there(self) -> list[HttpRequest | Rejected]:
        out: list[HttpRequest | Rejected] = []
        if self._state == _State.LINE and not self._buffer.strip():
            self._buffer.clear()
            self._scan = 0
        elif self._state == _State.LINE:
            line = self._split_line(bytes(self._buffer))
            if line is None:
                self._lose(BAD_REQUEST_LINE, len(self._buffer))
            else:
                self._begin(line, bytes(self._buffer), 0)
                self._buffer.clear()
                self._emit(out)
        elif self._state == _State.HEADERS:
            self._take_head(len(self._buffer))
            self._emit(out)
        elif self._state in (_State.BODY, _State.CHUNK_SIZE, _State.CHUNK_DATA, _State.TRAILER):
            self._keep_wire(bytes(self._buffer))
            self._buffer.clear()
            self._emit(out)
        return out

    def _step_line(self, out: list[HttpRequest | Rejected]) -> bool:
        buffer = self._buffer
        if buffer[0] in b"\r\n":
            del buffer[: len(buffer) - len(buffer.lstrip(b"\r\n"))]
            self._scan = 0
            if not buffer:
                return False
        if self._scan == 0:
            self._time = self._now
        end = buffer.find(b"\n", self._scan)
        if end < 0:
            if _OPENING.match(buffer, 0, 96) is None:
                self._lose(BAD_REQUEST_LINE, len(buffer), midline=True)
                return True
            if len(buffer) > self._limits.max_header_bytes:
                self._lose(HEADER_TOO_LARGE, len(buffer), midline=True)
                return True
            self._scan = len(buffer)
            return False
        line = self._split_line(bytes(buffer[:end]))
        if line is None or end >= self._limits.max_header_bytes:
            self._lose(HEADER_TOO_LARGE if line else BAD_REQUEST_LINE, end + 1)
            return True
        if line.version == "0.9":
            self._begin(line, bytes(buffer[: end + 1]), end)
            del buffer[: end + 1]
            self._emit(out)
            return True
        self._line = line
        self._head_line = self._scan = end
        self._state = _State.HEADERS
        return True

    def _split_line(self, line: bytes) -> RequestLine | None:
        return split_request_line(line, any_words=self._http_port and self.requests == 0)

    def _step_headers(self, out: list[HttpRequest | Rejected]) -> bool:
        buffer = self._buffer
        end = _HEAD_END.search(buffer, self._scan)
        if end is None or end.end() > self._limits.max_header_bytes:
            if len(buffer) > self._limits.max_header_bytes:
                self._lose(HEADER_TOO_LARGE, self._head_line + 1)
                return True
            self._scan = max(self._head_line, len(buffer) - 3)
            return False
        self._take_head(end.end())
        if self._chunked:
            self._state = _State.CHUNK_SIZE
        elif self._remaining:
            self._state = _State.BODY
        else:
            self._emit(out)
        return True

    def _step_body(self, out: list[HttpRequest | Rejected]) -> bool:
        self._take_body()
        if self._remaining:
            return False
        self._emit(out)
        return True

    def _step_chunk_size(self, out: list[HttpRequest | Rejected]) -> bool:
        if self._scan == 0:
            self._take_whole_chunks()
        buffer = self._buffer
        end = buffer.find(b"\n", self._scan, _MAX_CHUNK_LINE)
        if end < 0 and len(buffer) < _MAX_CHUNK_LINE:
            self._scan = len(buffer)
            return False
        size = _CHUNK_SIZE.match(buffer, 0, end + 1) if end >= 0 else None
        if size is None or int(size.group(1), 16) > _MAX_LENGTH:
            self._emit(out)
            self._lose(BAD_CHUNK, 0)
            return True
        self._remaining = int(size.group(1), 16)
        self._keep_wire(bytes(buffer[: end + 1]))
        del buffer[: end + 1]
        self._scan = 0
        self._state = _State.CHUNK_DATA if self._remaining else _State.TRAILER
        return True

    def _take_whole_chunks(self) -> None:
        """Chunks that lie in the buffer as a whole, taken in one go: tiny chunks are a way to make a parser slow."""
        buffer = self._buffer
        at = 0
        while (size := _CHUNK_SIZE.match(buffer, at)) is not None and size.end() - at <= _MAX_CHUNK_LINE:
            start, length = size.end(), int(size.group(1), 16)
            end = start + length
            line_break = 2 if buffer[end : end + 2] == b"\r\n" else 1 if buffer[end : end + 1] == b"\n" else 0
            if length == 0 or line_break == 0:
                break
            kept = min(length, max(0, self._limits.max_body_bytes - len(self._body)))
            self._body += buffer[start : start + kept]
            self._dropped += length - kept
            at = end + line_break
        if at:
            self._keep_wire(bytes(buffer[:at]))
            del buffer[:at]
            self._scan = 0

    def _step_chunk_data(self, out: list[HttpRequest | Rejected]) -> bool:
        if self._remaining:
            self._take_body()
            return self._remaining == 0
        # The line break after the data: CRLF or a bare LF; anything else is read as the next size and fails there.
        if self._buffer == b"\r":
            return False
        size = 2 if self._buffer[:2] == b"\r\n" else 1 if self._buffer[0] == 10 else 0
        self._keep_wire(bytes(self._buffer[:size]))
        del self._buffer[:size]
        self._scan = 0
        self._state = _State.CHUNK_SIZE
        return True

    def _step_trailer(self, out: list[HttpRequest | Rejected]) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\n", self._scan)
        if end < 0:
            self._scan = len(buffer)
            if len(buffer) <= self._limits.max_header_bytes:
                return False
            self._emit(out)
            self._lose(HEADER_TOO_LARGE, len(buffer), midline=True)
            return True
        last = not buffer[:end].rstrip(b"\r")
        self._keep_wire(bytes(buffer[: end + 1]))
        del buffer[: end + 1]
        self._scan = 0
        if last:
            self._emit(out)
        return True

    def _step_lost(self, out: list[HttpRequest | Rejected]) -> bool:
        buffer = self._buffer
        end = buffer.rfind(b"\n", self._scan) + 1
        if end == 0:
            self._scan = len(buffer)
            if len(buffer) > self._limits.max_header_bytes:
                self._skip(len(buffer))
                self._midline = True
            return False
        at = 0
        if self._midline:
            at = buffer.find(b"\n") + 1
            self._midline = False
        while (mark := buffer.find(b" HTTP/", at, end)) >= 0:
            start = max(at, buffer.rfind(b"\n", at, mark) + 1)
            line_end = buffer.find(b"\n", mark) + 1
            if _PLAIN_REQUEST_LINE.match(buffer, start, line_end):
                self._skip(start)
                self._report_lost(out)
                self._state = _State.LINE
                return True
            at = line_end
        self._skip(end)
        self._scan = len(buffer)
        return False

    def _begin(self, line: RequestLine, head: bytes, head_line: int) -> None:
        self._line = line
        self._head = head
        self._head_line = head_line

    def _take_head(self, size: int) -> None:
        self._head = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._scan = 0
        self._headers = parse_headers(self._head[self._head_line + 1 :])
        self._chunked = _is_chunked(self._headers)
        self._remaining = 0 if self._chunked else _content_length(self._headers)

    def _take_body(self) -> None:
        size = min(self._remaining, len(self._buffer))
        kept = min(size, max(0, self._limits.max_body_bytes - len(self._body)))
        piece = bytes(self._buffer[:kept])
        self._body += piece
        if self._chunked:
            self._keep_wire(piece)
        del self._buffer[:size]
        self._remaining -= size
        self._dropped += size - kept

    def _keep_wire(self, piece: bytes) -> None:
        self._wire += piece[: max(0, self._limits.max_body_bytes - len(self._wire))]

    def _emit(self, out: list[HttpRequest | Rejected]) -> None:
        line, headers = self._line, self._headers
        body = bytes(self._body)
        host = host_of(line.uri, headers)
        raw = self._head + (bytes(self._wire) if self._chunked else body)
        out.append(
            HttpRequest(line.method, line.uri, line.version, headers, body, host, self._time, self.src, self.dst, raw)
        )
        if self._dropped:
            detail = (
                f"{self._dropped} bytes of the body of {line.method} {line.uri[:80]!r} were not kept or not captured"
            )
            out.append(Rejected(BODY_TRUNCATED, detail, b"", self._time))
        self.requests += 1
        # PRI opens HTTP/2 (RFC 9113 section 3.4).
        self._tunnel = line.method.upper() in ("CONNECT", "PRI") or _asks_for_upgrade(headers)
        self._reset_message()
        self._state = _State.LINE
        self._scan = 0

    def _reset_message(self) -> None:
        self._line = RequestLine("", "", "")
        self._head = b""
        self._head_line = 0
        self._headers = ()
        self._body = bytearray()
        self._wire = bytearray()
        self._chunked = False
        self._remaining = 0
        self._dropped = 0

    def _reset_lost(self, reason: str) -> None:
        self._reason = reason
        self._skipped = bytearray()
        self._skipped_bytes = 0
        self._missing = 0
        self._midline = False

    def _lose(self, reason: str, consumed: int, *, midline: bool = False) -> None:
        if reason == BAD_REQUEST_LINE:
            reason = TUNNEL if self._tunnel else reason if self.requests else NOT_HTTP
        self._reset_message()
        self._reset_lost(reason)
        self._skip(consumed)
        self._time = self._now
        self._midline = midline
        self._state = _State.LOST

    def _skip(self, size: int) -> None:
        sketch = self._reason in (NOT_HTTP, TUNNEL)
        limit = min(_SKETCH_BYTES, self._limits.max_quarantine_bytes) if sketch else self._limits.max_quarantine_bytes
        self._skipped += self._buffer[: min(size, max(0, limit - len(self._skipped)))]
        del self._buffer[:size]
        self._skipped_bytes += size
        self._scan = 0

    def _report_lost(self, out: list[HttpRequest | Rejected]) -> None:
        if self._skipped_bytes or self._missing:
            detail = _LOST_DETAILS[self._reason].format(skipped=self._skipped_bytes, missing=self._missing)
            out.append(Rejected(self._reason, detail, bytes(self._skipped), self._time))
        self._reset_lost("")


_STEPS: Final = (
    RequestParser._step_line,
    RequestParser._step_headers,
    RequestParser._step_body,
    RequestParser._step_chunk_size,
    RequestParser._step_chunk_data,
    RequestParser._step_trailer,
    RequestParser._step_lost,
)

_LOST_DETAILS: Final = {
    NOT_HTTP: "{skipped} bytes from the client that do not start an HTTP/1 request",
    BAD_REQUEST_LINE: "{skipped} bytes after a line that is no request line",
    HEADER_TOO_LARGE: "{skipped} bytes of a request whose header is larger than the limit",
    BAD_CHUNK: "{skipped} bytes after a chunk size that cannot be read",
    GAP: "{missing} bytes are missing from the capture and {skipped} bytes after them start no request",
    TUNNEL: "{skipped} bytes of another protocol after CONNECT, Upgrade or the opening of HTTP/2",
}


def _salvage_line(line: bytes) -> RequestLine | None:
    """For bytes known to be a request: any two words, or a line that ends in a version."""
    line = line.strip(b"\r\n \t")
    at = line.upper().rfind(b" HTTP/")
    version = _VERSION.match(line, at + 6) if at >= 0 else None
    method, mark, target = (line[:at] if at >= 0 else line).partition(b" ")
    if at < 0 and (not mark or _METHOD.fullmatch(method) is None):
        return None
    return RequestLine(_text(method), _text(target.strip(b" \t")), _text(version.group()) if version else "")


def _dechunk(data: bytes) -> bytes:
    body = bytearray()
    at = 0
    while (size := _CHUNK_SIZE.match(data, at)) is not None and int(size.group(1), 16):
        end = size.end() + int(size.group(1), 16)
        body += data[size.end() : end]
        at = min(end, len(data))
        at += 2 if data[at : at + 2] == b"\r\n" else 1 if data[at : at + 1] == b"\n" else 0
    if size is None:
        return bytes(body) + data[at:]
    return bytes(body) + data[size.end() :].strip(b"\r\n")


def _is_chunked(headers: tuple[tuple[str, str], ...]) -> bool:
    return any(
        "chunked" in (coding.strip(" \t") for coding in value.lower().split(","))
        for name, value in headers
        if len(name) == 17 and name.lower() == "transfer-encoding"
    )


def _content_length(headers: tuple[tuple[str, str], ...]) -> int:
    lengths = [
        _decimal(item)
        for name, value in headers
        if len(name) == 14 and name.lower() == "content-length"
        for item in value.split(",")
    ]
    return min(lengths, default=0)


def _decimal(text: str) -> int:
    digits = text.strip(" \t").lstrip("0")
    if len(digits) > 19 or not (digits.isascii() and digits.isdigit()):
        return 0
    return int(digits) if int(digits) <= _MAX_LENGTH else 0


def _asks_for_upgrade(headers: tuple[tuple[str, str], ...]) -> bool:
    return any(len(name) == 7 and name.lower() == "upgrade" for name, _ in headers)


def _text(data: bytes) -> str:
    return data.decode("latin-1")
