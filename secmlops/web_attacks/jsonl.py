"""Requests as JSON lines: `{time, src, dst, method, host, uri, version, headers, body}`.

Text fields hold the UTF-8 reading of the wire bytes; a field whose bytes are not UTF-8 is `{"base64": "..."}`.
Reading also takes the shapes that public data sets use: `url`, `data`, headers as an object, and `raw` with the
whole request.
"""

import base64
import binascii
import gzip
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.http1 import host_of, parse_request
from secmlops.web_attacks.request import HttpRequest, InvalidRequest, wire_text
from secmlops.web_attacks.taxonomy import ATTACK, parse_attack_class, parse_label

if TYPE_CHECKING:
    from secmlops.web_attacks.dataset import LabelledRequest

MAX_FIELD_BYTES: Final = 16 * 1024 * 1024
MAX_HEADERS: Final = 4_096
MAX_LINE_BYTES: Final = 64 * 1024 * 1024
MAX_VALUES: Final = 2_000_000

OnError = Callable[[int, bytes, SecmlopsError], None]


def to_json(request: HttpRequest) -> dict[str, Any]:
    """The request as an object for `json.dumps`; `raw` is not part of it."""
    return {
        "time": request.time,
        "src": request.src,
        "dst": request.dst,
        "method": _out(request.method),
        "host": _out(request.host),
        "uri": _out(request.uri),
        "version": request.version,
        "headers": [[_out(name), _out(value)] for name, value in request.headers],
        "body": bytes_to_json(request.body),
    }


def from_json(obj: object) -> HttpRequest:
    """Read a request from a decoded JSON value.

    Accepts what `to_json` writes, `url` for `uri` (an absolute URL is taken apart), `data` for `body`, headers as an
    object or a list of pairs, and `{"raw": ...}` with the whole request as latin-1 text (UTF-8 when it holds a
    character above U+00FF) or `{"base64": ...}`.

    Raises:
        InvalidRequest: wrong shape (`not_an_object`, `missing_uri`, `bad_field`), lone surrogates, or a field
            larger than `MAX_FIELD_BYTES`, more headers than `MAX_HEADERS` (`too_large`).
    """
    if not isinstance(obj, Mapping):
        raise InvalidRequest("not_an_object", "a request must be a JSON object")
    time, src, dst = _time(obj.get("time")), _plain(obj, "src"), _plain(obj, "dst")
    if obj.get("raw") not in (None, ""):
        return replace(parse_request(_raw_bytes(obj["raw"])), time=time, src=src, dst=dst)
    uri, authority = _target(obj)
    headers = _headers(obj.get("headers"))
    body = obj.get("body", obj.get("data"))
    host = _in(obj.get("host"), "host") or host_of("", headers) or authority or host_of(uri, headers)
    return HttpRequest(
        method=_in(obj.get("method"), "method"),
        uri=uri,
        version=_plain(obj, "version", "1.1"),
        headers=headers,
        body=_in(body, "body").encode("latin-1"),
        host=host,
        time=time,
        src=src,
        dst=dst,
    )


def labelled_from_json(obj: object) -> "LabelledRequest":
    """Read a labelled request: a request object with `label` (or an alias such as `malicious`).

    The attack class comes from `attack_class`, else from `attack_type` or `source`; the site from `site`, else, for
    normal traffic, from `source`, else from the host.

    Raises:
        InvalidRequest: the request cannot be read.
        UnknownLabel: the label is missing or unknown.
    """
    from secmlops.web_attacks.dataset import LabelledRequest

    request = from_json(obj)
    record = cast(Mapping[str, Any], obj)
    label = parse_label(record.get("label"))
    source = _name(record, "source")
    family = _name(record, "attack_class") or _name(record, "attack_type") or source
    return LabelledRequest(
        request=request,
        label=label,
        attack_class=(parse_attack_class(family) if family else "other") if label == ATTACK else "",
        site=_name(record, "site") or (source if label != ATTACK else "") or request.site,
        reviewed=_flag(record, "reviewed"),
        packet_id=_name(record, "packet_id"),
        tags=_tags(record.get("tags")),
    )


def read_labelled(
    source: str | Path | BinaryIO | Iterable[bytes], on_error: OnError | None = None
) -> Iterator["LabelledRequest"]:
    """Read JSON lines of labelled requests, plain or gzip; empty lines are skipped.

    Args:
        source: path, binary stream, or lines of bytes.
        on_error: called with (line number from 1, line, error) for a line that cannot be read, which is then left out;
            without it the error is raised.

    Raises:
        InvalidRequest, UnknownLabel: a line cannot be read and `on_error` is not given.
        OSError: the file cannot be opened or unpacked.
    """
    if isinstance(source, str | Path):
        with _open(Path(source)) as stream:
            yield from _labelled_lines(stream, on_error)
    else:
        yield from _labelled_lines(source, on_error)


