from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def judge_models(
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
) -> NamedTuple("Judgement", [("passed", bool), ("retrain", list[str])]):  # type: ignore[valid-type]
    """The gate: judge every candidate by the policy and choose the champion.

    Args:
        models: candidate model directories.
        evaluations: their evaluations, in any order; each names its model's digest.
        candidate_evidence: the evidence records of training and evaluating the candidates.
        dossier: the evidence of the data.
        requirements: the policy of this run.
        champion: the best candidate: one that passed, or else the one that failed least.
        verdict: the champion's verdict (JSON), bound to its digest.
        metrics: requirements met and failed, per candidate.
        report: the report for people, all candidates side by side.
        evidence: the dossier with the candidates' records and the gate's own (AML.M0008) added, and for each mitigation
            that the policy names whether the champion keeps its bounds.

    Returns:
        passed: whether the champion met every requirement.
        retrain: the architecture that deserves a hardened attempt when it did not.
    """
    from secmlops.web_attacks.steps import quality_assurance

    result = quality_assurance.judge_models(
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
    return result.passed, [result.architecture]
