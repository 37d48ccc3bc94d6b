"""Labelled requests and the Parquet file in which they travel between pipeline steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK, Label


@dataclass(frozen=True, slots=True)
class LabelledRequest:
    """A request with its label.

    Attributes:
        request: the request.
        label: `secu_label1`.
        attack_class: `secu_label2`, one of `taxonomy.ATTACK_CLASSES`; empty for normal traffic.
        site: what splits group by: the host, or the source named by the data set.
        reviewed: whether a second person confirmed the label.
        packet_id: identity in the warehouse (`HttpRequest.digest()` before anything was stripped).
        tags: free marks, e.g. `suspicious_benign` for normal text full of words that look like an attack.
    """

    request: HttpRequest
    label: Label
    attack_class: str = ""
    site: str = ""
    reviewed: bool = True
    packet_id: str = ""
    tags: tuple[str, ...] = field(default=())

    @property
    def is_attack(self) -> bool:
        """Whether the label is `attack`."""
        return self.label == ATTACK


REQUEST_FIELDS = (
    ("time", pa.float64()),
    ("src", pa.string()),
    ("dst", pa.string()),
    ("method", pa.binary()),
    ("host", pa.binary()),
    ("uri", pa.binary()),
    ("version", pa.string()),
    ("headers", pa.list_(pa.struct([("name", pa.binary()), ("value", pa.binary())]))),
    ("body", pa.binary()),
    ("raw", pa.binary()),
)
"""Columns of a request, wherever it is written; what came over the wire is bytes."""

SCHEMA = pa.schema(
    [
        ("packet_id", pa.string()),
        *REQUEST_FIELDS,
        ("site", pa.string()),
        ("secu_label1", pa.string()),
        ("secu_label2", pa.string()),
        ("reviewed", pa.bool_()),
        ("tags", pa.list_(pa.string())),
    ]
)


def write_dataset(records: Iterable[LabelledRequest], path: str | Path) -> int:
    """Write labelled requests as Parquet with `SCHEMA`; returns the number of rows."""
    rows = [_to_row(record) for record in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd")
    return len(rows)


def read_dataset(path: str | Path) -> list[LabelledRequest]:
    """Read what `write_dataset` wrote.

    Raises:
        pyarrow.ArrowInvalid: not a Parquet file, or not of `SCHEMA`.
    """
    return [labelled_from_row(row) for row in pq.read_table(path, schema=SCHEMA).to_pylist()]


def by_label(records: Sequence[LabelledRequest]) -> tuple[list[LabelledRequest], list[LabelledRequest]]:
    """Split into (normal, attack), each in the given order."""
    return [r for r in records if not r.is_attack], [r for r in records if r.is_attack]


def request_to_row(request: HttpRequest) -> dict[str, object]:
    """The request by the names and types of `REQUEST_FIELDS`."""
    return {
        "time": request.time,
        "src": utf8(request.src),
        "dst": utf8(request.dst),
        "method": _bytes(request.method),
        "host": _bytes(request.host),
        "uri": _bytes(request.uri),
        "version": utf8(request.version),
        "headers": [{"name": _bytes(name), "value": _bytes(value)} for name, value in request.headers],
        "body": request.body,
        "raw": request.raw,
    }


def request_from_row(row: Mapping[str, Any]) -> HttpRequest:
    """The request in a row that has `REQUEST_FIELDS`."""
    return HttpRequest(
        method=_text(row["method"]),
        uri=_text(row["uri"]),
        version=row["version"],
        headers=tuple((_text(h["name"]), _text(h["value"])) for h in row["headers"]),
        body=row["body"],
        host=_text(row["host"]),
        time=row["time"],
        src=row["src"],
        dst=row["dst"],
        raw=row["raw"],
    )


def labelled_from_row(row: Mapping[str, Any]) -> LabelledRequest:
    """The labelled request in a row that has the columns of `SCHEMA`."""
    return LabelledRequest(
        request=request_from_row(row),
        label=row["secu_label1"],
        attack_class=row["secu_label2"],
        site=row["site"],
        reviewed=bool(row["reviewed"]),
        packet_id=row["packet_id"],
        tags=tuple(row["tags"]),
    )


def utf8(text: str) -> str:
    """The text with what UTF-8 cannot say (lone surrogates) written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _to_row(record: LabelledRequest) -> dict[str, object]:
    return {
        "packet_id": record.packet_id or record.request.digest(),
        **request_to_row(record.request),
        "site": utf8(record.site or record.request.site),
        "secu_label1": record.label,
        "secu_label2": record.attack_class,
        "reviewed": record.reviewed,
        "tags": list(record.tags),
    }


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _text(data: bytes) -> str:
    return data.decode("latin-1")
