"""The demonstration: packets recorded, models trained and judged, the champion served by KServe and attacked."""

import json
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from pipelines.local import LocalRun, run, with_local_defaults
from pipelines.web_attacks import pipeline
from secmlops.errors import SecmlopsError
from secmlops.release import TRUSTED_KEY
from secmlops.web_attacks import jsonl, lab, mutations, readers
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest

MODEL = "web-attacks"
READY_WITHIN_S = 120
BATCH = 32
FRESH_NORMAL = 400
FRESH_ATTACKS = 150
MUTATION_ROUNDS = 4
UNSEEN_SEED = 7_001
MARKER = ".secmlops-demo"


class FolderInUse(SecmlopsError):
    """A folder that holds something that no demonstration made.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        super().__init__(f"{folder} holds files of yours and would be emptied: name another folder, or remove it first")


class ServerFailed(SecmlopsError):
    """The model server did not become ready.

    Attributes:
        log: its log.
    """

    def __init__(self, log: Path):
        self.log = log
        super().__init__(f"the model server did not become ready within {READY_WITHIN_S} s: see {log}")


@dataclass(frozen=True, slots=True)
class Sent:
    """One kind of traffic and what the server said of it."""

    kind: str
    requests: Sequence[HttpRequest]
    expected: str
    answers: Sequence[dict[str, object]]

    @property
    def flagged(self) -> int:
        """How many the server called attacks."""
        return sum(answer["verdict"] == "attack" for answer in self.answers)


def show(folder: Path, *, normal: int, attacks: int, seed: int) -> None:
    """Run the demonstration in a folder, which is made anew.

    Raises:
        FolderInUse: the folder holds something else than an earlier demonstration; nothing is removed.
        MissingKey, InvalidKey: see `with_local_defaults`.
        PipelineFailed: the pipeline did not succeed.
        ServerFailed: the server did not become ready.
    """
    console = Console(file=sys.stdout)  # bound now: the run redirects standard output
    make_anew(folder)
    console.rule("[bold]1. From packets to a signed model[/]", align="left")
    chosen = with_local_defaults(pipeline, {"normal": normal, "attacks": attacks, "seed": seed}, folder)
    finished = run(pipeline, chosen, folder, console=console)
    bundle = finished.outputs["publish-bundle"]["Output"]
    console.print(f"pipeline finished in {finished.seconds:.0f} s", highlight=False)

    console.rule("[bold]2. The signed model behind KServe[/]", align="left")
    traffic = _fresh_traffic(folder / "fresh.pcap")
    with _served(Path(bundle), folder / "server.log") as address:
        console.print(f"ready at {address}, V1 and V2", highlight=False)
        with httpx.Client(base_url=address, timeout=60) as client:
            results = [Sent(kind, sent, expected, _ask(client, sent)) for kind, sent, expected in traffic]
            metrics = client.get("/metrics").text
    _print_results(console, results)
    counted = [line for line in metrics.splitlines() if line.startswith("secmlops_web_attacks_verdicts_total")]
    console.print(f"{len(counted)} verdict counters at /metrics", highlight=False)
    _print_paths(console, finished, bundle)


def make_anew(folder: Path) -> None:
    """Make the folder of a demonstration, or empty that of an earlier one.

    Raises:
        FolderInUse: it holds anything else.
    """
    if folder.exists() and not (folder / MARKER).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderInUse(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def _fresh_traffic(capture: Path) -> list[tuple[str, list[HttpRequest], str]]:
    """Traffic of another seed than the one trained on, and its attacks mutated."""
    lab.record(capture, normal=FRESH_NORMAL, attacks=FRESH_ATTACKS, seed=UNSEEN_SEED)
    records: list[LabelledRequest] = list(lab.labelled(readers.read(capture), lab.labels_path(capture)))
    rng = random.Random(UNSEEN_SEED)
    plain = [r for r in records if not r.is_attack and "suspicious_benign" not in r.tags]
    suspicious = [r for r in records if not r.is_attack and "suspicious_benign" in r.tags]
    hostile = [r for r in records if r.is_attack]
    mutated = [mutations.mutate_request(r.request, r.attack_class, rng, MUTATION_ROUNDS) for r in hostile]
    return [
        ("visitors", [r.request for r in plain], "normal"),
        ("visitors whose text looks suspicious", [r.request for r in suspicious], "normal"),
        ("attacks", [r.request for r in hostile], "attack"),
        ("the same attacks, mutated", mutated, "attack"),
    ]


@contextmanager
def _served(bundle: Path, log_path: Path) -> Iterator[str]:
    """A KServe server process on free ports of loopback, stopped at the end; it trusts the key in the environment."""
    http_port, grpc_port = _free_port(), _free_port()
    command = [sys.executable, "-m", "serving.web_attacks", "--model_name", MODEL, "--model_dir", str(bundle)]
    command += ["--trusted_key", TRUSTED_KEY, "--http_port", str(http_port), "--grpc_port", str(grpc_port)]
    with log_path.open("wb") as log:
        server = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            address = f"http://127.0.0.1:{http_port}"
            _wait_until_ready(server, address, log_path)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{address}/v2/models/{MODEL}/ready", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise ServerFailed(log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _ask(client: httpx.Client, requests: Sequence[HttpRequest]) -> list[dict[str, object]]:
    """Score requests through the Open Inference Protocol (V2) in batches."""
    answers: list[dict[str, object]] = []
    for start in range(0, len(requests), BATCH):
        data = [json.dumps(jsonl.to_json(request)) for request in requests[start : start + BATCH]]
        tensor = {"name": "requests", "datatype": "BYTES", "shape": [len(data)], "data": data}
        reply = client.post(f"/v2/models/{MODEL}/infer", json={"inputs": [tensor]}).raise_for_status().json()
        columns = {output["name"]: output["data"] for output in reply["outputs"]}
        answers += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return answers


def _print_results(console: Console, results: Sequence[Sent]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("traffic")
    for column in ("sent", "called attack", "share"):
        table.add_column(column, justify="right")
    for result in results:
        share = f"{result.flagged / len(result.answers):.1%}" if result.answers else "-"
        table.add_row(result.kind, f"{len(result.answers):,}", f"{result.flagged:,}", share)
    console.print(table)
    for result in results:
        said = next((answer for answer in result.answers if answer["verdict"] == "attack"), None)
        if said and result.expected == "attack":
            example = f"{said['attack_class']} in {said['part']}: {said['evidence']}"
            console.print(f"e.g. {example}", highlight=False, markup=False, no_wrap=True, overflow="ellipsis")


def _print_paths(console: Console, finished: LocalRun, bundle: str) -> None:
    console.rule("[bold]3. To look at[/]", align="left")
    paths = {f"report of {step}": str(path) for step, path in finished.reports.items()}
    paths |= {"signed bundle": bundle, "whole log": str(finished.log)}
    for name, path in paths.items():
        console.print(f"{name:<28} {path}", highlight=False, markup=False, soft_wrap=True)
    console.print("serve it again: make serve", highlight=False)
