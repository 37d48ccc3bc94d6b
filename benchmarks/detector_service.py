"""The drift service under load: acknowledgements while windows are tested, nothing lost uncounted, memory flat.

A second process sends CloudEvents as KServe's payload logger does, at a fixed rate over a few connections, each with
one digit of 8 by 8 pixels (V2 JSON): as many as asked for, or as many as this machine lets it make. The service tests
every full window with MMD (reference 2,000, window 500, 100 permutations) in a process of its own. The time of an
acknowledgement runs from the moment when the event was due, so a sender that falls behind does not hide a wait. Beside
it stands the share of the time in which a window was being tested: where that is far above 1 %, a p99 cannot hide it.

The peer of the work is the detector itself, called directly on the same windows in this process: what the judging
process needs for a window, its share of reading and joining included, over that. Both are processor seconds, as the
kernel counts them, so that what else runs on the machine takes no part.

    python -m benchmarks.detector_service [--rate 2000] [--seconds 60]
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import Row, at_most, print_rows

NAME = "digits-drift"
REFERENCE = 2_000
WINDOW = 500
PERMUTATIONS = 100
CONNECTIONS = 8
ACKNOWLEDGED_S = 0.050
WORK_BOUND = 1.2
GROWTH_BOUND = 1.10
DISTINCT = 2_000
_LISTENING = re.compile(r"listening on 127\.0\.0\.1: http (\d+)")


@dataclass(frozen=True)
class Sent:
    """What the sender saw.

    Attributes:
        waits: (n,): seconds from when each event was due to its acknowledgement.
        statuses: acknowledgements by HTTP status.
        seconds: from the first event to the last acknowledgement.
    """

    waits: np.ndarray
    statuses: dict[int, int]
    seconds: float


@dataclass(frozen=True)
class Server:
    """The running service."""

    port: int
    pid: int

    @property
    def worker(self) -> int:
        """The process that judges."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])

    def metrics(self) -> dict[str, float]:
        """Its series."""
        import httpx

        lines = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text.splitlines()
        pairs = (line.rpartition(" ")[::2] for line in lines if line.startswith("secmlops_detector_"))
        return {series: float(value) for series, value in pairs}


def measure(rate: int, seconds: int) -> list[Row]:
    """Run the service under load; returns the rows."""
    from secmlops.detectors.config import MmdConfig
    from secmlops.detectors.opening import open_detector

    rows = _digits(REFERENCE)
    detector = open_detector(MmdConfig(n_permutations=PERMUTATIONS), rows, "native")
    with tempfile.TemporaryDirectory() as folder:
        bundle, key = _bundle(detector, Path(folder))
        with _server(bundle, key, Path(folder)) as server:
            _send(server.port, rate, 3, first=0)  # imports, caches, buffers
            _drained(server)
            before, memory, cpu = server.metrics(), _memory(server), _cpu_s(server.worker)
            sent = _send(server.port, rate, seconds, first=1_000_000_000)
            _drained(server)
            after, grown, used = server.metrics(), _memory(server), _cpu_s(server.worker) - cpu
        direct = _direct_cpu_s(detector)
    return list(_rows(rate, sent, before, after, direct, used, (memory, grown)))


def _rows(
    rate: int,
    sent: Sent,
    before: dict[str, float],
    after: dict[str, float],
    direct_s: float,
    used_s: float,
    memory: tuple[float, float],
) -> Iterator[Row]:
    def change(name: str, **labels: str) -> float:
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value - before.get(series, 0.0)
            for series, value in after.items()
            if series.partition("{")[0] == f"secmlops_detector_{name}" and all(label in series for label in wanted)
        )

    count, windows = len(sent.waits), change("windows_total")
    testing = change("window_seconds_sum")
    mode = f"{count / sent.seconds:.0f} of {rate} events a second asked for, {sent.seconds:.0f} s, one sender process"
    waits = sent.waits
    yield at_most(
        f"p99 acknowledgement, s ({mode}; p50 {np.quantile(waits, 0.5):.4f}, largest {waits.max():.4f})",
        float(np.quantile(waits, 0.99)),
        ACKNOWLEDGED_S,
        peer=f"{windows:.0f} windows were tested for {testing / sent.seconds:.0%} of the time",
    )
    lost = count - change("events_total")
    by_result = {r: int(change("events_total", result=r)) for r in ("used", "dropped", "malformed", "duplicate")}
    yield at_most(
        f"events lost without being counted ({by_result}, statuses {sent.statuses})",
        float(abs(lost) + count - sent.statuses.get(200, 0)),
        0,
        peer=f"sent: {count}",
        digits=0,
    )
    yield at_most(
        "memory after over before, both processes",
        memory[1] / memory[0],
        GROWTH_BOUND,
        peer=f"before: {memory[0] / 2**20:.0f} MiB",
        ratio=f"{memory[1] / memory[0]:.3f}",
        digits=3,
    )
    work = used_s / windows if windows else float("inf")
    yield at_most(
        f"judging process, CPU s a window of {WINDOW} events over the detector's ({work:.4f})",
        work / direct_s,
        WORK_BOUND,
        peer=f"the detector called directly: {direct_s:.4f}",
        ratio=f"{work / direct_s:.2f}",
        digits=2,
    )


def _digits(count: int) -> np.ndarray:
    """Digits with a little noise, so that none comes twice; float32 (n, 1, 8, 8)."""
    from secmlops.digits.data import load_digits

    generator = np.random.default_rng(0)
    images = load_digits().train.images
    chosen = images[generator.integers(len(images), size=count)]
    return np.clip(chosen + 0.02 * generator.standard_normal(chosen.shape), 0, 1).astype(np.float32)


