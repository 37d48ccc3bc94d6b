"""How much of an empty KServe model's throughput is left when every request is really read and scored.

Three server processes answer the same V2 REST batches of 32 over loopback, one after the other, in many short rounds:
ours with a signed svm; an empty `kserve.Model`, which answers nothing, behind our own guarded server; and the same
behind KServe's own server. The requests are full browser requests and attacks (open-appsec where the public data is
here, generated ones otherwise), in four workloads:

- `never seen`: every request is new, to servers just started;
- `as recorded`: in the order of the file, to servers just started; of open-appsec's every fifth request is new;
- `recorded, again`: the same batches once more, so that every request is remembered;
- `one batch`: the first of them again and again, as load generators do.

The bound holds for the last two. An empty batch takes about a third of a millisecond, and .6 of its rate leaves some
7 us a request: enough to read, look up and answer, while the classification of a request that was not seen yet may
take 500 us (`classification_cost`). The first two are told without a bound: they show what new requests cost.

    python -m benchmarks.serving_throughput
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.data import data_root
from benchmarks.report import Row, print_rows

BATCH = 32
ROUNDS = 12
BATCHES_PER_ROUND = 100
CONNECTIONS = 4
BOUND = 0.6
NAME = "web-attacks"
_LISTENING = re.compile(r"listening on 127\.0\.0\.1: http (\d+)|Uvicorn running on http://0\.0\.0\.0:(\d+)")


def recorded_objects() -> tuple[list[dict], str]:
    """Labelled request objects in recorded order, and where they come from."""
    root = data_root()
    if root is not None:
        source = root / "http" / "openappsec.jsonl.gz"
        with gzip.open(source) as lines:
            return [json.loads(line) for line in lines], "open-appsec"
    return list(_generated(20_000)), "generated"


def measure() -> list[Row]:
    """Measure all servers; one row per workload and peer."""
    from secmlops.web_attacks.jsonl import labelled_from_json

    objects, origin = recorded_objects()
    records = [labelled_from_json(item) for item in objects]
    wires = [record.request.to_wire() for record in records]
    recorded = list(_slices(wires))
    one_batch = [recorded[0][:1] * BATCHES_PER_ROUND] * ROUNDS
    sittings = [
        [_Workload("never seen", list(_slices(_distinct(wires))), bounded=False)],
        [
            _Workload("as recorded", recorded, bounded=False),
            _Workload("recorded, again", recorded, bounded=True),
            _Workload("one batch", one_batch, bounded=True),
        ],
    ]
    with tempfile.TemporaryDirectory() as folder:
        bundle, key = _make_bundle(records, Path(folder))
        servers = {
            "ours": ["-m", "serving.web_attacks", f"--model_dir={bundle}", f"--trusted_key={key}", "--host=127.0.0.1"],
            "empty kserve.Model behind our server": ["-m", "benchmarks.serving_throughput", "--empty=guarded"],
            "empty kserve.Model behind KServe's server": ["-m", "benchmarks.serving_throughput", "--empty=kserve"],
        }
        return [row for workloads in sittings for row in _sitting(origin, servers, workloads)]


@dataclass(frozen=True, slots=True)
class _Workload:
    """Messages by round, and whether the bound holds for them."""

    name: str
    rounds: Sequence[Sequence[bytes]]
    bounded: bool


def _sitting(origin: str, servers: dict[str, list[str]], workloads: Sequence[_Workload]) -> Iterator[Row]:
    """The rows of workloads that follow each other on servers just started."""
    with ExitStack() as running:
        ports = {name: running.enter_context(_server(command)) for name, command in servers.items()}
        for workload in workloads:
            yield from _rows(origin, ports, workload)


def _rows(origin: str, ports: dict[str, int], workload: _Workload) -> Iterator[Row]:
    figures: dict[str, list[float]] = {name: [] for name in ports}
    for messages in workload.rounds:
        for name, port in ports.items():
            figures[name].append(len(messages) / asyncio.run(_drive(port, messages)))
    ours = figures.pop("ours")
    for peer, theirs in figures.items():
        ratio = median(our / their for our, their in zip(ours, theirs, strict=True))
        yield Row(
            claim=f"V2 batches of {BATCH} per second ({origin}, {workload.name})",
            ours=f"{median(ours):.0f}",
            peer=f"{peer}: {median(theirs):.0f}",
            ratio=f"{ratio:.2f}",
            bound=f">= {BOUND:g}" if workload.bounded else "",
            met=ratio >= BOUND if workload.bounded else None,
        )


def _slices(wires: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The messages of each round: consecutive stretches of the requests."""
    count = min(BATCHES_PER_ROUND, len(wires) // BATCH // ROUNDS)
    for start in range(0, ROUNDS * count, count):
        yield [_message(wires[batch * BATCH : (batch + 1) * BATCH]) for batch in range(start, start + count)]


def _message(wires: Sequence[bytes]) -> bytes:
    elements = [wire.decode("latin-1") for wire in wires]
    tensor = {"name": "requests", "shape": [len(elements)], "datatype": "BYTES", "data": elements}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/{NAME}/infer HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def _drive(port: int, messages: Sequence[bytes]) -> float:
    """Send all messages over a few connections; returns the seconds taken."""
    queue = iter(messages)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for message in queue:
            writer.write(message)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(f"the server refused a batch: {head.decode('latin-1')}")
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]))  # type: ignore[index]
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return time.perf_counter() - start


