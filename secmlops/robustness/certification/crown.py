"""CROWN (Zhang et al., 2018): linear bounds of the outputs, carried backward to the inputs.

A ReLU that may go either way lies above a line of slope 0 or 1, whichever leaves the smaller triangle, and below the
line through its ends. Substituting these lines from the last layer to the first bounds any linear function of the
outputs by a linear function of the image, whose least value in a box is known. Tighter than intervals, and dearer: a
pass per bound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from secmlops.robustness.certification.intervals import Box, through
from secmlops.robustness.certification.network import Layer, Layers
from secmlops.robustness.certification.windows import Windows, unpadded

ELEMENTS = 2**22
"""Numbers in the largest tensor that a step may make: 32 MiB of float64."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Lines below and above the ReLUs of a layer: `lower x <= relu(x) <= upper x + intercept` over a box.

    Attributes:
        lower: slopes of the lines below, in [0, 1] where the sign of x is open, else the ReLU's own; (n, ...).
        upper: slopes of the lines above.
        intercept: of the lines above, none negative.
    """

    lower: Tensor
    upper: Tensor
    intercept: Tensor

    def take(self, indices: Tensor) -> "Relaxation":
        """The lines of some of the images."""
        return Relaxation(self.lower[indices], self.upper[indices], self.intercept[indices])


def relax(box: Box) -> Relaxation:
    """The lines of ReLUs whose inputs lie in a box."""
    below, above = box.lower.clamp(max=0), box.upper.clamp(min=0)
    slope = above / (above - below).clamp(min=torch.finfo(above.dtype).tiny)
    return Relaxation((above > -below).to(slope.dtype), slope, -below * slope)


def relaxations(hidden: Sequence[Layer], boxes: Sequence[Box]) -> dict[int, Relaxation]:
    """The lines of every ReLU, by its position, from the boxes of inputs of each hidden layer."""
    return {at: relax(boxes[at]) for at, layer in enumerate(hidden) if isinstance(layer, nn.ReLU)}


def lower_bounds(layers: Sequence[Layer], image: Box, lines: Mapping[int, Relaxation], rows: Tensor) -> Tensor:
    """Lower bounds of linear functions of what the last of these layers puts out, (n, rows); differentiable.

    Args:
        layers: from the first on, not necessarily all.
        image: the box of images (n, ...).
        lines: of the ReLUs among the layers, by position.
        rows: coefficients (n, rows, ...) of the functions over the outputs.
    """
    bounds = torch.zeros(rows.shape[:2], dtype=rows.dtype, device=rows.device)
    shapes = _shapes(layers, image.center.shape[1:])
    for at in reversed(range(len(layers))):
        layer = layers[at]
        match layer:
            case nn.ReLU():
                rising, falling = rows.clamp(min=0), rows.clamp(max=0)
                line = lines[at]
                bounds = bounds + (falling * line.intercept.unsqueeze(1)).flatten(2).sum(2)
                rows = rising * line.lower.unsqueeze(1) + falling * line.upper.unsqueeze(1)
            case nn.Flatten():
                rows = rows.reshape(*rows.shape[:2], *shapes[at])
            case nn.Linear():
                if layer.bias is not None:
                    bounds = bounds + rows @ layer.bias.to(rows.dtype)
                rows = rows @ layer.weight.to(rows.dtype)
            case _:
                if layer.bias is not None:
                    bounds = bounds + rows.sum((3, 4)) @ layer.bias.to(rows.dtype)
                rows = _transposed(layer, rows, shapes[at])
    center, radius = image.center.flatten(1).unsqueeze(2), image.radius.flatten(1).unsqueeze(2)
    rows = rows.flatten(2)
    return bounds + (rows @ center - rows.abs() @ radius).squeeze(2)


def tighten(hidden: Sequence[Layer], boxes: Sequence[Box]) -> list[Box]:
    """Narrow the inputs of each ReLU by CROWN where its sign is open.

    Args:
        hidden: the layers but the last.
        boxes: of inputs of each of them, and last what they put out, as `intervals.propagate` gives them.
    """
    tight, lines = [boxes[0]], dict[int, Relaxation]()
    for at, layer in enumerate(hidden):
        if isinstance(layer, nn.ReLU):
            if lines:
                tight[at] = tight[at].within(_narrowed(hidden[:at], tight[at], tight[0], lines))
            lines[at] = relax(tight[at])
        tight.append(through(layer, tight[at]).within(boxes[at + 1]))
    return tight


def margins(layers: Layers, boxes: Sequence[Box], labels: Tensor) -> Tensor:
    """Lower bounds of logit of the label minus logit of each class, (n, classes); 0 at the label itself.

    Args:
        layers: of the network.
        boxes: of inputs of each hidden layer, the first being that of the images.
        labels: (n,).
    """
    return margins_with(layers, boxes[0], relaxations(layers.hidden, boxes), labels)


def margins_with(layers: Layers, image: Box, lines: Mapping[int, Relaxation], labels: Tensor) -> Tensor:
    """The same with given lines of the ReLUs."""
    rows, constants = layers.differences(labels, image.center.dtype)
    return lower_bounds(layers.hidden, image, lines, rows) + constants


def widest(layers: Sequence[Layer], shape: torch.Size) -> int:
    """The most numbers that one image, of this shape, becomes after any of the layers."""
    return max(outputs.numel() for outputs in _shapes(layers, shape))


def _narrowed(layers: Sequence[Layer], box: Box, image: Box, lines: Mapping[int, Relaxation]) -> Box:
    """What these layers put out, by CROWN where the given box of it is open in sign."""
    lower, upper = box.lower.clone(), box.upper.clone()
    neurons = ((lower < 0) & (upper > 0)).nonzero()
    local = all(isinstance(layer, nn.Conv2d | nn.ReLU) for layer in layers)
    bound = _bounds_in_windows if local else _bounds_of_whole
    at_once = max(1, ELEMENTS // (2 * widest(layers, image.center.shape[1:])))
    for some in neurons.split(at_once):
        bounds = bound(layers, box.center.shape[1:], image, lines, some)
        lower[some.unbind(1)], upper[some.unbind(1)] = bounds[:, 0], -bounds[:, 1]
    return Box.between(lower, upper)


def _bounds_of_whole(
    layers: Sequence[Layer], shape: torch.Size, image: Box, lines: Mapping[int, Relaxation], neurons: Tensor
) -> Tensor:
    """Lower bounds of neurons and of their negatives, (neurons, 2); `neurons` are indices into (n, *shape)."""
    owners = neurons[:, 0]
    one = image.center.new_zeros(len(neurons), *shape)
    one[(torch.arange(len(neurons), device=one.device), *neurons[:, 1:].unbind(1))] = 1
    few = {at: line.take(owners) for at, line in lines.items()}
    return lower_bounds(layers, image.take(owners), few, torch.stack([one, -one], 1))


def _bounds_in_windows(
    layers: Sequence[Layer], shape: torch.Size, image: Box, lines: Mapping[int, Relaxation], neurons: Tensor
) -> Tensor:
    """The same for convolutions and ReLUs, from the window that each neuron sees."""
    owners, channels, top, left = neurons.unbind(1)
    windows, bare, few = Windows(owners, top, left), list[Layer](), dict[int, Relaxation]()
    for at in reversed(range(len(layers))):
        layer = layers[at]
        if isinstance(layer, nn.Conv2d):
            windows, layer = windows.before(layer), unpadded(layer)
        else:
            few[at] = Relaxation(
                *(windows.cut(part) for part in (lines[at].lower, lines[at].upper, lines[at].intercept))
            )
        bare.insert(0, layer)
    one = functional.one_hot(channels, shape[0]).to(image.center.dtype)[:, :, None, None]
    seen = Box(windows.cut(image.center), windows.cut(image.radius))
    return lower_bounds(bare, seen, few, torch.stack([one, -one], 1))


def _shapes(layers: Sequence[Layer], shape: torch.Size) -> list[torch.Size]:
    """The shape of an image before each layer, and after the last."""
    shapes = [shape]
    for layer in layers:
        shapes.append(_output_shape(layer, shapes[-1]))
    return shapes


def _output_shape(layer: Layer, shape: torch.Size) -> torch.Size:
    match layer:
        case nn.ReLU():
            return shape
        case nn.Flatten():
            return torch.Size([shape.numel()])
        case nn.Linear():
            return torch.Size([layer.out_features])
        case nn.Conv2d():
            return torch.Size([layer.out_channels, *(steps + 1 for steps, _ in _strides(layer, shape))])


def _strides(layer: nn.Conv2d, shape: torch.Size) -> Iterator[tuple[int, int]]:
    """How many steps a kernel can go down and to the right, and how many lines it leaves unread."""
    for axis in (0, 1):
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        yield divmod(shape[1 + axis] + 2 * int(layer.padding[axis]) - reach, layer.stride[axis])


def _transposed(layer: nn.Conv2d, rows: Tensor, shape: torch.Size) -> Tensor:
    """Rows over the outputs of a convolution (n, rows, c, h, w) as rows over its inputs, of the given shape."""
    weight, unread = layer.weight.to(rows.dtype), [left for _, left in _strides(layer, shape)]
    padding = [int(pad) for pad in layer.padding]
    flat = functional.conv_transpose2d(
        rows.flatten(0, 1), weight, None, layer.stride, padding, unread, layer.groups, layer.dilation
    )
    return flat.reshape(*rows.shape[:2], *shape)
