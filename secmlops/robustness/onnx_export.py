"""A PyTorch module as an ONNX file, with any batch size and nothing in it but the computation."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT: Final = "images"
OPSET: Final = 20

_EXAMPLES = 3


def export(module: nn.Module, image_shape: tuple[int, int, int], outputs: Sequence[str]) -> bytes:
    """Export a module of images (n, channels, height, width), float32 in [0, 1]; n is free.

    The exporter's notes on where in the source each operation came from are left out: they name this machine's
    folders (MITRE ATLAS AML.M0000). The same module gives the same bytes.

    Args:
        module: in evaluation mode.
        image_shape: channels, height and width.
        outputs: names of what it returns.
    """
    with _quiet():
        program = torch.onnx.export(
            module,
            (torch.full((_EXAMPLES, *image_shape), 0.5),),
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=OPSET,
        )
    assert program is not None  # only the exporter without dynamo returns None
    model = program.model_proto
    _strip(model)
    return model.SerializeToString(deterministic=True)


def _strip(model: "ModelProto") -> None:
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's advice to its own developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
