from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def choose_recipe(
    models: Input[list[Model]],
    evaluations: Input[list[Artifact]],
    candidate_evidence: Input[list[Artifact]],
    dossier: Input[Artifact],
    requirements: Input[Artifact],
    champion: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidence: Output[Artifact],
) -> str:
    """Compare every variant by the policy, draw the Pareto front, and choose the champion, which goes to the exam.

    Args:
        models: candidate model directories.
        evaluations: their evaluations, in any order; each names its model's digest.
        candidate_evidence: the evidence records of training and evaluating the candidates.
        dossier: the evidence of the data.
        requirements: the policy of this run.
        champion: the best candidate: one that met the policy, or else the one that failed least.
        metrics: requirements failed, per candidate.
        report: all candidates side by side, what each defence brings and costs.
        evidence: the dossier with the candidates' records and the choice added.

    Returns:
        The champion's recipe.
    """
    from secmlops.digits.steps import quality_assurance

    result = quality_assurance.choose_recipe(
        [model.path for model in models],
        [evaluation.path for evaluation in evaluations],
        [record.path for record in candidate_evidence],
        dossier.path,
        requirements.path,
        champion.path,
        report.path,
        evidence.path,
    )
    metrics.metadata.update(result.metrics)
    return result.recipe
