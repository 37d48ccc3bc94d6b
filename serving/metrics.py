"""Prometheus families that every model server here exports, beside KServe's own latency histograms."""

from functools import cache

from prometheus_client import Counter, Gauge

from serving.refusals import Refusal


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
