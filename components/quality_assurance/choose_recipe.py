from typing import NamedTuple

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
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidence: Output[Artifact],
) -> NamedTuple("Choice", [("passed", bool), ("recipe", str)]):  # type: ignore[valid-type]
    """The gate: judge every variant by the policy, draw the Pareto front, and choose the champion.

    Args:
        models: candidate model directories.
        evaluations: their evaluations, in any order; each names its model's digest.
        candidate_evidence: the evidence records of training and evaluating the candidates.
        dossier: the evidence of the data.
        requirements: the policy of this run.
        champion: the best candidate: one that passed, or else the one that failed least.
        verdict: the champion's verdict (JSON), bound to its digest.
        metrics: requirements failed, per candidate.
        report: all candidates side by side, what each defence brings and costs.
        evidence: the dossier with the candidates' records and the gate's own (AML.M0008) added.

    Returns:
        passed: whether the champion met every requirement.
        recipe: the champion's.
    """
    from secmlops.digits.steps import quality_assurance

    result = quality_assurance.choose_recipe(
        [model.path for model in models],
        [evaluation.path for evaluation in evaluations],
        [record.path for record in candidate_evidence],
        dossier.path,
        requirements.path,
        champion.path,
        verdict.path,
        report.path,
        evidence.path,
    )
    metrics.metadata.update(result.metrics)
    return result.passed, result.recipe
