"""Decides what a notification starts: nothing, or one retraining; everything is recorded before it is done."""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from secmlops import __version__
from serving.retrain.alerts import Alert, Episode, Notification
from serving.retrain.audit import AuditLog, now_utc
from serving.retrain.history import History, as_json
from serving.retrain.metrics import RetrainMetrics
from serving.retrain.outcomes import Decision, Outcome
from serving.retrain.settings import RetrainSettings, RetrainUseCase
from serving.retrain.starters import Order, RunState, Starter, StartFailed, Unreachable

logger = logging.getLogger("secmlops.retrain")

AHEAD_S = 300.0
"""How far Alertmanager's clock may be ahead of this one's."""

_QUIET_S = 60.0


class Desk:
    """One at a time: notifications, and the look at the retraining under way.

    Args:
        settings: what may be retrained.
        starter: starts it.
        audit: an open audit log, from whose records the state is rebuilt.
        metrics: where everything is counted.
        clock: the time, with its zone.

    Attributes:
        healthy: False once the audit log could not be written; nothing is started from then on.
    """

    def __init__(
        self,
        settings: RetrainSettings,
        starter: Starter,
        audit: AuditLog,
        metrics: RetrainMetrics,
        clock: Callable[[], datetime] = now_utc,
    ):
        self._settings = settings
        self._starter = starter
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: dict[Outcome, tuple[datetime, int]] = {}
        self._history = History()
        self.healthy = True
        for use_case in settings.use_cases:
            metrics.know(use_case)
        for record in audit.records:
            self._history.apply(record)
        logger.info("audit log: %d records, head %s", audit.length, audit.head)
        self._record("opened", {"version": __version__, "use_cases": sorted(settings.use_cases)})
        self._find_run()

    def take(self, notification: Notification) -> list[Decision]:
        """Decide about each service that a notification names.

        Raises:
            OSError: the audit log could not be written.
        """
        with self._lock:
            now = self._clock()
            self._history.forget(now - timedelta(seconds=self._longest_memory_s))
            self._note_resolved(notification)
            firing = [alert for alert in notification.alerts if alert.status == "firing"]
            asking = [alert for alert in firing if alert.actionable]
            if not asking:
                return [self._nothing(notification, firing)]
            subjects = sorted({alert.subject for alert in asking})
            return [
                self._decide(notification, subject, [a for a in asking if a.subject == subject], now)
                for subject in subjects
            ]

    def refuse(self, outcome: Outcome, sentence: str, client: str) -> None:
        """Count and record a call that was not understood, or not allowed; many of a kind share one record a minute.

        Raises:
            OSError: the audit log could not be written.
        """
        with self._lock:
            self._metrics.notifications.labels(outcome=outcome.value).inc()
            now = self._clock()
            last, kept_back = self._refused.get(outcome, (None, 0))
            if last is not None and now - last < timedelta(seconds=_QUIET_S):
                self._refused[outcome] = (last, kept_back + 1)
                return
            facts = {"outcome": outcome.value, "sentence": sentence, "client": client}
            self._record("refused", facts | ({"others_since_last": kept_back} if kept_back else {}))
            self._refused[outcome] = (now, 0)

    def follow(self) -> None:
        """Look at the retraining under way.

        Raises:
            OSError: the audit log could not be written.
        """
        with self._lock:
            run = self._history.run
            if run is None:
                return
            if not run.run_id:
                self._find_run()
                return
            try:
                state = self._starter.state(run.run_id)
            except Unreachable as error:
                self._metrics.unreachable.inc()
                logger.warning("%s", error)
                return
            if state is not RunState.RUNNING:
                self._finish(state)

    def close(self) -> None:
        """End what the starter ends, record it, and let go of the log."""
        self._starter.close()
        try:
            self.follow()
        finally:
            self._audit.close()

    @property
    def _longest_memory_s(self) -> float:
        return max(
            max(use_case.max_alert_age_s, use_case.flap_window_s) for use_case in self._settings.use_cases.values()
        )

    def _note_resolved(self, notification: Notification) -> None:
        over = {notification.episode(a) for a in notification.alerts if a.actionable and a.status == "resolved"}
        if new := over - self._history.resolved:
            self._record("resolved", {"episodes": as_json(new)})

    def _nothing(self, notification: Notification, firing: Sequence[Alert]) -> Decision:
        if firing:
            decision = Decision(Outcome.NOT_ACTIONABLE, "no firing alert in it asks for a retraining")
        else:
            decision = Decision(Outcome.RESOLVED, "its alerts are resolved")
        return self._say(decision, notification, ())

    def _decide(
        self, notification: Notification, subject: tuple[str, str], alerts: Sequence[Alert], now: datetime
    ) -> Decision:
        name, service = subject
        use_case = self._settings.use_cases.get(name)
        if use_case is None:
            return self._say(Decision(Outcome.UNKNOWN_USE_CASE, "no such use case is retrained here"), notification, ())
        if service not in use_case.services:
            unknown = Decision(Outcome.UNKNOWN_SERVICE, "alerts of this service start nothing", name)
            return self._say(unknown, notification, ())
        episodes = {notification.episode(alert) for alert in alerts}
        refused = self._refusal(name, use_case, episodes, now)
        if refused is not None:
            return self._say(refused, notification, () if refused.outcome is Outcome.STALE else episodes)
        return self._start(name, service, notification, episodes)

    def _refusal(self, name: str, use_case: RetrainUseCase, episodes: set[Episode], now: datetime) -> Decision | None:
        """Why these episodes start nothing, if they do not."""
        oldest, newest = now - timedelta(seconds=use_case.max_alert_age_s), now + timedelta(seconds=AHEAD_S)
        timely = {episode for episode in episodes if oldest <= episode.starts_at <= newest}
        if not timely:
            return Decision(Outcome.STALE, "it says that it began too long ago, or in the future", name)
        new = timely - self._history.answered - self._history.resolved
        if not new:
            return Decision(Outcome.REPEATED, "these alerts were answered before, or are over", name)
        if all(self._flaps(use_case, episode, now) for episode in new):
            return Decision(
                Outcome.FLAPPING,
                f"it began more than {use_case.flap_limit} times within {use_case.flap_window_s:g} s: look at the "
                "detector's threshold first",
                name,
            )
        if self._history.run is not None:
            return Decision(Outcome.BUSY, f"a retraining of {self._history.run.use_case} is under way", name)
        last = self._history.last_start.get(name)
        if last is not None and now - last < timedelta(seconds=use_case.cooldown_s):
            return Decision(Outcome.COOLING_DOWN, f"the last one began less than {use_case.cooldown_s:g} s ago", name)
        return None

    def _flaps(self, use_case: RetrainUseCase, episode: Episode, now: datetime) -> bool:
        known = self._history.onsets.get(episode[:2], set())
        earlier = self._history.began_within(episode, use_case.flap_window_s, now)
        return earlier + (episode.starts_at not in known) > use_case.flap_limit

    def _start(self, name: str, service: str, notification: Notification, episodes: set[Episode]) -> Decision:
        use_case = self._settings.use_cases[name]
        order = Order(_name(name, service, episodes), name, use_case.pipeline, use_case.parameters(service))
        earlier = self._history.last_start.get(name)
        facts: dict[str, Any] = {"name": order.name, "use_case": name, "service": service}
        self._record(
            "starting",
            facts | {"pipeline": order.pipeline, "parameters": order.parameters, "episodes": as_json(episodes)},
        )
        try:
            run_id = self._starter.start(order)
        except StartFailed as error:
            logger.error("%s", error)
            before = {"last_start": earlier.isoformat()} if earlier else {}
            self._record("start_failed", facts | before | {"reason": error.reason, "episodes": as_json(episodes)})
            return self._say(Decision(Outcome.START_FAILED, "it could not be started", name), notification, episodes)
        self._record("started", facts | {"run_id": run_id})
        self._show_run()
        logger.info("retraining %s of %s started: %s", order.name, name, run_id)
        return self._say(Decision(Outcome.STARTED, "a retraining was started", name, run_id), notification, episodes)

    def _finish(self, state: RunState) -> None:
        run = self._history.run
        assert run is not None
        facts = {"name": run.name, "use_case": run.use_case, "run_id": run.run_id, "state": state.value}
        self._record("finished", facts)
        self._metrics.runs.labels(use_case=run.use_case, state=state.value).inc()
        self._show_run()
        logger.info("retraining %s of %s %s", run.name, run.use_case, state.value)

    def _find_run(self) -> None:
        """After a restart: whether the order that was being started did start."""
        run = self._history.run
        if run is not None and not run.run_id:
            try:
                run_id = self._starter.find(run.name)
            except Unreachable as error:
                logger.warning("%s", error)
                self._metrics.unreachable.inc()
                return
            facts = {"name": run.name, "use_case": run.use_case}
            if run_id is None:
                self._record("finished", facts | {"run_id": "", "state": RunState.LOST.value})
            else:
                self._record("started", facts | {"run_id": run_id})
        self._show_run()

    def _show_run(self) -> None:
        history = self._history
        for use_case in self._settings.use_cases:
            running = history.run is not None and history.run.use_case == use_case
            self._metrics.running.labels(use_case=use_case).set(running)
        for use_case, at in history.last_start.items():
            self._metrics.last_start.labels(use_case=use_case).set(at.timestamp())
        for use_case, at in history.last_success.items():
            self._metrics.last_success.labels(use_case=use_case).set(at.timestamp())

    def _say(self, decision: Decision, notification: Notification, episodes: Iterable[Episode]) -> Decision:
        self._record(
            "notification",
            decision.document() | {"group_key": notification.group_key, "episodes": as_json(episodes)},
        )
        self._metrics.notifications.labels(outcome=decision.outcome.value).inc()
        return decision

    def _record(self, kind: str, facts: dict[str, Any]) -> None:
        try:
            self._history.apply(self._audit.append(kind, facts))
        except OSError:
            self.healthy = False
            logger.exception("the audit log cannot be written: nothing is started any more")
            raise
        self._metrics.audit_records.set(self._audit.length)


def _name(use_case: str, service: str, episodes: set[Episode]) -> str:
    """A name that the same alerts give again; a valid label and file name."""
    digest = hashlib.sha256(json.dumps([use_case, service, as_json(episodes)]).encode()).hexdigest()
    return f"retrain-{use_case.replace('_', '-')}-{digest[:16]}"
