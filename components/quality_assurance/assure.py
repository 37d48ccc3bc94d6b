from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def assure(dossier: Input[Artifact], report: Output[HTML]):
    """Write the assurance report from the evidence records alone, CRISP-ML(Q) stage by stage.

    Args:
        dossier: all evidence of the run.
        report: which ATLAS mitigations are evidenced, and which apply but are not.
    """
    from secmlops import release

    release.assure(dossier.path, report.path)
