"""Adversarial inputs by what a second opinion says of them (Vacanti and Van Looveren 2020, arXiv 2002.09364).

The second opinion is the classifier's own on what an autoencoder makes of the image, the autoencoder being trained so
that the classifier's answer stays as it is; or a small student's, distilled from the classifier. Both agree with the
classifier where the data lies and not where an attack leads. The score is the divergence KL(M(x) || second(x)).
MITRE ATLAS AML.M0015. An attacker who knows the detector can keep the score low: measure that too, with
`robustness.attacks.adaptive.DetectorAware`.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from torch import Tensor, nn

from secmlops.detectors.adversarial import answer, threshold_for
from secmlops.detectors.detector import Answer, Arrays, BadWindow, describe
from secmlops.robustness.attacks.standing import answers
from secmlops.robustness.hardening.fit import FitConfig, FitReport, Progress, fit
from secmlops.robustness.networks import NetworkConfig
from secmlops.robustness.networks import build as build_network

Classifier = Callable[[Tensor], Tensor]
"""Images (n, c, h, w) in [0, 1] to logits (n, classes), differentiable."""

FIT: Final = FitConfig(epochs=10, batch_size=256, learning_rate=2e-3)
_BATCH: Final = 512

Positive = Annotated[int, Field(gt=0, le=8192)]


class _SecondOpinionConfig(BaseModel):
    """What both kinds have.

    Attributes:
        temperature: the classifier's logits are divided by it in loss and score; below 1 its answer is sharpened.
        threshold: inputs that score above it are called adversarial; None: not set yet.
        false_positive_rate: share of clean inputs that the threshold was set to flag.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: Annotated[float, Field(gt=0)] = 1.0
    threshold: float | None = None
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05


class AdversarialAeConfig(_SecondOpinionConfig):
    """The classifier's opinion of what an autoencoder makes of the image.

    Attributes:
        image_shape: channels, height, width.
        hidden: widths of the encoder's layers, mirrored in the decoder.
        latent: width between them.
        noise: in training, the autoencoder is given half of the images with noise of up to this size (`disturbed`), and
            shall keep what the classifier says of them without it.
        attack: the other half are given after a gradient step on the classifier of up to this length. The paper has
            neither; without them, large perturbations get through the autoencoder.
        reconstruction: weight, in training, of the mean squared error of the pixels beside the divergence.
    """

    kind: Literal["adversarial_ae"] = "adversarial_ae"
    image_shape: tuple[Positive, Positive, Positive]
    hidden: tuple[Positive, ...] = (400,)
    latent: Positive = 40
    noise: Annotated[float, Field(ge=0, le=1)] = 0.5
    attack: Annotated[float, Field(ge=0, le=1)] = 0.3
    reconstruction: Annotated[float, Field(ge=0)] = 1.0


class ModelDistillationConfig(_SecondOpinionConfig):
    """A student's opinion.

    Attributes:
        student: its network, smaller than the classifier.
    """

    kind: Literal["model_distillation"] = "model_distillation"
    student: NetworkConfig


_CONFIG: Final[TypeAdapter[Any]] = TypeAdapter(
    Annotated[AdversarialAeConfig | ModelDistillationConfig, Field(discriminator="kind")]
)


