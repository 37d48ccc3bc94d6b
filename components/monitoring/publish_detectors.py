from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish_detectors(
    drift: Input[Model],
    adversarial: Input[Model],
    verdict: Input[Model],
    publish_to: str,
    dossier: Input[Artifact],
    evidence: Output[Artifact],
) -> NamedTuple("Published", [("drift_uri", str), ("adversarial_uri", str), ("verdict_uri", str)]):  # type: ignore[valid-type]
    """Verify the signed detectors and publish them where KServe fetches them from.

    The trusted key comes from the environment variable SECMLOPS_TRUSTED_KEY: a PEM public key or the path of one.

    Args:
        drift: signed bundle.
        adversarial: another.
        verdict: another.
        publish_to: a folder or `s3://bucket/prefix`.
        dossier: the evidence so far.
        evidence: the dossier with these verifications (AML.M0014) added.

    Returns:
        drift_uri: of the published drift detector.
        adversarial_uri: of the published adversarial detector.
        verdict_uri: of the published detector of verdicts.

    Raises:
        BundleError: a bundle does not verify; it is not published.
    """
    from secmlops.web_attacks.steps import monitoring

    published = monitoring.publish_detectors(
        {"drift": drift.path, "adversarial": adversarial.path, "verdict": verdict.path},
        publish_to,
        dossier.path,
        evidence.path,
    )
    return published["drift"], published["adversarial"], published["verdict"]
