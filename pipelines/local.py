"""Run a pipeline on this machine with `kfp.local`, one line a step for the person who watches.

Each step runs in a process of its own, as it would in a pod. KFP's own log goes to a file.
"""

import contextlib
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp import local
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from secmlops.bundle import InvalidKey, keygen
from secmlops.bundle.keys import load_private_key, load_public_key, public_pem
from secmlops.errors import SecmlopsError
from secmlops.progress import RESULT, UNDER_WAY
from secmlops.release import SIGNING_KEY, TRUSTED_KEY

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([^']+)'")
_FINISHED = re.compile(r"Task '([^']+)' finished with status (\w+)")
_ITERATION = re.compile(r"-iteration-(\d+)$")
_RAISED = re.compile(r"^\s*(?:[\w.]*\.)?([A-Z]\w*): (.+)$")


class PipelineFailed(SecmlopsError):
    """A local run did not succeed.

    Attributes:
        step: the step that failed.
        reason: its error, as one line.
        log: KFP's whole log.
    """

    def __init__(self, step: str, reason: str, log: Path):
        self.step, self.reason, self.log = step, reason, log
        super().__init__(f"step {step} failed: {reason or 'no reason given'} (whole log: {log})")


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A finished local run.

    Attributes:
        root: folder of all steps' outputs.
        reports: HTML reports, by step.
        outputs: output parameters of each step, by step and name.
        log: KFP's whole log.
        seconds: wall-clock time.
    """

    root: Path
    reports: dict[str, Path]
    outputs: dict[str, dict[str, Any]]
    log: Path
    seconds: float


@dataclass
class _StepLines(io.TextIOBase):
    """Takes KFP's log, keeps it in a file, and shows one line a step."""

    log: Any
    console: Console
    status: Status
    started: dict[str, list[float]] = field(default_factory=dict)
    said: str = ""
    failed: str = ""
    reason: str = ""
    error: str = ""
    rest: str = ""

    def write(self, text: str) -> int:
        self.log.write(text)
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self._line(_ANSI.sub("", line))
        return len(text)

    def flush(self) -> None:
        self.log.flush()

    def _line(self, line: str) -> None:
        if (stripped := line.strip()).startswith(RESULT):
            self.said = stripped.removeprefix(RESULT)
        elif stripped.startswith(UNDER_WAY):
            self.status.update(escape(stripped.removeprefix(UNDER_WAY)))
        elif match := _STARTED.search(line):
            self.started.setdefault(match[1], []).append(time.monotonic())
            self.status.update(match[1])
        elif match := _FINISHED.search(line):
            self._finish(match[1], succeeded=match[2] == "SUCCESS")
        elif match := _RAISED.match(line):
            self.error = f"{match[1]}: {match[2]}"

    def _finish(self, step: str, *, succeeded: bool) -> None:
        seconds = time.monotonic() - self.started[step].pop(0) if self.started.get(step) else 0.0
        mark = "[green]ok[/]  " if succeeded else "[red]FAIL[/]"
        said = self.said if succeeded else self.error
        self.console.print(f"{mark} {step:<22} {seconds:6.1f} s  ", end="", highlight=False)
        self.console.print(said, markup=False, highlight=False)
        self.said = ""
        if not succeeded and not self.failed:
            self.failed, self.reason = step, self.error  # what is written later may look like an error too


def run(pipeline: Any, arguments: dict[str, Any], folder: Path, *, console: Console | None = None) -> LocalRun:
    """Run a pipeline in this folder.

    Args:
        pipeline: a `@dsl.pipeline`.
        arguments: its parameters.
        folder: where outputs, reports and the log go.
        console: where progress is shown; the terminal by default.

    Raises:
        PipelineFailed: a step failed; the reports written until then are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    console = console or Console(file=sys.__stdout__)
    root, log_path = folder / "steps", folder / "kfp.log"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    began = time.monotonic()
    with log_path.open("w", encoding="utf-8") as log, console.status("starting") as status:
        lines = _StepLines(log, console, status)
        try:
            with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines):
                pipeline(**arguments)
        except RuntimeError as error:
            raise PipelineFailed(lines.failed or "?", lines.reason or lines.error or str(error), log_path) from None
        finally:
            reports = _keep_reports(root, folder / "reports")
    return LocalRun(root, reports, _outputs(root), log_path, time.monotonic() - began)


def with_local_defaults(pipeline: Any, arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Fill in what only a cluster would bring: an embedded warehouse, a folder to publish to, a key pair.

    Keys named in the environment are used, both or none; otherwise a pair is made under the folder and named there.

    Args:
        pipeline: the pipeline.
        arguments: what the caller chose; it wins.
        folder: folder of the run.

    Raises:
        MissingKey: the environment names only one of the two keys, or one that is not there.
        InvalidKey: what it names is no such key, or they are no pair.
    """
    embedded = {"warehouse": f"chdb://{folder / 'warehouse'}", "publish_to": str(folder / "published")}
    known = pipeline.component_spec.inputs or {}
    if not any(os.environ.get(name) for name in ("SECMLOPS_SIGNING_KEY", "SECMLOPS_TRUSTED_KEY")):
        private = folder / "keys" / "signing"
        if not private.exists():
            keygen(private)
        os.environ["SECMLOPS_SIGNING_KEY"] = str(private)
        os.environ["SECMLOPS_TRUSTED_KEY"] = f"{private}.pub"
    _require_pair(SIGNING_KEY, TRUSTED_KEY)
    return {name: uri for name, uri in embedded.items() if name in known} | arguments


def _require_pair(private: str, public: str) -> None:
    """Before the work, not after it: what the one key signs is refused unless the other one is its public half."""
    if public_pem(load_private_key(private).public_key()) != public_pem(load_public_key(public)):
        raise InvalidKey(public, f"it is not the public half of {private}")


def _keep_reports(root: Path, into: Path) -> dict[str, Path]:
    """Copy HTML artifacts, which KFP stores without a suffix, to files that a browser opens."""
    reports = {}
    for step, executed in _executed(root):
        for listed in executed.get("artifacts", {}).values():
            for artifact in listed["artifacts"]:
                path = Path(artifact["uri"])
                if path.is_file() and _is_html(path):
                    into.mkdir(exist_ok=True)
                    reports[step] = into / f"{step}.html"
                    shutil.copyfile(path, reports[step])
    return reports


def _is_html(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(15).lower() == b"<!doctype html>"


def _outputs(root: Path) -> dict[str, dict[str, Any]]:
    return {step: executed.get("parameterValues", {}) for step, executed in _executed(root)}


def _executed(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for written in sorted(root.rglob("executor_output.json")):
        loop = _ITERATION.search(written.parent.parent.name)
        name = f"{written.parent.name}-{loop[1]}" if loop else written.parent.name
        yield name, json.loads(written.read_text())
