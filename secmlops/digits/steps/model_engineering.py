"""Training one variant."""

from pathlib import Path
from typing import Any

from secmlops.bundle import file_digest, model_digest
from secmlops.digits import recipes
from secmlops.digits.model import ImageClassifier, ModelConfig, read_model, write_model
from secmlops.images.image_set import ImageSet, read_images
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say


def train_recipe(
    train: str, validation: str, recipe: str, model: str, evidence: str, *, seed: int, eps: float | None = None
) -> dict[str, float]:
    """Train a classifier by a recipe into an unsigned model directory.

    Args:
        train: images to learn from.
        validation: images to choose and calibrate with.
        recipe: one of `recipes.RECIPES`.
        model: the directory to write.
        evidence: a dossier with this training's record.
        seed: of everything random.
        eps: largest change of a pixel to harden against; None: the recipe's own.

    Returns:
        Accuracy on validation images, seconds, epochs, difference between ONNX Runtime and PyTorch.

    Raises:
        UnknownRecipe: there is no such recipe.
        TrainingDiverged, TrainingCollapsed: the training failed.
        ExportMismatch: the ONNX file does not compute what PyTorch computes.
    """
    held_out = read_images(validation)
    trained = recipes.train_recipe(
        recipe, read_images(train), held_out, seed=seed, eps=eps, on_progress=reporter(f"training {recipe}")
    )
    config = ModelConfig(classes=held_out.classes, classifier=trained.config)
    facts: dict[str, Any] = {
        "recipe": recipe,
        "family": trained.recipe.family,
        "sources": list(trained.recipe.sources),
        "training_eps": trained.eps,
        "training_s": trained.seconds,
        "seed": seed,
    }
    written = write_model(model, trained.classifier, config, images=held_out.images, card={"training": facts})
    metrics = {
        "validation_accuracy": _accuracy(read_model(model), held_out),
        "training_s": trained.seconds,
        "epochs": float(sum(report.epochs for report in trained.reports)),
        **written,
    }
    record = Evidence(
        stage=Stage.MODEL_ENGINEERING,
        mitigations=trained.recipe.atlas,
        claim=f"{recipe} was trained ({trained.recipe.family}) against changes of up to {trained.eps:g} a pixel.",
        measured={**facts, "sources": "; ".join(trained.recipe.sources), **metrics},
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


def _accuracy(classifier: ImageClassifier, images: ImageSet) -> float:
    return float((classifier.predict(images.images).labels == images.labels).mean())
