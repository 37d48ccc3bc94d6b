"""How much a client may ask for: the bounds of one server process, with their command-line flags."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server process. Each is a flag of the same name.

    Attributes:
        max_body_bytes: largest request body (REST) or message (gRPC).
        max_buffered_bytes: all request bodies being read at once, over every connection.
        max_depth: nested JSON arrays and objects, also inside a structured request.
        max_instances: requests in one batch.
        max_header_bytes: request line and headers of the client's own HTTP request.
        head_timeout_s: time from the first byte of a connection or request to the end of its headers.
        body_timeout_s: time for the whole body to arrive.
        predict_timeout_s: time from accepting a batch to its answer.
        predict_threads: batches scored at the same time.
        max_waiting: batches that may wait for a thread; one more is refused as overloaded.
        max_remembered: answers kept for requests that come again.
        max_connections: open HTTP connections.
        max_rpcs: gRPC calls under way, those still arriving included.
    """

    max_body_bytes: int = 4 * 1024 * 1024
    max_buffered_bytes: int = 64 * 1024 * 1024
    max_depth: int = 32
    max_instances: int = 256
    max_header_bytes: int = 64 * 1024
    head_timeout_s: float = 10.0
    body_timeout_s: float = 15.0
    predict_timeout_s: float = 10.0
    predict_threads: int = 2
    max_waiting: int = 32
    max_remembered: int = 16_384
    max_connections: int = 1024
    max_rpcs: int = 128

    @staticmethod
    def add_flags(parser: argparse.ArgumentParser) -> None:
        """Add one flag per bound."""
        group = parser.add_argument_group("limits")
        for field in fields(Limits):
            group.add_argument(f"--{field.name}", type=_positive(type(field.default)), default=field.default)

    @classmethod
    def from_flags(cls, flags: argparse.Namespace) -> Self:
        """The bounds that `add_flags` put on the command line."""
        return cls(**{field.name: getattr(flags, field.name) for field in fields(cls)})


def _positive(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = kind(text)
        if not (value > 0 and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"{text} is not greater than zero")
        return value

    parse.__name__ = kind.__name__
    return parse
