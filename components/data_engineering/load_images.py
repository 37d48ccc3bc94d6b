from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def load_images(
    source: str,
    dossier: Input[Artifact],
    seed: int,
    train: Output[Dataset],
    validation: Output[Dataset],
    selection: Output[Dataset],
    test: Output[Dataset],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidence: Output[Artifact],
):
    """Read labelled images from a URI, validate them, and divide them without duplicates across sets.

    Args:
        source: folder of IDX files, folder of labelled images, or web address with a checksum; empty: 8 x 8 digits.
        dossier: the evidence so far.
        seed: seed of the division.
        train: images to learn from (safetensors, `secmlops.images.image_set`).
        validation: images to stop and calibrate a training with.
        selection: images by which variants are compared; no training sees them.
        test: images that only the champion's exam sees.
        metrics: images per set.
        report: the data, for people.
        evidence: the dossier with data validation (AML.M0007) and provenance (AML.M0025) added.

    Raises:
        UnfitImages: the validation found a problem that forbids training.
    """
    from secmlops.digits.steps import data_engineering

    metrics.metadata.update(
        data_engineering.load_images(
            source,
            train.path,
            validation.path,
            selection.path,
            test.path,
            report.path,
            dossier.path,
            evidence.path,
            seed=seed,
        )
    )
