"""Every Prometheus family that the detector services export: rules and dashboards are tested against this list.

The four families of every detector are score, threshold, detections and windows (with their instances). They share one
convention, so one rule fits all: a window is a detection exactly when its score is greater than its threshold.

| detector | score of a window | threshold |
|---|---|---|
| drift by windows | -log10 of its smallest p-value | -log10 of the corrected level |
| drift row by row | largest test statistic | the one for the expected run time |
| adversarial | share of its instances that are flagged | the share that clean traffic exceeds once in 100 windows |
| drift or attack | -log10 of the smallest p-value of its tests | -log10 of the corrected level |

`detector` is the name of the server's model, `namespace` and `service` are the InferenceService that is watched; their
number is bounded by the settings. Prometheus adds target labels of the same names: scrape with `honor_labels: true`
(`honorLabels` of a PodMonitor), or these come out as `exported_namespace` and `exported_service`.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

WATCHED: Final = ("detector", "namespace", "service")

SCORE = Gauge("secmlops_detector_score", "score of the last window; a detection when above the threshold", WATCHED)
THRESHOLD = Gauge("secmlops_detector_threshold", "threshold of the last window's score", WATCHED)
DETECTIONS = Counter("secmlops_detector_detections", "windows whose score was above the threshold", WATCHED)
WINDOWS = Counter("secmlops_detector_windows", "windows judged", WATCHED)
INSTANCES = Counter("secmlops_detector_instances", "instances in the windows judged", WATCHED)

REPEATED = Counter(
    "secmlops_detector_repeated_instances", "instances left out of a window that held one of the same client", WATCHED
)
P_VALUE = Gauge("secmlops_detector_p_value", "smallest p-value of the last window, where its test has one", WATCHED)
DISTANCE = Gauge("secmlops_detector_distance", "largest distance of the last window, where its test has one", WATCHED)
FLAGGED = Counter("secmlops_detector_flagged_instances", "instances that an adversarial detector flagged", WATCHED)
SCORE_RATIO = Histogram(
    "secmlops_detector_instance_score_ratio",
    "score of an instance over the adversarial detector's threshold; flagged when above 1",
    WATCHED,
    buckets=(0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0),
)
VERDICT = Gauge(
    "secmlops_detector_verdict",
    "1 for what the judge says of the last window: clean, drift or attack; else 0",
    (*WATCHED, "verdict"),
)
ATTACK_PROBABILITY = Gauge(
    "secmlops_detector_attack_probability",
    "that the last window is an attack rather than drift, given that it is one of the two",
    WATCHED,
)
WINDOW_ROWS = Gauge("secmlops_detector_window_rows", "rows in the window that is being filled", WATCHED)
LAST_WINDOW = Gauge(
    "secmlops_detector_last_window_timestamp_seconds", "when the last window was judged, Unix time", WATCHED
)

EVENTS = Counter("secmlops_detector_events", "CloudEvents that were done with, by result", ("detector", "result"))
DROPPED = Counter("secmlops_detector_events_dropped", "events lost for lack of room or time", ("detector", "reason"))
MALFORMED = Counter("secmlops_detector_events_malformed", "events that could not be read", ("detector", "reason"))
QUEUE_DEPTH = Gauge("secmlops_detector_queue_depth", "events acknowledged and not yet read", ("detector",))
QUEUE_BYTES = Gauge("secmlops_detector_queue_bytes", "their bodies", ("detector",))
PENDING = Gauge("secmlops_detector_pending_events", "events that wait for their other half", ("detector",))
SERVICES = Gauge("secmlops_detector_services", "inference services with a window", ("detector",))
ACKNOWLEDGE_SECONDS = Histogram(
    "secmlops_detector_acknowledge_seconds",
    "from an event's complete body to its acknowledgement",
    ("detector",),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
WINDOW_SECONDS = Histogram(
    "secmlops_detector_window_seconds",
    "judging a window",
    ("detector",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
WINDOW_FAILURES = Counter("secmlops_detector_window_failures", "windows that could not be judged", WATCHED)
STATE_FAILURES = Counter(
    "secmlops_detector_state_failures", "state files that could not be read or written", ("detector", "reason")
)
STATE_SAVED = Gauge(
    "secmlops_detector_state_saved_timestamp_seconds", "when the state was last written, Unix time", ("detector",)
)
WORKER_RESTARTS = Counter("secmlops_detector_worker_restarts", "ends of the process that judges", ("detector",))
REQUESTS = Counter(
    "secmlops_detector_requests", "direct calls and calls in the request path", ("detector", "mode", "outcome")
)

RESULTS: Final = ("used", "ignored", "duplicate", "malformed", "dropped")
"""Of an event. `ignored`: well-formed, and of a half that this detector does not look at."""

DROP_REASONS: Final = ("queue_full", "expired", "pending_full", "too_many_services", "not_ready", "worker_lost")
"""`expired`: its other half did not come in time. `worker_lost`: the process that judges ended while it held them."""

MALFORMED_REASONS: Final = (
    "missing_header",
    "wrong_header",
    "unknown_type",
    "wrong_content_type",
    "unsupported_encoding",
    "too_large",
    "slow_body",
    "not_json",
    "too_deep",
    "wrong_shape",
    "wrong_datatype",
    "unreadable_request",
    "out_of_range",
    "too_many_instances",
    "too_many_features",
    "unknown_service",
    "method_not_allowed",
    "internal",
)

STATE_REASONS: Final = ("damaged", "foreign", "unwritable")
"""`foreign`: written beside another detector, so its windows are not this one's."""

VERDICTS: Final = ("clean", "drift", "attack")
MODES: Final = ("direct", "transformer")
OUTCOMES: Final = ("clean", "detected", "refused", "failed")

SHARED: Final = {
    "secmlops_detector_rejected_inputs": ("reason",),
    "secmlops_detector_model_info": ("model_name", "digest", "policy", "policy_version"),
    "secmlops_detector_model_ready": ("model_name",),
}
"""Families that every model server has (`serving.metrics`), here under the name `detector`; and their labels."""

_OWN: Final = tuple(family for family in globals().values() if isinstance(family, Counter | Gauge | Histogram))


def exported_series() -> Mapping[str, tuple[str, ...]]:
    """The name of every series that a rule or panel may query, with its labels.

    A counter is `..._total`; a histogram has `..._bucket` (with the label `le`), `..._sum` and `..._count`.
    """
    series: dict[str, tuple[str, ...]] = {}
    for family in _OWN:
        name, labels = family._name, tuple(family._labelnames)
        if isinstance(family, Counter):
            series[f"{name}_total"] = labels
        elif isinstance(family, Histogram):
            series |= {f"{name}_bucket": (*labels, "le"), f"{name}_sum": labels, f"{name}_count": labels}
        else:
            series[name] = labels
    for name, labels in SHARED.items():
        series[f"{name}_total" if name.endswith("_inputs") else name] = labels
    return series
