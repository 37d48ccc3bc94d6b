"""HTTP traffic in the warehouse: `http_packets`, its quarantine, and the history of its labels.

The traffic itself (`http_packet_records`) is written once and never changed. Labels are events in
`http_packet_labels`, appended and never overwritten. The view `http_packets` shows every packet with the label that
stands now, who proposed it, who reviewed it, and when.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from secmlops.storage.warehouse import Warehouse
from secmlops.web_attacks.dataset import (
    REQUEST_FIELDS,
    LabelledRequest,
    labelled_from_row,
    request_from_row,
    request_to_row,
    utf8,
)
from secmlops.web_attacks.request import HttpRequest

_BATCH_ROWS = 5_000
_BATCH_BYTES = 32 * 2**20

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS http_packet_records (
        packet_id String,
        import_id String,
        stored_at DateTime64(6, 'UTC'),
        -- Of two copies of a packet the one with the larger `first` stays: the one stored earlier.
        first UInt64,
        source String,
        time Nullable(Float64),
        at Nullable(DateTime64(6, 'UTC'))
            ALIAS if(abs(time) < 9e9, fromUnixTimestamp64Micro(toInt64(round(time * 1e6)), 'UTC'), NULL),
        src String,
        dst String,
        method String,
        host String,
        uri String,
        version LowCardinality(String),
        headers Array(Tuple(name String, value String)),
        body String,
        raw String,
        site String
    ) ENGINE = ReplacingMergeTree(first) ORDER BY packet_id
    """,
    """
    CREATE TABLE IF NOT EXISTS http_packets_quarantine (
        quarantine_id String,
        import_id String,
        stored_at DateTime64(6, 'UTC'),
        first UInt64,
        source String,
        offset UInt64,
        reason LowCardinality(String),
        detail String,
        data String
    ) ENGINE = ReplacingMergeTree(first) ORDER BY quarantine_id
    """,
    """
    CREATE TABLE IF NOT EXISTS http_packet_labels (
        event_id String,
        packet_id String,
        kind LowCardinality(String),
        proposal_id String,
        decision LowCardinality(String),
        secu_label1 LowCardinality(String),
        secu_label2 LowCardinality(String),
        proposed_by String,
        proposed_at DateTime64(6, 'UTC'),
        reviewed_by String,
        reviewed_at Nullable(DateTime64(6, 'UTC')),
        note String,
        tags Array(String),
        at DateTime64(6, 'UTC')
    ) ENGINE = MergeTree ORDER BY (packet_id, at, event_id)
    """,
    # A review stands until the next review: a later proposal waits (`pending`) and only replaces a rejected label.
    """
    CREATE VIEW IF NOT EXISTS http_packet_labels_now AS
    SELECT
        packet_id,
        proposal.1 AS proposal_id,
        review.1 AS decision,
        review.1 IN ('agree', 'change') AS reviewed,
        proposal.2 > review.2 AS pending,
        multiIf(reviewed, review.3, review.1 = 'reject' AND NOT pending, '', proposal.3) AS secu_label1,
        multiIf(reviewed, review.4, review.1 = 'reject' AND NOT pending, '', proposal.4) AS secu_label2,
        if(reviewed OR NOT pending, review.5, proposal.5) AS proposed_by,
        if(reviewed OR NOT pending, review.6, proposal.6) AS proposed_at,
        if(reviewed OR NOT pending, review.7, '') AS reviewed_by,
        if(reviewed OR NOT pending, review.8, NULL) AS reviewed_at,
        if(reviewed OR NOT pending, review.9, proposal.7) AS tags,
        proposal.3 AS pending_label1,
        proposal.4 AS pending_label2,
        proposal.5 AS pending_by,
        proposal.6 AS pending_at,
        proposal.8 AS pending_note,
        proposal.7 AS pending_tags,
        greatest(proposal.2, review.2) AS last_at
    FROM (
        SELECT
            l.packet_id AS packet_id,
            argMaxIf(
                tuple(l.event_id, l.at, l.secu_label1, l.secu_label2, l.proposed_by, l.proposed_at, l.tags, l.note),
                tuple(l.at, l.event_id), l.kind = 'proposal'
            ) AS proposal,
            argMaxIf(
                tuple(l.decision, l.at, l.secu_label1, l.secu_label2, l.proposed_by, l.proposed_at,
                      l.reviewed_by, l.reviewed_at, l.tags),
                tuple(l.at, l.event_id), l.kind = 'review'
            ) AS review
        FROM http_packet_labels AS l
        GROUP BY l.packet_id
    )
    """,
    """
    CREATE VIEW IF NOT EXISTS http_packets AS
    SELECT
        r.packet_id AS packet_id, r.source AS source, r.stored_at AS stored_at, r.time AS time, r.at AS at,
        r.src AS src, r.dst AS dst, r.method AS method, r.host AS host, r.uri AS uri, r.version AS version,
        r.headers AS headers, r.body AS body, r.raw AS raw, r.site AS site,
        n.secu_label1 AS secu_label1, n.secu_label2 AS secu_label2, n.reviewed AS reviewed, n.pending AS pending,
        n.proposed_by AS proposed_by, n.proposed_at AS proposed_at, n.reviewed_by AS reviewed_by,
        n.reviewed_at AS reviewed_at, n.tags AS tags
    FROM http_packet_records AS r FINAL
    LEFT JOIN http_packet_labels_now AS n ON r.packet_id = n.packet_id
    """,
)

