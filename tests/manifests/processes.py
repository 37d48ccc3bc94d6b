"""Prometheus and Alertmanager as processes of a test: started on free ports of loopback, and ended by it."""

import os
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

_PACKAGES = "install the Debian packages prometheus and prometheus-alertmanager"
_READY_WITHIN_S = 30


def program(*names: str) -> str:
    """The path of a program under one of its names; skips, and warns, where it is not installed."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        reason = f"{names[0]} is not installed, so alert rules and dashboards are NOT tested: {_PACKAGES}"
        warnings.warn(reason, stacklevel=2)
        pytest.skip(reason)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def prometheus(config: Path, folder: Path) -> Iterator[str]:
    """A Prometheus with this configuration; gives its address."""
    port = free_port()
    flags = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=warn"]
    with _running([program("prometheus"), *flags], port, "--web.listen-address", folder / "prometheus.log") as address:
        yield address


@contextmanager
def alertmanager(config: Path, folder: Path) -> Iterator[str]:
    """An Alertmanager with this configuration, alone; gives its address."""
    port = free_port()
    flags = [f"--config.file={config}", f"--storage.path={folder / 'alerts'}", "--cluster.listen-address="]
    command = [program("prometheus-alertmanager", "alertmanager"), *flags]
    with _running(command, port, "--web.listen-address", folder / "alertmanager.log") as address:
        yield address


@contextmanager
def _running(command: list[str], port: int, flag: str, log_path: Path) -> Iterator[str]:
    address = f"127.0.0.1:{port}"
    environment = os.environ | {"GOMAXPROCS": "1"}
    with log_path.open("wb") as log:
        process = subprocess.Popen([*command, f"{flag}={address}"], stdout=log, stderr=log, env=environment)
    try:
        _wait(process, f"http://{address}/-/ready", log_path)
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    with httpx.Client(timeout=2) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text(errors="replace")
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"not ready: {log.read_text(errors='replace')}")
