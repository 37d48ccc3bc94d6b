from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sign_bundle(
    champion: Input[Model],
    verdict: Input[Artifact],
    dossier: Input[Artifact],
    run_id: str,
    bundle: Output[Model],
    evidence: Output[Artifact],
):
    """Assemble the model bundle with verdict, provenance and bill of materials, and sign it (AML.M0013).

    The key comes from the environment variable SECMLOPS_SIGNING_KEY: a PEM private key or the path of one.

    Args:
        champion: unsigned model directory.
        verdict: the gate's verdict on this very model.
        dossier: the evidence so far; its digests and parameters become the provenance.
        run_id: the pipeline run.
        bundle: the signed bundle.
        evidence: the dossier with code signing (AML.M0013) and the bill of materials (AML.M0023) added.

    Raises:
        GateNotPassed: the verdict failed.
        VerdictMismatch: the verdict names another model.
        MissingKey: SECMLOPS_SIGNING_KEY is not set.
    """
    from secmlops import release

    release.sign_bundle(champion.path, verdict.path, dossier.path, bundle.path, evidence.path, run_id=run_id)
