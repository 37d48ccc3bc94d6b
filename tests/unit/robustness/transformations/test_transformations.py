import io
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from scipy.ndimage import median_filter
from sklearn.datasets import load_digits

from secmlops.robustness.networks import NetworkConfig, build
from secmlops.robustness.transformations import (
    BitDepthConfig,
    ChainConfig,
    ContrastConfig,
    DenoisingConfig,
    InvalidTransformation,
    JpegConfig,
    MedianConfig,
    Transformed,
    from_config,
)

CONFIGS = [
    BitDepthConfig(bits=1),
    BitDepthConfig(bits=4),
    MedianConfig(size=2),
    MedianConfig(size=3),
    JpegConfig(quality=30),
    DenoisingConfig(width=4, depth=1),
    ChainConfig(steps=(MedianConfig(size=2), BitDepthConfig(bits=3))),
    ContrastConfig(low=0.3, high=0.7),
]


def names(config):
    return "-".join(str(value) for value in config.model_dump().values() if not isinstance(value, tuple | list))


def eight_bit(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)) / 255


@pytest.mark.parametrize("config", CONFIGS, ids=names)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (1, 9, 13)])
def test_keeps_the_shape_and_the_range(config, shape):
    images = eight_bit(3, *shape)
    found = config.build()(images)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("config", CONFIGS, ids=names)
def test_is_rebuilt_from_json(config):
    images = eight_bit(2, 1, 8, 8)
    original = config.build()
    rebuilt = from_config(original.config.model_dump(mode="json"))
    rebuilt.load_state_dict(original.state_dict())
    assert rebuilt.config == config
    assert torch.equal(rebuilt(images), original(images))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "kind"),
        ({"kind": "pickle"}, "pickle"),
        ({"kind": "bit_depth", "bits": 0}, "bits"),
        ({"kind": "median", "size": 99}, "size"),
        ({"kind": "jpeg", "quality": 50, "extra": 1}, "extra"),
        ({"kind": "contrast", "low": 0.7, "high": 0.3}, "low must be the smaller"),
        ({"kind": "chain", "steps": []}, "steps"),
        ({"kind": "chain", "steps": [{"kind": "chain", "steps": []}]}, "steps"),
    ],
)
def test_a_wrong_config_is_refused(document, told):
    with pytest.raises(InvalidTransformation, match=told):
        from_config(document)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_leaves_so_many_levels_and_moves_no_pixel_further_than_half_a_step(bits):
    images = torch.arange(256).reshape(1, 1, 16, 16) / 255
    found = BitDepthConfig(bits=bits).build()(images)
    assert len(found.unique()) == 2**bits
    assert (found - images).abs().max() <= 0.5 / (2**bits - 1) + 1e-6


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_median_is_scipys(size):
    images = eight_bit(2, 2, 9, 11)
    expected = median_filter(images.numpy(), size=(1, 1, size, size), mode="nearest")
    assert np.array_equal(MedianConfig(size=size).build()(images).numpy(), expected)


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_jpeg_is_nearly_libjpegs_on_grey_images(quality):
    images = torch.tensor(load_digits().images[:64] / 16).float().reshape(1, 1, 8 * 8, 64).mul(255).round() / 255
    file = io.BytesIO()
    Image.fromarray((images[0, 0] * 255).to(torch.uint8).numpy(), mode="L").save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file), dtype=np.float32) / 255
    found = JpegConfig(quality=quality).build()(images)[0, 0].numpy()
    # A coefficient halfway between two steps may be rounded otherwise: then its whole block differs.
    assert np.abs(found - expected).mean() < 1 / 255
    assert (np.abs(found - expected) > 2 / 255).mean() < 0.1
    assert np.abs(images[0, 0].numpy() - expected).mean() > 2 * np.abs(found - expected).mean()


def test_jpeg_of_colours_is_nearly_libjpegs():
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 24), indexing="ij")
    image = torch.stack([x, y, (x * 9).sin() / 2 + 0.5]).mul(255).round() / 255
    file = io.BytesIO()
    pixels = (image * 255).to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=40, subsampling=0)
    expected = np.asarray(Image.open(file), dtype=np.float32).transpose(2, 0, 1) / 255
    found = JpegConfig(quality=40).build()(image[None])[0].numpy()
    assert np.abs(found - expected).mean() < 1.5 / 255


@pytest.mark.parametrize("config", [BitDepthConfig(bits=3), JpegConfig(quality=50)], ids=names)
def test_rounding_gives_no_gradient(config):
    images = eight_bit(1, 1, 8, 8).requires_grad_()
    config.build()(images).sum().backward()
    assert torch.count_nonzero(images.grad) == 0


def test_median_passes_the_gradient_to_one_pixel_each():
    images = eight_bit(1, 1, 8, 8).requires_grad_()
    MedianConfig(size=3).build()(images).sum().backward()
    assert images.grad.sum() == 64


def test_stretching_leaves_nothing_of_small_changes_where_a_pixel_was_black_or_white():
    images = torch.tensor([0.0, 1.0, 0.5]).reshape(1, 1, 1, 3).expand(1, 1, 3, 3)
    changed = (images + 0.3 * torch.tensor([-1.0, 0.5, 1.0]).reshape(1, 1, 3, 1)).clamp(0, 1)
    found = ContrastConfig(low=0.3, high=0.7).build()(changed)
    assert found[..., 0].abs().max() < 1e-6
    assert (1 - found[..., 1]).abs().max() < 1e-6
    assert found[0, 0, :, 2].tolist() == pytest.approx([0, 0.875, 1])


def test_stretching_shows_attackers_the_whole_line():
    images = torch.tensor([[[[0.0, 0.4, 1.0]]]], requires_grad=True)
    found = ContrastConfig(low=0.3, high=0.7).build()(images)
    assert found.flatten().tolist() == pytest.approx([0, 0.25, 1], abs=1e-6)
    found.sum().backward()
    assert images.grad.flatten().tolist() == pytest.approx([2.5] * 3)


@pytest.mark.parametrize("config", CONFIGS[1::2] + CONFIGS[4:5], ids=names)
def test_onnx_runtime_answers_as_torch_does_for_any_batch(config):
    torch.manual_seed(0)
    network = build(NetworkConfig(image_shape=(1, 8, 8), classes=10, channels=(4,), hidden=()))
    classifier = Transformed(config.build(), network).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            classifier,
            (torch.rand(2, 1, 8, 8),),
            input_names=["images"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    file = io.BytesIO()
    program.save(file)
    images = eight_bit(257, 1, 8, 8)
    found = onnxruntime.InferenceSession(file.getvalue()).run(None, {"images": images.numpy()})[0]
    with torch.no_grad():
        assert np.abs(found - classifier(images).numpy()).max() < 1e-4