@contextmanager
def _server(arguments: list[str]) -> Iterator[int]:
    command = [sys.executable, *arguments, f"--model_name={NAME}", "--http_port=0", "--enable_grpc=false"]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            while not (found := _LISTENING.search(text := Path(log.name).read_text(errors="replace"))):
                if process.poll() is not None:
                    raise RuntimeError(f"the server did not start: {text[-2000:]}")
                time.sleep(0.05)
            yield int(found[1] or found[2])
        finally:
            process.terminate()
            process.wait(30)


def _make_bundle(records: Sequence, folder: Path) -> tuple[Path, Path]:
    """Train the svm on a few thousand requests, in its usual shape, and sign it under a policy that it meets."""
    from secmlops.bundle import Material, Provenance, assemble, bytes_digest, keygen, model_digest, sign
    from secmlops.lifecycle.gate import judge
    from secmlops.lifecycle.policy import Policy, Requirement
    from secmlops.web_attacks.svm.config import SvmConfig
    from secmlops.web_attacks.svm.training import train

    chosen = random.Random(0).sample(list(records), min(4_000, len(records)))
    config = SvmConfig(background=0, mutate=0, rounds=1)
    metrics = train(chosen[1_000:], chosen[:1_000], folder / "model", config, max_false_positive_rate=0.01)
    requirement = Requirement(
        metric="held_out_fpr", at_most=1.0, why="only speed is measured", risk="none", mitigation="AML.M0008"
    )
    policy = Policy(
        name="throughput",
        version="1.0.0",
        use_case="web_attacks",
        operating_point={"max_false_positive_rate": 0.01},
        requirements=[requirement],
    )
    provenance = Provenance(
        invocation_id="benchmark", parameters={}, materials=(Material(name="train", digest=bytes_digest(b"benchmark")),)
    )
    private_key, trusted_key = keygen(folder / "key")
    verdict = judge(policy, metrics, model_digest(folder / "model"))
    bundle = assemble(folder / "model", folder / "bundle", verdict=verdict, provenance=provenance)
    sign(bundle, private_key)
    return bundle, trusted_key


def _distinct(wires: Sequence[bytes]) -> list[bytes]:
    distinct = list(dict.fromkeys(wires))
    random.Random(1).shuffle(distinct)
    return distinct


def _generated(count: int) -> Iterator[dict]:
    rng = random.Random(2)
    words = ("red", "blue", "green", "shirt", "shoe", "hat", "summer", "winter", "sale", "large", "cotton", "list")
    for number in range(count):
        attack = number % 10 == 0
        query = f"' OR {number}={number} UNION SELECT name FROM users--" if attack else " ".join(rng.sample(words, 3))
        yield {
            "label": "attack" if attack else "normal",
            "source": "sqli" if attack else f"shop{number % 5}",
            "method": "GET",
            "url": f"/search?q={query.replace(' ', '+')}&page={number}",
            "headers": {
                "Host": f"shop{number % 5}.example",
                "User-Agent": f"Mozilla/5.0 (X11; Linux x86_64; rv:{rng.randint(90, 140)}.0) Gecko/20100101",
                "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                "Cookie": f"session={rng.getrandbits(128):032x}; theme=dark",
            },
        }


def _serve_empty(kind: str) -> None:
    import kserve
    from kserve import InferResponse

    class Empty(kserve.Model):
        """Reads nothing and answers nothing."""

        def predict(self, payload: kserve.InferRequest, *_: object) -> InferResponse:
            return InferResponse(response_id="0", model_name=self.name, infer_outputs=[])

    model = Empty(NAME)
    model.ready = True
    settings: dict[str, Any] = {"http_port": 0, "enable_grpc": False}
    if kind == "kserve":
        kserve.ModelServer(workers=1, **settings).start([model])
        return
    from serving.limits import Limits
    from serving.server import GuardedServer

    GuardedServer("127.0.0.1", Limits(), lambda refusal: None, **settings).start([model])


def main() -> bool:
    """Print the table; returns whether every bound was met."""
    return print_rows("Serving throughput", measure())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--empty", choices=["guarded", "kserve"], help="be one of the peers' server processes")
    flags, _ = parser.parse_known_args()
    if flags.empty:
        _serve_empty(flags.empty)
    else:
        sys.exit(not main())
