"""From labelled images to a judged, signed bundle, in one call: the pipeline's steps without a pipeline."""

import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from secmlops import bundle, release
from secmlops.bundle.keys import load_private_key
from secmlops.digits.evaluation import Evaluation
from secmlops.digits.recipes import recipe_named
from secmlops.digits.steps import data_engineering, model_engineering, quality_assurance
from secmlops.lifecycle.gate import Verdict
from secmlops.lifecycle.policy import Policy
from secmlops.lifecycle.requirements import state_requirements

ATTACKS: Final = ("fgsm", "pgd", "apgd_ce", "apgd_t", "square")
ATTACKED_IMAGES: Final = 200


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` made.

    Attributes:
        bundle: the signed bundle; loaders refuse it when the verdict failed.
        report: HTML report on the model.
        data_report: HTML report on the images.
        assurance: HTML assurance report.
        evaluation: everything that was measured, on test images.
        verdict: the gate's verdict.
        refused_files: files that were no usable images and were left out.
    """

    bundle: Path
    report: Path
    data_report: Path
    assurance: Path
    evaluation: Evaluation
    verdict: Verdict
    refused_files: int


def build(
    data: str,
    out: Path,
    signing_key: Path,
    *,
    recipe: str,
    policy: Policy,
    eps: float | None = None,
    flagged: float = 0.0,
    uncertain: float = 0.0,
    attacks: Sequence[str] = ATTACKS,
    attacked_images: int = ATTACKED_IMAGES,
    report: Path | None = None,
    seed: int = 1,
) -> Built:
    """Read images, train by a recipe, attack, certify, judge and sign.

    Args:
        data: a URI as `load_digits` takes it; empty: scikit-learn's bundled digits.
        out: folder of the bundle; must not exist.
        signing_key: private key.
        recipe: one of `recipes.RECIPES`.
        policy: the gate policy; its `eps` is the budget of the attacks.
        eps: largest change of a pixel to harden against; None: the recipe's own.
        flagged: share of clean images that a detector of adversarial ones may flag; 0: no detector.
        uncertain: share of clean images on which the model may abstain for want of certainty; 0: it never does.
        attacks: names out of `secmlops.robustness.attacks.ATTACKS`.
        attacked_images: how many test images are attacked; 0: all.
        report: where the HTML report is written; default: `OUT.html`. `OUT.data.html` and `OUT.assurance.html` are
            written beside the bundle.
        seed: of everything random.

    Raises:
        UnknownRecipe, UnknownAttack: a name that is none.
        ImagesError, StorageError: the data cannot be read or must not be trained on.
        TrainingDiverged, TrainingCollapsed: the training failed.
        TargetNotEmpty: `out` exists.
        MissingKey: there is no such key; found out before any work, as is the next.
        InvalidKey: it is no private key.
    """
    bundle.require_new(out)
    load_private_key(signing_key)
    recipe_named(recipe)
    report = report or out.with_name(f"{out.name}.html")
    data_report, assurance = (out.with_name(f"{out.name}.{kind}.html") for kind in ("data", "assurance"))
    with tempfile.TemporaryDirectory() as temporary:
        run = _Run(Path(temporary))
        state_requirements(policy.model_dump(exclude_none=True), run["policy.json"], run["stated"])
        loaded = data_engineering.load_images(
            data,
            run["train"],
            run["validation"],
            run["selection"],
            run["test"],
            str(data_report),
            run["stated"],
            run["loaded"],
            seed=seed,
        )
        model_engineering.train_recipe(
            run["train"],
            run["validation"],
            recipe,
            run["model"],
            run["trained"],
            seed=seed,
            eps=eps,
            flagged=flagged,
            uncertain=uncertain,
        )
        examined = quality_assurance.examine_champion(
            run["model"],
            run["test"],
            run["policy.json"],
            [],
            [run["loaded"], run["trained"]],
            run["verdict"],
            str(report),
            run["judged"],
            attacks=attacks,
            attacked_images=attacked_images,
            seed=seed,
        )
        release.write_signed(
            run["model"],
            examined.verdict,
            run["judged"],
            str(out),
            run["signed"],
            run_id=f"cli-{uuid.uuid4()}",
            key=signing_key,
        )
        release.assure(run["signed"], str(assurance))
    refused = int(loaded["refused_files"])
    return Built(out, report, data_report, assurance, examined.evaluation, examined.verdict, refused)


@dataclass(frozen=True, slots=True)
class _Run:
    folder: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)
