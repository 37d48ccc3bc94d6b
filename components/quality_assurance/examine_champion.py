from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def examine_champion(
    champion: Input[Model],
    test: Input[Dataset],
    requirements: Input[Artifact],
    evaluations: Input[list[Artifact]],
    dossier: Input[Artifact],
    attacks: list,
    attacked_images: int,
    seed: int,
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    report: Output[HTML],
    evidence: Output[Artifact],
) -> bool:
    """The gate: measure and attack the champion on images that no choice has looked at, and judge it by the policy.

    Args:
        champion: unsigned model directory.
        test: labelled images, never used before.
        requirements: the policy; its `eps` is the budget of the attacks.
        evaluations: those of all variants by which the champion was chosen, to be shown beside.
        dossier: the evidence so far.
        attacks: names out of `secmlops.robustness.attacks.ATTACKS`.
        attacked_images: how many test images are attacked; 0: all.
        seed: seed of the attacks.
        verdict: the verdict (JSON), bound to the champion's digest.
        metrics: every figure the gate can ask for.
        confusion: confusion matrix on clean images for the Kubeflow UI.
        report: the exam, and all variants beside it.
        evidence: the dossier with what the exam showed (AML.M0008, and the mitigations that the policy names) added.

    Returns:
        Whether the champion met every requirement.
    """
    from secmlops.digits.steps import quality_assurance

    result = quality_assurance.examine_champion(
        champion.path,
        test.path,
        requirements.path,
        [evaluation.path for evaluation in evaluations],
        [dossier.path],
        verdict.path,
        report.path,
        evidence.path,
        attacks=attacks,
        attacked_images=attacked_images,
        seed=seed,
    )
    metrics.metadata.update(result.evaluation.metrics())
    rows = [list(row) for row in result.evaluation.confusion]
    confusion.log_confusion_matrix(list(result.evaluation.classes), rows)
    return result.verdict.passed
