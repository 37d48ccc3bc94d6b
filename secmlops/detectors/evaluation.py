"""How good a detector is: false alarms, detection and delay on injected drift, the ROC curve for adversarial inputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats

from secmlops.detectors.changes import Change
from secmlops.detectors.detector import BadWindow, Detector

CONFIDENCE: Final = 0.99
"""Of the binomial bound: a detector that keeps its level exceeds it once in a hundred evaluations."""

_MOST_POINTS: Final = 200

Rate = Annotated[float, Field(ge=0, le=1)]
Rows = npt.NDArray[Any]
Groups = npt.NDArray[Any]
View = Callable[[Rows], Rows]
"""What the detector sees of rows, such as their embedding."""


class FalseAlarms(BaseModel):
    """Alarms on windows without drift.

    Attributes:
        windows: how many were judged.
        alarms: how many gave an alarm.
        level: the rate that the detector was set to.
        allowed: the most alarms that are compatible with the level, by the binomial distribution.
        rows: of a window.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: Annotated[int, Field(gt=0)]
    alarms: Annotated[int, Field(ge=0)]
    level: Rate
    allowed: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(gt=0)]

    @property
    def rate(self) -> float:
        """Alarms per window."""
        return self.alarms / self.windows

    @property
    def kept(self) -> bool:
        """Whether the alarms are compatible with the level."""
        return self.alarms <= self.allowed

    def per_day(self, rows_per_day: float) -> float:
        """False alarms a day at so much traffic."""
        return self.rate * rows_per_day / self.rows


class Detection(BaseModel):
    """What a detector does about one change of one size.

    Attributes:
        change: its kind.
        size: 0 for none, 1 for a large one.
        streams: how many were watched.
        rate: share of the windows that lie wholly after the change which gave an alarm.
        delay_rows: rows between the change and the alarm, median over the streams; None: most gave none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: str
    size: float
    streams: Annotated[int, Field(gt=0)]
    rate: Rate
    delay_rows: float | None


class RunLength(BaseModel):
    """How long an online detector runs until its alarm.

    Attributes:
        change: what happened to the stream from its first row on; empty: nothing, so every alarm is false.
        size: of the change.
        streams: how many were watched.
        mean_rows: until the alarm.
        silent: streams that ended without one; they count with their length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: str
    size: float
    streams: Annotated[int, Field(gt=0)]
    mean_rows: float
    silent: Annotated[int, Field(ge=0)]