def parse_line(line: bytes) -> Any:
    """Decode one line of JSON.

    Raises:
        InvalidRequest: `bad_json`: not UTF-8, not JSON, or nested too deeply; `too_large`: longer than
            `MAX_LINE_BYTES`, or about more than `MAX_VALUES` values (small values take a hundred times their text).
    """
    if len(line) > MAX_LINE_BYTES:
        raise InvalidRequest("too_large", f"the line is longer than {MAX_LINE_BYTES} bytes")
    if len(line) > MAX_VALUES and sum(map(line.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise InvalidRequest("too_large", f"the line holds more than {MAX_VALUES} values")
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest("bad_json", "the line is not a JSON object: write one object a line") from None


def _labelled_lines(lines: Iterable[bytes], on_error: OnError | None) -> Iterator["LabelledRequest"]:
    bounded = iter(lambda: lines.readline(MAX_LINE_BYTES + 1), b"") if isinstance(lines, io.IOBase) else lines
    for number, line in enumerate(bounded, 1):
        if not line.strip():
            continue
        try:
            record = labelled_from_json(parse_line(line))
        except SecmlopsError as error:
            if on_error is None:
                raise
            on_error(number, line, error)
            continue
        yield record


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _out(text: str) -> str | dict[str, str]:
    if text.isascii():
        return text
    try:
        return bytes_to_json(text.encode("latin-1"))
    except UnicodeEncodeError:
        raise InvalidRequest("bad_field", "a field is not in wire form: text must be latin-1 decoded bytes") from None


def bytes_to_json(data: bytes) -> str | dict[str, str]:
    """Bytes as text where they are UTF-8, otherwise as `{"base64": ...}`."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _in(value: object, name: str) -> str:
    """A text field or `{"base64": ...}` to wire form; None is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        if len(value) > MAX_FIELD_BYTES:
            raise InvalidRequest("too_large", f"`{name}` is longer than {MAX_FIELD_BYTES} bytes")
        return value if value.isascii() else wire_text(value)
    if isinstance(value, Mapping) and isinstance(value.get("base64"), str) and len(value) == 1:
        return _unbase64(value["base64"], name).decode("latin-1")
    raise InvalidRequest("bad_field", f'`{name}` must be text or {{"base64": "..."}}')


def _unbase64(text: str, name: str) -> bytes:
    if len(text) > MAX_FIELD_BYTES * 4 // 3 + 4:
        raise InvalidRequest("too_large", f"`{name}` is longer than {MAX_FIELD_BYTES} bytes")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("bad_field", f"`{name}` is not valid base64") from None


def _raw_bytes(value: object) -> bytes:
    if isinstance(value, str):
        if len(value) > MAX_FIELD_BYTES:
            raise InvalidRequest("too_large", f"`raw` is longer than {MAX_FIELD_BYTES} bytes")
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            return wire_text(value).encode("latin-1")
    return _in(value, "raw").encode("latin-1")


def _target(obj: Mapping[str, Any]) -> tuple[str, str]:
    if obj.get("uri") is not None:
        return _in(obj["uri"], "uri"), ""
    if obj.get("url") is None:
        raise InvalidRequest("missing_uri", "a request needs `uri` (or `url`), or `raw` with the whole request")
    return split_url(_in(obj["url"], "url"))


def split_url(url: str) -> tuple[str, str]:
    """An absolute http(s) URL to (path and query, authority); anything else is a target already."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("http", "https", "ws", "wss"):
        return url, ""
    end = min((at for at in (rest.find("/"), rest.find("?"), rest.find("#")) if at >= 0), default=len(rest))
    target = rest[end:] or "/"
    return (target if target.startswith("/") else "/" + target), rest[:end].rpartition("@")[2]


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        pairs: list[Any] = []
        for name, item in value.items():
            pairs += [(name, each) for each in item] if isinstance(item, list) else [(name, item)]
    elif isinstance(value, list):
        pairs = value
    else:
        raise InvalidRequest("bad_field", "`headers` must be an object or a list of [name, value] pairs")
    if len(pairs) > MAX_HEADERS:
        raise InvalidRequest("too_large", f"more than {MAX_HEADERS} headers")
    return tuple(_header(pair) for pair in pairs)


def _header(pair: object) -> tuple[str, str]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise InvalidRequest("bad_field", "each header must be a [name, value] pair")
    name, value = pair
    if isinstance(value, int | float):
        value = json.dumps(value)
    return _in(name, "header name"), _in(value, "header value")


def _time(value: object) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidRequest("bad_field", "`time` must be seconds since 1970 or an ISO 8601 text") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest("bad_field", "`time` must be seconds since 1970 or an ISO 8601 text")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise InvalidRequest("bad_field", "`time` must be a finite number of seconds")
    return seconds


def _plain(obj: Mapping[str, Any], name: str, default: str = "") -> str:
    value = obj.get(name, default)
    return default if value is None else _in(value, name)


def _name(obj: Mapping[str, Any], name: str) -> str:
    value = obj.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 1_024:
        raise InvalidRequest("bad_field", f"`{name}` must be a short text")
    wire_text(value)
    return value


def _flag(obj: Mapping[str, Any], name: str) -> bool:
    value = obj.get(name, True)
    if not isinstance(value, bool):
        raise InvalidRequest("bad_field", f"`{name}` must be true or false")
    return value


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 64 or not all(isinstance(tag, str) for tag in value):
        raise InvalidRequest("bad_field", "`tags` must be a list of texts")
    return tuple(value)
