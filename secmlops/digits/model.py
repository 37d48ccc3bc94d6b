"""The image classifier as it is stored, judged and served.

A model directory holds `model.onnx`, which answers; `weights.safetensors`, the same network for PyTorch, which attacks
and proofs walk through; `preprocess.json` (`ModelConfig`) and `card.json`. Restoration of the input and the detector
of adversarial images are part of the network, so what is judged is what is served (MITRE ATLAS AML.M0010, AML.M0015).

The two forms are compared when they are written, on real images, and again when the second is opened: what is proved
about one is said about the other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.certification import certified_radii
from secmlops.robustness.classifiers import ClassifierConfig, classifier_with_weights
from secmlops.robustness.onnx_export import INPUT, export
from secmlops.robustness.onnx_layers import require_same_layers
from secmlops.robustness.squeezing_detector import SqueezingDetector, SqueezingDetectorConfig
from secmlops.robustness.transformations import ContrastConfig

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

KIND: Final = "image_classifier"
LOGITS: Final = "logits"
MAX_LOGIT_DIFFERENCE: Final = 1e-4
"""Largest difference between ONNX Runtime and PyTorch, see `onnx_difference`."""

BATCH: Final = 500
_PROBES = 4
_HALVINGS = 6

Probability = Annotated[float, Field(ge=0, le=1)]


class InvalidModel(SecmlopsError):
    """Files that do not make an image classifier.

    Attributes:
        reason: what is wrong.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"no image classifier: {reason}")


class InvalidImages(SecmlopsError):
    """Images that a classifier cannot be asked about.

    Attributes:
        reason: what is wrong.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(reason)


class ExportMismatch(SecmlopsError):
    """ONNX Runtime and PyTorch do not compute the same.

    Attributes:
        difference: largest difference, see `onnx_difference`.
    """

    def __init__(self, difference: float):
        self.difference = difference
        super().__init__(
            f"ONNX Runtime's logits differ from PyTorch's by {difference:.2g} ({MAX_LOGIT_DIFFERENCE:g} is allowed): "
            "do not use this model; check the versions of torch, onnxscript and onnxruntime"
        )


class ModelConfig(BaseModel):
    """`preprocess.json`: what the network is made of, and how its answer is read.

    Attributes:
        kind: `image_classifier`.
        classes: names in the order of the logits.
        classifier: the networks and the restoration of the input that stands before them.
        detector: of adversarial images; None: none.
        abstain_below: the model abstains where the likeliest class is less probable.
        certify_up_to: largest L-infinity budget that a certificate is asked for, in pixel values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["image_classifier"] = KIND
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=1000)]
    classifier: ClassifierConfig
    detector: SqueezingDetectorConfig | None = None
    abstain_below: Probability = 0.0
    certify_up_to: Probability = 0.3

    @model_validator(mode="after")
    def _parts_agree(self) -> "ModelConfig":
        expected = (self.image_shape, len(self.classes))
        if any((member.image_shape, member.classes) != expected for member in self.classifier.members):
            raise ValueError("the members differ in images or classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes have the same name")
        return self

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.classifier.members[0].image_shape

    @property
    def certifiable(self) -> bool:
        """Whether bounds can walk through the network: a single one of ReLUs, on the image as it is or stretched."""
        members, transformation = self.classifier.members, self.classifier.transformation
        walkable = transformation is None or isinstance(transformation, ContrastConfig)
        return len(members) == 1 and walkable and members[0].activation == "relu"


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers for n images.

    Attributes:
        labels: int64 (n,), the likeliest class.
        probabilities: float32 (n, classes).
        abstained: bool (n,): too uncertain, or flagged as adversarial; the label is then no answer.
        adversarial_scores: float32 (n,), the detector's; None: there is no detector.
        adversarial: bool (n,): the score is above the detector's threshold; None: there is no detector.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    abstained: np.ndarray
    adversarial_scores: np.ndarray | None
    adversarial: np.ndarray | None


