"""Compile the pipelines for Kubeflow: the YAML that its UI takes, and resources for `kubectl apply`."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp.compiler import Compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from secmlops import __version__
from secmlops.errors import SecmlopsError

FOLDER = Path(__file__).parent


class UnknownPipeline(SecmlopsError):
    """No pipeline of that name.

    Attributes:
        name: what was asked for.
    """

    def __init__(self, name: str):
        self.name = name
        super().__init__(f"no pipeline named {name!r}; there are: {', '.join(pipeline_names())}")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The files of one compiled pipeline.

    Attributes:
        package: pipeline specification, for the UI and the API.
        resources: `Pipeline` and `PipelineVersion` resources, for `kubectl apply` (KFP's Kubernetes-native mode).
    """

    package: Path
    resources: Path


def pipeline_names() -> list[str]:
    """Every pipeline of this folder: a policy of the same name marks one."""
    return sorted(path.stem for path in (FOLDER / "policies").glob("*.yaml"))


def load_pipeline(name: str) -> Any:
    """The pipeline of that name.

    Raises:
        UnknownPipeline: there is none.
    """
    if name not in pipeline_names():
        raise UnknownPipeline(name)
    return importlib.import_module(f"pipelines.{name}").pipeline


def compile_pipeline(name: str, out: Path, *, namespace: str = "kubeflow") -> Compiled:
    """Compile one pipeline into a folder.

    Args:
        name: the pipeline.
        out: folder for `NAME.yaml` and `NAME.resources.yaml`.
        namespace: namespace of the resources.

    Raises:
        UnknownPipeline: there is none of that name.
    """
    out.mkdir(parents=True, exist_ok=True)
    compiled = Compiled(out / f"{name}.yaml", out / f"{name}.resources.yaml")
    pipeline = load_pipeline(name)
    resource = name.replace("_", "-")
    Compiler().compile(pipeline, str(compiled.package))
    Compiler().compile(
        pipeline,
        str(compiled.resources),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=KubernetesManifestOptions(
            pipeline_name=resource,
            pipeline_display_name=resource,
            pipeline_version_name=f"{resource}-{__version__.replace('.', '-')}",
            pipeline_version_display_name=__version__,
            namespace=namespace,
            include_pipeline_manifest=True,
        ),
    )
    return compiled


def use_registry(registry: str) -> None:
    """Choose the image registry; call it before any pipeline is imported."""
    os.environ["SECMLOPS_REGISTRY"] = registry
