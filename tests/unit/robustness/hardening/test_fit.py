"""The training loop: it learns, resumes exactly, trains in several processes alike, and fails with a reason."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from secmlops.robustness.hardening.checkpoint import CheckpointUnusable
from secmlops.robustness.hardening.fit import (
    FitConfig,
    FitReport,
    TrainingCollapsed,
    TrainingDiverged,
    TrainingSetMalformed,
    fit,
    precision_of,
)
from secmlops.robustness.networks import NetworkConfig, build
from tests.conftest import ROOT

NETWORK = NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(8,), hidden=(32,))


@dataclass(frozen=True)
class CrossEntropy:
    noise: float = 0.0

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        noisy = images + self.noise * torch.rand_like(images)
        return nn.functional.cross_entropy(network(noisy).float(), labels)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    bunch = load_digits()
    return torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16, torch.tensor(bunch.target)


def new_network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return build(NETWORK)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.inference_mode():
        return float((network(images).argmax(1) == labels).float().mean())


def test_it_learns_what_it_did_not_see(digits):
    images, labels = digits
    network = new_network()
    seen = torch.arange(len(images)) % 4 > 0
    config = FitConfig(epochs=15, batch_size=64, learning_rate=5e-3)
    report = fit(network, images[seen], labels[seen], CrossEntropy(), config)
    assert accuracy(network, images[~seen], labels[~seen]) > 0.95
    assert not network.training
    assert report.epochs == report.kept_epoch == len(report.history) == 15
    assert report.steps == 15 * (1347 // 64)
    assert report.history[-1].loss < report.history[0].loss / 4
    assert FitReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize("averaging", [0.0, 0.95])
def test_the_same_seed_gives_the_same_weights_and_another_does_not(digits, averaging):
    images, labels = digits[0][:300], digits[1][:300]
    networks = []
    for seed in (1, 1, 2):
        networks.append(new_network())
        torch.manual_seed(len(networks))  # what the caller drew before does not matter
        config = FitConfig(epochs=2, batch_size=50, seed=seed, shift=1, averaging=averaging)
        fit(networks[-1], images, labels, CrossEntropy(noise=0.1), config)
    assert same_weights(networks[0], networks[1])
    assert not same_weights(networks[0], networks[2])


def test_the_random_state_of_the_caller_is_left_alone(digits):
    torch.manual_seed(7)
    network = build(NETWORK)
    before = torch.get_rng_state()
    fit(network, digits[0][:100], digits[1][:100], CrossEntropy(0.1), FitConfig(epochs=1))
    assert torch.equal(before, torch.get_rng_state())


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_an_interrupted_training_resumes_to_the_same_weights(digits, tmp_path, precision):
    images, labels = digits[0][:320], digits[1][:320]
    config = FitConfig(epochs=4, batch_size=32, averaging=0.9, shift=1, seed=3, precision=precision)
    path = tmp_path / "training.safetensors"

    def validation(network: nn.Module) -> float:
        return accuracy(network, digits[0][320:600], digits[1][320:600])

    def interrupt(done: int, total: int, message: str) -> None:
        if done > 2 * 10:
            raise Interrupted

    whole, broken, resumed = new_network(), new_network(), new_network(seed=99)
    expected = fit(whole, images, labels, CrossEntropy(0.1), config, validation=validation)
    with pytest.raises(Interrupted):
        fit(
            broken,
            images,
            labels,
            CrossEntropy(0.1),
            config,
            validation=validation,
            checkpoint=path,
            on_progress=interrupt,
        )
    report = fit(resumed, images, labels, CrossEntropy(0.1), config, validation=validation, checkpoint=path)
    assert same_weights(whole, resumed)
    assert not same_weights(broken, resumed)
    assert [e.model_dump(exclude={"seconds"}) for e in report.history] == [
        e.model_dump(exclude={"seconds"}) for e in expected.history
    ]


def test_a_finished_training_is_not_made_again(digits, tmp_path):
    images, labels = digits[0][:100], digits[1][:100]
    path = tmp_path / "training.safetensors"
    first, second = new_network(), new_network(seed=5)
    fit(first, images, labels, CrossEntropy(), FitConfig(epochs=2), checkpoint=path)
    fit(second, images, labels, CrossEntropy(), FitConfig(epochs=2), checkpoint=path, on_progress=pytest.fail)
    assert same_weights(first, second)


@pytest.mark.parametrize("changed", ["config", "objective", "data", "network"])
def test_a_checkpoint_of_another_training_is_refused(digits, tmp_path, changed):
    images, labels = digits[0][:100], digits[1][:100]
    path = tmp_path / "training.safetensors"
    fit(new_network(), images, labels, CrossEntropy(), FitConfig(epochs=1), checkpoint=path)
    network = build(NETWORK.model_copy(update={"hidden": (16,)})) if changed == "network" else new_network()
    with pytest.raises(CheckpointUnusable, match=changed):
        fit(
            network,
            images + 0.1 if changed == "data" else images,
            labels,
            CrossEntropy(0.5 if changed == "objective" else 0.0),
            FitConfig(epochs=1, seed=1 if changed == "config" else 0),
            checkpoint=path,
        )


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 20])
def test_a_damaged_checkpoint_is_refused(digits, tmp_path, content):
    path = tmp_path / "training.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointUnusable, match="damaged"):
        fit(new_network(), digits[0][:100], digits[1][:100], CrossEntropy(), FitConfig(epochs=1), checkpoint=path)


def test_the_best_epoch_is_kept_and_a_sudden_drop_stops(digits):
    images, labels = digits[0][:300], digits[1][:300]
    scores, weights = iter([0.5, 0.8, 0.75, 0.2]), []

    def validation(network: nn.Module) -> float:
        weights.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(scores)

    network = new_network()
    config = FitConfig(epochs=9, batch_size=50, largest_drop=0.3)
    report = fit(network, images, labels, CrossEntropy(), config, validation=validation)
    assert (report.epochs, report.kept_epoch) == (4, 2)
    assert "fell from 0.8000 to 0.2000" in report.stopped
    assert all(torch.equal(weights[1][name], value) for name, value in network.state_dict().items())


def test_patience_stops(digits):
    scores = iter([0.5, 0.8, 0.7, 0.7, 0.7])
    config = FitConfig(epochs=9, patience=2)
    report = fit(
        new_network(), digits[0][:100], digits[1][:100], CrossEntropy(), config, validation=lambda _: next(scores)
    )
    assert (report.epochs, report.kept_epoch) == (4, 2)


def test_a_loss_that_is_not_finite_is_an_error(digits):
    images = digits[0][:100].clone()
    images[3, 0, 2, 2] = float("nan")
    with pytest.raises(TrainingDiverged) as error:
        fit(new_network(), images, digits[1][:100], CrossEntropy(), FitConfig(epochs=1))
    assert error.value.epoch == 1


def test_a_collapsed_network_is_an_error(digits):
    network = new_network()
    nn.init.constant_(network[0].bias, -100.0)  # every unit of the first layer is dead for good
    with pytest.raises(TrainingCollapsed) as error:
        fit(network, digits[0][:200], digits[1][:200], CrossEntropy(), FitConfig(epochs=20, batch_size=10))
    assert error.value.epoch == 6
    assert error.value.accuracy < 0.2


def test_one_label_is_no_collapse(digits):
    images = digits[0][digits[1] == 4]
    fit(new_network(), images, torch.full((len(images),), 4), CrossEntropy(), FitConfig(epochs=3))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(5, 8, 8), torch.zeros(5, dtype=torch.int64)),
        (torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)),
        (torch.zeros(5, 1, 8, 8), torch.zeros(4, dtype=torch.int64)),
        (torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64)),
    ],
)
def test_a_malformed_training_set_is_an_error(images, labels):
    with pytest.raises(TrainingSetMalformed):
        fit(new_network(), images, labels, CrossEntropy(), FitConfig(epochs=1))


def test_auto_precision_is_what_the_processor_multiplies_fast():
    expected = "bfloat16" if torch.cpu.get_capabilities().get("amx_bf16") else "float32"
    assert precision_of(FitConfig(), torch.device("cpu")) == expected
    assert precision_of(FitConfig(precision="float32"), torch.device("cuda")) == "float32"


WORKER = """
import json, os, sys
from dataclasses import dataclass
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.networks import NetworkConfig, build

