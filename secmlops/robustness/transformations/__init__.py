"""Transformations of the input: modules from images to images of the same shape in [0, 1].

Each is described by a small config that goes into JSON and builds it again; each exports to ONNX with a dynamic batch.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from torch import nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.transformations.chain import Chain, ChainConfig
from secmlops.robustness.transformations.contrast import ContrastConfig, ContrastStretching
from secmlops.robustness.transformations.denoising import Denoiser, Denoising, DenoisingConfig
from secmlops.robustness.transformations.jpeg import Jpeg, JpegConfig
from secmlops.robustness.transformations.median import MedianConfig, MedianSmoothing
from secmlops.robustness.transformations.squeezing import BitDepth, BitDepthConfig
from secmlops.robustness.transformations.transformed import Transformed

__all__ = [
    "BitDepth",
    "BitDepthConfig",
    "Chain",
    "ChainConfig",
    "ContrastConfig",
    "ContrastStretching",
    "Denoiser",
    "Denoising",
    "DenoisingConfig",
    "InvalidTransformation",
    "Jpeg",
    "JpegConfig",
    "MedianConfig",
    "MedianSmoothing",
    "TransformationConfig",
    "Transformed",
    "from_config",
]

TransformationConfig = Annotated[
    BitDepthConfig | MedianConfig | JpegConfig | DenoisingConfig | ContrastConfig | ChainConfig,
    Field(discriminator="kind"),
]

_CONFIG: TypeAdapter[TransformationConfig] = TypeAdapter(TransformationConfig)


class InvalidTransformation(SecmlopsError):
    """A document that describes no transformation.

    Attributes:
        reason: what is wrong with it.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(
            f"not a transformation's config: {reason}; write it with `transformation.config.model_dump(mode='json')`"
        )


def from_config(document: Mapping[str, Any]) -> nn.Module:
    """Build the transformation that a JSON object describes; load the weights of a `Denoiser` afterwards.

    Raises:
        InvalidTransformation: an unknown kind, or settings out of range.
    """
    try:
        return _CONFIG.validate_python(dict(document)).build()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidTransformation(f"{place}: {first['msg']}" if place else first["msg"]) from None
