"""Whether an ONNX file computes a network of the family that proofs walk through: layer by layer, bit by bit.

A proof is about weights and layers. It is one about the ONNX file only where that file has the very same ones: the
rounding of any runtime that sums float32 products is then within what `certification.rounding` subtracts, also where it
fuses a layer with its ReLU or its bias, or takes the terms in another order. A file that merely answers alike on some
images may differ elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.certification.network import layers_of
from secmlops.robustness.onnx_export import INPUT

if TYPE_CHECKING:
    from onnx import NodeProto


class OtherNetwork(SecmlopsError):
    """An ONNX file does not compute the network that a proof is about.

    Attributes:
        position: of the layer, from 0; -1 for what stands before the layers.
        reason: what differs there.
    """

    def __init__(self, position: int, reason: str):
        self.position, self.reason = position, reason
        super().__init__(
            f"layer {position} of the ONNX file is not that of the network ({reason}): nothing that is proved about "
            "the network holds for the file; export it again"
        )


def require_same_layers(model: bytes, network: nn.Module, output: str) -> None:
    """Check that an output of an ONNX file is what a network computes from the images.

    Args:
        model: the file.
        network: float32, of the kind that `certification` takes.
        output: the name of the logits.

    Raises:
        OtherNetwork: another operation, setting or weight.
        UnsupportedLayer: the network is of another kind.
    """
    import onnx
    from onnx import numpy_helper

    loaded = onnx.load_from_string(model)
    if len(loaded.functions):
        raise OtherNetwork(-1, "it defines operations of its own")
    graph = loaded.graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    layers = layers_of(network)
    name = output
    for position, layer in reversed(list(enumerate((*layers.hidden, layers.last)))):
        node = makers.get(name)
        if node is None:
            raise OtherNetwork(position, f"{name} is made by nothing")
        if problem := _difference(layer, node, constants):
            raise OtherNetwork(position, f"{node.op_type}, {problem}")
        name = node.input[0]
    if layers.stretching is not None:
        for kind, values in (
            ("Clip", (0, 1)),
            ("Div", (layers.stretching.width,)),
            ("Sub", (layers.stretching.config.low,)),
        ):
            node = makers.get(name)
            if node is None or _foreign(node) or node.op_type != kind or not _same_values(node, constants, values):
                raise OtherNetwork(-1, f"the contrast is not stretched by {kind} of {values}")
            name = node.input[0]
    if name != INPUT:
        raise OtherNetwork(0, f"it is fed with {name} in place of the images")


def _foreign(node: "NodeProto") -> bool:
    return node.domain not in ("", "ai.onnx")


def _same_values(node: "NodeProto", constants: Mapping[str, np.ndarray], values: Sequence[float]) -> bool:
    found = [constants.get(name) for name in node.input[1:]]
    return len(found) == len(values) and all(
        array is not None and array.dtype == np.float32 and array.size == 1 and array.item() == np.float32(value)
        for array, value in zip(found, values, strict=True)
    )


def _difference(layer: nn.Module, node: "NodeProto", constants: Mapping[str, np.ndarray]) -> str:
    """In what a node differs from a layer; empty when in nothing."""
    settings = _settings(node)
    if _foreign(node):
        return f"an operation of {node.domain}"
    match layer:
        case nn.ReLU():
            return "" if node.op_type == "Relu" else "not Relu"
        case nn.Flatten():
            return _not_flat(node, settings, constants)
        case nn.Linear():
            expected = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
            if node.op_type != "Gemm" or {**_GEMM, **settings} != expected:
                return "not Gemm with transposed weights"
        case nn.Conv2d():
            if node.op_type != "Conv" or not _same_geometry(layer, settings):
                return "not Conv of the same geometry"
        case _:
            return f"no form is known for {type(layer).__name__}"
    return _other_weights(layer, node, constants)


_GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}


def _settings(node: "NodeProto") -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _not_flat(node: "NodeProto", settings: Mapping[str, Any], constants: Mapping[str, np.ndarray]) -> str:
    if node.op_type == "Flatten" and settings.get("axis", 1) == 1:
        return ""
    shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
    return "" if shape is not None and len(shape) == 2 and shape[0] == -1 else "not flattened"


def _same_geometry(layer: nn.Conv2d, settings: Mapping[str, Any]) -> bool:
    assert not isinstance(layer.padding, str)  # `layers_of` refuses it
    found = (
        settings.get("strides", [1, 1]),
        settings.get("pads", [0, 0, 0, 0]),
        settings.get("dilations", [1, 1]),
        settings.get("group", 1),
        settings.get("auto_pad", b"NOTSET"),
    )
    return found == (
        list(layer.stride),
        [*layer.padding, *layer.padding],
        list(layer.dilation),
        layer.groups,
        b"NOTSET",
    )


def _other_weights(layer: nn.Conv2d | nn.Linear, node: "NodeProto", constants: Mapping[str, np.ndarray]) -> str:
    expected = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    found = [constants.get(name) for name in node.input[1:]]
    if len(found) != len(expected):
        return "more or fewer weights"
    for array, parameter in zip(found, expected, strict=True):
        own = parameter.detach().cpu().numpy()
        if array is None or array.dtype != own.dtype or array.shape != own.shape or array.tobytes() != own.tobytes():
            return "other weights"
    return ""