def second_opinion_config(data: Mapping[str, Any]) -> Any:
    """A config from plain data.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _CONFIG.validate_python(data)


class AutoEncoder(nn.Module):
    """Linear layers down to `latent` and up again."""

    def __init__(self, config: AdversarialAeConfig):
        super().__init__()
        self.image_shape = config.image_shape
        pixels = math.prod(config.image_shape)
        down = [pixels, *config.hidden, config.latent]
        widths = [*down, *down[-2::-1]]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Sigmoid(), nn.Unflatten(1, config.image_shape))

    def forward(self, images: Tensor) -> Tensor:
        """What images (n, c, h, w) look like to it, in [0, 1]."""
        return self.layers(images)


class AdversarialAe:
    """A classifier with a second opinion; `AdversarialAE` or `ModelDistillation`, by its config.

    Args:
        config: what the second opinion is.
        classifier: what is watched; its weights are not the detector's and not stored with it.
        weights: of the autoencoder or student; None: as initialized by PyTorch (seed it with `torch.manual_seed`).

    Raises:
        RuntimeError: the weights are another network's.
    """

    def __init__(
        self,
        config: AdversarialAeConfig | ModelDistillationConfig,
        classifier: Classifier,
        weights: Arrays | None = None,
    ):
        self.config = config
        self.classifier = _fixed(classifier)
        self._is_autoencoder = isinstance(config, AdversarialAeConfig)
        self.network: nn.Module = (
            AutoEncoder(config) if isinstance(config, AdversarialAeConfig) else build_network(config.student)
        )
        if weights is not None:
            self.network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
        self.network.eval()
        self.meta = describe("AdversarialAE" if self._is_autoencoder else "ModelDistillation", kind="adversarial")

    def fit(self, images: Tensor, config: FitConfig = FIT, *, on_progress: Progress | None = None) -> FitReport:
        """Train the second opinion on clean images (n, c, h, w), which need no labels.

        Raises:
            TrainingSetMalformed: they are no images.
            TrainingDiverged: the loss is not finite.
        """
        labels = answers(self.classifier, images)
        pair = _Pair(self.classifier, self.network, through=self._is_autoencoder)
        report = fit(pair, images, labels, self._objective(), config, on_progress=on_progress)
        self.network.eval()
        return report

    def attackable_score(self, images: Tensor) -> Tensor:
        """Scores (n,) of images (n, c, h, w), at least 0, with their gradient."""
        return divergence(self.classifier(images), self._second(images), self.config.temperature)

    @torch.no_grad()
    def score(self, images: Tensor | npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Scores (n,) of images (n, c, h, w).

        Raises:
            BadWindow: these are no images.
        """
        images = _images(images)
        return torch.cat([self.attackable_score(batch) for batch in images.split(_BATCH)]).double().numpy()

    def infer_threshold(self, images: Tensor | npt.NDArray[Any], false_positive_rate: float = 0.05) -> float:
        """Set the threshold so that at most that share of clean images, not trained on, is flagged.

        Raises:
            TooFewClean: there are fewer than one in `false_positive_rate`.
        """
        threshold = threshold_for(self.score(images), false_positive_rate)
        self.config = self.config.model_copy(
            update={"threshold": threshold, "false_positive_rate": false_positive_rate}
        )
        return threshold

    def predict(self, x: Tensor | npt.NDArray[Any]) -> Answer:
        """Judge images (n, c, h, w), each by itself.

        Raises:
            NoThreshold: none is set.
            BadWindow: these are no images.
        """
        return answer(self.score(x), self.config.threshold, self.meta)

    @torch.no_grad()
    def correct(self, x: Tensor | npt.NDArray[Any]) -> Answer:
        """As `predict`, with the classes: `no_defense`, `defense` (the second opinion), and `corrected`.

        `corrected` is the second opinion where the image is called adversarial, else the first.

        Raises:
            NoThreshold: none is set.
            BadWindow: these are no images.
        """
        images = _images(x)
        result = self.predict(images)
        first = answers(self.classifier, images).numpy()
        second = answers(self._second, images).numpy()
        flagged = result["data"]["is_adversarial"].astype(bool)
        result["data"] |= {"no_defense": first, "defense": second, "corrected": np.where(flagged, second, first)}
        return result

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes besides config and classifier to build it again."""
        return {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}

    def _objective(self) -> "Agreement":
        if isinstance(self.config, AdversarialAeConfig):
            config = self.config
            return Agreement(config.temperature, config.noise, config.attack, config.reconstruction)
        return Agreement(self.config.temperature)

    def _second(self, images: Tensor) -> Tensor:
        return self.classifier(self.network(images)) if self._is_autoencoder else self.network(images)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The objective: the second opinion shall say what the classifier says.

    Attributes:
        temperature: of the classifier's answer.
        noise: largest size of the noise that what is trained sees and the classifier does not.
        attack: largest step of the attack on the classifier that what is trained sees.
        reconstruction: weight of the pixels' error; for an autoencoder.
    """

    temperature: float
    noise: float = 0.0
    attack: float = 0.0
    reconstruction: float = 0.0

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Mean loss of a batch; labels and progress are not used."""
        with torch.no_grad():
            first = network.judge(images).float()  # type: ignore[operator]
        half = len(images) // 2
        seen = torch.cat([disturbed(images[:half], self.noise), self._attacked(network, images[half:])])
        out = network.trained(seen).float()  # type: ignore[operator]
        second = network.judge(out).float() if network.through else out  # type: ignore[operator]
        loss = divergence(first, second, self.temperature).mean()
        return loss + self.reconstruction * (out - images).square().mean() if self.reconstruction else loss

    def _attacked(self, network: nn.Module, images: Tensor) -> Tensor:
        """One step away from the classifier's own answer, of a length drawn for each image (Goodfellow et al. 2015)."""
        if not self.attack:
            return images
        at = images.detach().clone().requires_grad_()
        logits = network.judge(at).float()  # type: ignore[operator]
        loss = nn.functional.cross_entropy(logits, logits.argmax(1), reduction="sum")
        direction = torch.autograd.grad(loss, at)[0].sign()
        strength = self.attack * torch.rand(len(images), 1, 1, 1, device=images.device)
        return (images + strength * direction).clamp(0, 1)


def disturbed(images: Tensor, size: float) -> Tensor:
    """Images (n, c, h, w) with every pixel up or down by the same amount, drawn for each image from [0, size].

    Neighbours go the same way, in squares of 1, 2 or 4 pixels: so do attacks on convolutions.
    """
    if not size:
        return images
    count, channels, height, width = images.shape
    strength = size * torch.rand(count, 1, 1, 1, device=images.device)
    square = (1, 2, 4)[int(torch.randint(3, ()))]
    coarse = torch.randn(count, channels, -(-height // square), -(-width // square), device=images.device).sign()
    noise = coarse.repeat_interleave(square, 2).repeat_interleave(square, 3)[..., :height, :width]
    return (images + strength * noise).clamp(0, 1)


def divergence(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """KL(softmax(first / temperature) || softmax(second)), nats, (n,)."""
    sure = (first / temperature).log_softmax(dim=1)
    return (sure.exp() * (sure - second.log_softmax(dim=1))).sum(dim=1).clamp(min=0)


class _Pair(nn.Module):
    """The second opinion as a network from images to logits; the classifier's weights are out of training's reach."""

    def __init__(self, judge: Classifier, trained: nn.Module, *, through: bool):
        super().__init__()
        self.trained = trained
        self.judge = judge
        self.through = through

    def forward(self, images: Tensor) -> Tensor:
        out = self.trained(images)
        return self.judge(out) if self.through else out

    def train(self, mode: bool = True) -> "_Pair":
        super().train(mode)
        if isinstance(self.judge, nn.Module):
            self.judge.eval()
        return self


def _fixed(classifier: Classifier) -> Classifier:
    if not isinstance(classifier, nn.Module):
        return classifier
    return copy.deepcopy(classifier).eval().requires_grad_(False)


def _images(x: Tensor | npt.NDArray[Any]) -> Tensor:
    images = torch.as_tensor(x, dtype=torch.float32)
    if images.ndim != 4 or not torch.isfinite(images).all():
        raise BadWindow("finite images (n, c, h, w) are wanted")
    return images
