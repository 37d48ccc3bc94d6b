"""Run and compile the pipelines; `demo` shows the whole way from packets to a served model."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from kfp.dsl.graph_component import GraphComponent

from pipelines.compiling import compile_pipeline, load_pipeline, pipeline_names, use_registry
from secmlops.errors import SecmlopsError
from secmlops.lifecycle.policy import load_policy

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
FAILED = 1
USAGE = 2


@app.command("list")
def list_pipelines() -> None:
    """List the pipelines and their parameters with defaults."""
    for name in pipeline_names():
        typer.echo(name)
        for parameter, spec in (load_pipeline(name).component_spec.inputs or {}).items():
            default = json.dumps(spec.default) if spec.optional else "required"
            typer.echo(f"  {parameter} = {default}  {spec.description or ''}")


@app.command("compile")
def compile_all(
    out: Annotated[Path, typer.Option(help="Folder for the compiled files.")] = Path("dist"),
    registry: Annotated[str, typer.Option(help="Registry of the component image.")] = "ghcr.io/secmlops",
    namespace: Annotated[str, typer.Option(help="Namespace of the Pipeline resources.")] = "kubeflow",
) -> None:
    """Compile every pipeline: YAML for the UI, Pipeline resources for kubectl."""
    use_registry(registry)
    for name in pipeline_names():
        compiled = compile_pipeline(name, out, namespace=namespace)
        typer.echo(f"{compiled.package}\n{compiled.resources}")


@app.command("run")
def run_locally(
    name: Annotated[str, typer.Argument(help="The pipeline, e.g. web_attacks.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its parameters, as key=value.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME-TIME.")] = None,
) -> None:
    """Run a pipeline on this machine; needs no cluster."""
    from pipelines.local import run, with_local_defaults

    folder = (out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}").absolute()
    try:
        pipeline = load_pipeline(name)
        chosen = parse_arguments(pipeline, arguments or [])
        finished = run(pipeline, with_local_defaults(pipeline, chosen, folder), folder)
    except SecmlopsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from None
    typer.echo(f"finished in {finished.seconds:.0f} s")
    for step, report in finished.reports.items():
        typer.echo(f"report of {step}: {report}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the demonstration; made anew.")] = Path("runs/demo"),
    normal: Annotated[int, typer.Option(help="Visitors' requests to record.")] = 3000,
    attacks: Annotated[int, typer.Option(help="Attackers' requests to record.")] = 2400,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
) -> None:
    """Record traffic, run the pipeline, serve the signed model, attack it, and stop."""
    from pipelines.demo import show

    try:
        show(out.absolute(), normal=normal, attacks=attacks, seed=seed)
    except SecmlopsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from None


def parse_arguments(pipeline: GraphComponent, pairs: list[str]) -> dict[str, object]:
    """Turn `key=value` words into a pipeline's typed parameters.

    Raises:
        typer.BadParameter: a word without `=`, a parameter the pipeline has not, or a value of the wrong type.
    """
    inputs = pipeline.component_spec.inputs or {}
    arguments: dict[str, object] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or key not in inputs:
            raise typer.BadParameter(f"{pair!r}: write key=value with one of {', '.join(sorted(inputs))}")
        arguments[key] = _typed(key, text, inputs[key].type)
    return arguments


def _typed(key: str, text: str, kind: str) -> object:
    if kind == "String":
        return text
    try:
        if kind == "Dict" and text.endswith((".yaml", ".yml")):
            return load_policy(text).model_dump(exclude_none=True)
        if kind.startswith("List") and not text.startswith("["):
            return [item.strip() for item in text.split(",") if item.strip()]
        return json.loads(text.lower() if kind == "Boolean" else text)
    except json.JSONDecodeError:
        raise typer.BadParameter(f"{key}={text!r} is no {kind}") from None


if __name__ == "__main__":
    app()
