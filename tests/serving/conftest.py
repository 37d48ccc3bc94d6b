"""A signed bundle with a small model in it, and a server process that serves it."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from secmlops.bundle import Material, Provenance, assemble, bytes_digest, keygen, model_digest, sign
from secmlops.lifecycle.gate import Verdict, judge
from secmlops.lifecycle.policy import Policy, Requirement
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.training import train

NAME = "web-attacks"
_WORDS = ("red", "blue", "green", "shirt", "shoe", "hat", "summer", "winter", "sale", "large", "cotton", "wool", "list")
_ATTACKS = {
    "sqli": [
        "1' OR '1'='1",
        "1 UNION SELECT user,password FROM users--",
        "'; DROP TABLE orders;--",
        "1' AND SLEEP(5)#",
    ],
    "xss": ["<script>alert(1)</script>", "<img src=x onerror=alert(2)>", '"><svg onload=alert(3)>'],
    "path_traversal": ["../../../../etc/passwd", "..%2f..%2f..%2fetc/shadow", "....//....//boot.ini"],
}


def tiny_records(seed: int, count: int) -> list[LabelledRequest]:
    """`count` normal requests and as many attacks, over four sites."""
    rng = random.Random(seed)
    records = []
    for i in range(count):
        words = " ".join(rng.sample(_WORDS, 3))
        site = f"shop{i % 4}.example"
        normal = HttpRequest("GET", f"/search?q={words.replace(' ', '+')}&page={rng.randint(1, 99)}", host=site)
        records.append(LabelledRequest(normal, "normal", site=site))
        kind = rng.choice(list(_ATTACKS))
        payload = rng.choice(_ATTACKS[kind]).replace("1", str(rng.randint(1, 999)))
        attack = HttpRequest("GET", f"/search?q={rng.choice(_WORDS)}{payload.replace(' ', '+')}", host=site)
        records.append(LabelledRequest(attack, "attack", kind, site=site))
    return records


def policy() -> Policy:
    requirement = Requirement(
        metric="recall", at_least=0.5, why="attacks must be seen", risk="attacks pass unseen", mitigation="AML.M0008"
    )
    return Policy(
        name="tiny",
        version="1.0.0",
        use_case="web_attacks",
        operating_point={"max_false_positive_rate": 0.05},
        requirements=[requirement],
    )


@dataclass(frozen=True)
class Workshop:
    """Where bundles are made: a trained model folder, a key pair, and the keys' owner."""

    model: Path
    private_key: Path
    trusted_key: Path

    def verdict(self, recall: float = 0.9, model: Path | None = None) -> Verdict:
        return judge(policy(), {"recall": recall}, model_digest(model or self.model))

    def make(self, out: Path, verdict: Verdict | None = None, model: Path | None = None) -> Path:
        provenance = Provenance(
            invocation_id="test", parameters={}, materials=(Material(name="train", digest=bytes_digest(b"tiny")),)
        )
        assemble(model or self.model, out, verdict=verdict or self.verdict(model=model), provenance=provenance)
        sign(out, self.private_key)
        return out


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    config = SvmConfig(bits=14, mutate=0, background=0, rounds=1, folds=2, windows=(24,))
    train(tiny_records(1, 120), tiny_records(2, 60), folder / "model", config, max_false_positive_rate=0.05)
    private_key, trusted_key = keygen(folder / "signing")
    return Workshop(folder / "model", private_key, trusted_key)


@pytest.fixture(scope="session")
def bundle(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workshop.make(tmp_path_factory.mktemp("bundles") / "good")


@pytest.fixture
def bundle_copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


@dataclass
class ServerProcess:
    """A running server: its ports and what it has written so far."""

    process: subprocess.Popen
    log: Path
    name: str
    http_port: int = 0
    grpc_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def is_ready(self) -> bool:
        return httpx.get(f"{self.url}/v2/models/{self.name}/ready").status_code == 200

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


_LISTENING = re.compile(r"listening on 127\.0\.0\.1: http (\d+), grpc (\d+)")
StartServer = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start `python -m serving.<use case>` on free ports; whatever was started is stopped at the end."""
    started: list[ServerProcess] = []

    def start(bundle: Path, trusted_key: Path, *flags: str, name: str = NAME) -> ServerProcess:
        log = tmp_path_factory.mktemp("server") / "log.txt"
        command = [
            sys.executable,
            "-m",
            f"serving.{name.replace('-', '_')}",
            "--host=127.0.0.1",
            "--http_port=0",
            "--grpc_port=0",
        ]
        command += [f"--model_name={name}", f"--model_dir={bundle}", f"--trusted_key={trusted_key}", *flags]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with log.open("wb") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)
        server = ServerProcess(process, log, name)
        started.append(server)
        while not (found := _LISTENING.search(server.log_text)):
            assert process.poll() is None, server.log_text
            time.sleep(0.05)
        server.http_port, server.grpc_port = int(found[1]), int(found[2])
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait(30)
