"""The file that goes to reviewers and comes back with their decisions: CSV for spreadsheets, JSON lines for tools.

What stands in a request was written by strangers, possibly by attackers, and a reviewer opens it in a spreadsheet.
So no cell can be a formula (OWASP, CSV Injection), no invisible or direction-changing character can make a request
look like another, and cells stay shorter than a spreadsheet's limit.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from secmlops.errors import SecmlopsError
from secmlops.storage.warehouse import Warehouse
from secmlops.web_attacks.dataset import request_from_row
from secmlops.web_attacks.labels.events import ACTIONS, Decision, ReviewCounts, review_by
from secmlops.web_attacks.packets import WIRE_COLUMNS, create_tables
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import UnknownLabel, parse_label

COLUMNS: Final = (
    "packet_id",
    "proposal_id",
    "proposed_label",
    "proposed_class",
    "proposed_by",
    "why",
    "time",
    "method",
    "host",
    "target",
    "headers",
    "body",
    "decision",
    "label",
    "attack_class",
    "note",
    "reviewer",
)
"""Reviewers fill in the last five: agree, change (with label and class) or reject; a note; who they are."""

MAX_CELL_CHARS: Final = 4_000
MAX_LINE_CHARS: Final = 2**20
MAX_LINES: Final = 1_000_000

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠", "'", ";", ",")


class InvalidReviewFile(SecmlopsError):
    """A file of reviews that cannot be taken; nothing of it was.

    Attributes:
        path: the file.
        line: where, from 1; 0 when it is about the whole file.
    """

    def __init__(self, path: Path, line: int, message: str):
        self.path = path
        self.line = line
        super().__init__(f"{path.name}{f', line {line}' if line else ''}: {message}")


def export_for_review(warehouse: Warehouse, path: str | Path, *, limit: int | None = None) -> int:
    """Write every packet whose proposal waits for review.

    Args:
        warehouse: an open warehouse.
        path: `.csv` or `.jsonl`; an existing file is replaced.
        limit: at most so many packets; None: all.

    Returns:
        The number of packets written.

    Raises:
        InvalidReviewFile: another ending.
    """
    create_tables(warehouse)
    path = Path(path)
    is_csv = _is_csv(path)
    written = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS) if is_csv else None
        if table is not None:
            table.writeheader()
        for row in _waiting(warehouse, limit):
            cells = _cells(row)
            if table is not None:
                table.writerow({name: _safe_cell(text) for name, text in cells.items()})
            else:
                file.write(json.dumps(cells) + "\n")
            written += 1
    return written


def import_reviews(warehouse: Warehouse, path: str | Path, by: str = "") -> ReviewCounts:
    """Take the decisions of a filled-in file, all of them or, on any error, none.

    Args:
        warehouse: an open warehouse.
        path: what `export_for_review` wrote, filled in. Lines without a decision are left for later.
        by: the reviewer; empty: the file's column `reviewer` says who.

    Raises:
        InvalidReviewFile: not such a file, a decision nobody knows, or no reviewer.
        LabelError: see `events.review`.
    """
    path = Path(path)
    decisions: list[tuple[Decision, str]] = []
    seen: dict[str, int] = {}
    for line, row in _rows(path):
        if not row.get("decision", "").strip():
            continue
        decision = _decision(path, line, row)
        if decision.packet_id in seen:
            raise InvalidReviewFile(path, line, f"this packet was decided in line {seen[decision.packet_id]} already")
        seen[decision.packet_id] = line
        reviewer = by or _unquoted(row.get("reviewer", "")).strip()
        if not reviewer:
            raise InvalidReviewFile(path, line, "say who decided: fill in the column `reviewer`")
        decisions.append((decision, reviewer))
    return review_by(warehouse, decisions)


def _waiting(warehouse: Warehouse, limit: int | None) -> Iterator[dict[str, Any]]:
    sql = f"""
        SELECT r.packet_id AS packet_id, n.proposal_id AS proposal_id, n.pending_label1 AS proposed_label,
               n.pending_label2 AS proposed_class, n.pending_by AS proposed_by, n.pending_note AS why,
               r.time AS time, r.src AS src, r.dst AS dst, r.method AS method, r.host AS host, r.uri AS uri,
               r.version AS version, r.headers AS headers, r.body AS body, r.raw AS raw
        FROM http_packet_records AS r FINAL
        INNER JOIN http_packet_labels_now AS n ON r.packet_id = n.packet_id
        WHERE n.pending ORDER BY r.packet_id {"" if limit is None else "LIMIT {limit:UInt64}"}
    """  # noqa: S608 - no value stands in the text
    params = {} if limit is None else {"limit": limit}
    for batch in warehouse.stream(sql, params, binary=WIRE_COLUMNS):
        yield from batch.to_pylist()


def _cells(row: dict[str, Any]) -> dict[str, str]:
    request: HttpRequest = request_from_row(row)
    shown = {
        "packet_id": row["packet_id"],
        "proposal_id": row["proposal_id"],
        "proposed_label": row["proposed_label"],
        "proposed_class": row["proposed_class"],
        "proposed_by": _visible(row["proposed_by"]),
        "why": _visible(row["why"]),
        "time": "" if request.time is None else f"{request.time:.6f}",
        "method": _visible(_decoded(request.method)),
        "host": _visible(_decoded(request.host)),
        "target": _visible(_decoded(request.uri)),
        "headers": _visible(_decoded("\n".join(f"{name}: {value}" for name, value in request.headers))),
        "body": _visible(request.body[: MAX_CELL_CHARS + 1].decode("utf-8", "backslashreplace")),
    }
    return {name: shown.get(name, "") for name in COLUMNS}


def _decoded(wire: str) -> str:
    return wire.encode("latin-1").decode("utf-8", "backslashreplace")


def _visible(text: str) -> str:
    """The text on one line with everything that does not show written out, cut at `MAX_CELL_CHARS`."""
    if len(text) > MAX_CELL_CHARS:
        text = f"{text[:MAX_CELL_CHARS]}[cut]"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _safe_cell(text: str) -> str:
    """Text that no spreadsheet reads as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _unquoted(text: str) -> str:
    return text[1:] if text.startswith("'") else text


