from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_requests(
    dossier: Input[Artifact],
    warehouse: str,
    reviewed_only: bool,
    seed: int,
    train: Output[Dataset],
    validation: Output[Dataset],
    test: Output[Dataset],
    traffic: Output[Dataset],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidence: Output[Artifact],
):
    """Validate the labelled requests, remove what leaks the answer, and split them by site and time.

    Args:
        dossier: the evidence so far.
        warehouse: where the packets are.
        reviewed_only: take only labels that a second person confirmed.
        seed: seed of the split.
        train: requests to learn from (Parquet, `secmlops.web_attacks.dataset.SCHEMA`).
        validation: requests for calibration, threshold and early stopping.
        test: requests that only the judge sees.
        traffic: all of these requests in order of time, for the detectors beside the model.
        metrics: rows and attacks per split.
        report: the validation report.
        evidence: the dossier with provenance (AML.M0025) added.

    Raises:
        InvalidDataset: the validation report holds an error, or a split would lack a class.
    """
    from secmlops.web_attacks.steps import data_engineering

    metrics.metadata.update(
        data_engineering.prepare_requests(
            warehouse,
            train.path,
            validation.path,
            test.path,
            report.path,
            dossier.path,
            evidence.path,
            reviewed_only=reviewed_only,
            seed=seed,
            traffic=traffic.path,
        )
    )
