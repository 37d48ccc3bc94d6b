"""Prometheus families of the retraining service."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from serving.retrain.outcomes import Outcome
from serving.retrain.starters import RunState


class RetrainMetrics:
    """The families, on one registry.

    Attributes:
        notifications: `secmlops_retrain_notifications_total{outcome}`, what became of each call or group of alerts.
        runs: `secmlops_retrain_runs_total{use_case,state}`, retrainings that ended.
        running: `secmlops_retrain_running{use_case}`, 1 while one is under way, else 0.
        last_start: `secmlops_retrain_last_start_timestamp_seconds{use_case}`, Unix time.
        last_success: `secmlops_retrain_last_success_timestamp_seconds{use_case}`, Unix time.
        unreachable: `secmlops_retrain_unreachable_total`, times that a retraining's state could not be read.
        audit_records: `secmlops_retrain_audit_records`, records in the audit log.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY):
        self.notifications = Counter(
            "secmlops_retrain_notifications", "notifications, by what became of them", ["outcome"], registry=registry
        )
        self.runs = Counter(
            "secmlops_retrain_runs", "retrainings that ended, by how", ["use_case", "state"], registry=registry
        )
        self.running = Gauge(
            "secmlops_retrain_running", "1 while a retraining is under way", ["use_case"], registry=registry
        )
        self.last_start = Gauge(
            "secmlops_retrain_last_start_timestamp_seconds",
            "when the last retraining began, Unix time",
            ["use_case"],
            registry=registry,
        )
        self.last_success = Gauge(
            "secmlops_retrain_last_success_timestamp_seconds",
            "when the last successful retraining ended, Unix time",
            ["use_case"],
            registry=registry,
        )
        self.unreachable = Counter(
            "secmlops_retrain_unreachable", "times that a retraining's state could not be read", registry=registry
        )
        self.audit_records = Gauge("secmlops_retrain_audit_records", "records in the audit log", registry=registry)
        for outcome in Outcome:  # from zero on, so that the first of a kind is an increase
            self.notifications.labels(outcome=outcome.value)

    def know(self, use_case: str) -> None:
        """Export a use case's families from zero on."""
        self.running.labels(use_case=use_case).set(0)
        for state in RunState:
            if state is not RunState.RUNNING:
                self.runs.labels(use_case=use_case, state=state.value)
