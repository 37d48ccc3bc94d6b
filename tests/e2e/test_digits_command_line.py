"""`secmlops digits` as a user types it: train, verify, attack, predict; real processes, real files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secmlops.digits.attacking import AttackReport
from secmlops.digits.data import load_digits
from tests.e2e.test_command_line import REFUSED, secmlops
from tests.unit.images.pictures import encoded, png

POLICY = """
name: lenient
version: 1.0.0
use_case: digits
operating_point: {eps: 0.02}
requirements:
  - {metric: clean_accuracy, at_least: 0.8, why: a test, risk: none, mitigation: AML.M0008}
"""
TRAINED_QUICKLY = ("--recipe", "standard", "--attacks", "fgsm", "--attacked-images", 20)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """Keys, a lenient policy, and a bundle trained on the bundled digits."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "policy.yaml").write_text(POLICY)
    assert secmlops("keygen", "--out", folder / "key").returncode == 0
    trained = secmlops(
        *("digits", "train", "--out", folder / "bundle", "--signing-key", folder / "key"),
        *("--policy", folder / "policy.yaml", "--seed", 3, "--flagged", 0.05, "--uncertain", 0.02, *TRAINED_QUICKLY),
    )
    assert trained.returncode == 0, trained.stderr.decode()
    return folder


@pytest.fixture
def bundle(workplace) -> tuple:
    return "--bundle", workplace / "bundle", "--trusted-key", workplace / "key.pub"


def test_training_writes_a_bundle_that_verifies_and_three_reports(workplace):
    done = secmlops("verify", workplace / "bundle", "--trusted-key", workplace / "key.pub")
    assert (done.returncode, done.stdout[:10]) == (0, b"ok sha256:")
    for name in ("bundle.html", "bundle.data.html", "bundle.assurance.html"):
        assert "<html" in (workplace / name).read_text()
    names = {path.name for path in (workplace / "bundle").iterdir()}
    assert {"model.onnx", "weights.safetensors", "preprocess.json", "card.json", "gate.json", "model.sig"} <= names
    provenance = json.loads((workplace / "bundle" / "provenance.json").read_bytes())
    assert "sklearn-digits" in json.dumps(provenance)


def test_attack_reports_accuracy_worst_case_and_certificate(workplace, bundle):
    out = workplace / "attacked.json"
    done = secmlops(
        *("digits", "attack", *bundle, "--attacks", "fgsm,pgd", "--eps", ".02,.1", "--images", 40, "--out", out)
    )
    assert done.returncode == 0, done.stderr.decode()
    report = AttackReport.model_validate_json(out.read_bytes())
    verified = secmlops("verify", workplace / "bundle", "--trusted-key", workplace / "key.pub").stdout.decode()
    assert report.model_digest in verified
    assert {(cell.attack, cell.eps) for cell in report.matrix.cells} == {
        ("fgsm", 0.02), ("pgd", 0.02), ("fgsm", 0.1), ("pgd", 0.1), ("detector_aware", 0.02), ("detector_aware", 0.1)
    }  # fmt: skip
    assert report.matrix.n == 40
    certified = {share.eps: share.accuracy for share in report.matrix.certified}
    assert certified[0.1] <= report.matrix.worst_accuracy(0.1) < report.matrix.clean_accuracy
    assert b"worst case" in done.stderr


def test_attack_writes_to_standard_output(bundle):
    done = secmlops("digits", "attack", *bundle, "--attacks", "fgsm", "--eps", "0.05", "--images", 5)
    assert AttackReport.model_validate_json(done.stdout).matrix.n == 5


