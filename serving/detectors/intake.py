"""The acknowledging side: a bounded queue, and the process that judges behind it.

`offer` never waits. What does not fit, or was in the hands of a process that ended, is counted as dropped. The process
is started again when it ends, ever more slowly while it fails.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from serving.detectors import metrics
from serving.detectors.events import Event
from serving.detectors.frames import pack
from serving.detectors.opening import Kind, Sources
from serving.detectors.settings import MIB, Settings
from serving.limits import Limits
from serving.refusals import Reason, Refusal, logger

_PIPE_BYTES: Final = 64 * 1024
_LINE_BYTES: Final = 64 * MIB
_DROPS: Final = {Reason.OVERLOADED: "queue_full", Reason.NOT_READY: "not_ready"}
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0


def worker_command(
    kind: Kind, sources: Sources, settings: Settings, limits: Limits, state_dir: Path | None
) -> list[str]:
    """The command line of the process that judges."""
    flags: dict[str, Any] = {
        "kind": kind,
        "detector": sources.detector,
        "trusted_key": sources.trusted_key,
        "watched": sources.watched,
        "judge": sources.judge,
        "state_dir": state_dir,
        "settings": settings.model_dump_json(),
        "limits": orjson.dumps(asdict(limits)).decode(),
    }
    given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    return [sys.executable, "-m", "serving.detectors.worker", *given]


class Intake:
    """Events between the door and the process that judges.

    Args:
        detector: the label of the metrics.
        command: starts the process.
        settings: bounds.
    """

    def __init__(self, detector: str, command: Sequence[str], settings: Settings):
        self._detector = detector
        self._command = list(command)
        self._settings = settings
        self._queue: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._depth = 0
        self._bytes = 0
        self._sent = [0, 0]
        self._closing = False
        self._known: set[tuple[str, str]] = set()
        self.alive = False
        self._set_gauges()
        for result in metrics.RESULTS:
            metrics.EVENTS.labels(detector, result)

    def offer(self, event: Event) -> bool:
        """Queue an event; returns whether there was room. It never waits."""
        size = len(event.body)
        if self._depth >= self._settings.queue_events or self._bytes + size > self._settings.queue_bytes:
            self._drop("queue_full", 1)
            return False
        self._queue.append(event)
        self._depth += 1
        self._bytes += size
        self._arrived.set()
        return True

    def refused(self, refusal: Refusal) -> None:
        """Count an event that the door did not take."""
        if refusal.reason in _DROPS:
            self._drop(_DROPS[refusal.reason], 1)
            return
        metrics.EVENTS.labels(self._detector, "malformed").inc()
        metrics.MALFORMED.labels(self._detector, refusal.reason.value).inc()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the process that judges running; at the end, hand over what is queued and wait until it has saved."""
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            self._closing = True
            self._arrived.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.flush_s):
                    await asyncio.shield(keeper)
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper

    async def _keep(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._closing:
            began = time.monotonic()
            await self._run_once()
            if self._closing:
                return
            metrics.WORKER_RESTARTS.labels(self._detector).inc()
            wait_s = _FIRST_WAIT_S if time.monotonic() - began > _LONGEST_WAIT_S else wait_s
            logger.error("the process that judges for %s has ended: starting it again", self._detector)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _run_once(self) -> None:
        # A session of its own: a terminal's interrupt must not end it before its windows are saved.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.transport.set_write_buffer_limits(high=_PIPE_BYTES)
        self._sent = [0, 0]
        self._arrived.set()
        sender = asyncio.create_task(self._send(process.stdin))
        try:
            await self._receive(process.stdout)
            await process.wait()
        finally:
            self.alive = False
            sender.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._lose(*self._sent)

    async def _send(self, pipe: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._queue:
                    pipe.write(self._next_frames())
                    await pipe.drain()
                if self._closing:
                    pipe.close()
                    return

    def _next_frames(self) -> bytes:
        frames, size = [], 0
        while self._queue and size < _PIPE_BYTES:
            event = self._queue.popleft()
            frames.append(pack(event))
            size += len(frames[-1])
            self._sent[0] += 1
            self._sent[1] += len(event.body)
        return b"".join(frames)

    async def _receive(self, pipe: asyncio.StreamReader) -> None:
        taken, size = 0, 0
        while line := await pipe.readline():
            report = orjson.loads(line)
            if "ready" in report:
                self.alive = True
                logger.info("judging for %s: %s", self._detector, report["ready"])
                continue
            self._release(report["taken"] - taken, report["bytes"] - size)
            taken, size = report["taken"], report["bytes"]
            self._publish(report)

    def _release(self, events: int, size: int) -> None:
        """Let go of what the process has done with."""
        self._depth -= events
        self._bytes -= size
        self._sent[0] -= events
        self._sent[1] -= size
        self._set_gauges()

    def _lose(self, events: int, size: int) -> None:
        """Count what a process held when it ended."""
        self._release(events, size)
        if events:
            self._drop("worker_lost", events)

    def _drop(self, reason: str, events: int) -> None:
        metrics.EVENTS.labels(self._detector, "dropped").inc(events)
        metrics.DROPPED.labels(self._detector, reason).inc(events)

    def _set_gauges(self) -> None:
        metrics.QUEUE_DEPTH.labels(self._detector).set(self._depth)
        metrics.QUEUE_BYTES.labels(self._detector).set(self._bytes)

    def _publish(self, report: dict[str, Any]) -> None:
        name = self._detector
        for result, count in report["events"].items():
            metrics.EVENTS.labels(name, result).inc(count)
        for reason, count in report["dropped"].items():
            metrics.DROPPED.labels(name, reason).inc(count)
        for reason, count in report["malformed"].items():
            metrics.MALFORMED.labels(name, reason).inc(count)
        for reason, count in report["state_failures"].items():
            metrics.STATE_FAILURES.labels(name, reason).inc(count)
        if report["state_saved"]:
            metrics.STATE_SAVED.labels(name).set(report["state_saved"])
        metrics.PENDING.labels(name).set(report["pending"])
        metrics.SERVICES.labels(name).set(len(report["rows"]))
        for namespace, service, count in report["rows"]:
            self._begin(namespace, service)
            metrics.WINDOW_ROWS.labels(name, namespace, service).set(count)
        for namespace, service, count in report["repeats"]:
            metrics.REPEATED.labels(name, namespace, service).inc(count)
        for namespace, service, count in report["failures"]:
            metrics.WINDOW_FAILURES.labels(name, namespace, service).inc(count)
        for namespace, service, ratios in report["instances"]:
            self._publish_instances(namespace, service, ratios)
        for window in report["windows"]:
            self._publish_window(window)

    def _begin(self, namespace: str, service: str) -> None:
        """Show a service's counters at zero before anything is counted, so that a rate sees the first detection."""
        if (namespace, service) not in self._known:
            self._known.add((namespace, service))
            for counter in (metrics.DETECTIONS, metrics.WINDOWS, metrics.INSTANCES, metrics.WINDOW_FAILURES):
                counter.labels(self._detector, namespace, service)

    def _publish_instances(self, namespace: str, service: str, ratios: Sequence[float]) -> None:
        histogram = metrics.SCORE_RATIO.labels(self._detector, namespace, service)
        for ratio in ratios:
            histogram.observe(ratio)
        metrics.FLAGGED.labels(self._detector, namespace, service).inc(sum(ratio > 1 for ratio in ratios))

    def _publish_window(self, window: dict[str, Any]) -> None:
        labels = (self._detector, window["namespace"], window["service"])
        metrics.SCORE.labels(*labels).set(window["score"])
        metrics.THRESHOLD.labels(*labels).set(window["threshold"] if window["threshold"] is not None else float("inf"))
        metrics.WINDOWS.labels(*labels).inc()
        metrics.INSTANCES.labels(*labels).inc(window["rows"])
        metrics.DETECTIONS.labels(*labels).inc(window["detected"])
        metrics.LAST_WINDOW.labels(*labels).set(window["time"])
        metrics.WINDOW_SECONDS.labels(self._detector).observe(window["seconds"])
        for gauge, key in (
            (metrics.P_VALUE, "p_value"),
            (metrics.DISTANCE, "distance"),
            (metrics.ATTACK_PROBABILITY, "attack_probability"),
        ):
            if window[key] is not None:
                gauge.labels(*labels).set(window[key])
        if window["verdict"] is not None:
            for verdict in metrics.VERDICTS:
                metrics.VERDICT.labels(*labels, verdict).set(verdict == window["verdict"])
