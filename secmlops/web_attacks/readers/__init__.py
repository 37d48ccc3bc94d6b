"""Readers: HTTP requests from captures, logs and files, whatever their format.

`read` finds out the format by itself and yields requests, and for everything that is not one a `Quarantined` record with the
reason. It never raises for what is inside the data and stays within `Limits`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest

__all__ = ["Limits", "Quarantined", "read"]


def read(
    source: str | Path | BinaryIO, *, format: str | None = None, limits: Limits | None = None
) -> Iterator[HttpRequest | Quarantined]:
    from secmlops.web_attacks.readers.pcap import read_capture

    bounds = limits or Limits()
    with open(source, "rb") as stream:
        yield from read_capture(stream, str(source), bounds)
