"""ONNX Runtime and PyTorch compute the same, and the server answers what the library answers: on 10,000 MNIST images.

A classifier of each form that bundles know (one network, an ensemble, saturated logits, restoration of the input), with
a detector, is trained for a moment on 10,000 images; what is compared does not depend on how well it was trained. A
real server process then answers all test images as V2 binary tensors, and the answers are compared bit by bit with the
library's. The peer of the figures is the same network in PyTorch.

    python -m benchmarks.served_digits
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import torch

from benchmarks.data import data_root
from benchmarks.report import Row, at_most, print_rows
from secmlops.bundle import Material, Provenance, assemble, bytes_digest, keygen, model_digest, sign
from secmlops.digits.data import load_digits
from secmlops.digits.guards import guarded
from secmlops.digits.model import ImageClassifier, ModelConfig, Predictions, read_model, write_model
from secmlops.digits.recipes import train_recipe
from secmlops.images.splits import Splits
from secmlops.lifecycle.gate import judge
from secmlops.lifecycle.policy import Policy, Requirement
from secmlops.progress import say

RECIPES = ("standard", "distillation", "input_transformation", "ensemble")
TRAINING_IMAGES = 10_000
BATCH = 200
FLAGGED, UNCERTAIN = 0.05, 0.01
_LISTENING = re.compile(r"listening on 127\.0\.0\.1: http (\d+)")


def main() -> bool | None:
    """Compare, print, and return whether every bound was met."""
    root = data_root()
    if root is None:
        print("served_digits: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    splits = load_digits(root / "vision" / "mnist")
    return print_rows(
        "What is served, on 10,000 MNIST images", [row for name in RECIPES for row in _rows(name, splits)]
    )


def _rows(recipe: str, splits: Splits) -> Iterator[Row]:
    trained = train_recipe(recipe, splits.train.take(slice(TRAINING_IMAGES)), splits.validation, epochs=1)
    plain = ModelConfig(classes=splits.train.classes, classifier=trained.config)
    config = guarded(plain, trained.classifier, splits.validation, flagged=FLAGGED, uncertain=UNCERTAIN)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        written = write_model(folder / "model", trained.classifier, config, images=splits.test.images)
        library = read_model(folder / "model")
        began = time.perf_counter()
        expected = library.predict(splits.test.images, batch=1)
        seconds = time.perf_counter() - began
        yield at_most(
            f"{recipe}: largest difference of a logit, ONNX Runtime and PyTorch",
            written["onnx_difference"],
            1e-4,
            peer=f"absolute {_absolute(library, splits.test.images):.1e}",
            digits=8,
        )
        with _server(*_signed(folder)) as url:
            began = time.perf_counter()
            different = _differing(url, splits.test.images, library, expected)
            served_s = time.perf_counter() - began
        yield at_most(
            f"{recipe}: served answers that are not the library's", different, 0, peer=f"of {len(expected.labels):,}",
            digits=0,
        )  # fmt: skip
        count = len(expected.labels)
        say(f"{recipe}: difference {written['onnx_difference']:.1e}, {different} served otherwise, {served_s:.0f} s")
        yield Row(
            f"{recipe}: images a second, served in batches of {BATCH}",
            f"{count / served_s:,.0f}",
            f"the library, one by one: {count / seconds:,.0f}",
            f"{seconds / served_s:.2f}",
            "",
            None,
        )


def _absolute(library: ImageClassifier, images: np.ndarray) -> float:
    with torch.no_grad():
        return max(
            float(np.abs(library.network(torch.from_numpy(part)).numpy() - library.logits(part)).max())
            for part in np.split(images, 20)
        )


def _differing(url: str, images: np.ndarray, library: ImageClassifier, expected: Predictions) -> int:
    """How many images the server answers otherwise, in any output."""
    classes = np.array(library.config.classes)
    wanted = {
        "label": classes[expected.labels],
        "probabilities": expected.probabilities,
        "abstained": expected.abstained,
        "adversarial_score": expected.adversarial_scores,
        "adversarial": expected.adversarial,
    }
    different = np.zeros(len(images), dtype=bool)
    with httpx.Client(timeout=60) as client:
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            answers = _ask(client, url, images[part])
            for name, values in wanted.items():
                found = np.reshape(answers[name], (len(images[part]), -1))
                different[part] |= (found != np.reshape(values[part], found.shape)).any(axis=1)
    return int(different.sum())


def _ask(client: httpx.Client, url: str, images: np.ndarray) -> dict[str, list]:
    data = images.astype("<f4").tobytes()
    tensor = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = client.post(f"{url}/v2/models/digits/infer", content=head + data, headers=headers)
    return {output["name"]: output["data"] for output in answer.raise_for_status().json()["outputs"]}


def _signed(folder: Path) -> tuple[Path, Path]:
    """The bundle of the model in a folder, and the key that it is trusted by."""
    policy = Policy(
        name="served-digits",
        version="1.0.0",
        use_case="digits",
        operating_point={"eps": 0.1},
        requirements=[
            Requirement(metric="written", at_least=1, why="the model was written", risk="none", mitigation="AML.M0008")
        ],
    )
    private_key, trusted_key = keygen(folder / "key")
    provenance = Provenance(
        invocation_id="benchmark", parameters={}, materials=(Material(name="mnist", digest=bytes_digest(b"mnist")),)
    )
    verdict = judge(policy, {"written": 1.0}, model_digest(folder / "model"))
    assemble(folder / "model", folder / "bundle", verdict=verdict, provenance=provenance)
    sign(folder / "bundle", private_key)
    return folder / "bundle", trusted_key


@contextmanager
def _server(bundle: Path, trusted_key: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "serving.digits", f"--model_dir={bundle}", f"--trusted_key={trusted_key}"]
    command += ["--host=127.0.0.1", "--http_port=0", "--enable_grpc=false", "--predict_timeout_s=60"]
    with tempfile.NamedTemporaryFile() as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            while not (found := _LISTENING.search(text := Path(log.name).read_text(errors="replace"))):
                if process.poll() is not None:
                    raise RuntimeError(f"the server did not start: {text[-2000:]}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    sys.exit(0 if main() in (True, None) else 1)