class Roc(BaseModel):
    """A detector of adversarial inputs against one attack, at every threshold.

    Attributes:
        name: of the attack.
        false_positive_rates: of clean inputs, rising from 0 to 1.
        true_positive_rates: of attacked inputs.
        auroc: area under the curve; ties count half.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    false_positive_rates: tuple[Rate, ...]
    true_positive_rates: tuple[Rate, ...]
    auroc: Rate

    def caught_at(self, false_positive_rate: float) -> float:
        """The true-positive rate at a false-positive rate."""
        return float(np.interp(false_positive_rate, self.false_positive_rates, self.true_positive_rates))


def false_alarms(
    detector: Detector,
    clean: Rows,
    *,
    rows: int,
    level: float,
    windows: int = 200,
    groups: Groups | None = None,
    seed: int = 0,
) -> FalseAlarms:
    """Judge windows of clean rows that the detector was not built on.

    The windows are disjoint where there are rows enough, else, and with groups, each is drawn anew.

    Args:
        detector: of windows.
        clean: rows (n, ...), as the detector sees them.
        rows: of a window.
        level: the rate that the detector was set to.
        windows: how many.
        groups: (n,) whose each row is; a window holds one row of a group at most. None: every row is its own.
        seed: of the drawing.

    Raises:
        BadWindow: there are fewer clean rows, or groups, than a window has.
    """
    generator = np.random.default_rng(seed)
    alarms = sum(_alarm(detector, clean[chosen]) for chosen in _windows(len(clean), rows, windows, generator, groups))
    return FalseAlarms(windows=windows, alarms=alarms, level=level, allowed=allowed(windows, level), rows=rows)


def allowed(windows: int, level: float) -> int:
    """The most alarms out of so many windows that are compatible with the level."""
    return int(stats.binom.ppf(CONFIDENCE, windows, level))


def detections(
    detector: Detector,
    clean: Rows,
    changes: Mapping[str, Change],
    *,
    rows: int,
    sizes: Sequence[float] = (0.25, 0.5, 1.0),
    streams: int = 10,
    patience: int = 5,
    view: View = lambda rows: rows,
    groups: Groups | None = None,
    seed: int = 0,
) -> list[Detection]:
    """Inject changes into streams of clean rows, at a random place of a window, and wait for the alarm.

    Args:
        detector: of windows.
        clean: rows (n, ...) that the detector was not built on, as `changes` want them.
        changes: by name.
        rows: of a window.
        sizes: of each change.
        streams: for each change and size.
        patience: windows after the one in which the change happens.
        view: what the detector sees of the rows.
        groups: as for `false_alarms`.
        seed: of everything drawn.

    Raises:
        BadWindow: there are fewer clean rows, or groups, than a window has.
    """
    generator = np.random.default_rng(seed)
    table = []
    for name, change in changes.items():
        for size in sizes:
            runs = [
                _stream(detector, clean, change, size, rows, patience, view, groups, generator) for _ in range(streams)
            ]
            delays = [delay for _, delay in runs]
            median = float(np.median(delays))
            table.append(
                Detection(
                    change=name,
                    size=size,
                    streams=streams,
                    rate=float(np.mean([rate for rate, _ in runs])),
                    delay_rows=median if np.isfinite(median) else None,
                )
            )
    return table


def run_lengths(
    detector: Any,
    clean: Rows,
    changes: Mapping[str, Change],
    *,
    sizes: Sequence[float] = (0.25, 0.5, 1.0),
    streams: int = 20,
    longest: int = 2_000,
    view: View = lambda rows: rows,
    seed: int = 0,
) -> list[RunLength]:
    """Run an online detector on streams drawn from clean rows, first as they are and then with each change.

    The expected run time is kept where the first entry's mean is about `ert`; the others are delays.

    Args:
        detector: of streams; it is reset before each, and at the end.
        clean: rows (n, ...) that the detector was not built on, as `changes` want them.
        changes: by name.
        sizes: of each change.
        streams: for each change and size.
        longest: rows after which a stream ends.
        view: what the detector sees of the rows.
        seed: of everything drawn.
    """
    generator = np.random.default_rng(seed)

    def length(change: Change | None, size: float) -> int | None:
        rows = clean[generator.integers(len(clean), size=longest)]
        detector.reset()
        seen = view(rows if change is None else change(rows, size, generator))
        return next((time for time, row in enumerate(seen, 1) if detector.predict(row)["data"]["is_drift"]), None)

    table = []
    cases = [("", None, 0.0), *((name, change, size) for name, change in changes.items() for size in sizes)]
    for name, change, size in cases:
        lengths = [length(change, size) for _ in range(streams)]
        table.append(
            RunLength(
                change=name,
                size=size,
                streams=streams,
                mean_rows=float(np.mean([each or longest for each in lengths])),
                silent=lengths.count(None),
            )
        )
    detector.reset()
    return table


def roc(name: str, clean: npt.NDArray[Any], attacked: npt.NDArray[Any]) -> Roc:
    """The curve of scores (n,) of attacked inputs against those of clean ones.

    Raises:
        BadWindow: either is empty.
    """
    if not len(clean) or not len(attacked):
        raise BadWindow("a curve needs clean and attacked inputs")
    thresholds = np.unique(np.concatenate([clean, attacked]))[::-1]
    if len(thresholds) > _MOST_POINTS:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, _MOST_POINTS).astype(int)]
    false, true = ([0.0, *(float((some >= each).mean()) for each in thresholds)] for some in (clean, attacked))
    area = stats.mannwhitneyu(attacked, clean).statistic / (len(clean) * len(attacked))
    return Roc(name=name, false_positive_rates=tuple(false), true_positive_rates=tuple(true), auroc=float(area))


def detection_picture(table: Sequence[Detection], level: float) -> str:
    """Detection rate against the size of each change, as a data URI; dotted: the rate of false alarms."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from secmlops.pictures import COLOURS, LINES, STYLE, svg_uri

    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4))
        axes = figure.subplots()
        for index, name in enumerate(dict.fromkeys(row.change for row in table)):
            chosen = sorted((row for row in table if row.change == name), key=lambda row: row.size)
            axes.plot(
                [row.size for row in chosen],
                [row.rate for row in chosen],
                LINES[index // len(COLOURS) % len(LINES)],
                color=COLOURS[index % len(COLOURS)],
                marker="o",
                label=name,
            )
        axes.axhline(level, linestyle=":", color="#555555")
        axes.set(xlabel="size of the change", ylabel="windows with an alarm", ylim=(-0.03, 1.03))
        axes.legend(fontsize=9)
        return svg_uri(figure)


def roc_picture(curves: Sequence[Roc]) -> str:
    """The curves of several attacks, as a data URI."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from secmlops.pictures import COLOURS, LINES, STYLE, svg_uri

    with rc_context(STYLE):
        figure = Figure(figsize=(5, 4.4))
        axes = figure.subplots()
        for index, curve in enumerate(curves):
            axes.plot(
                curve.false_positive_rates,
                curve.true_positive_rates,
                LINES[index // len(COLOURS) % len(LINES)],
                color=COLOURS[index % len(COLOURS)],
                label=f"{curve.name} ({curve.auroc:.3f})",
            )
        axes.set(xlabel="clean inputs flagged", ylabel="attacked inputs flagged")
        axes.legend(fontsize=9, title="area under the curve")
        return svg_uri(figure)


def _alarm(detector: Detector, rows: Rows) -> bool:
    return bool(detector.predict(rows)["data"]["is_drift"])


def _windows(
    available: int, rows: int, windows: int, generator: np.random.Generator, groups: Groups | None
) -> list[npt.NDArray[np.int64]]:
    if available < rows:
        raise BadWindow(f"{available} clean rows do not fill a window of {rows}")
    if groups is not None:
        return [one_of_each(groups, rows, generator) for _ in range(windows)]
    if available >= rows * windows:
        return np.split(generator.permutation(available)[: rows * windows], windows)
    return [generator.choice(available, rows, replace=False) for _ in range(windows)]


def one_of_each(groups: Groups, rows: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices (rows,) of rows of different groups, all drawn by lot.

    Raises:
        BadWindow: there are fewer groups.
    """
    order = generator.permutation(len(groups))
    _, first = np.unique(groups[order], return_index=True)
    if len(first) < rows:
        raise BadWindow(f"rows of {len(first)} groups do not fill a window of {rows}")
    return generator.permutation(order[first])[:rows]


def _stream(
    detector: Detector,
    clean: Rows,
    change: Change,
    size: float,
    rows: int,
    patience: int,
    view: View,
    groups: Groups | None,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Share of alarms in the windows wholly after the change, and rows from the change to the first alarm."""
    before = int(generator.integers(rows))
    alarms = []
    for window, chosen in enumerate(_windows(len(clean), rows, patience + 1, generator, groups)):
        unchanged = before if window == 0 else 0
        changed = change(clean[chosen[unchanged:]], size, generator)
        alarms.append(_alarm(detector, view(np.concatenate([clean[chosen[:unchanged]], changed]))))
    first = alarms.index(True) if any(alarms) else None
    delay = np.inf if first is None else (first + 1) * rows - before
    return float(np.mean(alarms[1:])), float(delay)
