from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_recipe(
    train: Input[Dataset],
    validation: Input[Dataset],
    recipe: str,
    flagged: float,
    uncertain: float,
    seed: int,
    model: Output[Model],
    metrics: Output[Metrics],
    evidence: Output[Artifact],
):
    """Train one image classifier by a recipe: plain, or hardened by one of the families of defence.

    Args:
        train: images to learn from.
        validation: images for early stopping and thresholds.
        recipe: one of `secmlops.digits.recipes.RECIPES`.
        flagged: share of clean images that a detector of adversarial ones may flag; 0: no detector.
        uncertain: share of clean images on which the model may abstain; 0: it never does.
        seed: seed of everything random.
        model: unsigned model directory.
        metrics: seconds, epochs, accuracy on validation images.
        evidence: what was trained on what, and which mitigation it is (AML.M0003, AML.M0006, AML.M0010, AML.M0015).
    """
    from secmlops.digits.steps import model_engineering

    metrics.metadata.update(
        model_engineering.train_recipe(
            train.path,
            validation.path,
            recipe,
            model.path,
            evidence.path,
            seed=seed,
            flagged=flagged,
            uncertain=uncertain,
        )
    )
