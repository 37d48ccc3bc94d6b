"""The process that judges: events in by standard input, reports out by standard output, one JSON line each.

It is a process of its own so that a test of seconds, or one that keeps Python's lock, delays no acknowledgement, and a
crash in a numeric library ends no server. It verifies the bundles itself, runs at a lower priority than the process
that acknowledges, and ends when that one closes the pipe, with its windows saved.

    python -m serving.detectors.worker   (started by `serving.detectors.intake`, not by hand)
"""

import argparse
import logging
import os
import select
import sys
import time
from pathlib import Path
from typing import Final

import orjson

from secmlops.bundle import load as load_bundle
from secmlops.errors import SecmlopsError
from serving.detectors.frames import Unpacker
from serving.detectors.opening import Sources, check_use_case, open_subject
from serving.detectors.settings import MIB, Settings
from serving.detectors.state import StateFile
from serving.detectors.watch import Watch
from serving.limits import Limits

NICENESS: Final = 5

REPORT_S: Final = 0.05
"""Shortest time between two reports: one for each event would cost more than the event."""

_READ_BYTES: Final = 256 * 1024


def work(watch: Watch, source: int, sink: int, tick_s: float) -> None:
    """Take events until the pipe closes, then save the state.

    Args:
        watch: takes the events.
        source: file descriptor that events are read from.
        sink: file descriptor that reports are written to.
        tick_s: longest time between two looks at what waits.
    """
    unpacker = Unpacker()
    taken, size, at_rest = 0, 0, b""
    tick_at = tell_at = time.monotonic()
    while True:
        readable, _, _ = select.select([source], [], [], min(tick_s, REPORT_S))
        data = os.read(source, _READ_BYTES) if readable else b""
        for event in unpacker.feed(data):
            watch.take(event)
            taken, size = taken + 1, size + len(event.body)
        ended, now = bool(readable) and not data, time.monotonic()
        if ended or now >= tick_at:
            watch.tick()
            tick_at = now + tick_s
        if ended:
            watch.save()
        if ended or now >= tell_at:
            tell_at = now + REPORT_S
            line = _line(watch, taken, size)
            if line != at_rest:
                _write(sink, line)
                at_rest = _line(watch, taken, size)
        if ended:
            return


def main() -> int:
    """Open the bundles, say so, and work; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", required=True)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--trusted_key", required=True)
    parser.add_argument("--watched", type=Path)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--state_dir", type=Path)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--limits", required=True)
    flags = parser.parse_args()
    sink = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no report
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    os.nice(NICENESS)
    settings = Settings.model_validate_json(flags.settings)
    limits = Limits(**orjson.loads(flags.limits))
    sources = Sources(flags.detector, flags.trusted_key, flags.watched, flags.judge)
    try:
        bundle = load_bundle(sources.detector, sources.trusted_key)
        check_use_case(bundle)
        subject = open_subject(bundle, flags.kind, sources, settings, limits)
    except SecmlopsError as error:
        logging.getLogger("kserve.secmlops.detectors").error("cannot judge: %s: %s", type(error).__name__, error)
        return 1
    store = _store(flags.state_dir, f"{bundle.model_digest} {subject.window_rows}", settings)
    watch = Watch(subject, settings, limits, store)
    _write(sink, orjson.dumps({"ready": bundle.model_digest}) + b"\n")
    work(watch, sys.stdin.fileno(), sink, settings.tick_s)
    return 0


def _store(folder: Path | None, owner: str, settings: Settings) -> StateFile | None:
    return None if folder is None else StateFile(folder, owner, 2 * settings.window_bytes + 64 * MIB)


def _line(watch: Watch, taken: int, size: int) -> bytes:
    rows = [[*watched, count] for watched, count in watch.rows().items()]
    document = {"taken": taken, "bytes": size, "pending": watch.pending, "rows": rows}
    return orjson.dumps(document | watch.take_report().document()) + b"\n"


def _write(sink: int, line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(sink, view) :]


if __name__ == "__main__":
    sys.exit(main())
