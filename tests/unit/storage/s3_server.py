"""A real S3 server on loopback: rclone over a temporary folder, SigV4 with its own keys."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret-of-this-process"
START_TIMEOUT_S = 30


@dataclass(frozen=True)
class S3Server:
    endpoint: str

    def environment(self) -> dict[str, str]:
        return {
            "AWS_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }


def rclone_program() -> str | None:
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if beside.is_file() else shutil.which("rclone")


@contextmanager
def serve_s3(folder: Path) -> Iterator[S3Server]:
    program = rclone_program()
    assert program, "rclone is absent: install the dev extra"
    port = _free_port()
    (folder / "buckets").mkdir(parents=True)
    with (folder / "rclone.log").open("wb") as log:
        command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
        options = ["--config", str(folder / "rclone.conf")]
        process = subprocess.Popen([*command, *options, str(folder / "buckets")], stdout=log, stderr=log)
        try:
            _wait_for(process, port, folder / "rclone.log")
            yield S3Server(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(process: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"rclone did not start: {log.read_text(errors='replace')[-500:]}")
