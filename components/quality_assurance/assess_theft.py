from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def assess_theft(
    champion: Input[Model],
    train: Input[Dataset],
    validation: Input[Dataset],
    selection: Input[Dataset],
    dossier: Input[Artifact],
    enabled: bool,
    seed: int,
    metrics: Output[Metrics],
    evidence: Output[Artifact],
):
    """Steal the champion through its answers, and guess by them what it learned from.

    Args:
        champion: unsigned model directory.
        train: images that it learned from.
        validation: the thief's images.
        selection: images for the figures.
        dossier: the evidence so far.
        enabled: whether to do it; if not, the evidence is handed on as it is.
        seed: seed of everything random.
        metrics: agreement of the copies, advantage of membership inference.
        evidence: the dossier with extraction (AML.M0002, AML.M0004) and membership inference (AML.M0008) added.
    """
    from secmlops.digits.steps import drills

    metrics.metadata.update(
        drills.assess_theft(
            champion.path,
            train.path,
            validation.path,
            selection.path,
            dossier.path,
            evidence.path,
            enabled=enabled,
            seed=seed,
        )
    )
