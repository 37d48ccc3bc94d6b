from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Metrics, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare_with_champion(
    candidate: Input[Artifact],
    policy: dict,
    dossier: Input[Artifact],
    decision: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidence: Output[Artifact],
    champion: Input[Artifact] = None,
) -> NamedTuple("Promotion", [("promote", bool)]):  # type: ignore[valid-type]
    """Champion against challenger: only a model that is measurably better replaces the one that serves.

    Args:
        candidate: evaluation of the retrained model, with its measurement.json.
        policy: the promotion policy (`pipelines/policies/promotion/`).
        dossier: the evidence so far.
        decision: the decision (JSON), bound to both models, the data and the attacks by their digests.
        metrics: by how much each metric became better.
        report: the comparison, for people.
        evidence: the dossier with the comparison (AML.M0008) added.
        champion: evaluation of the model that serves, on the same data and under the same attacks; none: none serves.

    Returns:
        promote: whether the candidate replaces the champion.

    Raises:
        PolicyInvalid: the policy is none.
        MeasurementInvalid: an evaluation holds no measurement.
    """
    from secmlops.lifecycle import promotion

    reached = promotion.compare_with_champion(
        champion.path if champion else None,
        candidate.path,
        policy,
        dossier.path,
        decision.path,
        report.path,
        evidence.path,
    )
    metrics.metadata.update({c.criterion.metric: c.gain for c in reached.comparisons if c.gain is not None})
    return (reached.promote,)
