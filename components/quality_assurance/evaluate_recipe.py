from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_recipe(
    model: Input[Model],
    selection: Input[Dataset],
    requirements: Input[Artifact],
    training_evidence: Input[Artifact],
    attacks: list,
    attacked_images: int,
    seed: int,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    report: Output[HTML],
    evidence: Output[Artifact],
):
    """Measure an image classifier on clean images, under attack, and by proof; and what an answer costs.

    Args:
        model: unsigned model directory.
        selection: labelled images by which variants are compared; no training saw them.
        requirements: the policy; its `eps` is the budget of the gate.
        training_evidence: the records of training this model.
        attacks: names out of `secmlops.robustness.attacks.ATTACKS`.
        attacked_images: how many of them are attacked; 0: all.
        seed: seed of the attacks.
        evaluation: folder with evaluation.json.
        metrics: every figure the gate can ask for.
        confusion: confusion matrix on clean images for the Kubeflow UI.
        report: the attack matrix, for people.
        evidence: the training records, validation (AML.M0008) and measured robustness (AML.M0003).
    """
    from secmlops.digits.steps import quality_assurance

    result = quality_assurance.evaluate_recipe(
        model.path,
        selection.path,
        requirements.path,
        evaluation.path,
        report.path,
        training_evidence.path,
        evidence.path,
        attacks=attacks,
        attacked_images=attacked_images,
        seed=seed,
    )
    metrics.metadata.update(result.metrics())
    confusion.log_confusion_matrix(list(result.classes), [list(row) for row in result.confusion])
