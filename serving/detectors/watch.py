"""Events into windows, windows into judgements: all that the judging process does, without its pipes and clocks.

Each event ends in exactly one of `metrics.RESULTS`. One that waits for its other half, or lies in a batch, has not
ended yet.
"""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import repeat
from typing import Any, Final

import numpy as np

from secmlops.errors import SecmlopsError
from serving.detectors.events import Event, Half, Head
from serving.detectors.readers import Columns
from serving.detectors.seen import Seen
from serving.detectors.settings import MIB, Settings
from serving.detectors.state import StateFile, UnusableState
from serving.detectors.subjects import Judgement, Subject
from serving.limits import Limits
from serving.protocol import parse_json
from serving.refusals import Reason, Refusal

logger = logging.getLogger("kserve.secmlops.detectors")

_BATCH_BYTES: Final = MIB
_GROUPS: Final = "groups"

Watched = tuple[str, str]
"""Namespace and service."""


class Report:
    """What happened since the last report, in a form that JSON carries.

    Attributes:
        events: events by result.
        dropped: by reason.
        malformed: by reason.
        windows: judgements by service, with the seconds that each took and when it was made (Unix time).
        instances: scores over the threshold by service.
        repeats: instances left out of a window that held one of the same client, by service.
        failures: windows that could not be judged, by service.
        state_failures: by reason.
        state_saved: when the state was written last (Unix time); 0: not in this report.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.malformed: Counter[str] = Counter()
        self.windows: list[dict[str, Any]] = []
        self.instances: list[tuple[Watched, Sequence[float]]] = []
        self.repeats: Counter[Watched] = Counter()
        self.failures: Counter[Watched] = Counter()
        self.state_failures: Counter[str] = Counter()
        self.state_saved = 0.0

    def drop(self, reason: str, events: int = 1) -> None:
        """Count dropped events."""
        self.events["dropped"] += events
        self.dropped[reason] += events

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "events": dict(self.events),
            "dropped": dict(self.dropped),
            "malformed": dict(self.malformed),
            "windows": self.windows,
            "instances": [[*watched, list(ratios)] for watched, ratios in self.instances],
            "repeats": [[*watched, count] for watched, count in self.repeats.items()],
            "failures": [[*watched, count] for watched, count in self.failures.items()],
            "state_failures": dict(self.state_failures),
            "state_saved": self.state_saved,
        }


@dataclass(slots=True)
class _Window:
    """A service's window, and the batch on its way into it.

    Attributes:
        parts: batches of kept rows.
        count: their rows.
        groups: whose they are, where a window may hold one of each only.
        items: instances of the batch.
        outputs: their outputs, one entry per event.
        batch_bytes: bodies of the batch's events.
        stream: where the judging goes on.
    """

    parts: list[Columns] = field(default_factory=list)
    count: int = 0
    groups: set[int] = field(default_factory=set)
    items: list[Any] = field(default_factory=list)
    outputs: list[Columns] = field(default_factory=list)
    batch_rows: int = 0
    batch_bytes: int = 0
    stream: Any = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One half of a call.

    Attributes:
        half: which.
        content: what was read of it.
        size: bytes of its body.
        until: when it is given up, by the clock.
    """

    half: Half
    content: Any
    size: int
    until: float


