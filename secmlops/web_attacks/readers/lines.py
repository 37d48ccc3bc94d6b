"""Lines of bounded length out of a stream, and JSON records out of lines."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.jsonl import parse_line
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest, InvalidRequest


class Line(NamedTuple):
    """A line; `offset` is where it starts."""

    offset: int
    text: bytes


def read_lines(
    stream: BinaryIO, source: str, limits: Limits, max_bytes: int = 0, *, verbatim: bool = False
) -> Iterator[Line | Quarantined]:
    """The lines; one longer than the bound is quarantined and passed over piece by piece.

    Without `verbatim`, line breaks are cut off and empty lines left out.
    """
    longest = min(max_bytes or limits.max_line_bytes, limits.max_line_bytes)
    offset = 0
    while text := stream.readline(longest + 1):
        start = offset
        offset += len(text)
        if len(text) > longest and not text.endswith(b"\n"):
            while (rest := stream.readline(longest + 1)) and not rest.endswith(b"\n"):
                offset += len(rest)
            offset += len(rest)
            detail = f"a line of {offset - start} bytes, longer than {longest}"
            yield Quarantined(source, start, "line_too_long", detail, text[: limits.max_quarantine_bytes])
            continue
        if verbatim:
            yield Line(start, text)
        elif text.strip():
            yield Line(start, text.rstrip(b"\r\n"))


def read_json_lines(
    stream: BinaryIO, source: str, limits: Limits, convert: Callable[[Any], HttpRequest | None]
) -> Iterator[HttpRequest | Quarantined]:
    """One JSON value a line to requests; `convert` returns None for a record that is not about a request."""
    other = 0
    for line in read_lines(stream, source, limits):
        if isinstance(line, Quarantined):
            yield line
            continue
        try:
            request = convert(parse_line(line.text))
        except SecmlopsError as error:
            yield quarantine(source, line.offset, error, line.text, limits)
            continue
        if request is None:
            other += 1
        else:
            yield request
    if other:
        yield Quarantined(source, 0, "other_records", f"{other} records are about something other than HTTP requests")


def quarantine(source: str, offset: int, error: SecmlopsError, data: bytes, limits: Limits) -> Quarantined:
    """The quarantined form of a record that raised `error`."""
    reason = error.reason if isinstance(error, InvalidRequest) else "bad_record"
    return Quarantined(source, offset, reason, str(error), data[: limits.max_quarantine_bytes])
