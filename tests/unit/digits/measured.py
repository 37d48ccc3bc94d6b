"""Evaluations made by hand, for what comes after measuring."""

from secmlops.digits.evaluation import Evaluation
from secmlops.lifecycle.policy import Policy, load_policy
from secmlops.robustness.matrix import AttackMatrix, Cell, CertifiedShare, WorstCase
from secmlops.robustness.verdicts import Finding
from tests.conftest import ROOT

EPS = 0.1


def policy() -> Policy:
    return load_policy(ROOT / "pipelines" / "policies" / "digits.yaml")


def evaluation(
    recipe: str = "fgsm",
    *,
    clean: float = 0.98,
    robust: float = 0.8,
    certified: float | None = None,
    alarms: tuple[str, ...] = (),
    latency_ms: float = 1.0,
    training_s: float = 10.0,
) -> Evaluation:
    """An evaluation in which every attack does the same, PGD at two budgets."""
    cells = tuple(
        Cell(attack=attack, norm="linf", eps=eps, n=150, accuracy=accuracy, mean_distance=None, seconds=0.1)
        for attack, eps, accuracy in (
            ("pgd", EPS / 2, (clean + robust) / 2),
            *((attack, EPS, robust) for attack in ("pgd", "apgd_ce", "apgd_t", "square")),
        )
    )
    matrix = AttackMatrix(
        n=150,
        clean_accuracy=clean,
        cells=cells,
        worst=tuple(
            WorstCase(norm="linf", eps=eps, n=150, accuracy=accuracy, attacks=("pgd",))
            for eps, accuracy in {cell.eps: cell.accuracy for cell in cells}.items()
        ),
        certified=() if certified is None else (CertifiedShare(eps=EPS, n=150, accuracy=certified),),
        alarms=tuple(Finding(kind="order", text=text) for text in alarms),
        warnings=(),
    )
    return Evaluation(
        recipe=recipe,
        family="none" if recipe == "standard" else "adversarial training",
        classes=("0", "<b>"),
        images_digest=f"sha256:{'1' * 64}",
        eps=EPS,
        training_eps=0.0 if recipe == "standard" else EPS,
        n=100,
        clean_accuracy=clean,
        answered_share=1.0,
        answered_accuracy=clean,
        confusion=((50, 1), (1, 48)),
        matrix=matrix,
        latency_p50_ms=latency_ms / 2,
        latency_p95_ms=latency_ms,
        training_s=training_s,
        onnx_difference=1e-6,
    )
