"""The pictures of the variants' report: all of them side by side, or one of them closely."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from secmlops.digits.attacking import attackable, drawn
from secmlops.digits.choosing import Candidate
from secmlops.digits.model import ImageClassifier
from secmlops.images.image_set import ImageSet
from secmlops.pictures import COLOURS, LINES, STYLE, svg_uri
from secmlops.robustness import matrix_plots
from secmlops.robustness.attacks.pgd import Pgd

_MARKERS = "osD^vPX*"
_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with what it says.

    Attributes:
        heading: its title.
        caption: how to read it.
        uri: the picture itself.
    """

    heading: str
    caption: str
    uri: str


def draw_all(candidates: Sequence[Candidate], front: set[int]) -> list[Picture]:
    """All pictures.

    Args:
        candidates: the variants.
        front: `id` of those on the Pareto front.
    """
    with rc_context(STYLE):
        drawn = [
            Picture(
                "Accuracy against the attacker's budget",
                "PGD; dotted: what is proved. The standard model falls at once, a hardened one late.",
                svg_uri(_budgets(candidates)),
            ),
        ]
        if len(candidates) > 1:
            drawn += [
                Picture(
                    "Security against performance",
                    "Further up and to the right is better. Filled: no other variant is better in everything.",
                    svg_uri(_trade_off(candidates, front)),
                ),
                Picture("What it costs", "Time to train, and to answer one image.", svg_uri(_costs(candidates))),
            ]
        else:
            drawn.append(
                Picture(
                    "What was read as what",
                    "Untouched images; a row per true class.",
                    svg_uri(_confusion(candidates[0])),
                )
            )
        return drawn


def draw_attacked(classifier: ImageClassifier, test: ImageSet, eps: float) -> list[Picture]:
    """How one variant meets PGD: a few images before and after, and the loss around the first of them.

    Args:
        classifier: the variant.
        test: images with their true labels; the first ones are shown.
        eps: budget of the attack.
    """
    shown = drawn(test, _EXAMPLES, seed=0)
    images, labels = torch.from_numpy(shown.images), torch.from_numpy(shown.labels)
    attacked_through = attackable(classifier.network)
    attacked = Pgd(eps)(attacked_through, images, labels)
    return [
        Picture(
            "What an attack looks like",
            f"PGD within {eps:g} a pixel, on a few test images; above each what the model answers and how surely.",
            matrix_plots.examples(attacked_through, images, attacked, test.classes),
        ),
        Picture(
            "The loss around an image",
            "Smooth slopes are sound; a valley at the image, or ridges, are signs of masked gradients. "
            "Black: where the answer turns.",
            matrix_plots.loss_landscape(attacked_through, images[0], int(labels[0]), 2 * eps),
        ),
    ]


def _axes(width: float = 6.4, height: float = 4.6) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _budgets(candidates: Sequence[Candidate]) -> Figure:
    figure, axes = _axes()
    for number, candidate in enumerate(candidates):
        matrix = candidate.evaluation.matrix
        swept = sorted((cell.eps, cell.accuracy) for cell in matrix.cells if cell.attack == "pgd")
        points = [(0.0, matrix.clean_accuracy), *swept]
        colour = COLOURS[number % len(COLOURS)]
        line = LINES[number // len(COLOURS) % len(LINES)]
        axes.plot(
            *zip(*points, strict=True),
            line,
            marker=_MARKERS[number % len(_MARKERS)],
            color=colour,
            linewidth=2,
            label=candidate.evaluation.recipe,
        )
        if matrix.certified:
            proved = [(0.0, matrix.clean_accuracy), *((one.eps, one.accuracy) for one in matrix.certified)]
            axes.plot(*zip(*proved, strict=True), ":", color=colour, linewidth=2)
    axes.set_xlabel("largest change of a pixel (eps)")
    axes.set_ylabel("images read rightly")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(-0.03, 1.03)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def _trade_off(candidates: Sequence[Candidate], front: set[int]) -> Figure:
    figure, axes = _axes()
    for number, candidate in enumerate(candidates):
        metrics, on_front = candidate.evaluation.metrics(), id(candidate) in front
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            metrics["clean_accuracy"],
            metrics["robust_accuracy"],
            _MARKERS[number % len(_MARKERS)],
            color=colour,
            markerfacecolor=colour if on_front else "none",
            markersize=11,
            markeredgewidth=2,
            label=candidate.evaluation.recipe,
        )
    axes.set_xlabel("untouched images read rightly")
    axes.set_ylabel("attacked images read rightly (worst case)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.set_ylim(-0.03, 1.03)
    axes.margins(x=0.15)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return figure


def _costs(candidates: Sequence[Candidate]) -> Figure:
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    names = [candidate.evaluation.recipe for candidate in candidates]
    columns = (
        ("training_s", "training (s)", COLOURS[0]),
        ("latency_p95_ms", "one image, slowest 5 % (ms)", COLOURS[1]),
    )
    for number, (metric, label, colour) in enumerate(columns, 1):
        axes = figure.add_subplot(1, 2, number)
        axes.set_axisbelow(True)
        axes.barh(names, [candidate.evaluation.metrics()[metric] for candidate in candidates], color=colour)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        if number > 1:
            axes.set_yticklabels([])
    return figure


def _confusion(candidate: Candidate) -> Figure:
    figure, axes = _axes()
    counts = candidate.evaluation.confusion
    axes.imshow(counts, cmap="Blues")
    axes.grid(visible=False)
    classes = candidate.evaluation.classes
    axes.set_xticks(range(len(classes)), labels=classes)
    axes.set_yticks(range(len(classes)), labels=classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    half = max(map(max, counts)) / 2
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            if count:
                axes.text(
                    x, y, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if count > half else "black"
                )
    return figure
