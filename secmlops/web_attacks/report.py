"""The report on web-attack models, and the one on their data: one HTML file each, for people.

Nothing is fetched when such a file is opened: style and pictures (SVG) are inside, and there is no script. All text
that came from requests is escaped by the template engine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.gate import RequirementResult, Verdict
from secmlops.pages import render
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.evaluation import Evaluation
from secmlops.web_attacks.preparation import SplitReport
from secmlops.web_attacks.robustness import RobustnessReport
from secmlops.web_attacks.validation import ValidationReport

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SHOWN_SUSPECTS: Final = 200
_SHOWN_MUTATIONS: Final = 25
_SHOWN_EXAMPLES: Final = 5
_SHOWN_TEXT: Final = 300
_NORMAL_95: Final = 1.959964  # quantile of the standard normal distribution for a two-sided 95 % interval


class ReportMismatch(SecmlopsError):
    """Verdicts, robustness reports and evaluations that do not belong together.

    Attributes:
        detail: what does not fit.
    """

    def __init__(self, detail: str):
        self.detail = detail
        super().__init__(f"the report cannot be written: {detail}")


class Suspect(Protocol):
    """What the poisoning check says about one request (`poisoning.Suspect`)."""

    @property
    def packet_id(self) -> str: ...  # noqa: D102
    @property
    def index(self) -> int: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def score(self) -> float: ...  # noqa: D102
    @property
    def given_label(self) -> str: ...  # noqa: D102
    @property
    def expected_label(self) -> str: ...  # noqa: D102
    @property
    def detail(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class MetricText:
    """How a metric is presented.

    Attributes:
        title: its name for people.
        ideal: the best value there is.
        meaning: what it says, in a sentence.
        unit: `share` (0..1, shown in percent), `ms`, or `number`.
    """

    title: str
    ideal: str
    meaning: str
    unit: str = "share"


METRICS: Final[Mapping[str, MetricText]] = {
    "tpr_at_1pct_fpr": MetricText(
        "Attacks seen at 1 % false alarms",
        "100 %",
        "Share of attacks above a threshold that flags at most 1 of 100 normal requests.",
    ),
    "tpr_at_0_2pct_fpr": MetricText(
        "Attacks seen at 0.2 % false alarms",
        "100 %",
        "The same where at most 1 of 500 normal requests may be flagged.",
    ),
    "recall": MetricText("Attacks seen", "100 %", "Share of attacks flagged at the model's own threshold (recall)."),
    "false_positive_rate": MetricText(
        "False alarms", "0 %", "Share of normal requests flagged at the model's own threshold."
    ),
    "suspicious_benign_fpr": MetricText(
        "False alarms on suspicious-looking text",
        "0 %",
        "The same for those of the data's normal requests that are full of words that attacks use.",
    ),
    "probe_fpr": MetricText(
        "False alarms on standing probes",
        "0 %",
        "The same for generated harmless texts about code, shells and menus, which are no part of the data.",
    ),
    "precision": MetricText("Warnings that are right", "100 %", "Share of flagged requests that are attacks."),
    "f1": MetricText("F1", "100 %", "Harmonic mean of attacks seen and warnings that are right."),
    "balanced_accuracy": MetricText(
        "Balanced accuracy", "100 %", "Mean of attacks seen and normal requests let through; 50 % is guessing."
    ),
    "roc_auc": MetricText(
        "Area under the ROC curve",
        "100 %",
        "Chance that a random attack scores higher than a random normal request; 50 % is guessing.",
    ),
    "average_precision": MetricText(
        "Average precision", "100 %", "Area under the precision-recall curve; the share of attacks is guessing."
    ),
    "evasion_rate": MetricText(
        "Attacks talked past the model",
        "0 %",
        "Share of detected attacks that pass after rewriting that keeps what they do, within the query budget.",
    ),
    "robust_recall": MetricText(
        "Attacks seen under attack", "100 %", "Share of all attacks that are seen and stay seen under that rewriting."
    ),
    "expected_calibration_error": MetricText(
        "Calibration error", "0 %", "Mean gap between a score and the share of attacks among requests with that score."
    ),
    "brier_score": MetricText(
        "Brier score", "0", "Mean squared gap between score and truth; 0.25 is always answering one half.", "number"
    ),
    "worst_mutation_evasion_rate": MetricText(
        "Worst single rewriting", "0 %", "Share of detected attacks that pass with the most evading rewriting alone."
    ),
    "latency_p50_ms": MetricText(
        "Time per request, median",
        "0 ms",
        "From decoding to verdict, one request at a time, without the network.",
        "ms",
    ),
    "latency_p95_ms": MetricText("Time per request, slowest 5 %", "0 ms", "95 of 100 requests are faster.", "ms"),
    "latency_batch32_p50_ms": MetricText(
        "Time per request in batches of 32", "0 ms", "Median; the cost that limits throughput.", "ms"
    ),
}


def write_report(
    out: str | Path,
    *,
    evaluations: Sequence[Evaluation],
    robustness: Sequence[RobustnessReport] = (),
    verdicts: Sequence[Verdict] | Mapping[str, Verdict] = (),
    champion: str = "",
    cards: Mapping[str, Mapping[str, Any]] | None = None,
    validation: ValidationReport | None = None,
    suspects: Sequence[Suspect] | None = None,
    title: str = "Web-attack detection: what was measured",
) -> None:
    """Write the report on one or more models: the verdict first, then what it means, then every figure.

    Args:
        out: the HTML file.
        evaluations: one per model, at least one.
        robustness: query attacks on these models, in any order and not necessarily on all; matched by name.
        verdicts: the gate's verdicts, either in the order of `evaluations` or by model name.
        champion: the model chosen; when empty, the first that fails least (or, with no verdict, the first).
        cards: model cards by model name.
        validation: the check of the data.
        suspects: what the poisoning check found; None when it was not run.
        title: heading of the page.

    Raises:
        ReportMismatch: no evaluation, verdicts or robustness reports that belong to no model, or an unknown champion.
    """
    models = _models(evaluations, robustness, verdicts, cards or {})
    best = _champion(models, champion)
    text = _render(
        "models.html",
        title=title,
        models=models,
        best=best,
        headline=_headline(best),
        meaning=_meaning(best),
        rows=_metric_rows(models),
        plots=_plots(models),
        classes=_class_rows(models),
        attacked=[model for model in models if model.robustness],
        shown_mutations=_SHOWN_MUTATIONS,
        shown_examples=_SHOWN_EXAMPLES,
        **_data_context(validation, None, suspects, None),
    )
    Path(out).write_text(text, encoding="utf-8")


def write_data_report(
    out: str | Path,
    *,
    validation: ValidationReport | None = None,
    split: SplitReport | None = None,
    suspects: Sequence[Suspect] | None = None,
    records: Sequence[LabelledRequest] | None = None,
    title: str = "Web-attack detection: the data",
) -> None:
    """Write the report on the data: what is in it, what is wrong with it, how it was split, what looks poisoned.

    Args:
        out: the HTML file.
        validation: the check of the data.
        split: how it was split.
        suspects: what the poisoning check found; None when it was not run.
        records: the requests that the suspects' indices point into; their targets are shown then.
        title: heading of the page.
    """
    text = _render("data.html", title=title, **_data_context(validation, split, suspects, records))
    Path(out).write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Model:
    """Everything known about one model, under the name shown."""

    name: str
    evaluation: Evaluation
    robustness: RobustnessReport | None
    verdict: Verdict | None
    card: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        return self.evaluation.metrics() | (self.robustness.metrics() if self.robustness else {})

    def requirement(self, metric: str) -> RequirementResult | None:
        results = self.verdict.results if self.verdict else ()
        return next((result for result in results if result.metric == metric), None)


def _models(
    evaluations: Sequence[Evaluation],
    robustness: Sequence[RobustnessReport],
    verdicts: Sequence[Verdict] | Mapping[str, Verdict],
    cards: Mapping[str, Mapping[str, Any]],
) -> list[_Model]:
    if not evaluations:
        raise ReportMismatch("there is no evaluation")
    waiting = list(robustness)
    by_position: list[Verdict | None] = [None] * len(evaluations)
    if isinstance(verdicts, Mapping):
        names = [evaluation.model for evaluation in evaluations]
        if strange := sorted(set(verdicts) - set(names)):
            raise ReportMismatch(f"a verdict names {strange[0]!r}, which was not evaluated")
        by_position = [verdicts.get(name) for name in names]
    elif verdicts:
        if len(verdicts) != len(evaluations):
            raise ReportMismatch(f"{len(verdicts)} verdicts for {len(evaluations)} evaluations")
        by_position = list(verdicts)
    seen: Counter[str] = Counter()
    models = []
    for evaluation, verdict in zip(evaluations, by_position, strict=True):
        seen[evaluation.model] += 1
        name = evaluation.model if seen[evaluation.model] == 1 else f"{evaluation.model} ({seen[evaluation.model]})"
        attacked = next((one for one in waiting if one.model == evaluation.model), None)
        if attacked:
            waiting.remove(attacked)
        models.append(_Model(name, evaluation, attacked, verdict, cards.get(evaluation.model, {})))
    if waiting:
        raise ReportMismatch(f"a query attack was on {waiting[0].model!r}, which was not evaluated")
    return models


def _champion(models: list[_Model], name: str) -> _Model:
    if name:
        chosen = next((model for model in models if model.name == name), None)
        if chosen is None:
            raise ReportMismatch(f"the champion {name!r} was not evaluated")
        return chosen
    judged = [model for model in models if model.verdict]
    return min(judged, key=lambda model: len(model.verdict.failures) if model.verdict else 0, default=models[0])


@dataclass(frozen=True, slots=True)
class _Headline:
    mood: str
    text: str
    details: tuple[str, ...] = ()


def _headline(best: _Model) -> _Headline:
    verdict = best.verdict
    if verdict is None:
        return _Headline("neutral", f"{best.name} was measured; the gate has not judged it.")
    policy = f"policy {verdict.policy_name} {verdict.policy_version}"
    count = len(verdict.results)
    if verdict.passed:
        demands = "the one requirement" if count == 1 else f"all {count} requirements"
        return _Headline("good", f"{best.name} may be served: it meets {demands} of {policy}.")
    details = tuple(
        f"{title_of(one.metric)}: {shown(one.metric, one.measured)}, "
        f"must be {one.kind.replace('_', ' ')} {shown(one.metric, one.bound)}. {one.risk}"
        for one in verdict.failures
    )
    text = f"No model may be served: the best, {best.name}, fails {len(details)} of {count} requirements of {policy}."
    return _Headline("bad", text, details)


def _meaning(best: _Model) -> list[str]:
    """What the champion's figures mean, in sentences without terms of the trade."""
    evaluation, attacked = best.evaluation, best.robustness
    counts = evaluation.confusion
    sentences = []
    if evaluation.n_attack:
        sentences.append(f"Of 1,000 attacks it sees {_per_thousand(counts.true_attack, evaluation.n_attack)}.")
    if evaluation.n_normal:
        sentences.append(
            f"Of 1,000 normal requests it flags {_per_thousand(counts.false_attack, evaluation.n_normal)}."
        )
    weakest = min(evaluation.recall_by_class.items(), key=lambda item: (item[1].recall, item[0]), default=None)
    if weakest and len(evaluation.recall_by_class) > 1:
        name, one = weakest
        sentences.append(f"It is weakest on {name}: {one.detected} of {one.n} seen.")
    if attacked and attacked.evasion_rate is not None:
        budget = attacked.rounds * attacked.candidates
        sentences.append(
            f"An attacker who sees the score and may ask {budget:,} times for each attack gets "
            f"{attacked.n_evaded} of {attacked.n_attacked} detected attacks past it by rewriting them."
        )
        if attacked.most_evading:
            most = attacked.most_evading
            where = f" (only where {most.assumption})" if most.assumption else ""
            sentences.append(f"The rewriting that helps such an attacker most is {most.name}{where}.")
    return sentences


