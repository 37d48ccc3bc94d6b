from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_detectors(
    champion: Input[Model],
    traffic: Input[Dataset],
    requirements: Input[Artifact],
    drift: Input[Model],
    adversarial: Input[Model],
    verdict: Input[Model],
    dossier: Input[Artifact],
    drift_gate: Output[Artifact],
    adversarial_gate: Output[Artifact],
    verdict_gate: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidence: Output[Artifact],
) -> NamedTuple("DetectorsJudgement", [("passed", bool)]):  # type: ignore[valid-type]
    """Measure the detectors on later traffic, and judge them by the policy, all together.

    If one failed, neither they nor the champion are released; whoever is to sign it refuses it too.

    Args:
        champion: unsigned model directory.
        traffic: labelled requests in order of time.
        requirements: the policy of this run.
        drift: unsigned detector directory.
        adversarial: another.
        verdict: another.
        dossier: the evidence so far.
        drift_gate: the gate's verdict on the drift detector (JSON), bound to its digest.
        adversarial_gate: the gate's verdict on the adversarial detector.
        verdict_gate: the gate's verdict on the detector of verdicts.
        metrics: false alarms a day, detection rate and delay, area under the ROC curve, share of right verdicts.
        report: the report for people, with curves.
        evidence: the dossier with adversarial input detection (AML.M0015) added, whether it holds or not.

    Returns:
        passed: whether they met every requirement.

    Raises:
        TooFewClients: the traffic is of too few clients.
    """
    from secmlops.web_attacks.steps import monitoring

    result = monitoring.evaluate_detectors(
        champion.path,
        traffic.path,
        requirements.path,
        {"drift": drift.path, "adversarial": adversarial.path, "verdict": verdict.path},
        {"drift": drift_gate.path, "adversarial": adversarial_gate.path, "verdict": verdict_gate.path},
        report.path,
        dossier.path,
        evidence.path,
    )
    metrics.metadata.update(result.metrics)
    return (result.passed,)
