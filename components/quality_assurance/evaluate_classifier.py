from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_classifier(
    model: Input[Model],
    test: Input[Dataset],
    training_evidence: Input[Artifact],
    attack_rounds: int,
    attack_candidates: int,
    attacked_requests: int,
    seed: int,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    curves: Output[ClassificationMetrics],
    evidence: Output[Artifact],
):
    """Measure a classifier on held-out requests and attack it with mutations under a query budget.

    Args:
        model: unsigned model directory.
        test: held-out labelled requests.
        training_evidence: the records of training this model.
        attack_rounds: rounds of the score-guided query attack.
        attack_candidates: mutated candidates per round.
        attacked_requests: attacks of the test set that the query attack starts from.
        seed: seed of the attack.
        evaluation: folder with evaluation.json and robustness.json.
        metrics: every figure the gate can ask for.
        curves: ROC curve and confusion matrix for the Kubeflow UI.
        evidence: the training records, and what was measured (AML.M0008).
    """
    from secmlops.web_attacks.steps import quality_assurance

    result = quality_assurance.evaluate_classifier(
        model.path,
        test.path,
        evaluation.path,
        training_evidence.path,
        evidence.path,
        rounds=attack_rounds,
        candidates=attack_candidates,
        attacked_requests=attacked_requests,
        seed=seed,
    )
    metrics.metadata.update(result.metrics)
    curves.log_roc_curve(*result.roc)
    curves.log_confusion_matrix(["normal", "attack"], result.confusion)
