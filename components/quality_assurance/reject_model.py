from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def reject_model(verdict: Input[Artifact], dossier: Input[Artifact], warehouse: str, run_id: str, report: Output[HTML]):
    """Register the failed verdict, say which requirement failed, and fail the run.

    Args:
        verdict: the failed verdict, on a model or on the detectors beside it.
        dossier: all evidence of the run.
        warehouse: where verdicts are registered.
        run_id: the pipeline run.
        report: the assurance report of the rejected model.

    Raises:
        ModelRejected: always.
    """
    from secmlops import release

    release.reject_model(verdict.path, dossier.path, warehouse, run_id, report.path)
