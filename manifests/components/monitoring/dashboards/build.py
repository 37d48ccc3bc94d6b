"""Write the Grafana dashboards beside this file: `python manifests/components/monitoring/dashboards/build.py`.

The dashboards are these few lines, not the JSON that Grafana wants of them; a test holds the two together.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SCHEMA_VERSION = 39
"""Of Grafana 11; later ones read it too."""

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _ROW = 24, 8, 1
_SERVICE = 'namespace=~"$namespace",service=~"$service"'


@dataclass(frozen=True)
class Panel:
    """One panel: what it shows, as pairs of expression and legend."""

    title: str
    queries: Sequence[tuple[str, str]]
    meaning: str
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    thresholds: Sequence[tuple[float | None, str]] = ((None, "green"),)
    stacked: bool = False

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel as Grafana reads it, at this place of the grid."""
        steps = [{"value": value, "color": colour} for value, colour in self.thresholds]
        custom = {"stacking": {"mode": "normal" if self.stacked else "none"}, "fillOpacity": 10, "showPoints": "never"}
        options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
        if self.kind == "stat":
            options = {
                "reduceOptions": {"calcs": ["lastNotNull"]},
                "colorMode": "background",
                "textMode": "value_and_name",
            }
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.meaning,
            "datasource": _DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": _HEIGHT},
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit,
                    "min": 0,
                    "thresholds": {"mode": "absolute", "steps": steps},
                    "custom": custom if self.kind == "timeseries" else {},
                },
                "overrides": [],
            },
            "options": options,
            "targets": [
                {"refId": chr(ord("A") + place), "datasource": _DATASOURCE, "expr": expression, "legendFormat": legend}
                for place, (expression, legend) in enumerate(self.queries)
            ],
        }


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