class ImageClassifier:
    """A trained classifier; open it with `load_classifier`.

    Attributes:
        config: what was read from `preprocess.json`.
    """

    def __init__(self, config: ModelConfig, model: bytes, session: "InferenceSession", weights: Mapping[str, Tensor]):
        self.config = config
        self._model = model
        self._session = session
        self._weights = weights

    @cached_property
    def network(self) -> nn.Module:
        """The same network in PyTorch, images to logits, for attacks and proofs; weights are frozen.

        Raises:
            InvalidModel: the weights are another network's.
            ExportMismatch: it does not compute what `model.onnx` computes.
        """
        network = _with_weights(self.config, self._weights)
        probes = np.random.default_rng(0).random((_PROBES, *self.config.image_shape), dtype=np.float32)
        _require_equal(_difference(network, self.logits(probes), probes))
        return network

    def logits(self, images: np.ndarray, *, batch: int = BATCH) -> np.ndarray:
        """Logits (n, classes) of images (n, channels, height, width) by ONNX Runtime.

        Raises:
            InvalidImages: another shape or type, or pixels that are NaN or outside of [0, 1].
        """
        return self._run(images, batch)[0]

    def predict(self, images: np.ndarray, *, batch: int = BATCH) -> Predictions:
        """Answer images, float32 (n, channels, height, width) in [0, 1], by ONNX Runtime.

        Args:
            images: the images.
            batch: images that run together; at 1, an answer does not depend on its neighbours in its last bit.

        Raises:
            InvalidImages: another shape or type, or pixels that are NaN or outside of [0, 1].
        """
        logits, scores = self._run(images, batch)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        abstained = probabilities.max(axis=1) < self.config.abstain_below
        if self.config.detector is None or scores is None:
            return Predictions(logits.argmax(axis=1), probabilities, abstained, None, None)
        adversarial = scores > self.config.detector.threshold
        return Predictions(logits.argmax(axis=1), probabilities, abstained | adversarial, scores, adversarial)

    def certified_radii(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """L-infinity radii, float64 (n,), within which no image gets another label; 0: none is proved.

        They hold for ONNX Runtime's answers as for PyTorch's: `model.onnx` has the very layers and weights that the
        proof walks through (`require_same_layers`, when it was written and when it was examined), and the proof
        subtracts from every margin what float32 sums of these can be off, in whatever order and fused or not
        (`certification.rounding`). It does not hold where a runtime is told to compute in less than float32.

        Raises:
            InvalidImages: the images or labels cannot be asked about.
            UnsupportedLayer: the network is of a kind that no bound walks through; see `ModelConfig.certifiable`.
        """
        self._check(images)
        radii = certified_radii(
            self.network,
            torch.from_numpy(np.ascontiguousarray(images)),
            torch.from_numpy(np.asarray(labels, dtype=np.int64)),
            self.config.certify_up_to,
            method="crown-ibp",
            halvings=_HALVINGS,
        )
        return radii.numpy()

    def require_same_layers(self) -> None:
        """Check that what is proved about `network` holds for `model.onnx` too.

        Raises:
            OtherNetwork: the two have other layers or weights.
            UnsupportedLayer: nothing can be proved; see `ModelConfig.certifiable`.
        """
        require_same_layers(self._model, self.network, LOGITS)

    def _run(self, images: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray | None]:
        self._check(images)
        outputs = _outputs(self.config)
        parts = [
            self._session.run(outputs, {INPUT: np.ascontiguousarray(images[start : start + batch])})
            for start in range(0, len(images), batch)
        ]
        if not parts:
            empty = np.zeros((0, len(self.config.classes)), np.float32)
            return empty, np.zeros(0, np.float32) if self.config.detector else None
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        if not all(np.isfinite(column).all() for column in columns):
            raise InvalidModel("the network answers with NaN or infinity")
        return columns[0], columns[1] if self.config.detector else None

    def _check(self, images: np.ndarray) -> None:
        expected = self.config.image_shape
        if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != expected:
            found = f"{images.dtype} {list(images.shape)}"
            raise InvalidImages(f"images must be float32 of shape [n, {', '.join(map(str, expected))}], not {found}")
        if len(images) and not (images.min() >= 0 and images.max() <= 1):  # NaN fails both
            raise InvalidImages("pixels must be numbers from 0 to 1: divide 8-bit images by 255 first")


def write_model(
    out: str | Path,
    classifier: nn.Module,
    config: ModelConfig,
    *,
    images: np.ndarray,
    card: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Write an unsigned model directory: model.onnx, weights.safetensors, preprocess.json, card.json.

    Args:
        out: the directory; made when absent.
        classifier: trained, of the form that `config.classifier` says.
        config: what it is made of.
        images: real images (n, channels, height, width) on which ONNX Runtime and PyTorch must agree.
        card: what the model card says besides what follows from the config (`metrics`, `training`, `limits`, ...).

    Returns:
        `onnx_difference`: largest difference between the two forms.

    Raises:
        InvalidModel: the classifier is not of the form that the config says.
        ExportMismatch: the ONNX file does not compute what PyTorch computes: nothing was written.
        OtherNetwork: the network could be certified, but the ONNX file has other layers or weights; likewise.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.state_dict().items()}
    network = _with_weights(config, weights)
    served = SqueezingDetector(network, config.detector).eval() if config.detector else network
    files = {
        "model.onnx": export(served, config.image_shape, _outputs(config)),
        "weights.safetensors": safetensors.torch.save(weights),
        "preprocess.json": config.model_dump_json(indent=1).encode(),
    }
    stored = load_classifier(files)
    difference = onnx_difference(stored, images)
    _require_equal(difference)
    if config.certifiable:
        stored.require_same_layers()
    files["card.json"] = json.dumps(_card(config, network, difference) | dict(card or {}), indent=1).encode()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {"onnx_difference": difference}


def load_classifier(files: Mapping[str, bytes], *, threads: int = 1) -> ImageClassifier:
    """Build the classifier that a bundle's files hold.

    Args:
        files: at least `model.onnx`, `weights.safetensors` and `preprocess.json`, verified.
        threads: CPU threads of one run of ONNX Runtime.

    Raises:
        InvalidModel: a file is missing, malformed, or does not fit the others.
    """
    for name in ("model.onnx", "weights.safetensors", "preprocess.json"):
        if name not in files:
            raise InvalidModel(f"{name} is missing")
    try:
        config = ModelConfig.model_validate_json(files["preprocess.json"])
        weights = safetensors.torch.load(files["weights.safetensors"])
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, e["loc"])) or e["type"] for e in error.errors()}))
        raise InvalidModel(f"preprocess.json is malformed ({fields})") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise InvalidModel(f"weights.safetensors does not load ({type(error).__name__})") from None
    model = files["model.onnx"]
    return ImageClassifier(config, model, _session(model, config, threads), weights)


