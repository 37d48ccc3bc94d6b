from kfp import dsl
from kfp.dsl import Artifact, Input

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register_verdict(
    verdict: Input[Artifact],
    bundle_uri: str,
    warehouse: str,
    run_id: str,
):
    """Add the verdict to the warehouse table `model_verdicts`, the register of every model ever judged.

    Args:
        verdict: the gate's verdict.
        bundle_uri: where the bundle was published.
        warehouse: where verdicts are registered.
        run_id: the pipeline run.
    """
    from secmlops import release

    release.register_verdict(verdict.path, bundle_uri, warehouse, run_id)