def variable(name: str, label: str, query: str, *, several: bool) -> dict[str, Any]:
    """A choice above the panels, out of what Prometheus knows."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "current": {"text": "All", "value": "$__all"} if several else {},
    }


def dashboard(uid: str, title: str, description: str, variables: Iterable[dict[str, Any]], rows: Sequence[Row]) -> dict:
    """A dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "collapsed": False, "panels": []})
        panels[-1]["gridPos"] = {"x": 0, "y": y, "w": _WIDTH, "h": _ROW}
        y, x = y + _ROW, 0
        for panel in row.panels:
            if x + panel.width > _WIDTH:
                x, y = 0, y + _HEIGHT
            panels.append(panel.json(len(panels) + 1, x, y))
            x += panel.width
        y += _HEIGHT
    datasource = {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"}
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["secmlops"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "timezone": "utc",
        "templating": {"list": [datasource, *variables]},
        "annotations": {"list": []},
        "panels": panels,
    }


SERVED = "secmlops:service:use_case"
NAMESPACE = variable("namespace", "Namespace", f"label_values({SERVED}, namespace)", several=True)
SERVICE = variable("service", "Service", f'label_values({SERVED}{{namespace=~"$namespace"}}, service)', several=True)

READY = Panel(
    "Replicas that serve a verified model",
    [(f"secmlops:service:ready{{{_SERVICE}}}", "{{namespace}}/{{service}}")],
    "A replica is ready only when signature, contents and gate verdict of its bundle verify.",
    unit="percentunit",
    kind="stat",
    width=8,
    thresholds=((None, "red"), (0.01, "orange"), (1, "green")),
)
ALERTS_FIRING = Panel(
    "Alerts that fire",
    [(f'ALERTS{{alertstate="firing",{_SERVICE}}}', "{{severity}}: {{alertname}} {{service}}")],
    "Each alert's description says what it means and what to do.",
    kind="stat",
    width=8,
    thresholds=((None, "green"), (1, "red")),
)
TRAFFIC = Panel(
    "Calls a second",
    [
        (f"secmlops:service:answered:rate5m{{{_SERVICE}}}", "{{service}} answered"),
        (f"sum by (service) (secmlops:service:refused:rate5m{{{_SERVICE}}})", "{{service}} refused"),
    ],
    "Answered inference calls, and those that got no answer.",
    unit="reqps",
)
LATENCY = Panel(
    "Latency of a prediction",
    [
        (
            f"histogram_quantile({share}, sum by (namespace, service, le) "
            f"(rate(request_predict_seconds_bucket{{{_SERVICE}}}[$__rate_interval])))",
            f"{{{{service}}}} {name}",
        )
        for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
    ],
    "KServe's histogram of `predict`, from the batch to its answers.",
    unit="s",
    thresholds=((None, "green"), (0.25, "red")),
)
FAULTS = Panel(
    "Calls that failed by the server's fault",
    [(f"secmlops:service:fault_ratio:rate5m{{{_SERVICE}}}", "{{service}}")],
    "internal, timed_out, overloaded and not_ready, as a share of all calls.",
    unit="percentunit",
    thresholds=((None, "green"), (0.05, "red")),
)
REFUSED = Panel(
    "Refused calls by reason",
    [(f"sum by (service, reason) (secmlops:service:refused:rate5m{{{_SERVICE}}}) > 0", "{{service}} {{reason}}")],
    "Every refusal has a line in the server's log.",
    unit="reqps",
    stacked=True,
)
BUDGET = Panel(
    "Predictions slower than 250 ms",
    [
        (f"secmlops:service:slow_ratio:rate1h{{{_SERVICE}}}", "{{service}} last hour"),
        (f"secmlops:service:slow_ratio:rate6h{{{_SERVICE}}}", "{{service}} last 6 hours"),
    ],
    "The objective is 1 in 100 over a month.",
    unit="percentunit",
    thresholds=((None, "green"), (0.01, "orange"), (0.06, "red")),
)
ANSWERS = Panel(
    "Shares of the answers",
    [(f"secmlops:service:answer_share:rate1h{{{_SERVICE}}}", "{{service}} {{answer}}")],
    "What the model said in the last hour.",
    unit="percentunit",
    stacked=True,
)
SHIFT = Panel(
    "Shift of the answers against the day before",
    [(f"secmlops:service:answer_shift{{{_SERVICE}}}", "{{service}}")],
    "Total variation: 0, the same shares; 1, nothing in common.",
    unit="percentunit",
    thresholds=((None, "green"), (0.2, "orange")),
)
SCORES = Panel(
    "Web attacks: share of scores above 0.5",
    [
        (
            f'1 - sum by (service) (rate(secmlops_web_attacks_score_bucket{{le="0.5",{_SERVICE}}}[$__rate_interval]))'
            f" / sum by (service) (rate(secmlops_web_attacks_score_count{{{_SERVICE}}}[$__rate_interval]))",
            "{{service}}",
        )
    ],
    "Calibrated probability of an attack.",
    unit="percentunit",
)
ATTACK_CLASSES = Panel(
    "Web attacks by class",
    [
        (
            'sum by (attack_class) (rate(secmlops_web_attacks_verdicts_total{verdict="attack",'
            f"{_SERVICE}}}[$__rate_interval]))",
            "{{attack_class}}",
        )
    ],
    "Verdicts `attack`, a second.",
    unit="reqps",
    stacked=True,
)
DIGITS = Panel(
    "Digits: abstained and flagged",
    [
        (
            f'sum by (service) (rate(secmlops_digits_answers_total{{abstained="true",{_SERVICE}}}[$__rate_interval]))',
            "{{service}} abstained",
        ),
        (
            f"sum by (service) (rate(secmlops_digits_adversarial_total{{{_SERVICE}}}[$__rate_interval]))",
            "{{service}} flagged as adversarial",
        ),
    ],
    "Images on which the model does not stand by its answer.",
    unit="reqps",
)
MODELS = Panel(
    "Models and policies",
    [
        (f"secmlops_web_attacks_model_info{{{_SERVICE}}}", "{{service}} {{digest}} {{policy}} {{policy_version}}"),
        (f"secmlops_digits_model_info{{{_SERVICE}}}", "{{service}} {{digest}} {{policy}} {{policy_version}}"),
    ],
    "The digest of the model that answers, and the policy that it passed.",
    kind="stat",
    width=8,
)

_DETECTOR = f'detector=~"$detector",{_SERVICE}'
SCORE_TO_THRESHOLD = Panel(
    "Score and threshold of the last window",
    [
        (f"secmlops_detector_score{{{_DETECTOR}}}", "{{service}} {{detector}}"),
        (f"secmlops_detector_threshold{{{_DETECTOR}}}", "{{service}} {{detector}} threshold"),
    ],
    "A window is a detection when its score is above the threshold.",
)
DETECTIONS = Panel(
    "Windows above the threshold",
    [(f"secmlops:detector:detection_share:rate1h{{{_DETECTOR}}}", "{{service}} {{detector}}")],
    "Share of the last hour's windows; from one half on it is an alert.",
    unit="percentunit",
    thresholds=((None, "green"), (0.5, "red")),
)
FLAGGED = Panel(
    "Instances flagged as adversarial",
    [(f"secmlops:detector:flagged_share:rate1h{{{_DETECTOR}}}", "{{service}} {{detector}}")],
    "Share of the instances in the last hour's windows.",
    unit="percentunit",
)
VERDICT = Panel(
    "Drift or attack?",
    [(f"secmlops_detector_verdict{{{_DETECTOR}}} > 0", "{{service}} {{verdict}}")],
    "What the judge says of the last window.",
    width=12,
    stacked=True,
)
ATTACK_PROBABILITY = Panel(
    "Probability of an attack rather than drift",
    [(f"secmlops_detector_attack_probability{{{_DETECTOR}}}", "{{service}} {{detector}}")],
    "Given that the window is one of the two.",
    unit="percentunit",
)
P_VALUES = Panel(
    "Smallest p-value of the last window",
    [(f"secmlops_detector_p_value{{{_DETECTOR}}}", "{{service}} {{detector}}")],
    "Where the detector's test has one.",
)
AGE = Panel(
    "Age of the last window",
    [
        (
            "time() - max by (detector, namespace, service) "
            f"(secmlops_detector_last_window_timestamp_seconds{{{_DETECTOR}}})",
            "{{service}} {{detector}}",
        )
    ],
    "A detector that judges nothing watches nothing.",
    unit="s",
    thresholds=((None, "green"), (6 * 3600, "red")),
)
FILLING = Panel(
    "Rows in the window that is being filled",
    [(f"secmlops_detector_window_rows{{{_DETECTOR}}}", "{{service}} {{detector}}")],
    "How far the next window is.",
)
_OF_DETECTOR = 'detector=~"$detector"'
EVENTS = Panel(
    "Events by result",
    [
        (
            f"sum by (detector, result) (rate(secmlops_detector_events_total{{{_OF_DETECTOR}}}[$__rate_interval]))",
            "{{detector}} {{result}}",
        )
    ],
    "What KServe's payload logger sent, a second.",
    unit="reqps",
    stacked=True,
)
LOST = Panel(
    "Events lost, and events that could not be read",
    [
        (
            "sum by (detector, reason) "
            f"(rate(secmlops_detector_events_dropped_total{{{_OF_DETECTOR}}}[$__rate_interval]))",
            "{{detector}} lost: {{reason}}",
        ),
        (
            "sum by (detector, reason) "
            f"(rate(secmlops_detector_events_malformed_total{{{_OF_DETECTOR}}}[$__rate_interval]))",
            "{{detector}} malformed: {{reason}}",
        ),
    ],
    "Every event is counted once.",
    unit="reqps",
)
QUEUE = Panel(
    "Queue",
    [
        (f"secmlops_detector_queue_depth{{{_OF_DETECTOR}}}", "{{detector}} acknowledged, not yet read"),
        (f"secmlops_detector_pending_events{{{_OF_DETECTOR}}}", "{{detector}} waiting for their other half"),
    ],
    "Bounded by the settings; beyond that events are dropped.",
)
ACKNOWLEDGE = Panel(
    "Acknowledging an event, and judging a window (p99)",
    [
        (
            "histogram_quantile(0.99, sum by (detector, le) "
            f"(rate({family}_bucket{{{_OF_DETECTOR}}}[$__rate_interval])))",
            f"{{{{detector}}}} {name}",
        )
        for family, name in (
            ("secmlops_detector_acknowledge_seconds", "acknowledgement"),
            ("secmlops_detector_window_seconds", "window"),
        )
    ],
    "Events are acknowledged within 50 ms also while a window is judged.",
    unit="s",
)
FAILURES = Panel(
    "Failures within the hour",
    [
        (f"increase(secmlops_detector_window_failures_total{{{_DETECTOR}}}[1h])", "{{service}} {{detector}} windows"),
        (f"increase(secmlops_detector_worker_restarts_total{{{_OF_DETECTOR}}}[1h])", "{{detector}} restarts"),
        (f"increase(secmlops_detector_state_failures_total{{{_OF_DETECTOR}}}[1h])", "{{detector}} state: {{reason}}"),
    ],
    "Windows that could not be judged, ends of the process that judges, and states that could not be kept.",
)
NOTIFICATIONS = Panel(
    "What became of alerts that ask for retraining",
    [("sum by (outcome) (increase(secmlops_retrain_notifications_total[1h])) > 0", "{{outcome}}")],
    "Only `started` starts anything; the audit log has the rest of the story.",
    stacked=True,
)
RUNS = Panel(
    "Retrainings within the week, by how they ended",
    [("sum by (use_case, state) (increase(secmlops_retrain_runs_total[7d]))", "{{use_case}} {{state}}")],
    "`failed`: a step failed or the gate refused every candidate; the champion goes on serving.",
    kind="stat",
    width=8,
)
UNDER_WAY = Panel(
    "Retraining under way",
    [("secmlops_retrain_running", "{{use_case}}")],
    "At most one at a time.",
    kind="stat",
    width=8,
)
SINCE_SUCCESS = Panel(
    "Time since the last successful retraining",
    [("time() - secmlops_retrain_last_success_timestamp_seconds", "{{use_case}}")],
    "Empty where none has succeeded yet.",
    unit="s",
    kind="stat",
    width=8,
)

DETECTOR = variable("detector", "Detector", "label_values(secmlops_detector_score, detector)", several=True)
ONE_NAMESPACE = variable("namespace", "Site", f"label_values({SERVED}, namespace)", several=False)

DASHBOARDS = {
    "model": dashboard(
        "secmlops-model",
        "secmlops: models",
        "The model servers: readiness, traffic, latency, refusals and answers.",
        [NAMESPACE, SERVICE],
        [
            Row("State", [READY, MODELS, ALERTS_FIRING]),
            Row("Traffic", [TRAFFIC, LATENCY, FAULTS, BUDGET, REFUSED]),
            Row("Answers", [ANSWERS, SHIFT, SCORES, ATTACK_CLASSES, DIGITS]),
        ],
    ),
    "detectors": dashboard(
        "secmlops-detectors",
        "secmlops: detectors and retraining",
        "What the detectors see, how they are, and what came of it.",
        [
            variable("namespace", "Namespace", "label_values(secmlops_detector_score, namespace)", several=True),
            variable(
                "service",
                "Service",
                'label_values(secmlops_detector_score{namespace=~"$namespace"}, service)',
                several=True,
            ),
            DETECTOR,
        ],
        [
            Row("What they see", [SCORE_TO_THRESHOLD, DETECTIONS, VERDICT, ATTACK_PROBABILITY, FLAGGED, P_VALUES]),
            Row("How they are", [AGE, FILLING, EVENTS, LOST, QUEUE, ACKNOWLEDGE, FAILURES]),
            Row("The way back", [NOTIFICATIONS, RUNS, UNDER_WAY, SINCE_SUCCESS]),
        ],
    ),
    "site": dashboard(
        "secmlops-site",
        "secmlops: one site",
        "One customer or site on one page: is it served, is it attacked, does the model still fit?",
        [ONE_NAMESPACE, SERVICE, DETECTOR],
        [
            Row("State", [READY, ALERTS_FIRING, MODELS]),
            Row("Traffic and answers", [TRAFFIC, LATENCY, ANSWERS, SHIFT, ATTACK_CLASSES, REFUSED]),
            Row("Drift and attacks", [DETECTIONS, VERDICT, FLAGGED, AGE]),
        ],
    ),
}


def text(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(DASHBOARDS[name], indent=2) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name))