def _per_thousand(count: int, n: int) -> str:
    low, high = wilson_interval(count, n)
    return f"{1000 * count / n:.0f} (95 % interval {1000 * low:.0f} to {1000 * high:.0f}, measured on {n:,})"


def wilson_interval(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson, JASA 22, 1927): sensible also for 0 of n and for small n."""
    z2 = _NORMAL_95**2
    centre = (count + z2 / 2) / (n + z2)
    half = _NORMAL_95 / (n + z2) * (count * (n - count) / n + z2 / 4) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def title_of(metric: str) -> str:
    """A metric's name for people."""
    if metric in METRICS:
        return METRICS[metric].title
    for prefix, title in (("recall_", "Attacks seen: "), ("evasion_rate_", "Attacks talked past: ")):
        if metric.startswith(prefix):
            return title + metric[len(prefix) :]
    return metric


def shown(metric: str, value: float | None) -> str:
    """A metric's value with its unit; a dash when there is none."""
    if value is None:
        return "not measured"
    unit = (
        METRICS[metric].unit if metric in METRICS else "share" if "recall" in metric or "rate" in metric else "number"
    )
    if unit == "ms":
        return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"
    if unit == "share":
        return f"{100 * value:.2f} %" if value < 0.1 or value > 0.99 else f"{100 * value:.1f} %"
    return f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    mood: str = ""
    bound: str = ""


