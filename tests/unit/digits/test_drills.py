"""The drills as steps: what they find, what they claim, and that a claim can fail."""

from pathlib import Path

import pytest

from secmlops.digits import drilling
from secmlops.digits.drilling import QUERIES
from secmlops.digits.steps import drills
from secmlops.images.image_set import write_images
from secmlops.images.splits import hold_out
from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.evidence import Evidence
from secmlops.robustness.backdoors.drill import DrillReport, NetworkState, Plan


@pytest.fixture(scope="module")
def sets(tmp_path_factory, splits) -> Path:
    folder = tmp_path_factory.mktemp("images")
    validation, selection = hold_out(splits.validation, 0.5, seed=1)
    for name, images in {"train": splits.train, "validation": validation, "selection": selection}.items():
        write_images(folder / name, images)
    hand_on([], folder / "none")
    return folder


def drilled(sets: Path, out: Path, *, enabled: bool = True) -> tuple[dict[str, float], list[Evidence]]:
    images = [str(sets / name) for name in ("train", "validation", "selection")]
    metrics = drills.drill_backdoor(*images, str(sets / "none"), str(out), enabled=enabled, seed=1)
    return metrics, read_dossier(out)


def robbed(sets: Path, model: Path, out: Path, *, enabled: bool = True) -> tuple[dict[str, float], list[Evidence]]:
    images = [str(sets / name) for name in ("train", "validation", "selection")]
    metrics = drills.assess_theft(str(model), *images, str(sets / "none"), str(out), enabled=enabled, seed=1)
    return metrics, read_dossier(out)


def test_planted_poison_is_found_and_cleaned(sets, tmp_path):
    metrics, (record,) = drilled(sets, tmp_path / "evidence")
    assert metrics["attack_success_before"] >= 0.9
    assert metrics["attack_success_after"] <= 0.05
    assert metrics["strip_recall"] > 0.5
    assert record.mitigations == ("AML.M0007",) and record.holds
    assert record.measured["planted"] == round(0.1 * record.measured["train_images"])


def state(attack_success: float, clean_accuracy: float = 1.0) -> NetworkState:
    return NetworkState(clean_accuracy=clean_accuracy, attack_success=attack_success, accused=())


@pytest.mark.parametrize(
    ("before", "after", "holds"),
    [
        (state(1.0), state(0.0), True),
        (state(0.5), state(0.0), False),
        (state(1.0), state(0.2), False),
        (state(1.0), state(0.0, clean_accuracy=0.9), False),
    ],
    ids=["done", "nothing worth finding", "not gone", "too dear"],
)
def test_a_drill_that_went_wrong_is_evidence_of_that(sets, tmp_path, monkeypatch, before, after, holds):
    came_to = DrillReport(
        plan=Plan(), train_images=10, planted=1, test_images=10, control=state(0.0), before=before, after=after,
        detectors=(), rounds=1, seconds=0.1,
    )  # fmt: skip
    monkeypatch.setattr(drilling, "run_drill", lambda *_, **__: came_to)
    _, (record,) = drilled(sets, tmp_path / "evidence")
    assert record.holds is holds


def test_a_copy_and_its_price(sets, model_dir, tmp_path):
    metrics, records = robbed(sets, model_dir, tmp_path / "evidence")
    few, many = QUERIES
    assert metrics[f"copy_agreement_none_{many}_queries"] > metrics[f"copy_agreement_none_{few}_queries"]
    assert metrics[f"copy_agreement_none_{many}_queries"] > 0.6
    assert abs(metrics["membership_advantage"]) <= 1
    extraction, membership = records
    assert extraction.mitigations == ("AML.M0002", "AML.M0004")
    assert extraction.holds == (metrics[f"copy_agreement_none_{many}_queries"] < drills.CLOSE_COPY)
    assert membership.holds == (metrics["membership_advantage"] <= drills.MOST_ADVANTAGE)


def test_what_is_left_out_hands_the_evidence_on_and_claims_nothing(sets, model_dir, tmp_path):
    assert drilled(sets, tmp_path / "drill", enabled=False) == ({}, [])
    assert robbed(sets, model_dir, tmp_path / "theft", enabled=False) == ({}, [])
    assert (tmp_path / "theft").is_dir()