def _is_csv(path: Path) -> bool:
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl"):
        raise InvalidReviewFile(path, 0, "the name must end in .csv or .jsonl")
    return kind == ".csv"


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    is_csv = _is_csv(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _csv_rows(path, file) if is_csv else _json_rows(path, file)
    except UnicodeDecodeError:
        raise InvalidReviewFile(path, 0, "not UTF-8: save it as CSV UTF-8") from None


def _csv_rows(path: Path, file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    head = file.readline(MAX_LINE_CHARS)
    # Spreadsheets of some countries write semicolons.
    delimiter = ";" if head.count(";") > head.count(",") else ","
    file.seek(0)
    with _csv_limit():
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            missing = {"packet_id", "decision"} - set(reader.fieldnames or ())
            if missing:
                raise InvalidReviewFile(path, 1, f"the column {' and '.join(sorted(missing))} is missing")
            for count, row in enumerate(reader):
                if count >= MAX_LINES:
                    raise InvalidReviewFile(path, reader.line_num, f"more than {MAX_LINES:,} lines")
                yield reader.line_num, {name: text for name, text in row.items() if isinstance(text, str) and name}
        except csv.Error as error:
            raise InvalidReviewFile(path, reader.line_num, f"not a CSV file ({error})") from None


@contextmanager
def _csv_limit() -> Iterator[None]:
    before = csv.field_size_limit(MAX_LINE_CHARS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json_rows(path: Path, file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    line = 0
    while text := file.readline(MAX_LINE_CHARS + 1):
        line += 1
        if len(text) > MAX_LINE_CHARS or line > MAX_LINES:
            raise InvalidReviewFile(path, line, f"longer than {MAX_LINE_CHARS:,} characters or {MAX_LINES:,} lines")
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            raise InvalidReviewFile(path, line, "not JSON") from None
        if not isinstance(row, dict) or not isinstance(row.get("packet_id"), str):
            raise InvalidReviewFile(path, line, "not an object with a `packet_id`")
        yield line, {name: value for name, value in row.items() if isinstance(value, str)}


def _decision(path: Path, line: int, row: dict[str, str]) -> Decision:
    action = row["decision"].strip().lower()
    if action not in ACTIONS:
        raise InvalidReviewFile(path, line, f"{action[:40]!r} is no decision: use one of {', '.join(ACTIONS)}")
    label = None
    attack_class = ""
    if action == "change":
        try:
            label = parse_label(row.get("label", ""))
        except UnknownLabel as error:
            raise InvalidReviewFile(path, line, str(error)) from None
        attack_class = row.get("attack_class", "").strip().lower()
    packet_id = row["packet_id"].strip()
    if not packet_id:
        raise InvalidReviewFile(path, line, "the packet id is missing")
    return Decision(
        packet_id=packet_id,
        action=action,  # type: ignore[arg-type]
        label=label,
        attack_class=attack_class,
        note=_unquoted(row.get("note", "")).strip(),
        proposal_id=row.get("proposal_id", "").strip(),
    )
