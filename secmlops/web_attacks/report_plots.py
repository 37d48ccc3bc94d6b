"""The report's pictures."""

from collections.abc import Sequence
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secmlops.pictures import COLOURS, LINES, STYLE, svg_uri
from secmlops.web_attacks.evaluation import Evaluation
from secmlops.web_attacks.robustness import RobustnessReport

Subject = tuple[str, Evaluation, RobustnessReport | None]

_SMALLEST_FPR: Final = 1e-4
_MOST_BARS: Final = 12
_FEWEST_PER_POINT: Final = 10


def draw_all(subjects: Sequence[Subject]) -> dict[str, str]:
    """All pictures that the records allow, by name, as `data:image/svg+xml` URIs.

    Names: `roc`, `pr`, `calibration`, `confusion`, `classes`, `evasion`, `mutations`.
    """
    drawings = {
        "roc": _roc,
        "pr": _precision_recall,
        "calibration": _calibration,
        "confusion": _confusion,
        "classes": _classes,
        "evasion": _evasion,
        "mutations": _mutations,
    }
    pictures = {}
    with rc_context(STYLE):
        for name, draw in drawings.items():
            figure = draw(subjects)
            if figure is not None:
                pictures[name] = svg_uri(figure)
    return pictures


def _figure(width: float = 6.4, height: float = 4.6) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _line(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)], "linewidth": 2.2}


def _percent(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _roc(subjects: Sequence[Subject]) -> Figure | None:
    drawn = [(name, one) for name, one, _ in subjects if one.roc]
    if not drawn:
        return None
    figure, axes = _figure()
    for index, (name, one) in enumerate(drawn):
        assert one.roc is not None
        visible = [i for i, x in enumerate(one.roc.x) if x > _SMALLEST_FPR]
        first = max(0, visible[0] - 1) if visible else len(one.roc.x) - 1
        x = [max(value, _SMALLEST_FPR) for value in one.roc.x[first:]]
        axes.step(x, one.roc.y[first:], where="post", label=name, **_line(index))
    for rate, text in ((0.002, "0.2 %"), (0.01, "1 %")):
        axes.axvline(rate, color="#888888", linewidth=1)
        axes.annotate(text, (rate, 0.02), xytext=(3, 0), textcoords="offset points", color="#555555")
    axes.set(xscale="log", xlim=(_SMALLEST_FPR, 1), ylim=(0, 1.02))
    axes.set(xlabel="False alarms (share of normal requests flagged, log scale)", ylabel="Attacks seen")
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    axes.legend(loc="lower right")
    return figure


def _precision_recall(subjects: Sequence[Subject]) -> Figure | None:
    drawn = [(name, one) for name, one, _ in subjects if one.pr]
    if not drawn:
        return None
    figure, axes = _figure()
    for index, (name, one) in enumerate(drawn):
        assert one.pr is not None
        axes.plot(one.pr.x, one.pr.y, label=name, **_line(index))
    axes.set(
        xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Attacks seen (recall)", ylabel="Warnings that are right (precision)"
    )
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    axes.legend(loc="lower left")
    return figure


def _calibration(subjects: Sequence[Subject]) -> Figure:
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, label="ideal")
    for index, (name, one, _) in enumerate(subjects):
        filled = [bin_ for bin_ in one.calibration if bin_.n >= _FEWEST_PER_POINT] or one.calibration
        x = [bin_.mean_score for bin_ in filled]
        y = [bin_.attack_share for bin_ in filled]
        axes.plot(x, y, marker="o", markersize=5, label=name, **_line(index))
    axes.set(
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="Mean score", ylabel="Share of attacks among these requests"
    )
    axes.legend(loc="upper left")
    return figure


def _confusion(subjects: Sequence[Subject]) -> Figure:
    figure = Figure(figsize=(3.6 * len(subjects), 3.7), layout="constrained")
    for index, (name, one, _) in enumerate(subjects):
        axes = figure.add_subplot(1, len(subjects), index + 1)
        rows = one.confusion.rows()
        shares = [[value / max(1, sum(row)) for value in row] for row in rows]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                colour = "white" if shares[y][x] > 0.5 else "black"
                text = f"{value:,}\n{100 * shares[y][x]:.1f} %"
                axes.text(x, y, text, ha="center", va="center", color=colour)
        axes.set_xticks([0, 1], ["normal", "attack"])
        axes.set_yticks([0, 1], ["normal", "attack"], rotation=90, va="center")
        axes.set(title=name, xlabel="called", ylabel="in truth" if index == 0 else "")
        axes.grid(visible=False)
    return figure


def _classes(subjects: Sequence[Subject]) -> Figure | None:
    names = sorted({name for _, one, _ in subjects for name in one.recall_by_class}, reverse=True)
    if not names:
        return None
    figure, axes = _figure(height=1.4 + 0.26 * len(names) * (1 + len(subjects)))
    bar = 0.8 / len(subjects)
    for index, (name, one, _) in enumerate(subjects):
        present = [
            (row, one.recall_by_class[key].recall) for row, key in enumerate(names) if key in one.recall_by_class
        ]
        offset = 0.4 - bar * (index + 0.5)
        axes.barh(
            [row + offset for row, _ in present],
            [value for _, value in present],
            height=bar,
            color=COLOURS[index % len(COLOURS)],
            label=name,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1), xlabel="Attacks seen, per class")
    _percent(axes.xaxis)
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.9 / figure.get_figheight()), ncols=len(subjects))
    return figure


def _evasion(subjects: Sequence[Subject]) -> Figure | None:
    drawn = [(name, attacked) for name, _, attacked in subjects if attacked and attacked.curve]
    if not drawn:
        return None
    figure, axes = _figure()
    for index, (name, attacked) in enumerate(drawn):
        x = [point.queries for point in attacked.curve]
        y = [point.evasion_rate for point in attacked.curve]
        axes.step(x, y, where="post", label=name, **_line(index))
    highest = max(point.evasion_rate for _, attacked in drawn for point in attacked.curve)
    axes.set(
        ylim=(0, min(1.02, max(0.1, highest * 1.25))), xlabel="Queries per attack", ylabel="Attacks past the model"
    )
    axes.set_xlim(left=0)
    _percent(axes.yaxis)
    axes.legend(loc="best")
    return figure


def _mutations(subjects: Sequence[Subject]) -> Figure | None:
    attacked = [(name, report) for name, _, report in subjects if report and report.n_attacked]
    alone = {
        name: {one.name: one.evaded / report.n_attacked for one in report.by_mutation} for name, report in attacked
    }
    worst = {key: max(of.get(key, 0.0) for of in alone.values()) for of in alone.values() for key in of}
    names = [key for key in sorted(worst, key=lambda key: (worst[key], key)) if worst[key] > 0][-_MOST_BARS:]
    if not names:
        return None
    figure, axes = _figure(width=10.5, height=1.3 + 0.2 * len(names) * (1 + len(attacked)))
    bar = 0.8 / len(attacked)
    for index, (name, of) in enumerate(alone.items()):
        rows = [row + 0.4 - bar * (index + 0.5) for row in range(len(names))]
        colour = COLOURS[index % len(COLOURS)]
        axes.barh(rows, [of.get(key, 0.0) for key in names], height=bar, color=colour, label=name)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="Share of all detected attacks that pass with this rewriting alone")
    axes.set_xlim(left=0, right=max(0.05, axes.get_xlim()[1]))
    _percent(axes.xaxis)
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
    return figure
