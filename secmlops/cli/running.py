"""What all commands share: streams by name, clear failures, exit codes."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import typer

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.gate import Verdict

FAILED = 1
REFUSED = 3


@contextmanager
def failing_clearly(code: int = FAILED) -> Iterator[None]:
    """Turn our own errors into one sentence and an exit code."""
    try:
        yield
    except SecmlopsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(code) from None
    except FileNotFoundError as error:
        typer.echo(f"error: no such file: {error.filename}", err=True)
        raise typer.Exit(FAILED) from None


@contextmanager
def open_input(name: str) -> Iterator[BinaryIO]:
    """A file to read, by name; - is stdin."""
    if name == "-":
        yield cast(BinaryIO, sys.stdin.buffer)
    else:
        with open(name, "rb") as file:
            yield file


@contextmanager
def open_output(name: str) -> Iterator[IO[str]]:
    """A text file to write, by name; - is stdout."""
    if name == "-":
        yield sys.stdout
    else:
        with open(name, "w", encoding="utf-8", newline="\n") as file:
            yield file


def policy_of_pipeline(name: str) -> Path:
    """The policy file that ships beside the pipeline of that name."""
    return Path(str(files("pipelines"))) / "policies" / f"{name}.yaml"


def dump(record: dict[str, Any]) -> str:
    """One JSON line."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def require_passed(verdict: Verdict) -> None:
    """End with exit code 3 when the gate refused the model, saying why."""
    if not verdict.passed:
        failed = "; ".join(f"{result.metric}: {result.reason}" for result in verdict.failures)
        typer.echo(f"error: the gate refused the model ({failed})", err=True)
        raise typer.Exit(REFUSED)
