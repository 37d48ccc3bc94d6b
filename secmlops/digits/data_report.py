"""The report on the images, for people: what is in them, what is wrong with them, where they come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from secmlops.images.errors import InvalidFile
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits
from secmlops.images.validation import ImagesReport
from secmlops.pages import render
from secmlops.pictures import COLOURS, STYLE, png_uri, svg_uri

_TEMPLATES: Final = Path(__file__).parent / "templates"
_PER_CLASS = 12
_MOST_CLASSES = 20


def write_data_report(
    out: str | Path,
    splits: Splits,
    found: ImagesReport,
    refused: Sequence[InvalidFile] = (),
    *,
    title: str = "Robust digits: the data",
) -> None:
    """Write one HTML file.

    Args:
        out: the file.
        splits: the images.
        found: what looking at them found.
        refused: files that were left out.
        title: heading of the page.
    """
    text = render(
        _TEMPLATES,
        "data.html",
        title=title,
        found=found,
        classes=splits.train.classes,
        total=sum(len(images) for images in splits.items().values()),
        refused=list(refused),
        sources=splits.sources,
        sample=_sample(splits.train),
        counts=_counts(splits),
    )
    Path(out).write_text(text, encoding="utf-8")


def _sample(images: ImageSet) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    random = np.random.default_rng(0)
    channels, height, width = images.shape
    classes = images.classes[:_MOST_CLASSES]
    sheet = np.ones((len(classes) * (height + 1), _PER_CLASS * (width + 1), channels), np.float32)
    for row in range(len(classes)):
        members = np.flatnonzero(images.labels == row)
        chosen = random.choice(members, min(_PER_CLASS, len(members)), replace=False)
        for column, index in enumerate(chosen):
            y, x = row * (height + 1), column * (width + 1)
            sheet[y : y + height, x : x + width] = images.images[index].transpose(1, 2, 0)
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 6.4 * sheet.shape[0] / sheet.shape[1]), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(sheet if channels == 3 else sheet[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_yticks([row * (height + 1) + height / 2 for row in range(len(classes))], labels=list(classes))
        axes.set_xticks([])
        axes.grid(visible=False)
        return png_uri(figure)


def _counts(splits: Splits) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    classes = splits.train.classes[:_MOST_CLASSES]
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        axes = figure.add_subplot()
        width = 0.8 / len(splits.items())
        for number, (name, images) in enumerate(splits.items().items()):
            shares = np.bincount(images.labels, minlength=len(images.classes))[: len(classes)] / max(len(images), 1)
            places = np.arange(len(classes)) + (number - 1) * width
            axes.bar(places, shares, width, label=f"{name} ({len(images):,})", color=COLOURS[number])
        axes.set_xticks(range(len(classes)), labels=list(classes))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return svg_uri(figure)
