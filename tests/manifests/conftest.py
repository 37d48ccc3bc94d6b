"""The monitoring files, and what our servers export."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT
from tests.manifests import processes

MONITORING = ROOT / "manifests" / "components" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yaml"))
RULE_TESTS = sorted((MONITORING / "tests").glob("*.test.yaml"))
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))

# What Prometheus adds: target labels by the scrape configuration, and external ones.
TARGET_LABELS = frozenset({"namespace", "service", "pod", "instance", "job"})


def rules_of(path: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALL_RULES = [rule for path in RULES for rule in rules_of(path)]
ALERTS = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in ALL_RULES if "record" in rule}


@pytest.fixture(scope="session")
def exported() -> dict[str, frozenset[str]]:
    """Labels of every series that our servers export, by name."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.manifests.exported"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return {name: frozenset(labels) for name, labels in json.loads(found.stdout.splitlines()[-1]).items()}


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A real Prometheus that has loaded our rules and scrapes nothing."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"rule_files": [str(path) for path in RULES]}))
    with processes.prometheus(config, folder) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client