@dataclass(frozen=True, slots=True)
class _MetricRow:
    metric: str
    text: MetricText
    cells: tuple[_Cell, ...]


def _metric_rows(models: list[_Model]) -> list[_MetricRow]:
    """One row per metric that any model has; what a model lacks is shown as a dash."""
    measured = [model.metrics for model in models]
    rows = []
    for metric, text in METRICS.items():
        if not any(metric in metrics for metrics in measured):
            continue
        cells = tuple(_cell(model, metric, metrics) for model, metrics in zip(models, measured, strict=True))
        rows.append(_MetricRow(metric, text, cells))
    return rows


def _cell(model: _Model, metric: str, metrics: Mapping[str, float]) -> _Cell:
    text = shown(metric, metrics[metric]) if metric in metrics else "–"
    result = model.requirement(metric)
    if result is None:
        return _Cell(text)
    sign = "≥" if result.kind == "at_least" else "≤"
    return _Cell(text, "good" if result.passed else "bad", f"{sign} {shown(metric, result.bound)}")


@dataclass(frozen=True, slots=True)
class _ClassRow:
    name: str
    n: int
    cells: tuple[str, ...]


def _class_rows(models: list[_Model]) -> list[_ClassRow]:
    """Per attack class: attacks, and for each model how many it sees and how many of those it names rightly."""
    names = sorted({name for model in models for name in model.evaluation.recall_by_class})
    rows = []
    for name in names:
        results = [model.evaluation.recall_by_class.get(name) for model in models]
        cells = tuple(f"{100 * one.recall:.1f} % ({one.named} named)" if one else "–" for one in results)
        rows.append(_ClassRow(name, max(one.n for one in results if one), cells))
    return rows


