"""A detector as files of a bundle: arrays and JSON, nothing that runs.

`weights.safetensors` holds the arrays, `preprocess.json` the engine and the config, `card.json` what a person wants to
know. What is read back answers as what was saved: same thresholds, same scores, and for a stream the same place in it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from safetensors import SafetensorError

from secmlops.detectors import native
from secmlops.detectors.config import drift_config
from secmlops.detectors.detector import Arrays, BadWindow, Detector, Engine
from secmlops.detectors.opening import rebuild
from secmlops.errors import SecmlopsError
from secmlops.lifecycle.gate import Digest

KIND: Final = "detector"
WEIGHTS: Final = "weights.safetensors"
SETTINGS: Final = "preprocess.json"
CARD: Final = "card.json"
ADVERSARIAL: Final = frozenset({"adversarial_ae", "model_distillation", "feature_squeezing", "disagreement"})
"""Kinds that judge single inputs, and watch a classifier."""

LEAST_ROWS: Final = 20
MOST_ROWS: Final = 1_000_000
"""Of a window."""

_STATE: Final = "state."


class InvalidDetector(SecmlopsError):
    """Files that do not make a detector.

    Attributes:
        reason: what is wrong.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"no detector: {reason}")


class Settings(BaseModel):
    """`preprocess.json`.

    Attributes:
        kind: `detector`.
        engine: who computes.
        config: what to build.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["detector"] = KIND
    engine: Engine
    config: dict[str, Any]


class Watching(BaseModel):
    """What a detector's card says of the service that it stands beside, for who serves the detector.

    Attributes:
        watches: use case of the watched service, e.g. `digits`, `web_attacks`.
        watched_digest: of the very model that it was fitted beside (`secmlops.bundle.model_digest`); detectors of
            adversarial inputs are not served without it.
        window_rows: rows of a window, by which its false alarms were counted.
        view: `rows` (requests) or `probabilities` (answers); None: as is usual for its kind.
        image_shape: channels, height, width, where its reference is flat and the use case has images.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    watches: Annotated[str, Field(min_length=1)]
    watched_digest: Digest | None = None
    window_rows: Annotated[int, Field(ge=LEAST_ROWS, le=MOST_ROWS)] | None = None
    view: Literal["rows", "probabilities"] | None = None
    image_shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Self:
        """Read a card; what else it says is left aside.

        Raises:
            InvalidDetector: it does not say what is watched, or not rightly.
        """
        try:
            return cls.model_validate_json(json.dumps(dict(card)))
        except ValidationError as error:
            raise _malformed(error, CARD) from None

    def card(self) -> dict[str, Any]:
        """The entries of a card."""
        return self.model_dump(mode="json", exclude_none=True)


class NothingToWatch(SecmlopsError):
    """A detector of adversarial inputs is loaded without what it watches."""

    def __init__(self, kind: str):
        self.kind = kind
        super().__init__(f"a detector of kind {kind} watches a classifier: pass it as `watched`")


