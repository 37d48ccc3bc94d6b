from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.compiling import compile_pipeline


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


@pytest.fixture(scope="session")
def web_attacks_graph(tmp_path_factory: pytest.TempPathFactory) -> CompiledGraph:
    compiled = compile_pipeline("web_attacks", tmp_path_factory.mktemp("compiled"))
    text = Path(compiled.package).read_text()
    spec, platform = yaml.safe_load_all(text)
    return CompiledGraph(text, spec, platform, list(yaml.safe_load_all(compiled.resources.read_text())))
