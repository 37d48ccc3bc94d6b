import json

import numpy as np
import pytest

from secmlops.bundle.layout import model_digest, present_model_files
from secmlops.detectors.config import (
    ChiSquareConfig,
    ClassifierDriftConfig,
    CvmConfig,
    KsConfig,
    LsddConfig,
    MmdConfig,
    OnlineCvmConfig,
    OnlineMmdConfig,
    PerformanceConfig,
    PredictionConfig,
    TabularConfig,
    UncertaintyConfig,
    drift_config,
)
from secmlops.detectors.opening import open_detector
from secmlops.detectors.storage import InvalidDetector, Watching, detector_files, load_detector, save_detector

GENERATOR = np.random.default_rng(0)
NUMBERS = GENERATOR.normal(size=(200, 3)).astype(np.float32)
CATEGORIES = GENERATOR.integers(0, 4, size=(200, 2))
PROBABILITIES = GENERATOR.dirichlet([2, 1, 1], 200)
CASES = [
    (KsConfig(names=("a", "b", "c")), NUMBERS),
    (CvmConfig(correction="fdr"), NUMBERS),
    (ChiSquareConfig(), CATEGORIES),
    (TabularConfig(categorical=(1,)), np.column_stack([NUMBERS[:, 0], CATEGORIES[:, 1]])),
    (PredictionConfig(), PROBABILITIES),
    (UncertaintyConfig(), PROBABILITIES),
    (PerformanceConfig(), CATEGORIES),
    (MmdConfig(), NUMBERS),
    (LsddConfig(), NUMBERS),
    (ClassifierDriftConfig(frequencies=16), NUMBERS),
    (OnlineMmdConfig(ert=20, window_size=5, n_bootstraps=100), NUMBERS),
    (OnlineCvmConfig(ert=20, window_sizes=(4, 9), n_bootstraps=200), NUMBERS),
]


def equal(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, list | str):
            assert value == other[key]
        else:
            assert np.allclose(value, other[key], rtol=0, atol=1e-6, equal_nan=True)


def on_disk(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("config", "data"), CASES, ids=[case[0].kind for case in CASES])
def test_what_is_read_back_answers_as_what_was_saved(config, data, tmp_path):
    detector = open_detector(config, data[:150], engine="native")
    online = detector.meta["online"]
    if online:
        for row in data[:20]:
            detector.predict(row)
    save_detector(detector, tmp_path, card={"limits": "none known"})
    again = load_detector(on_disk(tmp_path))
    for window in data[150:180] if online else [data[150:], data[:40]]:
        equal(detector.predict(window)["data"], again.predict(window)["data"])
    assert again.meta == detector.meta
    assert again.config == config == drift_config(json.loads(config.model_dump_json()))


def test_the_folder_is_a_bundles_model(tmp_path):
    save_detector(open_detector(MmdConfig(), NUMBERS, engine="native"), tmp_path, card={"limits": "none known"})
    assert present_model_files(tmp_path) == ["card.json", "preprocess.json", "weights.safetensors"]
    assert model_digest(tmp_path).startswith("sha256:")
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["name"], card["limits"]) == ("MMDDrift", "none known")


def test_a_card_says_what_is_watched_or_is_refused():
    said = {"watches": "digits", "watched_digest": f"sha256:{'a' * 64}", "window_rows": 20, "image_shape": [1, 8, 8]}
    watching = Watching.of(said | {"limits": "none known"})
    assert (watching.card(), watching.view) == (said, None)
    for broken in (
        {"watches": ""},
        {"watches": None},
        {"watched_digest": "a" * 64},
        {"window_rows": 19},
        {"window_rows": "20"},
        {"view": "labels"},
        {"image_shape": [8, 8]},
    ):
        with pytest.raises(InvalidDetector, match=rf"card.json is malformed \({next(iter(broken))}"):
            Watching.of(said | broken)


def test_files_that_make_no_detector():
    files = detector_files(open_detector(MmdConfig(), NUMBERS, engine="native"))
    settings = json.loads(files["preprocess.json"])
    for broken, message in [
        ({"weights.safetensors": files["weights.safetensors"]}, "preprocess.json is missing"),
        (files | {"weights.safetensors": b"\x80\x04."}, "weights.safetensors is malformed"),
        (files | {"preprocess.json": b"[]"}, "preprocess.json is malformed"),
        (files | {"preprocess.json": json.dumps(settings | {"engine": "pickle"}).encode()}, "engine"),
        (files | {"preprocess.json": json.dumps(settings | {"config": {"kind": "eval"}}).encode()}, "config"),
        (files | {"preprocess.json": json.dumps(settings | {"config": {"kind": "lsdd"}}).encode()}, "does not fit"),
    ]:
        with pytest.raises(InvalidDetector, match=message):
            load_detector(broken)
