"""The report on the variants, for people: what each defence brings, what it costs, what survives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from secmlops.digits import published, report_plots
from secmlops.digits.choosing import Candidate, choose, pareto_front
from secmlops.digits.evaluation import Evaluation
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
    "accuracy_detector_aware": "Past the detector",
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
    exam: Candidate | None = None,
    pictures: Sequence[report_plots.Picture] = (),
    title: str = "Robust digits: what was measured",
) -> None:
    """Write one HTML file on one variant or on all side by side, and on the champion's exam.

    Args:
        out: the file.
        candidates: the variants as they were compared; at least one, but for a report on an exam.
        champion: the one that was chosen; None: the one that `choose` takes.
        exam: the champion on images that no choice has looked at; its figures are then those that are told.
        pictures: more of them.
        title: heading of the page.
    """
    best = exam or champion or choose(candidates)
    shown_all = [*([exam] if exam else []), *candidates]
    front = {id(candidates[i]) for i in pareto_front([one.evaluation.metrics() for one in candidates])}
    measured = [one.evaluation.metrics() for one in shown_all]
    columns = [
        _Column(metric, name)
        for metric, name in TITLES.items()
        if metric not in _NOT_IN_TABLE and any(metric in metrics for metrics in measured)
    ]
    text = render(
        _TEMPLATES,
        "variants.html",
        title=title,
        candidates=[one for one in shown_all if one is not best],
        compared_images=candidates[0].evaluation.n if candidates else 0,
        best=best,
        exam=exam,
        eps=f"{best.evaluation.eps:g}",
        headline=_examined(exam) if exam else _compared(best, len(candidates)),
        meaning=_meaning(best, candidates),
        columns=columns,
        rows=[_row(one, columns, len(candidates) > 1 and id(one) in front, one is exam) for one in shown_all],
        plots=[*report_plots.draw_all(candidates or shown_all, front), *pictures],
        findings=[
            _Finding(_name(one, one is exam), weight, found.kind, found.text)
            for one in shown_all
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


def _name(candidate: Candidate, is_exam: bool) -> str:
    return f"{candidate.evaluation.recipe}, exam" if is_exam else candidate.evaluation.recipe


def _row(candidate: Candidate, columns: Sequence[_Column], on_front: bool, is_exam: bool) -> _Row:
    evaluation, metrics = candidate.evaluation, candidate.evaluation.metrics()
    moods = {one.metric: "good" if one.passed else "bad" for one in candidate.verdict.results}
    cells = []
    for metric, _ in columns:
        provable = metric != "certified_accuracy" or bool(evaluation.matrix.certified)
        text = shown(metric, metrics[metric]) if metric in metrics and provable else "–"
        cells.append(_Cell(text, moods.get(metric, "")))
    return _Row(
        name=_name(candidate, is_exam),
        family=evaluation.family,
        training_eps=f"{evaluation.training_eps:.3g}" if evaluation.training_eps else "",
        cells=tuple(cells),
        passed=candidate.verdict.passed,
        failed=", ".join(title_of(one.metric).lower() for one in candidate.verdict.failures),
        on_front=on_front,
    )


def _examined(exam: Candidate) -> _Headline:
    verdict, name = exam.verdict, exam.evaluation.recipe
    if verdict.passed:
        count = len(verdict.results)
        return _Headline("good", f"{name} may be served: it meets all {count} requirements of {_policy(verdict)}.")
    text = f"{name} may not be served: it fails {_failed(verdict)}."
    return _Headline("bad", text, _failures(verdict))


def _compared(best: Candidate, count: int) -> _Headline:
    verdict, name = best.verdict, best.evaluation.recipe
    decides = "the exam on other images decides"
    if verdict.passed:
        text = f"{name} meets all {len(verdict.results)} requirements of {_policy(verdict)}; {decides}."
        return _Headline("good", text)
    text = f"{name} fails {_failed(verdict)}; {decides}."
    return _Headline("bad", f"None meets the policy: the best, {text}" if count > 1 else text, _failures(verdict))


def _policy(verdict: Verdict) -> str:
    return f"policy {verdict.policy_name} {verdict.policy_version}"


def _failed(verdict: Verdict) -> str:
    return f"{len(verdict.failures)} of {len(verdict.results)} requirements of {_policy(verdict)}"


def _failures(verdict: Verdict) -> tuple[str, ...]:
    return tuple(
        f"{title_of(one.metric)}: {shown(one.metric, one.measured)}, "
        f"must be {one.kind.replace('_', ' ')} {shown(one.metric, one.bound)}. {one.risk}"
        for one in verdict.failures
    )


def _meaning(best: Candidate, candidates: Sequence[Candidate]) -> list[str]:
    """The champion's figures, and what survives attackers who know the defence, in plain sentences.

    Variants are compared with each other on the images by which they were chosen.
    """
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
    if chosen := _when_chosen(best, candidates):
        sentences.append(
            f"When it was chosen, on other images, it read {1000 * chosen.clean_accuracy:.0f} and "
            f"{1000 * chosen.metrics()['robust_accuracy']:.0f} of 1,000 rightly."
        )
    standard = next((one for one in candidates if one.evaluation.family == "none"), None)
    if standard is None or evaluation.family == "none":
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


def _when_chosen(exam: Candidate, candidates: Sequence[Candidate]) -> Evaluation | None:
    """What the examined model showed when it was chosen; None where this is no exam, or there was no choice."""
    if any(one is exam for one in candidates):
        return None
    digest = exam.verdict.model_digest
    return next((one.evaluation for one in candidates if one.verdict.model_digest == digest), None)