def _direct_cpu_s(detector: Any) -> float:
    """Median processor seconds of one call on a window."""
    windows = _digits(11 * WINDOW).reshape(11, WINDOW, 1, 8, 8)
    found = []
    for window in windows:
        began = time.process_time()
        detector.predict(window)
        found.append(time.process_time() - began)
    return median(found[1:])


def _bundle(detector: Any, folder: Path) -> tuple[Path, Path]:
    from secmlops.bundle import Material, Provenance, assemble, bytes_digest, keygen, model_digest, sign
    from secmlops.detectors.storage import save_detector
    from secmlops.lifecycle.gate import judge
    from secmlops.lifecycle.policy import Policy, Requirement

    save_detector(detector, folder / "model", card={"watches": "digits", "image_shape": [1, 8, 8]})
    requirement = Requirement(metric="m", at_least=0, why="only speed is measured", risk="none", mitigation="AML.M0008")
    policy = Policy(
        name="load", version="1.0.0", use_case="digits", operating_point={"p": 0.05}, requirements=[requirement]
    )
    provenance = Provenance(
        invocation_id="benchmark", parameters={}, materials=(Material(name="train", digest=bytes_digest(b"benchmark")),)
    )
    verdict = judge(policy, {"m": 1.0}, model_digest(folder / "model"))
    bundle = assemble(folder / "model", folder / "bundle", verdict=verdict, provenance=provenance)
    private_key, trusted_key = keygen(folder / "key")
    sign(bundle, private_key)
    return bundle, trusted_key


@contextmanager
def _server(bundle: Path, key: Path, folder: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "serving.detectors.drift", f"--model_dir={bundle}", f"--trusted_key={key}"]
    command += [f"--model_name={NAME}", "--http_port=0", "--enable_grpc=false", "--host=127.0.0.1"]
    command += [f"--window_rows={WINDOW}", f"--state_dir={folder / 'state'}"]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            while "judging for" not in (text := Path(log.name).read_text(errors="replace")):
                if process.poll() is not None or "is not ready" in text:
                    raise RuntimeError(f"the service did not start: {text[-2000:]}")
                time.sleep(0.05)
            yield Server(int(_LISTENING.search(text)[1]), process.pid)  # type: ignore[index]
        finally:
            process.terminate()
            process.wait(30)


def _drained(server: Server) -> None:
    """Wait until everything that was acknowledged is done with."""
    until = time.monotonic() + 120
    while server.metrics().get(f'secmlops_detector_queue_depth{{detector="{NAME}"}}', 0):
        if time.monotonic() > until:
            raise RuntimeError("the service does not come to an end with its queue")
        time.sleep(0.2)
    time.sleep(1)


def _memory(server: Server) -> float:
    return float(sum(_resident_bytes(pid) for pid in (server.pid, server.worker)))


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_s(pid: int) -> float:
    """Processor seconds that a process has used; the threads of it count."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _send(port: int, rate: int, seconds: int, *, first: int) -> Sent:
    """Run the sender, a process of its own."""
    command = [sys.executable, "-m", "benchmarks.detector_service", "--send", str(port)]
    command += [f"--rate={rate}", f"--seconds={seconds}", f"--first={first}"]
    with tempfile.NamedTemporaryFile(suffix=".npy") as waits:
        done = subprocess.run([*command, f"--waits={waits.name}"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the sender failed: {done.stderr[-2000:]}")
        told = json.loads(done.stdout)
        statuses = {int(status): count for status, count in told["statuses"].items()}
        return Sent(np.load(waits.name, allow_pickle=False), statuses, told["seconds"])


async def _drive(port: int, rate: int, seconds: int, first: int) -> Sent:
    """Send events when they are due, each over the next free connection."""
    bodies = [
        json.dumps({"inputs": [{"name": "images", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": data}]}).encode()
        for data in _digits(DISTINCT).reshape(DISTINCT, -1).round(4).astype(float).tolist()
    ]
    head = (
        f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nhost: sink\r\ncontent-type: application/json\r\n"
        "ce-specversion: 1.0\r\nce-type: org.kubeflow.serving.inference.request\r\nce-source: http://localhost:9081/\r\n"
        "ce-inferenceservicename: digits\r\nce-namespace: shop\r\nce-component: predictor\r\n"
    )
    count = rate * seconds
    statuses: dict[int, int] = {}
    waits = np.zeros(count)
    numbers = iter(range(count))
    began = time.perf_counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = number / rate
            if (early := due - (time.perf_counter() - began)) > 0:
                await asyncio.sleep(early)
            body = bodies[number % DISTINCT]
            writer.write(f"{head}ce-id: {first + number}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]))  # type: ignore[index]
            status = int(answer[9:12])
            statuses[status] = statuses.get(status, 0) + 1
            waits[number] = time.perf_counter() - began - due
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return Sent(waits, statuses, time.perf_counter() - began)


def main(rate: int = 2_000, seconds: int = 60) -> bool:
    """Print the table; returns whether every bound was met."""
    return print_rows("The drift service under load", measure(rate, seconds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=2_000, help="events a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--send", type=int, metavar="PORT", help="be the sender's process")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--waits", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.send:
        sent = asyncio.run(_drive(flags.send, flags.rate, flags.seconds, flags.first))
        np.save(flags.waits, sent.waits)
        print(json.dumps({"statuses": sent.statuses, "seconds": sent.seconds}))
    else:
        sys.exit(not main(flags.rate, flags.seconds))
