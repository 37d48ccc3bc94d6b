from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def drill_backdoor(
    train: Input[Dataset],
    validation: Input[Dataset],
    selection: Input[Dataset],
    dossier: Input[Artifact],
    enabled: bool,
    seed: int,
    metrics: Output[Metrics],
    evidence: Output[Artifact],
):
    """Plant a backdoor in a copy of the training images, find it, and train without it.

    Args:
        train: images to learn from.
        validation: trusted images that the search uses.
        selection: images for the figures.
        dossier: the evidence so far.
        enabled: whether to do it; if not, the evidence is handed on as it is.
        seed: seed of everything random.
        metrics: attack success before and after, clean accuracy lost, recall and false alarms of each detector.
        evidence: the dossier with the drill (AML.M0007) added.
    """
    from secmlops.digits.steps import drills

    metrics.metadata.update(
        drills.drill_backdoor(
            train.path, validation.path, selection.path, dossier.path, evidence.path, enabled=enabled, seed=seed
        )
    )
