"""Dashboards: what they ask for is exported, a real Prometheus answers it, and the files are what the script writes."""

import importlib.util
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.conftest import DASHBOARDS, MONITORING, RECORDED, TARGET_LABELS
from tests.manifests.promql import selectors

BUILT_IN = {"ALERTS"}
PLACES = {"$namespace": ".*", "$service": ".*", "$detector": ".*", "$__rate_interval": "5m"}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def variables_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in dashboard["templating"]["list"] if one["type"] == "query"]


def expressions(path: Path) -> list[str]:
    """Every expression of the dashboard, with what Grafana would put for its variables."""
    dashboard = read(path)
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    for one in variables_of(dashboard):
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"]["query"])
        assert match, one["query"]
        found.append(match[1])
    for place, value in PLACES.items():
        found = [expression.replace(place, value) for expression in found]
    return found


ALL = [
    pytest.param(path, expression, id=f"{path.stem}-{expression[:60]}")
    for path in DASHBOARDS
    for expression in expressions(path)
]


def test_the_files_are_what_the_script_writes():
    spec = importlib.util.spec_from_file_location("build", MONITORING / "dashboards" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert {path.stem for path in DASHBOARDS} == set(build.DASHBOARDS) == {"model", "detectors", "site"}
    for path in DASHBOARDS:
        assert path.read_text() == build.text(path.stem), f"run {MONITORING / 'dashboards' / 'build.py'}"


@pytest.mark.parametrize(("path", "expression"), ALL)
def test_every_series_of_a_panel_is_exported_or_recorded(path, expression, exported):
    assert "$" not in expression
    for selector in selectors(expression):
        assert selector.name in set(exported) | RECORDED | BUILT_IN, selector.name
        if selector.name in exported:
            assert {label for label, _, _ in selector.matchers} <= exported[selector.name] | TARGET_LABELS, selector


@pytest.mark.parametrize(("path", "expression"), ALL)
def test_a_real_prometheus_answers(path, expression, prometheus):
    answer = prometheus.get("/api/v1/query", params={"query": expression})
    assert (answer.status_code, answer.json()["status"]) == (200, "success"), answer.text


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_data_source_is_chosen_by_whoever_looks(path):
    dashboard = read(path)
    assert dashboard["templating"]["list"][0] == {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
    }
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = [*panels, *variables_of(dashboard), *(target for panel in panels for target in panel["targets"])]
    assert all(one["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for one in asked)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_their_own_place_and_say_what_they_mean(path):
    panels = read(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for first, second in combinations([panel["gridPos"] for panel in panels], 2):
        beside = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
        below = first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
        assert beside or below, (first, second)
    for panel in panels:
        assert panel["type"] == "row" or (panel["description"] and panel["fieldConfig"]["defaults"]["unit"])


def test_a_site_has_its_own_dashboard():
    by_name = {one["name"]: one for one in variables_of(read(MONITORING / "dashboards" / "site.json"))}
    assert not by_name["namespace"]["multi"] and by_name["service"]["multi"]
