"""The report on the variants, for people: what each defence brings, what it costs, what survives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from secmlops.digits import published, report_plots
from secmlops.digits.choosing import Candidate, choose, pareto_front
from secmlops.lifecycle.gate import Verdict
from secmlops.pages import render

_TEMPLATES: Final = Path(__file__).parent / "templates"

TITLES: Final[Mapping[str, str]] = {
    "clean_accuracy": "Clean",
    "answered_share": "Answered",
    "answered_accuracy": "Right of those answered",
    "accuracy_fgsm": "FGSM",
    "accuracy_pgd": "PGD",
    "accuracy_apgd_ce": "APGD-CE",
    "accuracy_apgd_dlr": "APGD-DLR",
    "accuracy_apgd_t": "APGD-T",
    "accuracy_fab_t": "FAB-T",
    "accuracy_square": "Square",
    "accuracy_autoattack": "AutoAttack",
    "accuracy_deepfool": "DeepFool",
    "accuracy_hop_skip_jump": "HopSkipJump",
    "robust_accuracy": "Worst case",
    "certified_accuracy": "Proved",
    "latency_p95_ms": "Time per image",
    "training_s": "Training",
    "attacked_images": "Images under attack",
    "masking_alarms": "Alarms",
    "masking_warnings": "Warnings of masked gradients",
    "onnx_difference": "ONNX against PyTorch",
}
"""Metrics in the order of the table, by the names that policies use."""

_NOT_IN_TABLE: Final = frozenset(
    {"answered_share", "answered_accuracy", "attacked_images", "masking_alarms", "masking_warnings", "onnx_difference"}
)


def title_of(metric: str) -> str:
    """A metric's name for people."""
    return TITLES.get(metric, metric)


def shown(metric: str, value: float | None) -> str:
    """A metric's value with its unit."""
    if value is None:
        return "not measured"
    if metric.endswith("_ms"):
        return f"{value:.2f} ms"
    if metric.endswith("_s"):
        return f"{value:.0f} s"
    if "accuracy" in metric or metric.endswith("_share"):
        return f"{100 * value:.1f} %"
    return f"{value:.3g}"


def write_report(
    out: str | Path,
    candidates: Sequence[Candidate],
    *,
    champion: Candidate | None = None,
    pictures: Sequence[report_plots.Picture] = (),
    title: str = "Robust digits: what was measured",
) -> None:
    """Write one HTML file on one variant or on all side by side.

    Args:
        out: the file.
        candidates: at least one.
        champion: the one that was chosen; None: the one that `choose` takes.
        pictures: more of them.
        title: heading of the page.
    """
    best = champion or choose(candidates)
    front = {id(candidates[i]) for i in pareto_front([one.evaluation.metrics() for one in candidates])}
    measured = [one.evaluation.metrics() for one in candidates]
    columns = [
        _Column(metric, name)
        for metric, name in TITLES.items()
        if metric not in _NOT_IN_TABLE and any(metric in metrics for metrics in measured)
    ]
    text = render(
        _TEMPLATES,
        "variants.html",
        title=title,
        candidates=list(candidates),
        best=best,
        eps=f"{best.evaluation.eps:g}",
        headline=_headline(best, len(candidates)),
        meaning=_meaning(best, candidates),
        columns=columns,
        rows=[_row(one, columns, len(candidates) > 1 and id(one) in front) for one in candidates],
        plots=[*report_plots.draw_all(candidates, front), *pictures],
        findings=[
            _Finding(one.evaluation.recipe, weight, found.kind, found.text)
            for one in candidates
            for weight, all_found in (
                ("alarm", one.evaluation.matrix.alarms),
                ("warning", one.evaluation.matrix.warnings),
            )
            for found in all_found
        ],
        title_of=title_of,
        shown=shown,
    )
    Path(out).write_text(text, encoding="utf-8")


class _Column(NamedTuple):
    metric: str
    title: str


class _Finding(NamedTuple):
    name: str
    weight: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    mood: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    family: str
    training_eps: str
    cells: tuple[_Cell, ...]
    passed: bool
    failed: str
    on_front: bool


@dataclass(frozen=True, slots=True)
class _Headline:
    mood: str
    text: str
    details: tuple[str, ...] = ()


def _row(candidate: Candidate, columns: Sequence[_Column], on_front: bool) -> _Row:
    evaluation, metrics = candidate.evaluation, candidate.evaluation.metrics()
    moods = {one.metric: "good" if one.passed else "bad" for one in candidate.verdict.results}
    cells = []
    for metric, _ in columns:
        provable = metric != "certified_accuracy" or bool(evaluation.matrix.certified)
        text = shown(metric, metrics[metric]) if metric in metrics and provable else "–"
        cells.append(_Cell(text, moods.get(metric, "")))
    return _Row(
        name=evaluation.recipe,
        family=evaluation.family,
        training_eps=f"{evaluation.training_eps:.3g}" if evaluation.training_eps else "",
        cells=tuple(cells),
        passed=candidate.verdict.passed,
        failed=", ".join(title_of(one.metric).lower() for one in candidate.verdict.failures),
        on_front=on_front,
    )


def _headline(best: Candidate, count: int) -> _Headline:
    verdict = best.verdict
    policy = f"policy {verdict.policy_name} {verdict.policy_version}"
    name = best.evaluation.recipe
    if verdict.passed:
        return _Headline("good", f"{name} may be served: it meets all {len(verdict.results)} requirements of {policy}.")
    text = f"{name} fails {len(verdict.failures)} of {len(verdict.results)} requirements of {policy}."
    if count > 1:
        text = f"No variant may be served: the best, {text}"
    return _Headline("bad", text, _failures(verdict))


def _failures(verdict: Verdict) -> tuple[str, ...]:
    return tuple(
        f"{title_of(one.metric)}: {shown(one.metric, one.measured)}, "
        f"must be {one.kind.replace('_', ' ')} {shown(one.metric, one.bound)}. {one.risk}"
        for one in verdict.failures
    )


def _meaning(best: Candidate, candidates: Sequence[Candidate]) -> list[str]:
    """The champion's figures, and what survives attackers who know the defence, in plain sentences."""
    evaluation, metrics = best.evaluation, best.evaluation.metrics()
    sentences = [
        f"Of 1,000 untouched images {evaluation.recipe} reads {1000 * evaluation.clean_accuracy:.0f} rightly, "
        f"of 1,000 attacked ones {1000 * metrics['robust_accuracy']:.0f}."
    ]
    if evaluation.matrix.certified:
        sentences.append(
            f"For {1000 * evaluation.certified_accuracy:.0f} of 1,000 it is proved that no change within the budget "
            "turns the answer."
        )
    if beside := published.beside(evaluation):
        sentences.append(f"To compare{beside}.")
    standard = next((one for one in candidates if one.evaluation.family == "none"), None)
    if standard is None or standard is best:
        return sentences
    base = standard.evaluation.metrics()
    survivors: list[str] = []
    fallen: list[str] = []
    for one in candidates:
        if one is standard:
            continue
        gain = one.evaluation.metrics()["robust_accuracy"] - base["robust_accuracy"]
        (survivors if gain > 0.1 else fallen).append(f"{one.evaluation.recipe} (+{100 * gain:.0f} points)")
    sentences.append(f"Without any defence {100 * base['robust_accuracy']:.0f} % of attacked images are read rightly.")
    if survivors:
        sentences.append(f"What survives attackers who know it: {', '.join(survivors)}.")
    if fallen:
        sentences.append(f"What does not, though it may stop attackers who do not know it: {', '.join(fallen)}.")
    return sentences
