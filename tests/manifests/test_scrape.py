"""What a running model server answers at `/metrics` holds every series that rules and dashboards name for it."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.manifests.conftest import ALL_RULES, DASHBOARDS
from tests.manifests.promql import selectors
from tests.manifests.test_dashboards import expressions
from tests.serving.conftest import bundle, start_server, workshop  # noqa: F401 - fixtures

OURS = ("secmlops_web_attacks_", "request_")


def test_a_scrape_of_a_real_server(start_server, bundle, workshop):  # noqa: F811
    server = start_server(bundle, workshop.trusted_key)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        instance = {"method": "GET", "uri": "/search?q=1'+OR+'1'='1", "headers": {}, "body": ""}
        assert client.post("/v1/models/web-attacks:predict", json={"instances": [instance]}).status_code == 200
        assert client.post("/v1/models/web-attacks:predict", content=b"{").status_code == 400
        scraped = list(text_string_to_metric_families(client.get("/metrics").text))
    found: dict[str, set[str]] = {}
    for family in scraped:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)

    asked = [rule["expr"] for rule in ALL_RULES] + [one for path in DASHBOARDS for one in expressions(path)]
    named = [one for expression in asked for one in selectors(expression) if one.name.startswith(OURS)]
    assert len({one.name for one in named}) >= 7
    for one in named:
        assert one.name in found, one.name
        assert {label for label, _, _ in one.matchers} <= found[one.name] | {"namespace", "service"}, one
    buckets = {sample.labels["le"] for family in scraped for sample in family.samples if "le" in sample.labels}
    assert {value for one in named for label, _, value in one.matchers if label == "le"} <= buckets