def test_predict_answers_files_in_order_and_says_why_not(workplace, bundle):
    test = load_digits(seed=3).test
    paths = []
    for index in range(4):
        paths.append(workplace / f"{index}.png")
        pixels = np.rint(test.images[index, 0] * 255).astype(np.uint8)
        paths[-1].write_bytes(encoded(Image.fromarray(pixels, "L")))
    assert secmlops("digits", "predict", *bundle, *paths).returncode == 0
    (workplace / "bomb.png").write_bytes(png(60_000, 60_000, rows=b""))
    done = secmlops("digits", "predict", *bundle, "--certify", *paths[:2], workplace / "bomb.png", *paths[2:])
    assert done.returncode == 1
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(answer["image"]).name for answer in answers] == ["0.png", "1.png", "bomb.png", "2.png", "3.png"]
    assert "60000 x 60000" in answers.pop(2)["error"]
    assert sum(answer["label"] == str(test.labels[index]) for index, answer in enumerate(answers)) >= 3
    assert all(answer["certified_radius"] >= 0 for answer in answers)
    assert b"Traceback" not in done.stderr


def test_predict_answers_the_test_images_that_training_never_saw(bundle):
    done = secmlops("digits", "predict", *bundle, "--data", "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    test = load_digits(seed=3).test
    assert [row["truth"] for row in rows] == [str(label) for label in test.labels]
    assert np.mean([row["truth"] == row["label"] for row in rows]) > 0.8
    assert 0 < np.mean([row["adversarial"] for row in rows]) < 0.2
    assert 0 < np.mean([row["abstained"] for row in rows]) < 0.25


def test_a_tampered_bundle_is_neither_attacked_nor_asked(workplace, bundle, tmp_path):
    copy = Path(shutil.copytree(workplace / "bundle", tmp_path / "copy"))
    config = (copy / "preprocess.json").read_bytes()
    (copy / "preprocess.json").write_bytes(config.replace(b'"threshold"', b'"threshold" '))
    tampered = "--bundle", copy, *bundle[2:]
    for command in (("attack", "--images", 1), ("predict", "--data", "")):
        done = secmlops("digits", *command, *tampered)
        assert (done.returncode, done.stdout) == (REFUSED, b"")


def test_a_model_that_fails_the_gate_is_kept_for_study_and_refused(workplace, tmp_path):
    (tmp_path / "impossible.yaml").write_text(POLICY.replace("at_least: 0.8", "at_least: 1.01"))
    trained = secmlops(
        *("digits", "train", "--out", tmp_path / "bundle", "--signing-key", workplace / "key"),
        *("--policy", tmp_path / "impossible.yaml", *TRAINED_QUICKLY),
    )
    assert trained.returncode == REFUSED
    assert b"clean_accuracy" in trained.stderr
    assert (tmp_path / "bundle" / "model.sig").exists()
    done = secmlops("digits", "predict", "--bundle", tmp_path / "bundle", "--trusted-key", workplace / "key.pub", "x")
    assert done.returncode == REFUSED


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(("train", "--recipe", "none"), 1, b"choose one of", id="unknown recipe"),
        pytest.param(("train", "--recipe", "fgsm", "--data", "/no/such/folder"), 1, b"nothing here", id="no data"),
        pytest.param(("train", "--recipe", "fgsm", "--data", "https://a/b"), 1, b"no checksum", id="no checksum"),
        pytest.param(("attack", "--attacks", "none"), 1, b"there are", id="unknown attack"),
        pytest.param(("attack", "--eps", "much"), 2, b"", id="no number"),
        pytest.param(("predict",), 2, b"", id="nothing to predict"),
        pytest.param(("predict", "nothing.png"), 1, b"no such file", id="no file"),
        pytest.param(("predict", "a.png", "--data", ""), 2, b"", id="two things to predict"),
    ],
)
def test_mistakes_are_told_in_a_sentence(workplace, bundle, tmp_path, arguments, code, told):
    more = ("--out", tmp_path / "b", "--signing-key", workplace / "key") if arguments[0] == "train" else bundle
    done = secmlops("digits", *arguments, *more)
    assert done.returncode == code, done.stderr.decode()
    assert told in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("command", [[], ["train"], ["attack"], ["predict"]])
def test_help_everywhere(command):
    done = secmlops("digits", *command, "--help")
    assert done.returncode == 0
    assert b"Usage" in done.stdout
