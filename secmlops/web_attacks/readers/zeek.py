r"""Requests out of Zeek's http.log, as tab-separated values or JSON.

Zeek logs a transaction: `version` is the reply's, `uri` has its percent-encoding undone, and a reply without a request
has an unset method. Such a record is quarantined (`no_request`).
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.jsonl import from_json
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.lines import quarantine, read_json_lines, read_lines
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest, InvalidRequest

_ESCAPE: Final = re.compile(rb"\\x([0-9A-Fa-f]{2})")
_HEADERS: Final = {"host": "Host", "user_agent": "User-Agent", "referrer": "Referer", "origin": "Origin"}
_MAX_FIELDS: Final = 1_024


def is_zeek_http(record: object) -> bool:
    """Whether a decoded JSON value is a record of http.log."""
    return isinstance(record, Mapping) and "id.orig_h" in record and "trans_depth" in record


def read_zeek_json(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """Records of http.log in JSON, one a line."""
    return read_json_lines(stream, source, limits, _from_record)


def read_zeek_tsv(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """http.log with its header lines (`#separator`, `#fields`, `#unset_field`, `#empty_field`)."""
    log = _Log()
    for line in read_lines(stream, source, limits):
        if isinstance(line, Quarantined):
            yield line
            continue
        if line.text.startswith(b"#"):
            log.directive(line.text)
            continue
        try:
            yield _from_record(log.record(line.text))
        except SecmlopsError as error:
            yield quarantine(source, line.offset, error, line.text, limits)


class _Log:
    """The form of a log as its header lines declare it."""

    def __init__(self) -> None:
        self._separator = b"\t"
        self._unset, self._empty = b"-", b"(empty)"
        self._fields: list[str] = []

    def directive(self, line: bytes) -> None:
        if line.startswith(b"#separator "):
            self._separator = _unescape(line[11:].strip()) or b"\t"
            return
        name, _, value = line.partition(self._separator)
        if name == b"#fields":
            self._fields = [field.decode("latin-1") for field in value.split(self._separator, _MAX_FIELDS)]
        elif name == b"#unset_field":
            self._unset = value
        elif name == b"#empty_field":
            self._empty = value

    def record(self, line: bytes) -> dict[str, Any]:
        values = line.split(self._separator, _MAX_FIELDS)
        if len(values) != len(self._fields):
            raise InvalidRequest("bad_record", f"{len(values)} values where #fields names {len(self._fields)}")
        return {
            name: "" if value == self._empty else _text(_unescape(value))
            for name, value in zip(self._fields, values, strict=True)
            if value != self._unset
        }


def _from_record(record: Any) -> HttpRequest:
    if not isinstance(record, Mapping):
        raise InvalidRequest("not_an_object", "a record must be an object")
    if not record.get("method"):
        raise InvalidRequest("no_request", "the record has no method: Zeek saw a reply without a readable request")
    return from_json(
        {
            "time": _time(record.get("ts")),
            "src": _end(record, "id.orig_h", "id.orig_p"),
            "dst": _end(record, "id.resp_h", "id.resp_p"),
            "method": record.get("method"),
            "host": record.get("host"),
            "uri": record.get("uri", ""),
            "version": record.get("version", ""),
            "headers": [[header, record[name]] for name, header in _HEADERS.items() if record.get(name)],
        }
    )


def _time(value: Any) -> Any:
    """Numbers come as text in TSV."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _end(record: Mapping[str, Any], address: str, port: str) -> str:
    host, number = str(record.get(address, "")), str(record.get(port, ""))
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{number}" if number else host


def _unescape(value: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes((int(found.group(1), 16),)), value) if b"\\" in value else value


def _text(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}
