"""Every series that our servers export, with its labels, from their registry: `python -m tests.manifests.exported`.

A process of its own, because importing the servers registers their families for good.
"""

import json

import prometheus_client
from prometheus_client import REGISTRY, Counter, Histogram

import serving.digits
import serving.web_attacks  # noqa: F401
from serving.detectors import metrics as detector_metrics
from serving.metrics import BatchHistogram, metrics_of
from serving.retrain.metrics import RetrainMetrics


def exported() -> dict[str, list[str]]:
    """Labels of each series, by name."""
    for use_case in ("web_attacks", "digits", "detector"):
        metrics_of(use_case)
    RetrainMetrics()
    series: dict[str, list[str]] = {name: list(labels) for name, labels in detector_metrics.exported_series().items()}
    for collector in REGISTRY._collector_to_names:
        if isinstance(collector, BatchHistogram):
            for sample in next(iter(collector.collect())).samples:
                series[sample.name] = list(sample.labels)
        elif isinstance(collector, prometheus_client.metrics.MetricWrapperBase):
            name, labels = collector._name, list(collector._labelnames)
            if isinstance(collector, Counter):
                series[f"{name}_total"] = labels
            elif isinstance(collector, Histogram):
                series |= {f"{name}_bucket": [*labels, "le"], f"{name}_sum": labels, f"{name}_count": labels}
            else:
                series[name] = labels
    return series


if __name__ == "__main__":
    print(json.dumps(exported()))
