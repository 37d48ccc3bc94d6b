"""Choosing and examining: the verdict and the evidence are those of the exam, whatever the choice looked like."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from secmlops.bundle import model_digest
from secmlops.digits.data import load_digits
from secmlops.digits.steps import data_engineering
from secmlops.digits.steps.quality_assurance import Chosen, Examined, choose_recipe, examine_champion
from secmlops.images.image_set import ImageSet, read_images, write_images
from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.gate import Verdict
from tests.unit.bundle.conftest import make_model
from tests.unit.digits.measured import evaluation
from tests.unit.lifecycle.conftest import policy_of, requirement

FACTS = {
    "recipe": "fgsm", "family": "adversarial training", "training_eps": 0.0, "training_s": 1.0, "mitigations": [],
    "seed": 0,
}  # fmt: skip


def measured_as(folder: Path, model: Path, recipe: str, **figures: float) -> str:
    """A folder as `evaluate_recipe` writes it."""
    folder.mkdir()
    (folder / "subject.json").write_text(json.dumps({"model": model_digest(model)}))
    (folder / "evaluation.json").write_text(evaluation(recipe, **figures).model_dump_json())
    return str(folder)


def policy_file(folder: Path) -> str:
    policy = policy_of(
        requirement("clean_accuracy", at_least=0.9),
        requirement("robust_accuracy", at_least=0.5, mitigation="AML.M0003"),
    )
    policy = policy.model_copy(update={"operating_point": {"eps": 0.01}})
    (folder / "policy.json").write_text(policy.model_dump_json(exclude_none=True))
    return str(folder / "policy.json")


@pytest.fixture
def chosen(tmp_path) -> tuple[Chosen, Path]:
    models = {
        name: make_model(tmp_path / name, weights=[i, 1]) for i, name in enumerate(("standard", "fgsm", "trades"))
    }
    shown = {"standard": 0.1, "fgsm": 0.6, "trades": 0.8}
    folders = [measured_as(tmp_path / f"{n}-e", models[n], n, robust=shown[n]) for n in reversed(models)]
    hand_on([], tmp_path / "none")
    result = choose_recipe(
        [str(model) for model in models.values()],
        folders,
        [],
        str(tmp_path / "none"),
        policy_file(tmp_path),
        str(tmp_path / "champion"),
        str(tmp_path / "report.html"),
        str(tmp_path / "evidence"),
    )
    return result, tmp_path


def test_the_best_goes_to_the_exam_and_nothing_is_judged_yet(chosen):
    result, folder = chosen
    assert (result.recipe, result.metrics["standard_requirements_failed"]) == ("trades", 1.0)
    assert model_digest(folder / "champion") == model_digest(folder / "trades")
    (record,) = read_dossier(folder / "evidence")
    assert record.mitigations == () and "passed" not in record.measured
    assert record.measured["champion"] == "trades"


def test_a_model_that_was_never_measured_is_not_chosen(tmp_path):
    model = make_model(tmp_path / "model", weights=[1, 2])
    with pytest.raises(KeyError):
        choose_recipe([str(model)], [], [], "", policy_file(tmp_path), "", "", "")


def examined(tmp_path: Path, model_dir: Path, test: ImageSet) -> tuple[Examined, list[Evidence]]:
    model = shutil.copytree(model_dir, tmp_path / "model")
    (model / "card.json").write_text(json.dumps({"training": FACTS}))
    write_images(tmp_path / "test", test)
    beside = measured_as(tmp_path / "e", model, "fgsm", clean=0.99, robust=0.9)
    result = examine_champion(
        str(model),
        str(tmp_path / "test"),
        policy_file(tmp_path),
        [beside],
        [],
        str(tmp_path / "verdict.json"),
        str(tmp_path / "exam.html"),
        str(tmp_path / "evidence"),
        attacks=("fgsm",),
        attacked_images=50,
        seed=1,
    )
    assert Verdict.model_validate_json((tmp_path / "verdict.json").read_bytes()) == result.verdict
    assert result.verdict.model_digest == model_digest(model)
    return result, read_dossier(tmp_path / "evidence")


def test_what_passes_the_exam_passes_the_gate(tmp_path, model_dir, splits):
    result, records = examined(tmp_path, model_dir, splits.test.take(slice(80)))
    assert result.verdict.passed
    assert (result.evaluation.n, result.evaluation.attacked) == (80, 80), "FGSM alone is made on all"
    assert all(record.holds for record in records)
    assert {"AML.M0008", "AML.M0003"} <= {each for record in records for each in record.mitigations}
    assert "When it was chosen, on other images, it read 990 and 900" in (tmp_path / "exam.html").read_text()


def test_who_was_only_lucky_when_chosen_fails(tmp_path, model_dir, splits):
    """The evaluation by which it was chosen says 99 %; on the test images every third is something else."""
    test = splits.test.take(slice(80))
    labels = test.labels.copy()
    labels[::3] = (labels[::3] + 1) % 10
    result, records = examined(tmp_path, model_dir, ImageSet(test.images, labels, test.classes))
    assert not result.verdict.passed
    assert {one.metric for one in result.verdict.failures} >= {"clean_accuracy"}
    assert not all(record.holds for record in records)


def test_no_image_serves_two_purposes(tmp_path):
    hand_on([], tmp_path / "none")
    names = ("train", "validation", "selection", "test")
    places = {name: str(tmp_path / name) for name in names}
    told = (str(tmp_path / "report.html"), str(tmp_path / "none"), str(tmp_path / "evidence"))
    counts = data_engineering.load_images("", *places.values(), *told, seed=4)
    sets = {name: read_images(path) for name, path in places.items()}
    keys = {name: {image.tobytes() for image in one.images} for name, one in sets.items()}
    assert sum(map(len, keys.values())) == len(set.union(*keys.values()))
    assert {name: len(one) for name, one in sets.items()} == {name: counts[name] for name in names}
    assert counts["selection"] >= 100 and abs(counts["selection"] - counts["validation"]) <= 10
    assert all(set(one.labels) == set(range(10)) for one in sets.values())
    # The test set is the one that the command line attacks and predicts for the same seed.
    assert np.array_equal(sets["test"].images, load_digits(seed=4).test.images)
    (record,) = read_dossier(tmp_path / "evidence")
    assert set(names) <= record.artifacts.keys()