_RECORD_SCHEMA = pa.schema(
    [
        ("packet_id", pa.string()),
        ("import_id", pa.string()),
        ("stored_at", pa.timestamp("us", tz="UTC")),
        ("first", pa.uint64()),
        ("source", pa.string()),
        *REQUEST_FIELDS,
        ("site", pa.string()),
    ]
)
_QUARANTINE_SCHEMA = pa.schema(
    [
        ("quarantine_id", pa.string()),
        ("import_id", pa.string()),
        ("stored_at", pa.timestamp("us", tz="UTC")),
        ("first", pa.uint64()),
        ("source", pa.string()),
        ("offset", pa.uint64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("data", pa.binary()),
    ]
)
WIRE_COLUMNS = ("method", "host", "uri", "headers", "body", "raw")
"""Columns that hold wire bytes: name them as `binary` in a query."""


class QuarantinedRecord(Protocol):
    """What a reader could not parse (`readers.Quarantined` has this shape)."""

    @property
    def source(self) -> str:
        """Where it was found."""

    @property
    def offset(self) -> int:
        """Byte or record offset in the source."""

    @property
    def reason(self) -> str:
        """Short machine-readable reason."""

    @property
    def detail(self) -> str:
        """A sentence for a person."""

    @property
    def data(self) -> bytes:
        """The bytes that could not be parsed."""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """What one `store` did.

    Attributes:
        read: requests given.
        stored: requests that were new.
        duplicates: requests that were already there, or twice among those given.
        quarantined: records put into quarantine (new ones).
    """

    read: int
    stored: int
    duplicates: int
    quarantined: int


def create_tables(warehouse: Warehouse) -> None:
    """Create the tables and views where they are absent."""
    for statement in _TABLES:
        warehouse.execute(statement)


def store(
    warehouse: Warehouse, items: Iterable[HttpRequest | LabelledRequest | QuarantinedRecord], source: str
) -> StoreCounts:
    """Store requests, and what could not be read, under their digests; storing the same again changes nothing.

    Memory stays within one batch (5,000 rows or 32 MiB), whatever the length of `items`. A labelled request brings
    its site but not its label: labels go through `labels.propose`.

    Args:
        warehouse: an open warehouse.
        items: requests and quarantined records, e.g. from `readers.read`.
        source: where they come from, e.g. the capture's file name.

    Raises:
        WarehouseError: the warehouse refused the rows; batches before it are stored.
    """
    create_tables(warehouse)
    import_id = uuid.uuid4().hex
    records = _Batch(warehouse, "http_packet_records", _RECORD_SCHEMA, import_id)
    quarantine = _Batch(warehouse, "http_packets_quarantine", _QUARANTINE_SCHEMA, import_id)
    for item in items:
        if isinstance(item, LabelledRequest):
            records.add(_record_row(item.request, source, item.packet_id, item.site))
        elif isinstance(item, HttpRequest):
            records.add(_record_row(item, source))
        else:
            quarantine.add(_quarantine_row(item))
    records.flush()
    quarantine.flush()
    stored = _stored(warehouse, "http_packet_records", import_id) if records.rows else 0
    quarantined = _stored(warehouse, "http_packets_quarantine", import_id) if quarantine.rows else 0
    return StoreCounts(records.rows, stored, records.rows - stored, quarantined)


def export(
    warehouse: Warehouse,
    *,
    reviewed_only: bool = True,
    labels: Sequence[str] = (),
    sites: Sequence[str] = (),
    sources: Sequence[str] = (),
    since: float | None = None,
    until: float | None = None,
) -> Iterator[LabelledRequest]:
    """Labelled requests in the order of their packet ids, a batch at a time.

    Args:
        warehouse: an open warehouse.
        reviewed_only: only packets whose latest review agreed or changed the label. Otherwise also packets with a
            proposal that nobody has reviewed. A rejected label never comes out.
        labels: only these `secu_label1`; empty: all.
        sites: only these sites; empty: all.
        sources: only these sources (the argument of `store`); empty: all.
        since: only requests at or after this time, in seconds since the Unix epoch.
        until: only requests before this time.
    """
    create_tables(warehouse)
    conditions = ["p.secu_label1 != ''"]
    params: dict[str, Any] = {}
    if reviewed_only:
        conditions.append("p.reviewed")
    for column, values in (("secu_label1", labels), ("site", sites), ("source", sources)):
        if values:
            conditions.append(f"p.{column} IN {{{column}:Array(String)}}")
            params[column] = list(values)
    if since is not None:
        conditions.append("p.time >= {since:Float64}")
        params["since"] = since
    if until is not None:
        conditions.append("p.time < {until:Float64}")
        params["until"] = until
    sql = f"""
        SELECT packet_id, time, src, dst, method, host, uri, version, headers, body, raw, site,
               secu_label1, secu_label2, reviewed, tags
        FROM http_packets AS p WHERE {" AND ".join(conditions)} ORDER BY packet_id
    """  # noqa: S608 - the conditions are written above; values travel as parameters
    for batch in warehouse.stream(sql, params, binary=WIRE_COLUMNS):
        for row in batch.to_pylist():
            yield labelled_from_row(row)


def source_digests(warehouse: Warehouse, packet_ids: Collection[str]) -> dict[str, str]:
    """What these packets came from: for each source, `sha256:...` over the sorted ids of those it brought.

    A packet's id is the digest of its content, so the same packets give the same digest in any warehouse.
    """
    create_tables(warehouse)
    sql = "SELECT packet_id, source FROM http_packet_records FINAL ORDER BY packet_id"
    wanted = frozenset(packet_ids)
    digests: dict[str, Any] = {}
    for batch in warehouse.stream(sql):
        for row in batch.to_pylist():
            if row["packet_id"] in wanted:
                digests.setdefault(row["source"], hashlib.sha256()).update(f"{row['packet_id']}\n".encode())
    return {source: f"sha256:{digest.hexdigest()}" for source, digest in sorted(digests.items())}


def unlabelled(warehouse: Warehouse) -> Iterator[tuple[str, HttpRequest]]:
    """Packets without any label event, as (packet id, request), in the order of their ids."""
    create_tables(warehouse)
    sql = """
        SELECT packet_id, time, src, dst, method, host, uri, version, headers, body, raw, site
        FROM http_packet_records FINAL
        WHERE packet_id NOT IN (SELECT packet_id FROM http_packet_labels) ORDER BY packet_id
    """
    for batch in warehouse.stream(sql, binary=WIRE_COLUMNS):
        for row in batch.to_pylist():
            yield row["packet_id"], request_from_row(row)


class _Batch:
    """Rows on their way into one table, written out before they grow past the bounds."""

    def __init__(self, warehouse: Warehouse, table: str, schema: pa.Schema, import_id: str):
        self._warehouse = warehouse
        self._table = table
        self._schema = schema
        self._import_id = import_id
        self._pending: list[dict[str, Any]] = []
        self._bytes = 0
        self.rows = 0

    def add(self, row: dict[str, Any]) -> None:
        self._pending.append(row)
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, bytes))
        self.rows += 1
        if len(self._pending) >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._pending:
            return
        now = datetime.now(UTC)
        stamp = {
            "import_id": self._import_id,
            "stored_at": now,
            "first": 2**63 - int(now.timestamp() * 1e6),
        }
        for row in self._pending:
            row.update(stamp)
        self._warehouse.insert(self._table, pa.Table.from_pylist(self._pending, schema=self._schema))
        self._pending.clear()
        self._bytes = 0


def _stored(warehouse: Warehouse, table: str, import_id: str) -> int:
    """Rows of this import that stand, i.e. that no earlier copy outranks."""
    sql = f"SELECT count() AS n FROM {table} FINAL WHERE import_id = {{import_id:String}}"  # noqa: S608 - own names
    return warehouse.query(sql, {"import_id": import_id}).column("n")[0].as_py()


def _record_row(request: HttpRequest, source: str, packet_id: str = "", site: str = "") -> dict[str, Any]:
    return {
        "packet_id": packet_id or request.digest(),
        "source": utf8(source),
        **request_to_row(request),
        "site": utf8(site or request.site),
    }


def _quarantine_row(item: QuarantinedRecord) -> dict[str, Any]:
    source = utf8(str(item.source))
    head = f"{source}\0{item.offset}\0{item.reason}\0".encode("utf-8", "backslashreplace")
    return {
        "quarantine_id": hashlib.sha256(head + item.data).hexdigest(),
        "source": source,
        "offset": item.offset,
        "reason": utf8(item.reason),
        "detail": utf8(item.detail),
        "data": item.data,
    }