def read_model(folder: str | Path) -> ImageClassifier:
    """Open an unsigned model directory, as `write_model` wrote it; a bundle is opened with `secmlops.bundle.load`.

    Raises:
        InvalidModel: as `load_classifier`.
    """
    names = ("model.onnx", "weights.safetensors", "preprocess.json")
    return load_classifier(
        {name: (Path(folder) / name).read_bytes() for name in names if (Path(folder) / name).is_file()}
    )


def onnx_difference(classifier: ImageClassifier, images: np.ndarray) -> float:
    """Largest difference of a logit between ONNX Runtime and PyTorch over images (n, channels, height, width).

    Where the largest logit of an image is above 1, the difference is divided by it: float32 cannot keep an absolute
    bound on the logits of a distilled network, which go into the hundreds.
    """
    return _difference(classifier.network, classifier.logits(images), images)


def _with_weights(config: ModelConfig, weights: Mapping[str, Tensor]) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):
            return classifier_with_weights(config.classifier, weights).requires_grad_(False)
    except RuntimeError:
        raise InvalidModel("the weights are not those of the network that the config describes") from None


@torch.no_grad()
def _difference(network: nn.Module, logits: np.ndarray, images: np.ndarray) -> float:
    largest = 0.0
    for start in range(0, len(images), BATCH):
        expected = network(torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH]))).numpy()
        scale = np.maximum(1, np.abs(expected).max(axis=1, keepdims=True))
        largest = max(largest, float((np.abs(expected - logits[start : start + BATCH]) / scale).max()))
    return largest


def _require_equal(difference: float) -> None:
    if not difference <= MAX_LOGIT_DIFFERENCE:  # NaN fails
        raise ExportMismatch(difference)


def _outputs(config: ModelConfig) -> list[str]:
    return [LOGITS, "adversarial_score"] if config.detector else [LOGITS]


def _session(model: bytes, config: ModelConfig, threads: int) -> "InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise InvalidModel(f"model.onnx does not load ({type(error).__name__})") from None
    inputs = {(item.name, item.type, tuple(item.shape[1:])) for item in session.get_inputs()}
    if inputs != {(INPUT, "tensor(float)", config.image_shape)}:
        raise InvalidModel("model.onnx takes other images than preprocess.json says")
    if [item.name for item in session.get_outputs()] != _outputs(config):
        raise InvalidModel("model.onnx gives other outputs than preprocess.json says")
    return session


def _card(config: ModelConfig, network: nn.Module, difference: float) -> dict[str, Any]:
    return {
        "task": "image-classification",
        "kind": KIND,
        "name": KIND,
        "architecture": _architecture(config.classifier),
        "classes": list(config.classes),
        "intended_use": "classify small images of the kind it was trained on, also where somebody wants it to err",
        "limits": [
            "images of other things than its classes get an answer as well",
            "robustness was measured for small changes of pixels, not for shifted, rotated or redrawn images",
        ],
        "network": {"parameters": sum(parameter.numel() for parameter in network.parameters())},
        "equality": {"onnx_max_logit_difference": difference, "tolerance": MAX_LOGIT_DIFFERENCE},
    }


def _architecture(config: ClassifierConfig) -> str:
    members = " | ".join(
        f"conv {'-'.join(map(str, member.channels))}, dense {'-'.join(map(str, member.hidden))}, {member.activation}"
        for member in config.members
    )
    return f"{config.transformation.kind}, then {members}" if config.transformation else members
