import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.compiling import compile_pipeline, pipeline_names


@dataclass(frozen=True)
class CompiledGraph:
    """A compiled pipeline as Kubeflow reads it."""

    text: str
    spec: dict[str, Any]
    platform: dict[str, Any]
    resources: list[dict[str, Any]]

    def tasks(self, component: str | None = None, path: str = "") -> dict[str, dict[str, Any]]:
        """Every task at every depth, by path, e.g. `condition-branches-2/condition-3/release/sign-bundle`."""
        dag = self.spec["root"]["dag"] if component is None else self.spec["components"][component].get("dag")
        found: dict[str, dict[str, Any]] = {}
        for name, task in (dag or {"tasks": {}})["tasks"].items():
            here = f"{path}{name}"
            found[here] = task
            found |= self.tasks(task["componentRef"]["name"], f"{here}/")
        return found

    def steps(self) -> dict[str, dict[str, Any]]:
        """The tasks that run something, by path: neither loops nor conditions."""
        components = self.spec["components"]
        return {
            path: task
            for path, task in self.tasks().items()
            if "executorLabel" in components[task["componentRef"]["name"]]
        }


def component_named(name: str) -> str:
    """The component behind a task's, component's or executor's name in the compiled YAML."""
    return re.sub(r"^(exec-|comp-)|-\d$", "", name)


@cache
def compiled_graph(name: str) -> CompiledGraph:
    """Compile a pipeline and read what was written."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = compile_pipeline(name, Path(folder))
        text = compiled.package.read_text()
        resources = list(yaml.safe_load_all(compiled.resources.read_text()))
    spec, platform = yaml.safe_load_all(text)
    return CompiledGraph(text, spec, platform, resources)


@pytest.fixture(params=pipeline_names())
def graph(request: pytest.FixtureRequest) -> CompiledGraph:
    """Every pipeline, one after the other."""
    return compiled_graph(request.param)


@pytest.fixture
def web_attacks_graph() -> CompiledGraph:
    return compiled_graph("web_attacks")


@pytest.fixture
def digits_graph() -> CompiledGraph:
    return compiled_graph("digits")