def detector_files(detector: Any, *, card: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """The files of a detector, by name.

    Args:
        detector: what to store.
        card: what its card says besides what follows from the config (`metrics`, `training`, `limits`, ...).
    """
    settings = Settings(engine=detector.meta["backend"], config=detector.config.model_dump(mode="json"))
    return {
        WEIGHTS: safetensors.numpy.save(_plain(detector.arrays() | _state(detector))),
        SETTINGS: settings.model_dump_json(indent=1).encode(),
        CARD: json.dumps(_card(detector) | dict(card or {}), indent=1).encode(),
    }


def save_detector(detector: Any, folder: str | Path, *, card: Mapping[str, Any] | None = None) -> None:
    """Write a detector's files into a folder, which is made when absent.

    Args:
        detector: what to store.
        folder: where to.
        card: as for `detector_files`.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in detector_files(detector, card=card).items():
        (Path(folder) / name).write_bytes(content)


def load_detector(
    files: Mapping[str, bytes], *, watched: Any = None, rewriters: Mapping[str, Any] | None = None
) -> Detector:
    """Build the detector that a bundle's files hold.

    Args:
        files: at least `weights.safetensors` and `preprocess.json`, verified.
        watched: the classifier or scorer that a detector of adversarial inputs watches; drift needs none.
        rewriters: by name, the functions that a `Disagreement` compares with.

    Raises:
        InvalidDetector: a file is missing, malformed, or does not fit the other.
        NothingToWatch: a detector of adversarial inputs, and no classifier.
        AlibiMissing: the engine is `alibi`, and alibi-detect is not installed.
    """
    settings = _settings(files)
    arrays, state = _arrays(files)
    kind = settings.config.get("kind")
    if kind in ADVERSARIAL and watched is None:
        raise NothingToWatch(kind)
    try:
        if kind not in native.DRIFT:
            return _other(settings.config, arrays, watched, rewriters or {})
        detector: Any = rebuild(drift_config(settings.config), arrays, settings.engine)
        if state:
            detector.restore(state)
    except ValidationError as error:
        raise _malformed(error) from None
    except (BadWindow, TypeError, KeyError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise InvalidDetector(f"{WEIGHTS} does not fit {SETTINGS} ({error})") from None
    return detector


def stream_bytes(detector: Any) -> bytes:
    """Where an online detector's stream stands, to go on after a restart."""
    return safetensors.numpy.save(_plain(detector.state()))


def resume_stream(detector: Any, saved: bytes) -> None:
    """Go on where a stream stood.

    Raises:
        InvalidDetector: the bytes are no stream of such a detector.
    """
    try:
        detector.restore(safetensors.numpy.load(saved))
    except (SafetensorError, BadWindow, KeyError, ValueError, IndexError) as error:
        raise InvalidDetector(f"the saved stream cannot be resumed ({error})") from None


def _settings(files: Mapping[str, bytes]) -> Settings:
    for name in (WEIGHTS, SETTINGS):
        if name not in files:
            raise InvalidDetector(f"{name} is missing")
    try:
        return Settings.model_validate_json(files[SETTINGS])
    except ValidationError as error:
        raise _malformed(error) from None


def _malformed(error: ValidationError, file: str = SETTINGS) -> InvalidDetector:
    fields = ", ".join(sorted({".".join(map(str, e["loc"])) or e["type"] for e in error.errors()}))
    return InvalidDetector(f"{file} is malformed ({fields})")


def _other(config: Mapping[str, Any], arrays: Arrays, watched: Any, rewriters: Mapping[str, Any]) -> Any:
    # Imported here: a service that watches drift alone does without PyTorch.
    kind = config.get("kind")
    if kind == "verdict":
        from secmlops.detectors.verdict import DriftOrAttack, Judge

        return DriftOrAttack(Judge.model_validate(config), **arrays)
    if kind == "disagreement":
        from secmlops.detectors.disagreement import Disagreement, DisagreementConfig

        return Disagreement(DisagreementConfig.model_validate(config), watched, rewriters)
    if kind == "feature_squeezing":
        from secmlops.detectors.squeezing import FeatureSqueezing, FeatureSqueezingConfig

        return FeatureSqueezing(FeatureSqueezingConfig.model_validate(config), watched)
    if kind in ADVERSARIAL:
        from secmlops.detectors.adversarial_ae import AdversarialAe, second_opinion_config

        return AdversarialAe(second_opinion_config(config), watched, arrays)
    raise InvalidDetector(f"{SETTINGS} is malformed (config.kind: {kind!r} is no detector)")


def _arrays(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The detector's arrays, and its stream's."""
    try:
        arrays = safetensors.numpy.load(files[WEIGHTS])
    except (SafetensorError, ValueError) as error:
        raise InvalidDetector(f"{WEIGHTS} is malformed ({error})") from None
    state = {name.removeprefix(_STATE): arrays.pop(name) for name in list(arrays) if name.startswith(_STATE)}
    return arrays, state


def _state(detector: Any) -> dict[str, Any]:
    state = getattr(detector, "state", None)
    return {_STATE + name: value for name, value in state().items()} if state else {}


def _plain(arrays: Arrays) -> dict[str, Any]:
    return {name: np.ascontiguousarray(np.atleast_1d(value)) for name, value in arrays.items()}


def _card(detector: Any) -> dict[str, Any]:
    single = detector.meta["detector_type"] == "adversarial"
    return {
        "name": detector.meta["name"],
        "task": f"{detector.meta['detector_type']} detection",
        "architecture": f"{detector.meta['name']}, engine {detector.meta['backend']}",
        "intended_use": (
            "Flags inputs that were made to fool the model it was fitted beside; who knows it can get past it."
            if single
            else "Watches the data that a served model sees; it decides nothing about a single request."
        ),
    }
