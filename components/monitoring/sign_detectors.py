from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sign_detectors(
    drift: Input[Model],
    adversarial: Input[Model],
    verdict: Input[Model],
    drift_gate: Input[Artifact],
    adversarial_gate: Input[Artifact],
    verdict_gate: Input[Artifact],
    dossier: Input[Artifact],
    run_id: str,
    drift_bundle: Output[Model],
    adversarial_bundle: Output[Model],
    verdict_bundle: Output[Model],
    evidence: Output[Artifact],
):
    """Assemble and sign a bundle of each detector (AML.M0013), or of none of them.

    The key comes from the environment variable SECMLOPS_SIGNING_KEY: a PEM private key or the path of one.

    Args:
        drift: unsigned detector directory.
        adversarial: another.
        verdict: another.
        drift_gate: the gate's verdict on the drift detector.
        adversarial_gate: the gate's verdict on the adversarial detector.
        verdict_gate: the gate's verdict on the detector of verdicts.
        dossier: the evidence so far.
        run_id: the pipeline run.
        drift_bundle: the signed bundle of the drift detector.
        adversarial_bundle: the signed bundle of the adversarial detector.
        verdict_bundle: the signed bundle of the detector of verdicts.
        evidence: the dossier with code signing (AML.M0013) and the bills of materials (AML.M0023) added.

    Raises:
        GateNotPassed: a verdict failed; nothing is signed.
        MissingKey: SECMLOPS_SIGNING_KEY is not set.
    """
    from secmlops.web_attacks.steps import monitoring

    monitoring.sign_detectors(
        {"drift": drift.path, "adversarial": adversarial.path, "verdict": verdict.path},
        {"drift": drift_gate.path, "adversarial": adversarial_gate.path, "verdict": verdict_gate.path},
        {"drift": drift_bundle.path, "adversarial": adversarial_bundle.path, "verdict": verdict_bundle.path},
        dossier.path,
        evidence.path,
        run_id=run_id,
    )
