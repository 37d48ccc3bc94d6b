"""A small model folder and a signed bundle, made once and copied for every test that bends it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from secmlops.bundle import Material, Provenance, assemble, bytes_digest, keygen, model_digest, sign
from secmlops.lifecycle.gate import Verdict, judge
from tests.unit.lifecycle.conftest import policy_of, requirement

PROVENANCE = Provenance(
    invocation_id="run-7",
    parameters={"model": "svm", "seed": 3},
    materials=(Material(name="train", digest=bytes_digest(b"train"), uri="s3://data/train.parquet"),),
    code_revision="a" * 40,
)


def safetensors(values: list[int]) -> bytes:
    data = bytes(values)
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


def make_model(folder: Path, *, weights: list[int] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(safetensors(weights or [1, 2, 3, 4]))
    (folder / "preprocess.json").write_text('{"kind": "svm", "threshold": 0.5}')
    (folder / "card.json").write_text(json.dumps({"name": "tiny", "task": "classification", "metrics": {"f1": 0.97}}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def verdict_on(digest: str, *, recall: float = 0.95) -> Verdict:
    return judge(policy_of(requirement("recall")), {"recall": recall}, digest)


def make_bundle(folder: Path, key: Path, *, weights: list[int] | None = None, recall: float = 0.95) -> Path:
    model = make_model(folder / "model", weights=weights)
    verdict = verdict_on(model_digest(model), recall=recall)
    bundle = assemble(model, folder / "bundle", verdict=verdict, provenance=PROVENANCE)
    sign(bundle, key)
    return bundle


@dataclass(frozen=True)
class Keys:
    private: Path
    public: Path


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> Keys:
    return Keys(*keygen(tmp_path_factory.mktemp("keys") / "signing"))


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory) -> Keys:
    return Keys(*keygen(tmp_path_factory.mktemp("keys") / "other"))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory, keys) -> Path:
    return make_bundle(tmp_path_factory.mktemp("pristine"), keys.private)


@pytest.fixture
def bundle(tmp_path, pristine) -> Path:
    """A signed bundle of this test's own."""
    return shutil.copytree(pristine, tmp_path / "bundle")


@pytest.fixture
def resign(keys) -> Callable[[Path], None]:
    """Sign again with the right key, as an insider or a careless pipeline could."""

    def again(bundle: Path) -> None:
        (bundle / "model.sig").unlink(missing_ok=True)
        sign(bundle, keys.private)

    return again
