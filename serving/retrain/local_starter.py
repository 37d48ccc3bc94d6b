"""Retraining on this machine: the local runner as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from serving.retrain.starters import Order, RunState, StartFailed

_PROCESS = "process.json"
_GRACE_S = 10.0


class LocalStarter:
    """Runs `python -m pipelines run ...`, one folder a retraining, without a shell.

    The process leads a group of its own, so that its steps end with it. When this service is stopped in good order,
    the retraining is ended too; when it is killed, the retraining goes on and is found again by its process number
    and the time that the process began.

    Args:
        folder: where the runs' folders are made.
        hidden: environment variables that the pipeline must not see, such as the bearer token's.
        command: what runs a pipeline; the project's local runner.
    """

    def __init__(
        self,
        folder: Path,
        *,
        hidden: Collection[str] = (),
        command: tuple[str, ...] = (sys.executable, "-m", "pipelines"),
    ):
        self._folder = folder.absolute()
        self._command = command
        self._hidden = frozenset(hidden)
        self._own: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: set[str] = set()

    def start(self, order: Order) -> str:
        """Start a process; its run id is the order's name. Errors as in `Starter`."""
        if self.find(order.name) is not None:
            return order.name
        folder = self._folder / order.name
        command = [*self._command, "run", order.pipeline]
        command += [f"{name}={value}" for name, value in sorted(order.parameters.items())]
        command += ["--out", str(folder / "run")]
        environment = {name: value for name, value in os.environ.items() if name not in self._hidden}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "output.log").open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - a list of words, from the settings
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise StartFailed(order.name, f"{type(error).__name__}: {error.strerror}") from None
        identity = {"pid": process.pid, "began": _began(process.pid), "command": command}
        try:
            (folder / _PROCESS).write_text(json.dumps(identity, indent=2))
        except OSError as error:
            _end(process)  # nobody would find it again
            raise StartFailed(order.name, f"{type(error).__name__}: {error.strerror}") from None
        self._own[order.name] = process
        return order.name

    def find(self, name: str) -> str | None:
        """The order's name, if a process was started for it."""
        return name if (self._folder / name / _PROCESS).exists() else None

    def state(self, run_id: str) -> RunState:
        """Whether the process runs, and with what exit status it ended; `LOST` where another parent saw its end."""
        process = self._own.get(run_id)
        if process is None:
            return self._of_another_parent(run_id)
        match process.poll():
            case None:
                return RunState.RUNNING
            case 0:
                return RunState.SUCCEEDED
            case _:
                return RunState.STOPPED if run_id in self._stopped else RunState.FAILED

    def close(self) -> None:
        """End the retrainings that this process started."""
        for run_id, process in self._own.items():
            if process.poll() is None:
                self._stopped.add(run_id)
                _end(process)

    def _of_another_parent(self, run_id: str) -> RunState:
        try:
            identity = json.loads((self._folder / run_id / _PROCESS).read_bytes())
            began, noted = _began(int(identity["pid"])), identity["began"]
        except (OSError, ValueError, KeyError, TypeError):
            return RunState.LOST
        return RunState.RUNNING if began is not None and began == noted else RunState.LOST


def _began(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine's start; None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, began = fields[0], fields[19]
    return None if state == "Z" else int(began)


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
