"""Readers: HTTP requests from captures, logs and files, whatever their format.

`read` finds out the format by itself and yields requests, and for everything that is not one a `Quarantined` record
with the reason. It never raises for what is inside the data and stays within `Limits`.
"""

import importlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.readers.unpack import GZIP_MAGIC, BoundedGunzip, Rewound, UnpackError
from secmlops.web_attacks.request import HttpRequest, InvalidRequest

__all__ = ["FORMATS", "Limits", "Quarantined", "UnknownFormat", "read"]

Reader = Callable[[BinaryIO, str, Limits], Iterator[HttpRequest | Quarantined]]

_READERS: Final = {
    "pcap": ("pcap", "read_capture"),
    "har": ("har", "read_har"),
    "access_log": ("access_log", "read_access_log"),
    "zeek": ("zeek", "read_zeek_tsv"),
    "zeek_json": ("zeek", "read_zeek_json"),
    "suricata": ("suricata", "read_eve"),
    "http": ("plain", "read_plain"),
    "csv": ("tabular", "read_csv"),
    "jsonl": ("tabular", "read_jsonl"),
}
FORMATS: Final = tuple(_READERS)

_HEAD_BYTES: Final = 64 * 1024
_BUFFER_BYTES: Final = 1024 * 1024
_HAR: Final = re.compile(rb'\s*\{\s*"log"\s*:')


class UnknownFormat(SecmlopsError):
    """A format name that no reader has.

    Attributes:
        format: the name given.
    """

    def __init__(self, format: str):
        self.format = format
        super().__init__(f"unknown format {format!r}: use one of {', '.join(FORMATS)}, or leave it out")


def read(
    source: str | Path | BinaryIO, *, format: str | None = None, limits: Limits | None = None
) -> Iterator[HttpRequest | Quarantined]:
    """Read HTTP requests.

    Args:
        source: a path, `-` for standard input, or a binary stream (which is left open); gzip or not.
        format: one of `FORMATS`; without it the first bytes decide. `pcap` covers pcapng.
        limits: bounds on time and memory.

    Returns:
        Requests and quarantined records, as they are met.

    Raises:
        UnknownFormat: no such format.
        OSError: the file cannot be opened or read.
    """
    if format is not None and format not in _READERS:
        raise UnknownFormat(format)
    return _read(source, format, limits or Limits())


def _read(source: str | Path | BinaryIO, format: str | None, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    if not isinstance(source, str | Path):
        yield from _read_stream(source, str(getattr(source, "name", "<stream>")), format, limits)
    elif source == "-":
        yield from _read_stream(sys.stdin.buffer, "<stdin>", format, limits)
    else:
        with open(source, "rb") as stream:
            yield from _read_stream(stream, str(source), format, limits)


def _read_stream(
    stream: BinaryIO, source: str, format: str | None, limits: Limits
) -> Iterator[HttpRequest | Quarantined]:
    head, stream = _look(stream)
    try:
        if head.startswith(GZIP_MAGIC):
            head, stream = _look(cast(BinaryIO, io.BufferedReader(BoundedGunzip(stream, limits), _BUFFER_BYTES)))
        name = format or sniff(head)
        if name is None:
            if head.strip():
                detail = f"the format is not known: use one of {', '.join(FORMATS)}"
                yield Quarantined(source, 0, "unknown_format", detail, head[: limits.max_quarantine_bytes])
            return
        yield from _reader(name)(stream, source, limits)
    except UnpackError as error:
        yield Quarantined(source, error.offset, error.reason, str(error))


def _look(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes, and the stream from its start."""
    head = b""
    while len(head) < _HEAD_BYTES and (more := stream.read(_HEAD_BYTES - len(head))):
        head += more
    return head, cast(BinaryIO, io.BufferedReader(Rewound(head, stream), _BUFFER_BYTES))


def _reader(name: str) -> Reader:
    module, function = _READERS[name]
    return cast(Reader, getattr(importlib.import_module(f"{__name__}.{module}"), function))


def sniff(head: bytes) -> str | None:
    """The name of the format that starts with these bytes; None when no reader knows it."""
    from secmlops.web_attacks.readers import access_log, pcap, plain, tabular

    if head.startswith(pcap.MAGICS):
        return "pcap"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    line = text.partition(b"\n")[0]
    if text.startswith((b"#separator", b"#fields")):
        return "zeek"
    if text.startswith(b"{"):
        return _sniff_json(text, line)
    if access_log.looks_like_access_log(line):
        return "access_log"
    if plain.looks_like_http(line):
        return "http"
    return "csv" if tabular.looks_like_table(line) else None


def _sniff_json(text: bytes, line: bytes) -> str:
    from secmlops.web_attacks.jsonl import parse_line
    from secmlops.web_attacks.readers import suricata, zeek

    if _HAR.match(text):
        return "har"
    try:
        record = parse_line(line)
    except InvalidRequest:
        return "jsonl"
    if suricata.is_eve(record):
        return "suricata"
    return "zeek_json" if zeek.is_zeek_http(record) else "jsonl"
