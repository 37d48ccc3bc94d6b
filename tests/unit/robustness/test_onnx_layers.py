"""An ONNX file is taken for a network only where it is that network, and what is proved holds for how it is run."""

import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from secmlops.robustness.certification import UnsupportedLayer, certified, intervals, rounding
from secmlops.robustness.certification.network import layers_of
from secmlops.robustness.networks import NetworkConfig, build
from secmlops.robustness.onnx_export import INPUT, export
from secmlops.robustness.onnx_layers import OtherNetwork, require_same_layers
from secmlops.robustness.squeezing_detector import SqueezingDetector, SqueezingDetectorConfig
from secmlops.robustness.transformations import Transformed
from secmlops.robustness.transformations.contrast import ContrastConfig
from tests.unit.robustness.small import SHAPE, digits, trained

DETECTOR = SqueezingDetectorConfig(threshold=0.2, false_positive_rate=0.05)


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return trained()


@pytest.fixture(scope="module")
def exported(network) -> bytes:
    return export(network, SHAPE, ["logits"])


def changed(model: bytes, change) -> bytes:
    loaded = onnx.load_from_string(model)
    change(loaded.graph)
    return loaded.SerializeToString()


def ran(model: bytes, images: torch.Tensor, batch: int) -> torch.Tensor:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return torch.cat(
        [torch.from_numpy(session.run(["logits"], {INPUT: some.numpy()})[0]) for some in images.split(batch)]
    )


def test_what_was_exported_is_the_network(network, exported):
    require_same_layers(exported, network, "logits")


def test_beside_a_detector_it_is_the_network_too(network):
    model = export(SqueezingDetector(network, DETECTOR).eval(), SHAPE, ["logits", "adversarial_score"])
    require_same_layers(model, network, "logits")


def test_the_contrast_before_it_must_be_the_same(network):
    stretched = Transformed(ContrastConfig(low=0.1, high=0.9).build(), network).eval()
    model = export(stretched, SHAPE, ["logits"])
    require_same_layers(model, stretched, "logits")
    less = Transformed(ContrastConfig(low=0.1, high=0.8).build(), network).eval()
    for other in (less, network):
        with pytest.raises(OtherNetwork):
            require_same_layers(model, other, "logits")


def _weight_off_by_a_bit(graph):
    (first,) = [one for one in graph.initializer if one.name == "0.weight"]
    weights = numpy_helper.to_array(first).copy()
    weights.view("int32").flat[0] ^= 1
    first.CopyFrom(numpy_helper.from_array(weights, "0.weight"))


def _named(graph, kind: str):
    return next(node for node in graph.node if node.op_type == kind)


def _set(kind: str, name: str, value) -> object:
    def change(graph):
        node = _named(graph, kind)
        kept = [one for one in node.attribute if one.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


def _smooth(graph):
    _named(graph, "Relu").op_type = "Elu"


def _no_bias(graph):
    del _named(graph, "Conv").input[2]


def _domain(graph):
    _named(graph, "Relu").domain = "com.example"


CHANGES = {
    "a weight off by its last bit": _weight_off_by_a_bit,
    "another activation": _smooth,
    "another scale": _set("Gemm", "alpha", 1.5),
    "another stride": _set("Conv", "strides", [1, 1]),
    "other padding": _set("Conv", "pads", [0, 0, 0, 0]),
    "no bias": _no_bias,
    "an operation of somebody else": _domain,
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_file_that_is_another_network_is_refused(network, exported, case):
    with pytest.raises(OtherNetwork):
        require_same_layers(changed(exported, CHANGES[case]), network, "logits")


def test_a_deeper_or_shallower_file_is_refused(network, exported):
    with pytest.raises(OtherNetwork):
        require_same_layers(exported, nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), *network), "logits")
    with pytest.raises(OtherNetwork, match="in place of the images"):
        require_same_layers(exported, network[2:], "logits")


def test_a_network_without_bounds_is_refused(exported):
    with pytest.raises(UnsupportedLayer):
        require_same_layers(exported, nn.Sequential(nn.SiLU(), nn.Linear(2, 2)), "logits")


@pytest.mark.parametrize(
    ("channels", "hidden", "scale"), [((16, 32), (64,), 1.0), ((64,), (512, 512), 4.0), ((), (1024,), 30.0)]
)
@pytest.mark.parametrize("batch", [1, 200])
def test_onnx_runtime_rounds_less_than_proofs_subtract(channels, hidden, scale, batch):
    """However the runtime orders and fuses the sums, and also where large terms cancel."""
    torch.manual_seed(0)
    network = build(NetworkConfig(image_shape=SHAPE, classes=10, channels=channels, hidden=hidden)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(scale)
    images = torch.cat([digits()[0][:150], torch.rand(50, *SHAPE)])
    layers = layers_of(network)
    boxes = intervals.propagate(layers.hidden, intervals.around(images.double(), 0.0))
    with torch.no_grad():
        allowed = rounding.logit_errors(layers, boxes)
        served = ran(export(network, SHAPE, ["logits"]), images, batch).double()
        exact = network.double()(images.double())
    assert ((served - exact).abs() <= allowed).all()
    assert (served - exact).abs().max() > 0


def test_no_answer_of_onnx_runtime_contradicts_a_proof_where_rounding_decides():
    """Two classes whose logits differ by less than float32 can tell: no proof, whatever PyTorch answers."""
    torch.manual_seed(1)
    network = build(NetworkConfig(image_shape=SHAPE, classes=2, channels=(8,), hidden=(256,))).eval()
    with torch.no_grad():
        network[-1].weight[1] = network[-1].weight[0] + 1e-7 * torch.randn(256)
        network[-1].bias.zero_()
    images = torch.rand(300, *SHAPE)
    served = ran(export(network, SHAPE, ["logits"]), images, 300).argmax(1)
    with torch.no_grad():
        mine = network(images).argmax(1)
        exact = network.double()(images.double()).argmax(1)
    network.float()
    assert (served != exact).any(), "rounding decides some of them"
    for labels in (mine, exact):
        proved = certified(network, images, labels, 0.0)
        assert torch.equal(served[proved], labels[proved])
        assert not proved.all()
