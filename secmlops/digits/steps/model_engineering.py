"""Training one variant."""

from pathlib import Path
from typing import Any

from secmlops.bundle import file_digest, model_digest
from secmlops.digits import recipes
from secmlops.digits.guards import guarded
from secmlops.digits.model import ModelConfig, read_model, write_model
from secmlops.images.image_set import read_images
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say


def train_recipe(
    train: str,
    validation: str,
    recipe: str,
    model: str,
    evidence: str,
    *,
    seed: int,
    eps: float | None = None,
    flagged: float = 0.0,
    uncertain: float = 0.0,
) -> dict[str, float]:
    """Train a classifier by a recipe into an unsigned model directory.

    Args:
        train: images to learn from.
        validation: images to choose among epochs and to calibrate with.
        recipe: one of `recipes.RECIPES`.
        model: the directory to write.
        evidence: a dossier with this training's record.
        seed: of everything random.
        eps: largest change of a pixel to harden against; None: the recipe's own.
        flagged: share of clean images that a detector of adversarial ones may flag; 0: no detector.
        uncertain: share of clean images on which the model may abstain for want of certainty; 0: it never does.

    Returns:
        Accuracy on validation images, share on which it abstains, seconds, epochs, difference between ONNX Runtime
        and PyTorch.

    Raises:
        UnknownRecipe: there is no such recipe.
        TrainingDiverged, TrainingCollapsed: the training failed.
        ExportMismatch: the ONNX file does not compute what PyTorch computes.
    """
    held_out = read_images(validation)
    trained = recipes.train_recipe(
        recipe, read_images(train), held_out, seed=seed, eps=eps, on_progress=reporter(f"training {recipe}")
    )
    plain = ModelConfig(classes=held_out.classes, classifier=trained.config)
    config = guarded(plain, trained.classifier, held_out, flagged=flagged, uncertain=uncertain)
    facts: dict[str, Any] = {
        "recipe": recipe,
        "family": trained.recipe.family,
        "sources": list(trained.recipe.sources),
        "mitigations": list(trained.recipe.atlas),
        "training_eps": trained.eps,
        "training_s": trained.seconds,
        "seed": seed,
        "flagged": flagged,
        "uncertain": uncertain,
    }
    written = write_model(model, trained.classifier, config, images=held_out.images, card={"training": facts})
    answers = read_model(model).predict(held_out.images)
    metrics = {
        "validation_accuracy": float((answers.labels == held_out.labels).mean()),
        "abstained": float(answers.abstained.mean()),
        "training_s": trained.seconds,
        "epochs": float(sum(report.epochs for report in trained.reports)),
        **written,
    }
    record = Evidence(
        stage=Stage.MODEL_ENGINEERING,
        mitigations=(),
        claim=f"{recipe} was trained ({trained.recipe.family}); what it is worth, attacking it shows.",
        measured={**facts, **{name: "; ".join(facts[name]) for name in ("sources", "mitigations")}, **metrics},
        artifacts={
            "train": file_digest(Path(train)),
            "validation": file_digest(Path(validation)),
            "model": model_digest(model),
        },
        producer=f"train_recipe-{recipe}",
    )
    hand_on([], evidence, record)
    say(f"{recipe}: {metrics['validation_accuracy']:.1%} of validation images right")
    return metrics