torch.set_num_threads(1)
folder, rank = Path(sys.argv[1]), os.environ["RANK"]
data = load_file(folder / "data.safetensors")
torch.manual_seed(int(rank))  # the weights of rank 0 count
network = build(NetworkConfig.model_validate_json(sys.argv[2]))
objective = lambda network, images, labels, progress: torch.nn.functional.cross_entropy(network(images), labels)
seen = []
report = fit(network, data["images"], data["labels"], objective, FitConfig.model_validate_json(sys.argv[3]),
             checkpoint=folder / "checkpoint.safetensors", on_progress=lambda *progress: seen.append(progress))
save_file(network.state_dict(), folder / f"{rank}.safetensors")
(folder / f"{rank}.json").write_text(json.dumps([report.processes, len(seen)]))
"""


def test_two_processes_end_with_the_weights_of_one(digits, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    images, labels = digits[0][:200].contiguous(), digits[1][:200]
    save_file({"images": images, "labels": labels}, tmp_path / "data.safetensors")
    config = FitConfig(epochs=3, batch_size=40, precision="float32", device="cpu")
    command = [sys.executable, "-c", WORKER, str(tmp_path), NETWORK.model_dump_json(), config.model_dump_json()]
    workers = [
        subprocess.Popen(command, cwd=ROOT, env=environment | {"RANK": rank, "LOCAL_RANK": rank}) for rank in "01"
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0]

    alone = new_network(seed=0)
    fit(alone, images, labels, CrossEntropy(), config)
    for rank in "01":
        weights = load_file(tmp_path / f"{rank}.safetensors")
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(weights[name], value, atol=1e-4, rtol=1e-3)
    reports = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in "01"]
    assert reports[0][0] == reports[1][0] == 2
    assert reports[0][1] > 0 and reports[1][1] == 0
    assert (tmp_path / "checkpoint.safetensors").exists()
