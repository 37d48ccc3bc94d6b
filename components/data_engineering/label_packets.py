from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def label_packets(
    captures: Input[Artifact],
    ground_truth: Input[Artifact],
    dossier: Input[Artifact],
    warehouse: str,
    reviews: str,
    metrics: Output[Metrics],
    evidence: Output[Artifact],
) -> int:
    """Propose first-level labels by signatures; take second-level reviews from the lab or from reviewers' files.

    Args:
        captures: the folder that was collected.
        ground_truth: the lab's knowledge of what it recorded in this run, which acts as the second reviewer.
        dossier: the evidence so far.
        warehouse: where the packets are.
        reviews: URI of a file that reviewers filled in; empty: none.
        metrics: labels proposed, reviewed, agreed, changed, rejected.
        evidence: the dossier with who labelled and who reviewed added.

    Returns:
        The number of reviewed labels in the warehouse.
    """
    from secmlops.web_attacks.steps import data_engineering

    counts = data_engineering.label_packets(
        captures.path, ground_truth.path, warehouse, reviews, dossier.path, evidence.path
    )
    metrics.metadata.update(counts)
    return counts["reviewed"]
