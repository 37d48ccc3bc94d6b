"""Defensive distillation (Papernot et al. 2016): learn from another network's softened answers.

What is left of it is a lesson: its logits are so large that the softmax saturates, which blinds attacks that follow
the gradient of the cross-entropy, while attacks on the logits find its errors as before (Carlini and Wagner 2017).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class HotCrossEntropy:
    """Standard training at a temperature: the teacher's objective.

    Attributes:
        temperature: by which logits are divided in training; the trained network answers at 1.
    """

    temperature: float = 20.0

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy at the temperature, nats."""
        return nn.functional.cross_entropy(network(images).float() / self.temperature, labels)


@dataclass(frozen=True, slots=True)
class Distillation:
    """The student's objective: the teacher's probabilities at a temperature, whatever the labels say.

    Attributes:
        teacher: trained with `HotCrossEntropy` at the same temperature; is not changed.
        temperature: by which both networks' logits are divided.
    """

    teacher: nn.Module = field(repr=False)
    temperature: float = 20.0

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean cross-entropy with the teacher's probabilities, nats."""
        with torch.no_grad():
            taught = (self.teacher.to(images.device)(images).float() / self.temperature).softmax(1)
        return nn.functional.cross_entropy(network(images).float() / self.temperature, taught)
