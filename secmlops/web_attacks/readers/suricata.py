"""Requests out of Suricata's eve.json: the records of `event_type` `http`."""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from secmlops.web_attacks.jsonl import from_json
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.lines import read_json_lines
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest, InvalidRequest


def is_eve(record: object) -> bool:
    """Whether a decoded JSON value is a record of eve.json."""
    return isinstance(record, Mapping) and "event_type" in record


def read_eve(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """Records of eve.json, one a line; other event types are counted in one closing notice."""
    return read_json_lines(stream, source, limits, _from_record)


def _from_record(record: Any) -> HttpRequest | None:
    if not isinstance(record, Mapping):
        raise InvalidRequest("not_an_object", "a record must be an object")
    if record.get("event_type") != "http":
        return None
    http = record.get("http")
    if not isinstance(http, Mapping):
        raise InvalidRequest("bad_field", "the record has no object `http`")
    version = http.get("protocol")
    return from_json(
        {
            "time": record.get("timestamp"),
            "src": _end(record, "src"),
            "dst": _end(record, "dest"),
            "method": http.get("http_method"),
            "host": http.get("hostname"),
            "uri": http.get("url", ""),
            "version": version.partition("/")[2] if isinstance(version, str) else "",
            "headers": _headers(http),
            "body": _body(http),
        }
    )


def _headers(http: Mapping[str, Any]) -> list[list[Any]]:
    """All request headers where Suricata dumps them, else the few that it always logs."""
    dumped = http.get("request_headers")
    if isinstance(dumped, list) and all(isinstance(header, Mapping) for header in dumped):
        return [[header.get("name"), header.get("value")] for header in dumped]
    named = (("Host", "hostname"), ("User-Agent", "http_user_agent"), ("Referer", "http_refer"))
    return [[header, http[name]] for header, name in named if http.get(name)]


def _body(http: Mapping[str, Any]) -> Any:
    if isinstance(http.get("http_request_body"), str):
        return {"base64": http["http_request_body"]}
    return http.get("http_request_body_printable")


def _end(record: Mapping[str, Any], side: str) -> str:
    host, port = str(record.get(f"{side}_ip", "")), record.get(f"{side}_port")
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if isinstance(port, int) else host
