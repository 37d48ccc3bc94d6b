"""Training one classifier."""

from pathlib import Path

from secmlops.bundle import file_digest, model_digest
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.policy import load_policy
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say
from secmlops.storage import objects
from secmlops.web_attacks import models, readers
from secmlops.web_attacks.dataset import read_dataset
from secmlops.web_attacks.request import HttpRequest


def train_classifier(
    train: str,
    validation: str,
    requirements: str,
    architecture: str,
    model: str,
    evidence: str,
    *,
    seed: int,
    mutated_copies: int,
    weights: str = "",
    site_normals: str = "",
) -> dict[str, float]:
    """Train a classifier into an unsigned model directory.

    Args:
        train: requests to learn from.
        validation: requests for calibration, threshold and early stopping.
        requirements: the policy; the threshold is set at its false-positive rate on validation normals.
        architecture: one of `models.MODELS`.
        model: the directory to write.
        evidence: a dossier with this training's record.
        seed: seed of everything random.
        mutated_copies: mutated copies of each attack (AML.M0003).
        weights: URI of pretrained transformer weights; empty: from configuration.
        site_normals: URI of a site's normal requests, in any format that `readers.read` takes; empty: none.

    Returns:
        Metrics on held-out requests.

    Raises:
        UnknownModel: no such architecture.
        TooFewLabels: a class has too few rows.
    """
    max_false_positive_rate = load_policy(requirements).operating("max_false_positive_rate")
    metrics = models.train(
        architecture,
        read_dataset(train),
        read_dataset(validation),
        model,
        max_false_positive_rate=max_false_positive_rate,
        seed=seed,
        mutated_copies=mutated_copies,
        weights=weights,
        site_normals=read_site_normals(site_normals),
        on_progress=reporter(f"training {architecture}"),
    )
    record = Evidence(
        stage=Stage.MODEL_ENGINEERING,
        mitigations=("AML.M0003",) if mutated_copies else (),
        claim=f"{architecture} was trained with {mutated_copies} mutated copies of each attack.",
        measured={
            "architecture": architecture,
            "seed": seed,
            "mutated_copies": mutated_copies,
            "max_false_positive_rate": max_false_positive_rate,
            "weights": weights or None,
            "site_normals": site_normals or None,
            **metrics,
        },
        artifacts={
            "train": file_digest(Path(train)),
            "validation": file_digest(Path(validation)),
            "model": model_digest(model),
        },
        producer=f"train_classifier-{architecture}",
    )
    hand_on([], evidence, record)
    say(f"{architecture} trained")
    return metrics


def read_site_normals(source: str) -> list[HttpRequest]:
    """A site's normal requests from a URI; what cannot be read is left out. Empty source: none."""
    if not source:
        return []
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = objects.fetch(source, Path(folder) / Path(source).name)
        return [item for item in readers.read(file) if isinstance(item, HttpRequest)]
