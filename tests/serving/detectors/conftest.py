"""Signed detector bundles, their services as processes, and events as KServe's payload logger sends them."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from secmlops.bundle import Material, Provenance, assemble, bytes_digest, keygen, model_digest, sign
from secmlops.detectors.storage import save_detector
from secmlops.digits.data import load_digits
from secmlops.digits.model import ModelConfig, read_model, write_model
from secmlops.lifecycle.gate import judge
from secmlops.lifecycle.policy import Policy, Requirement
from secmlops.robustness.classifiers import ClassifierConfig, build_classifier
from secmlops.robustness.networks import NetworkConfig
from tests.serving.conftest import ServerProcess

SHAPE = (1, 8, 8)
NAMESPACE, SERVICE = "shop", "digits"
EVENT_TYPE = "org.kubeflow.serving.inference"


def policy(use_case: str) -> Policy:
    requirement = Requirement(metric="m", at_least=0.5, why="a test", risk="none", mitigation="AML.M0008")
    return Policy(
        name="tiny", version="1.0.0", use_case=use_case, operating_point={"p": 0.05}, requirements=[requirement]
    )


@dataclass(frozen=True)
class Foundry:
    """Where bundles are made and signed."""

    folder: Path
    private_key: Path
    trusted_key: Path

    def sign(self, model: Path, name: str, use_case: str) -> Path:
        """Judge and sign a model folder."""
        out = self.folder / name
        provenance = Provenance(
            invocation_id="test", parameters={}, materials=(Material(name="train", digest=bytes_digest(b"tiny")),)
        )
        assemble(model, out, verdict=judge(policy(use_case), {"m": 0.9}, model_digest(model)), provenance=provenance)
        sign(out, self.private_key)
        return out

    def detector(self, name: str, detector: Any, *, use_case: str = "digits", **card: Any) -> Path:
        """Sign a detector."""
        save_detector(detector, self.folder / f"{name}-model", card={"watches": use_case, **card})
        return self.sign(self.folder / f"{name}-model", name, use_case)


@pytest.fixture(scope="session")
def foundry(tmp_path_factory: pytest.TempPathFactory) -> Foundry:
    folder = tmp_path_factory.mktemp("foundry")
    return Foundry(folder, *keygen(folder / "key"))


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Real digits, float32 (n, 1, 8, 8)."""
    return load_digits().train.images


@pytest.fixture(scope="session")
def digits_model(foundry: Foundry) -> Path:
    """A small trained classifier of digits, unsigned."""
    data = load_digits()
    torch.manual_seed(0)
    config = ClassifierConfig(members=(NetworkConfig(image_shape=SHAPE, classes=10, channels=(8,), hidden=(32,)),))
    network = build_classifier(config)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    images, labels = torch.from_numpy(data.train.images), torch.from_numpy(data.train.labels)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    out = foundry.folder / "classifier"
    write_model(
        out, network.eval(), ModelConfig(classes=data.train.classes, classifier=config), images=images[:64].numpy()
    )
    return out


@pytest.fixture(scope="session")
def digits_bundle(foundry: Foundry, digits_model: Path) -> Path:
    return foundry.sign(digits_model, "digits", "digits")


@pytest.fixture(scope="session")
def classifier(digits_model: Path) -> Any:
    return read_model(digits_model)


@dataclass
class Service:
    """A running detector service."""

    server: ServerProcess

    @property
    def url(self) -> str:
        return self.server.url

    def send(self, body: bytes | str | dict, event: int | str, half: str = "request", **change: Any) -> httpx.Response:
        """One event; `change` overrides headers (None: leaves one out) or the `path`."""
        path = change.pop("path", f"/v1/models/{self.server.name}:predict")
        headers = {
            "content-type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": str(event),
            "ce-type": f"{EVENT_TYPE}.{half}",
            "ce-source": "http://localhost:9081/",
            "ce-inferenceservicename": SERVICE,
            "ce-namespace": NAMESPACE,
            "ce-component": "predictor",
            "ce-endpoint": "",
        }
        headers |= {name.replace("_", "-"): value for name, value in change.items()}
        kept = {name: value for name, value in headers.items() if value is not None}
        content = {"json": body} if isinstance(body, dict) else {"content": body}
        return httpx.post(self.url + path, headers=kept, **content)

    def metrics(self) -> dict[str, float]:
        """The detector's series as they stand."""
        text = httpx.get(f"{self.url}/metrics").text
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("secmlops_detector_")
        }

    def value(self, name: str, **labels: str) -> float:
        """The sum of a family's series with these labels; 0 where there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = (
            value
            for series, value in self.metrics().items()
            if re.match(rf"secmlops_detector_{name}(\{{|$)", series) and all(label in series for label in wanted)
        )
        return sum(found)

    def wait(self, expected: float, name: str, **labels: str) -> float:
        """Wait until a family comes to a value, for what is worked on elsewhere."""
        until = time.monotonic() + 60
        while (found := self.value(name, **labels)) != expected:
            assert time.monotonic() < until, f"{name} {labels}: {found}, not {expected}\n{self.server.log_text[-3000:]}"
            time.sleep(0.05)
        return found

    def done(self) -> float:
        """Events that have come to an end."""
        return self.value("events_total")


StartService = Callable[..., Service]


@pytest.fixture(scope="module")
def start_service(start_server: Callable[..., ServerProcess], foundry: Foundry) -> Iterator[StartService]:
    """Start a detector service and wait until it is ready."""

    def start(kind: str, bundle: Path, *flags: str, name: str = "watcher", ready: bool = True) -> Service:
        server = start_server(bundle, foundry.trusted_key, f"--model_name={name}", *flags, name=f"detectors.{kind}")
        server.name = name
        until = time.monotonic() + 120
        while ready and not server.is_ready():
            assert time.monotonic() < until and server.process.poll() is None, server.log_text
            time.sleep(0.1)
        return Service(server)

    yield start


def v1_request(images: np.ndarray) -> dict:
    return {"instances": images.tolist()}


def v2_request(images: np.ndarray) -> dict:
    return {
        "inputs": [{"name": "images", "shape": list(images.shape), "datatype": "FP32", "data": images.ravel().tolist()}]
    }


def v1_response(probabilities: np.ndarray) -> dict:
    return {"predictions": [{"label": "0", "probabilities": row} for row in probabilities.tolist()]}


def v2_response(probabilities: np.ndarray) -> dict:
    return {
        "id": "x",
        "model_name": SERVICE,
        "outputs": [
            {"name": "label", "shape": [len(probabilities)], "datatype": "BYTES", "data": ["0"] * len(probabilities)},
            {
                "name": "probabilities",
                "shape": list(probabilities.shape),
                "datatype": "FP32",
                "data": probabilities.ravel().tolist(),
            },
        ],
    }
