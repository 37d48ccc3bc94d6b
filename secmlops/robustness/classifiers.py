"""A classifier as plain data: its networks and what stands before them, enough to build it again around weights."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.robustness.hardening.ensemble import Ensemble
from secmlops.robustness.networks import NetworkConfig, build
from secmlops.robustness.transformations import TransformationConfig, Transformed


class ClassifierConfig(BaseModel):
    """What to build: one network, or an ensemble, seeing images as they are or transformed.

    Attributes:
        members: the networks; several make an ensemble.
        transformation: what images pass through first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: Annotated[tuple[NetworkConfig, ...], Field(min_length=1, max_length=16)]
    transformation: TransformationConfig | None = None


def build_classifier(config: ClassifierConfig) -> nn.Module:
    """Build a classifier with PyTorch's default initialization (seed it with `torch.manual_seed`)."""
    networks = [build(member) for member in config.members]
    classifier = networks[0] if len(networks) == 1 else Ensemble(networks)
    return classifier if config.transformation is None else Transformed(config.transformation.build(), classifier)


def classifier_with_weights(config: ClassifierConfig, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build a classifier and load weights (those of its `state_dict()`), in evaluation mode.

    Raises:
        RuntimeError: the weights are another classifier's.
    """
    classifier = build_classifier(config)
    classifier.load_state_dict(dict(weights), strict=True)
    return classifier.eval()
