"""Pictures of the attack matrix: accuracy against eps, examples, the loss around an image; as data URIs for a page."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from secmlops.pictures import COLOURS, LINES, STYLE, png_uri, svg_uri
from secmlops.robustness.attacks.attack import Classifier, Norm
from secmlops.robustness.attacks.goal import cross_entropy, gradient, margin, untargeted
from secmlops.robustness.matrix import AttackMatrix

_MARKERS: Final = "osD^vPX*"


def accuracy_against_eps(matrix: AttackMatrix, norm: Norm = "linf") -> str:
    """A line for each attack from the clean accuracy down, the worst case, and what is certified; SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        axes = figure.add_subplot()
        made = dict.fromkeys(cell.attack for cell in matrix.cells if cell.norm == norm)
        for at, attack in enumerate(made):
            points = [(cell.eps, cell.accuracy) for cell in matrix.cells if (cell.attack, cell.norm) == (attack, norm)]
            _line(axes, attack, [(0.0, matrix.clean_accuracy), *points], at)
        worst = [(one.eps, one.accuracy) for one in matrix.worst if one.norm == norm]
        axes.plot(
            *zip(*sorted([(0.0, matrix.clean_accuracy), *worst]), strict=True), color="black", lw=1, label="worst case"
        )
        if norm == "linf" and matrix.certified:
            proved = sorted((one.eps, one.accuracy) for one in matrix.certified)
            axes.plot(*zip(*proved, strict=True), color="#555555", ls=":", marker="s", label="certified")
        axes.set(xlabel=f"eps ({norm})", ylabel="accuracy", ylim=(-0.02, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return svg_uri(figure)


def examples(classifier: Classifier, images: Tensor, attacked: Tensor, classes: Sequence[str]) -> str:
    """Images, what an attack made of them, and the change (grey is none), with the classifier's answers; PNG.

    Args:
        classifier: gives the answers above the pictures.
        images: a handful, (n, 1 or 3, height, width).
        attacked: the same, attacked.
        classes: names of the classes.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    change = attacked - images
    widest = change.abs().max().clamp(min=1e-12)
    shown = (images, attacked, change / (2 * widest) + 0.5)
    answers = [_answers(classifier, some, classes) for some in (images, attacked)]
    with rc_context(STYLE):
        figure = Figure(figsize=(1.3 * len(images) + 0.9, 4.6), layout="constrained")
        grid = figure.subplots(3, len(images), squeeze=False)
        for row, some in enumerate(shown):
            for column, axes in enumerate(grid[row]):
                axes.imshow(_pixels(some[column]), cmap="gray", vmin=0, vmax=1)
                axes.set(xticks=[], yticks=[])
                if row < 2:
                    axes.set_title(answers[row][column], fontsize=9)
        for axes, name in zip(grid[:, 0], ("image", "attacked", f"change (+-{widest:.2g})"), strict=True):
            axes.set_ylabel(name, fontsize=9)
        return png_uri(figure)


def loss_landscape(
    classifier: Classifier, image: Tensor, label: int, eps: float, *, points: int = 41, seed: int = 0
) -> str:
    """The cross-entropy around an image, along the gradient's sign and a random sign, from -eps to eps; PNG.

    A smooth slope is what a sound model shows; a valley at the image, or ridges, are signs of masked gradients. The
    black line is the classifier's boundary.

    Args:
        classifier: differentiable.
        image: (channels, height, width).
        label: its true class.
        eps: how far to look.
        points: along each direction.
        seed: of the random direction.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shares = torch.linspace(-eps, eps, points)
    loss, ahead = plane(classifier, image, label, shares, seed=seed)
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(5.6, 4.4), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.contourf(shares.numpy(), shares.numpy(), loss.numpy(), levels=24, cmap="viridis")
        if bool((ahead > 0).any()) and bool((ahead < 0).any()):
            axes.contour(shares.numpy(), shares.numpy(), ahead.numpy(), levels=[0.0], colors="black", linewidths=2)
        axes.set(xlabel="along the gradient's sign", ylabel="along a random sign")
        figure.colorbar(drawn, label="cross-entropy")
        return png_uri(figure)


def plane(classifier: Classifier, image: Tensor, label: int, shares: Tensor, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Loss and margin (positive: wrong) on the plane of both directions, (random, gradient) of the shares' length."""
    labels = torch.tensor([label], device=image.device)
    upward, _, _ = gradient(untargeted(classifier, labels), image[None], torch.zeros_like(labels))
    generator = torch.Generator().manual_seed(seed)
    other = torch.randint(2, image.shape, generator=generator).to(image) * 2 - 1
    across = shares.to(image).view(-1, 1, 1, 1, 1) * other + shares.to(image).view(1, -1, 1, 1, 1) * upward.sign()
    around = (image + across).clamp(0, 1).flatten(0, 1)
    with torch.no_grad():
        logits = classifier(around)
    all_labels = labels.expand(len(around))
    size = (len(shares), len(shares))
    return cross_entropy(logits, all_labels).view(size).cpu(), margin(logits, all_labels).view(size).cpu()


def _line(axes: Any, name: str, points: list[tuple[float, float]], at: int) -> None:
    colour, style = COLOURS[at % len(COLOURS)], LINES[at % len(LINES)]
    eps, accuracy = zip(*sorted(points), strict=True)
    axes.plot(eps, accuracy, color=colour, ls=style, lw=2, marker=_MARKERS[at % len(_MARKERS)], label=name)


def _answers(classifier: Classifier, images: Tensor, classes: Sequence[str]) -> list[str]:
    with torch.no_grad():
        sure, answer = classifier(images).softmax(1).max(1)
    return [f"{classes[int(one)]} ({100 * float(how):.0f} %)" for one, how in zip(answer, sure, strict=True)]


def _pixels(image: Tensor) -> np.ndarray:
    pixels = image.detach().cpu().numpy()
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
