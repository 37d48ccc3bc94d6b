from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_classifier(
    train: Input[Dataset],
    validation: Input[Dataset],
    requirements: Input[Artifact],
    architecture: str,
    seed: int,
    mutated_copies: int,
    weights: str,
    site_normals: str,
    model: Output[Model],
    metrics: Output[Metrics],
    evidence: Output[Artifact],
):
    """Train one classifier of HTTP requests.

    Args:
        train: labelled requests to learn from.
        validation: labelled requests for calibration, threshold and early stopping.
        requirements: the policy of this run; its operating point sets the decision threshold.
        architecture: `svm`, `distilbert` or `mobilebert`.
        seed: seed of everything random.
        mutated_copies: mutated copies of each attack added to training (AML.M0003, Model Hardening); 0: none.
        weights: URI of pretrained transformer weights; empty: from configuration.
        site_normals: URI of a site's normal requests to adapt to; empty: none.
        model: unsigned model directory: weights.safetensors or model.onnx, preprocess.json, card.json.
        metrics: validation metrics.
        evidence: hardening (AML.M0003) and provenance (AML.M0025).

    Raises:
        TooFewLabels: a class has too few rows to learn from.
    """
    from secmlops.web_attacks.steps import model_engineering

    metrics.metadata.update(
        model_engineering.train_classifier(
            train.path,
            validation.path,
            requirements.path,
            architecture,
            model.path,
            evidence.path,
            seed=seed,
            mutated_copies=mutated_copies,
            weights=weights,
            site_normals=site_normals,
        )
    )
