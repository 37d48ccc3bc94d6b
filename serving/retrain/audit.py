"""The audit log: what was asked, decided, started and ended, one JSON object a line, each bound to the one before.

A record names the SHA-256 digest of the line before it, so a record that is changed, dropped or put in between breaks
the chain from there on. What a chain alone cannot show is that its newest records were cut off: keep the log's head,
which the service writes to its own log at every start, elsewhere (ATLAS AML.M0024, telemetry logging).

The log is also the service's memory: at a start it is read again and the state is what it says. One process at a time
holds it, and a record is on disk before what it announces is done.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secmlops.errors import SecmlopsError

GENESIS = "sha256:" + "0" * 64
"""What the first record names as the one before."""


def now_utc() -> datetime:
    """The time."""
    return datetime.now(UTC)


class AuditBroken(SecmlopsError):
    """A log whose chain does not hold.

    Attributes:
        path: the log.
        line: number of the first bad line, from 1.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, line: int, reason: str):
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"audit log {path} is broken at line {line} ({reason}): keep it, find out why, begin another")


class AuditInUse(SecmlopsError):
    """Another process holds the log.

    Attributes:
        path: the log.
    """

    def __init__(self, path: Path):
        self.path = path
        super().__init__(f"audit log {path} is held by another process: only one service may start retrainings")


class AuditLog:
    """An open log; records are only appended.

    Args:
        path: the file; made when absent, readable by its owner only.
        clock: the time, with its zone.

    Attributes:
        records: those that the file held when it was opened.
        head: digest of the newest line.

    Raises:
        AuditInUse: another process holds it.
        AuditBroken: its chain does not hold.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = now_utc):
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "r+b")  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AuditInUse(path) from None
        self.head = GENESIS
        self.records: list[dict[str, Any]] = []
        try:
            torn = self._read(path)
        except AuditBroken:
            self._file.close()
            raise
        self.length = len(self.records)
        if torn:
            self.append("torn_record", {"removed_bytes": len(torn), "removed": f"sha256:{_sha256(torn)}"})

    def append(self, kind: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Write a record and wait until it is on disk.

        Args:
            kind: what happened.
            facts: with what; JSON values.

        Raises:
            OSError: it could not be written; the state must not go on as if it were.
        """
        record = {
            "sequence": self.length,
            "at": self._clock().isoformat(timespec="milliseconds"),
            "kind": kind,
            **facts,
            "previous": self.head,
        }
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), end)
            raise
        self.head = f"sha256:{_sha256(line)}"
        self.length += 1
        return record

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()

    def _read(self, path: Path) -> bytes:
        """Take in every record; a last line that a crash tore is cut off and returned."""
        self._file.seek(0)
        data = self._file.read()
        whole, _, torn = data.rpartition(b"\n")
        for record, line in _chained(path, whole + b"\n" if whole else b""):
            self.records.append(record)
            self.head = f"sha256:{_sha256(line)}"
        if torn:
            os.ftruncate(self._file.fileno(), len(data) - len(torn))
        return torn


def verify(path: Path) -> int:
    """Check a log's chain without holding it; returns how many records it has.

    Raises:
        AuditBroken: the chain does not hold, or the last line is torn.
    """
    return sum(1 for _ in _chained(path, path.read_bytes()))


def _chained(path: Path, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    head = GENESIS
    for number, line in enumerate(data.splitlines(keepends=True)):
        try:
            record = json.loads(line)
        except ValueError:
            raise AuditBroken(path, number + 1, "no JSON") from None
        if not line.endswith(b"\n") or not isinstance(record, dict):
            raise AuditBroken(path, number + 1, "no whole record")
        if record.get("previous") != head or record.get("sequence") != number:
            raise AuditBroken(path, number + 1, "it does not follow the line before")
        head = f"sha256:{_sha256(line)}"
        yield record, line


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
