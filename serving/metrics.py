"""Prometheus families that every model server here exports, beside KServe's own latency histograms."""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from serving.refusals import Reason, Refusal


class ServingMetrics:
    """The families of one use case, named `secmlops_<use case>_...`; get them from `metrics_of`.

    Attributes:
        rejected: `..._rejected_inputs_total{reason}`, requests that got no prediction.
        model_info: `..._model_info{model_name,digest,policy,policy_version}`, always 1.
        model_ready: `..._model_ready{model_name}`, 1 once a verified bundle is loaded, else 0.
    """

    def __init__(self, use_case: str):
        self.rejected = Counter(
            f"secmlops_{use_case}_rejected_inputs", "requests that got no prediction, by reason", ["reason"]
        )
        for reason in Reason:  # from zero on, so that a rate sees the first refusal of a kind
            self.rejected.labels(reason=reason.value)
        self.model_info = Gauge(
            f"secmlops_{use_case}_model_info",
            "the verified model that answers, and the policy that it passed",
            ["model_name", "digest", "policy", "policy_version"],
        )
        self.model_ready = Gauge(
            f"secmlops_{use_case}_model_ready", "1 when a verified model is loaded, else 0", ["model_name"]
        )

    def count(self, refusal: Refusal) -> None:
        """Count a refused request by its reason."""
        self.rejected.labels(reason=refusal.reason.value).inc()


@cache
def metrics_of(use_case: str) -> ServingMetrics:
    """The families of a use case, made once in a process (Prometheus refuses to register a name twice)."""
    return ServingMetrics(use_case)


class BatchHistogram(Collector):
    """A Prometheus histogram that counts the values of a whole batch in one step.

    Args:
        name: of the family.
        documentation: what the values are, with their unit.
        bounds: ascending upper bounds of the buckets, without +Inf.
    """

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]):
        self._name = name
        self._documentation = documentation
        self._bounds = np.asarray(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        REGISTRY.register(self)

    def observe(self, values: Sequence[float]) -> None:
        """Count values; call it from one thread."""
        places = self._bounds.searchsorted(values)
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += sum(values)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as it stands."""
        labels = [*map(str, self._bounds.tolist()), "+Inf"]
        buckets = list(zip(labels, np.cumsum(self._counts).tolist(), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)
