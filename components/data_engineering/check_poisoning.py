from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check_poisoning(
    train: Input[Dataset],
    dossier: Input[Artifact],
    seed: int,
    sanitized: Output[Dataset],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidence: Output[Artifact],
):
    """Find flipped and planted labels and leave them out of training (ATLAS AML.M0007, Sanitize Training Data).

    Args:
        train: labelled training requests.
        dossier: the evidence so far.
        seed: seed of the cross-validation.
        sanitized: the same without the suspects.
        metrics: rows in, suspects by reason, rows out.
        report: every suspect with the reason, for a person to look at.
        evidence: the dossier with what was found, and how well planted canaries were found, added.
    """
    from secmlops.web_attacks.steps import data_engineering

    metrics.metadata.update(
        data_engineering.check_poisoning(
            train.path, sanitized.path, report.path, dossier.path, evidence.path, seed=seed
        )
    )
