"""Requests out of CSV tables and JSON lines."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, Final

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.http1 import host_of, parse_headers, parse_request
from secmlops.web_attacks.jsonl import from_json, split_url
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.lines import Line, quarantine, read_json_lines, read_lines
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest, InvalidRequest

# Our names, common spellings, and the field names that tshark exports.
_COLUMNS: Final = {
    "method": ("method", "http_method", "http.request.method"),
    "uri": ("uri", "url", "path", "request_uri", "http.request.uri", "http.request.full_uri"),
    "host": ("host", "hostname", "http.host"),
    "version": ("version", "http_version", "http.request.version"),
    "headers": ("headers",),
    "body": ("body", "data", "content", "http.file_data"),
    "time": ("time", "timestamp", "ts", "frame.time_epoch"),
    "src": ("src", "source_ip", "src_ip", "ip.src"),
    "dst": ("dst", "destination_ip", "dst_ip", "dest_ip", "ip.dst"),
    "raw": ("raw",),
    "user_agent": ("user_agent", "user-agent", "http.user_agent"),
    "cookie": ("cookie", "http.cookie"),
    "referer": ("referer", "referrer", "http.referer"),
}
_DELIMITERS: Final = ",;\t|"
_MAX_COLUMNS: Final = 1_024


def read_jsonl(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """One request object a line, in the shapes of `jsonl.from_json`."""
    return read_json_lines(stream, source, limits, from_json)


def looks_like_table(line: bytes) -> bool:
    """Whether a line names columns from which a request can be read."""
    columns = _columns(line.decode("latin-1"), _delimiter(line))
    return "raw" in columns or "uri" in columns


def read_csv(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """A table with a header line: `raw`, or `uri`/`url` with `method`, `host`, `headers`, `body`, `time`, `src`, ...

    The bytes of a cell are taken as they are. `headers` may be a JSON object, a JSON list of pairs, or header lines.
    """
    lines = _Lines(stream, source, limits)
    first = next(lines, None)
    if first is None:
        yield from lines.taken_aside()
        return
    delimiter = _delimiter(first.encode("latin-1"))
    columns = _columns(first, delimiter)
    if "raw" not in columns and "uri" not in columns:
        detail = "the first line names neither `raw` nor `uri` (or `url`)"
        yield Quarantined(source, 0, "unknown_columns", detail, first.encode("latin-1")[: limits.max_quarantine_bytes])
        return
    lines.start_record()
    rows = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            row = next(rows)
            if row:
                yield _request(row, columns)
        except StopIteration:
            yield from lines.taken_aside()
            return
        except csv.Error as error:
            yield Quarantined(source, lines.offset, "bad_csv", f"the row cannot be read: {error}", lines.record())
        except SecmlopsError as error:
            yield quarantine(source, lines.offset, error, lines.record(), limits)
        yield from lines.taken_aside()
        lines.start_record()


class _Lines(Iterator[str]):
    """Lines for the csv module (one character per byte), remembering those of the current row."""

    def __init__(self, stream: BinaryIO, source: str, limits: Limits):
        self.offset = 0
        self._lines = read_lines(stream, source, limits, verbatim=True)
        self._limit = limits.max_quarantine_bytes
        self._record = bytearray()
        self._fresh = True
        self._aside: list[Quarantined] = []

    def __next__(self) -> str:
        for line in self._lines:
            if isinstance(line, Line):
                if self._fresh:
                    self.offset, self._fresh = line.offset, False
                self._record += line.text[: max(0, self._limit - len(self._record))]
                return line.text.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
            self._aside.append(line)
        raise StopIteration

    def start_record(self) -> None:
        self._record.clear()
        self._fresh = True

    def record(self) -> bytes:
        return bytes(self._record[: self._limit])

    def taken_aside(self) -> list[Quarantined]:
        taken, self._aside = self._aside, []
        return taken


def _delimiter(line: bytes) -> str:
    return max(_DELIMITERS, key=lambda mark: line.count(mark.encode()))


def _columns(line: str, delimiter: str) -> dict[str, int]:
    names = [name.strip().strip('"').strip().lower() for name in line.split(delimiter, _MAX_COLUMNS)]
    places = {}
    for field, spellings in _COLUMNS.items():
        for spelling in spellings:
            if spelling in names and field not in places:
                places[field] = names.index(spelling)
    return places


def _request(row: list[str], columns: dict[str, int]) -> HttpRequest:
    cells = {field: row[place] for field, place in columns.items() if place < len(row)}
    time = _time(cells.get("time", ""))
    src, dst = cells.get("src", ""), cells.get("dst", "")
    if cells.get("raw"):
        return replace(parse_request(cells["raw"].encode("latin-1")), time=time, src=src, dst=dst)
    if not cells.get("uri"):
        raise InvalidRequest("missing_uri", "the row has no request target")
    uri, authority = split_url(cells["uri"])
    headers = _headers(cells.get("headers", ""))
    for name, field in (("User-Agent", "user_agent"), ("Cookie", "cookie"), ("Referer", "referer")):
        if cells.get(field):
            headers += ((name, cells[field]),)
    return HttpRequest(
        method=cells.get("method", ""),
        uri=uri,
        version=cells.get("version", "1.1").upper().removeprefix("HTTP/"),
        headers=headers,
        body=cells.get("body", "").encode("latin-1"),
        host=cells.get("host", "") or host_of("", headers) or authority,
        time=time,
        src=src,
        dst=dst,
    )


def _headers(cell: str) -> tuple[tuple[str, str], ...]:
    cell = cell.strip()
    if not cell.startswith(("{", "[")):
        return parse_headers(cell.encode("latin-1"))
    try:
        value: Any = json.loads(cell.encode("latin-1"))
    except (ValueError, RecursionError):
        raise InvalidRequest("bad_field", "`headers` is neither JSON nor header lines") from None
    return from_json({"uri": "", "headers": value}).headers


def _time(cell: str) -> float | None:
    try:
        return from_json({"uri": "", "time": float(cell)}).time if cell else None
    except ValueError:
        return from_json({"uri": "", "time": cell}).time