class Watch:
    """The windows of one detector over all services.

    Args:
        subject: the detector, and what it makes of events.
        settings: bounds.
        limits: bounds of an event.
        store: where the state is kept; None: nowhere.
        clock: seconds, for waiting.
    """

    def __init__(
        self,
        subject: Subject,
        settings: Settings,
        limits: Limits,
        store: StateFile | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.subject = subject
        self.report = Report()
        self._settings = settings
        self._limits = limits
        self._store = store
        self._clock = clock
        self._services = min(
            settings.max_services, settings.window_bytes // max(subject.row_bytes * subject.window_rows, 1)
        )
        self._windows: dict[Watched, _Window] = {}
        self._waiting: OrderedDict[bytes, _Waiting] = OrderedDict()
        self._waiting_bytes = 0
        self._seen = Seen(settings.max_ids)
        self._dirty = False
        self._save_at = clock() + settings.save_every_s
        self._restore()

    @property
    def pending(self) -> int:
        """Events that wait for their other half."""
        return len(self._waiting)

    def rows(self) -> dict[Watched, int]:
        """Rows in each window that is being filled."""
        return {watched: window.count + window.batch_rows for watched, window in self._windows.items()}

    def take(self, event: Event) -> None:
        """Take an event; whatever is wrong with it is counted."""
        try:
            self._take(event)
        except Refusal as refusal:
            self._malformed(refusal)
        except Exception:
            logger.exception("an event of %s/%s could not be read", *event.head.watched)
            self._malformed(Refusal(Reason.UNREADABLE_REQUEST, "it could not be read"))

    def tick(self) -> None:
        """Give up what waited too long, put batches into their windows, save the state when it is time."""
        self._expire()
        for watched, window in self._windows.items():
            self._put(watched, window)
        if self._clock() >= self._save_at:
            self._save_at = self._clock() + self._settings.save_every_s
            self.save()

    def save(self) -> None:
        """Write the state, if it changed; a failure is counted."""
        for watched, window in self._windows.items():
            self._put(watched, window)
        if self._store is None or not self._dirty:
            return
        try:
            self._store.write(*self._state())
        except OSError as error:
            logger.warning("the windows could not be saved: %s", error.strerror)
            self.report.state_failures["unwritable"] += 1
        else:
            self._dirty = False
            self.report.state_saved = time.time()

    def take_report(self) -> Report:
        """What happened since the last call."""
        report, self.report = self.report, Report()
        return report

    def _take(self, event: Event) -> None:
        head = event.head
        if head.half not in self.subject.halves:
            self.report.events["ignored"] += 1
            return
        if not self._seen.add(head.digest):
            self.report.events["duplicate"] += 1
            return
        window = self._window(head.watched)
        if window is None:
            self.report.drop("too_many_services")
            return
        document = parse_json(event.body, self._limits)
        read = self.subject.read_request if head.half is Half.REQUEST else self.subject.read_response
        content = read(document)
        if len(self.subject.halves) == 1:
            halves = {head.half: content}
            self._stage(head.watched, window, halves, len(event.body))
        else:
            self._join(head, window, content, len(event.body))

    def _window(self, watched: Watched) -> _Window | None:
        window = self._windows.get(watched)
        if window is None and len(self._windows) < self._services:
            window = self._windows[watched] = _Window(stream=self.subject.new_stream())
        return window

    def _join(self, head: Head, window: _Window, content: Any, size: int) -> None:
        other = self._waiting.get(head.call)
        if other is None:
            self._wait(head, content, size)
            return
        if other.half is head.half:  # its id was forgotten already
            self.report.events["duplicate"] += 1
            return
        self._stop_waiting(head.call)
        self._stage(head.watched, window, {head.half: content, other.half: other.content}, size + other.size)

    def _wait(self, head: Head, content: Any, size: int) -> None:
        while self._waiting and (
            len(self._waiting) >= self._settings.max_pending
            or self._waiting_bytes + size > self._settings.pending_bytes
        ):
            self._stop_waiting(next(iter(self._waiting)))
            self.report.drop("pending_full")
        if size > self._settings.pending_bytes:
            self.report.drop("pending_full")
            return
        self._waiting[head.call] = _Waiting(head.half, content, size, self._clock() + self._settings.ttl_s)
        self._waiting_bytes += size

    def _stop_waiting(self, call: bytes) -> None:
        self._waiting_bytes -= self._waiting.pop(call).size

    def _expire(self) -> None:
        now = self._clock()
        while self._waiting:
            call, first = next(iter(self._waiting.items()))
            if first.until > now:
                return
            self._stop_waiting(call)
            self.report.drop("expired")

    def _stage(self, watched: Watched, window: _Window, halves: dict[Half, Any], size: int) -> None:
        """Put a call, read and joined, into the batch of its service."""
        items, outputs = halves.get(Half.REQUEST), halves.get(Half.RESPONSE)
        counts = {len(each) for each in (outputs or {}).values()} | (set() if items is None else {len(items)})
        if len(counts) != 1:
            self._malformed(Refusal(Reason.WRONG_SHAPE, "request and answer hold unequal numbers"), len(halves))
            return
        window.items += items or []
        window.outputs += [outputs] if outputs else []
        window.batch_rows += counts.pop()
        window.batch_bytes += size
        self.report.events["used"] += len(halves)
        if window.batch_rows >= self._settings.batch_rows or window.batch_bytes > _BATCH_BYTES:
            self._put(watched, window)

    def _put(self, watched: Watched, window: _Window) -> None:
        """Put a batch into its window, and judge each window that it fills."""
        if not window.batch_rows:
            return
        self._dirty = True
        items, outputs = window.items, _joined(window.outputs)
        window.items, window.outputs, window.batch_rows, window.batch_bytes = [], [], 0, 0
        try:
            columns = self.subject.columns(items, outputs)
        except Exception as error:
            self._failed(watched, error)
            return
        ratios = self.subject.ratios(columns)
        if ratios is not None:
            self.report.instances.append((watched, ratios))
        groups = self.subject.groups(items) if items else None
        if groups is not None:
            columns[_GROUPS] = groups
        for part in self._parts(watched, window, columns):
            self._append(watched, window, part)

    def _parts(self, watched: Watched, window: _Window, columns: Columns) -> Iterator[Columns]:
        """The rows in parts that each end where a window is full; rows of a group that it holds are left out."""
        room, kept = self.subject.window_rows - window.count, []
        groups = columns[_GROUPS].tolist() if _GROUPS in columns else repeat(None, _length(columns))
        for index, group in enumerate(groups):
            if group is not None and group in window.groups:
                self.report.repeats[watched] += 1
                continue
            if group is not None:
                window.groups.add(group)
            kept.append(index)
            if len(kept) == room:
                yield {name: value[kept] for name, value in columns.items()}
                room, kept = self.subject.window_rows, []
        if kept:
            yield {name: value[kept] for name, value in columns.items()}

    def _append(self, watched: Watched, window: _Window, part: Columns) -> None:
        if window.parts and _form(window.parts[0]) != _form(part):
            self._failed(watched, UnusableState("damaged", "rows of another form lay in the window"))
            window.parts, window.count = [], 0
        window.parts.append(part)
        window.count += _length(part)
        if window.count >= self.subject.window_rows:
            self._judge(watched, window)

    def _judge(self, watched: Watched, window: _Window) -> None:
        parts, window.parts, window.count = window.parts, [], 0
        window.groups.clear()
        began = time.perf_counter()
        try:
            judgement = self.subject.judge(_joined(parts), window.stream)
        except Exception as error:
            self._failed(watched, error)
            return
        self._tell(watched, judgement, time.perf_counter() - began)

    def _tell(self, watched: Watched, judgement: Judgement, seconds: float) -> None:
        if judgement.detected:
            logger.warning(
                "%s/%s: detection, score %.4g above %.4g%s%s",
                *watched,
                judgement.score,
                judgement.threshold,
                f", verdict {judgement.verdict}" if judgement.verdict else "",
                f", most by {', '.join(judgement.moved)}" if judgement.moved else "",
            )
        told = {"namespace": watched[0], "service": watched[1], "seconds": seconds, "time": time.time()}
        self.report.windows.append(told | asdict(judgement))

    def _failed(self, watched: Watched, error: Exception) -> None:
        known = isinstance(error, SecmlopsError)
        logger.error("%s/%s: a window could not be judged: %s", *watched, error, exc_info=None if known else error)
        self.report.failures[watched] += 1

    def _malformed(self, refusal: Refusal, events: int = 1) -> None:
        self.report.events["malformed"] += events
        self.report.malformed[refusal.reason.value] += events

    def _state(self) -> tuple[Columns, dict[str, Any]]:
        """Windows, streams and the ids that were seen; what waits for its other half is not kept."""
        arrays: Columns = {f"seen.{name}": value for name, value in self._seen.arrays().items()}
        windows = []
        for index, (watched, window) in enumerate(self._windows.items()):
            windows.append({"namespace": watched[0], "service": watched[1], "rows": window.count})
            for name, value in _joined(window.parts).items():
                arrays[f"window.{index}.{name}"] = np.ascontiguousarray(value)
            if window.stream is not None:
                saved = self.subject.saved_stream(window.stream)
                arrays[f"stream.{index}"] = np.frombuffer(saved, np.uint8)
        return arrays, {"windows": windows}

    def _restore(self) -> None:
        if self._store is None:
            return
        try:
            found = self._store.read()
            if found is not None:
                self._resume(*found)
        except UnusableState as error:
            self._give_up_state(error.reason, error)
        except OSError as error:
            logger.warning("the saved windows could not be read: %s", error.strerror)
            self.report.state_failures["damaged"] += 1
        except Exception as error:  # whatever a hostile file brings about
            self._give_up_state("damaged", error)

    def _resume(self, arrays: Columns, document: dict[str, Any]) -> None:
        windows: dict[Watched, _Window] = {}
        for index, told in enumerate(document["windows"][: self._services]):
            prefix = f"window.{index}."
            columns = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
            rows = int(told["rows"])
            if any(len(column) != rows for column in columns.values()) or (rows and not columns):
                raise UnusableState("damaged", "a window does not hold the rows that it names")
            if (
                rows >= self.subject.window_rows
                or sum(c.nbytes for c in columns.values()) > self._settings.window_bytes
            ):
                raise UnusableState("damaged", "a window holds more than one window")
            stream = self.subject.new_stream()
            if stream is not None:
                self.subject.resume(stream, arrays[f"stream.{index}"].tobytes())
            parts = [columns] if rows else []
            groups = set(columns[_GROUPS].tolist()) if _GROUPS in columns else set()
            windows[str(told["namespace"]), str(told["service"])] = _Window(parts, rows, groups, stream=stream)
        self._seen.restore(arrays["seen.young"], arrays["seen.old"])
        self._windows = windows
        logger.info("going on with the windows of %d services", len(windows))

    def _give_up_state(self, reason: str, error: Exception) -> None:
        logger.warning("beginning with empty windows: %s", error)
        self.report.state_failures[reason] += 1
        self._windows = {}
        assert self._store is not None
        with suppress(OSError):
            self._store.move_aside(reason)


def _joined(parts: Sequence[Columns]) -> Columns:
    if not parts:
        return {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _form(columns: Columns) -> dict[str, tuple[Any, ...]]:
    return {name: (value.dtype, *value.shape[1:]) for name, value in columns.items()}


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))
