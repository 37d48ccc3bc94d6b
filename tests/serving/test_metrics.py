"""The batch histogram counts as Prometheus' own client counts."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest

from serving.metrics import BatchHistogram, metrics_of
from serving.refusals import Reason

BOUNDS = (0.125, 0.5, 0.875, 1.0)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 2.0]), min_size=1), max_size=4))
def test_batches_count_like_single_observations(batches):
    name = f"secmlops_test_{uuid4().hex}"
    ours, registry = BatchHistogram(name, "values", BOUNDS), CollectorRegistry()
    theirs = Histogram(name, "values", buckets=BOUNDS, registry=registry)
    for batch in batches:
        ours.observe(batch)
        for value in batch:
            theirs.observe(value)
    REGISTRY.unregister(ours)
    assert set(generate_latest(ours).splitlines()) == _without_created(generate_latest(registry))


def _without_created(text):
    return {line for line in text.splitlines() if b"_created" not in line}


def test_every_reason_is_counted_from_zero_so_that_a_rate_sees_the_first_refusal():
    metrics_of("from_zero")
    for reason in Reason:
        labels = {"reason": reason.value}
        assert REGISTRY.get_sample_value("secmlops_from_zero_rejected_inputs_total", labels) == 0