def _plots(models: list[_Model]) -> dict[str, str]:
    from secmlops.web_attacks import report_plots

    return report_plots.draw_all(
        [(model.name, model.evaluation, model.robustness) for model in models],
    )


@dataclass(frozen=True, slots=True)
class _SuspectRow:
    index: int
    packet_id: str
    reason: str
    score: str
    given_label: str
    expected_label: str
    detail: str
    target: str


def _data_context(
    validation: ValidationReport | None,
    split: SplitReport | None,
    suspects: Sequence[Suspect] | None,
    records: Sequence[LabelledRequest] | None,
) -> dict[str, Any]:
    ranked = sorted(suspects or (), key=lambda one: -one.score)
    rows = [
        _SuspectRow(
            index=one.index,
            packet_id=one.packet_id[:12],
            reason=one.reason,
            score=f"{one.score:.2f}",
            given_label=one.given_label,
            expected_label=one.expected_label,
            detail=one.detail,
            target=_target(records[one.index]) if records else "",
        )
        for one in ranked[:_SHOWN_SUSPECTS]
    ]
    return {
        "validation": validation,
        "period": _period(validation),
        "split": split,
        "suspects": rows if suspects is not None else None,
        "suspect_count": len(ranked),
        "suspect_reasons": Counter(one.reason for one in ranked),
        "record_count": len(records) if records is not None else None,
    }


def _period(validation: ValidationReport | None) -> str:
    if validation is None or validation.first_time is None or validation.last_time is None:
        return ""
    first, last = (
        datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
        for time in (validation.first_time, validation.last_time)
    )
    return f"{first} to {last} UTC"


def _target(record: LabelledRequest) -> str:
    request = record.request
    text = f"{request.method} {request.uri} {request.body[:_SHOWN_TEXT].decode('latin-1')}".strip()
    return text if len(text) <= _SHOWN_TEXT else text[: _SHOWN_TEXT - 1] + "…"


def _render(template: str, **context: Any) -> str:
    return render(_TEMPLATES, template, title_of=title_of, shown=shown, **context)
