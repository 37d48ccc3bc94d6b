"""From verified bundles to a subject: the only way by which a detector gets into a service."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from secmlops.bundle import Bundle
from secmlops.bundle import load as load_bundle
from secmlops.detectors.storage import ADVERSARIAL, InvalidDetector, NothingToWatch, Watching, load_detector
from secmlops.detectors.verdict import DriftOrAttack
from secmlops.errors import SecmlopsError
from serving.base import WrongUseCase
from serving.detectors.readers import Reader, UnknownUseCase, reader_for
from serving.detectors.settings import Settings
from serving.detectors.subjects import AdversarialInputs, DriftOfWindows, Subject, Verdicts, looks_at_answers
from serving.limits import Limits

Kind = Literal["drift", "adversarial"]

DEFAULT_ROWS: Final = 500

_NEED_LABELS: Final = "performance"
_IMAGE_DIMENSIONS: Final = 4


class WrongDetector(SecmlopsError):
    """A verified bundle whose detector does not fit the service.

    Attributes:
        reason: why not.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"this service cannot serve the detector: {reason}")


class TooLarge(SecmlopsError):
    """A detector whose windows do not fit into the memory that the settings give them.

    Attributes:
        needed: bytes of one window.
        allowed: bytes of all.
    """

    def __init__(self, needed: int, allowed: int):
        self.needed = needed
        self.allowed = allowed
        super().__init__(
            f"a window takes {needed:,} bytes and --window_bytes allows {allowed:,}: raise it, or lower --window_rows"
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the bundles lie. All are verified with the same trusted key.

    Attributes:
        detector: the detector's bundle.
        trusted_key: public key (PEM): a path, or `env:VARIABLE`.
        watched: the watched model's bundle, for detectors of adversarial inputs.
        judge: a bundle with a judge of drift or attack, beside a detector of adversarial inputs.
    """

    detector: Path
    trusted_key: str
    watched: Path | None = None
    judge: Path | None = None


def open_subject(bundle: Bundle, kind: Kind, sources: Sources, settings: Settings, limits: Limits) -> Subject:
    """Build the subject of a verified bundle.

    Args:
        bundle: the detector's, verified.
        kind: of the service.
        sources: of the other bundles, which are verified here.
        settings: bounds of the windows.
        limits: bounds of an event.

    Raises:
        BundleError: another bundle does not verify.
        SecmlopsError: the files make no detector, or none that fits the service.
    """
    rows = settings.window_rows or Watching.of(bundle.card).window_rows or DEFAULT_ROWS
    settings = settings.model_copy(update={"window_rows": rows})
    subject = (_adversarial if kind == "adversarial" else _drift)(bundle, sources, settings, limits)
    needed = subject.row_bytes * subject.window_rows
    if needed > settings.window_bytes:
        raise TooLarge(needed, settings.window_bytes)
    return subject


def check_use_case(bundle: Bundle) -> None:
    """Refuse a detector that was judged for another use case than the one that its card says it watches.

    Raises:
        InvalidDetector: it is no detector, or its card does not say what it watches.
        WrongUseCase: it was.
    """
    _config(bundle)
    watches = Watching.of(bundle.card).watches
    if bundle.verdict.use_case not in (watches, f"{watches}_detectors"):
        raise WrongUseCase(bundle.verdict.use_case, watches)


def _drift(bundle: Bundle, sources: Sources, settings: Settings, limits: Limits) -> Subject:
    kind = _config(bundle).get("kind")
    if kind in ADVERSARIAL:
        raise WrongDetector("it is one of adversarial inputs: serve it with serving.detectors.adversarial")
    if kind == _NEED_LABELS:
        raise WrongDetector("it needs labels, which no event carries: run it in the pipeline")
    detector: Any = load_detector(bundle.model_files())
    if isinstance(detector, DriftOrAttack):
        return Verdicts(detector, _reader(bundle, detector.reader.reference.inputs, limits), settings, limits)
    _check_width(detector.reference, settings)
    if looks_at_answers(detector, Watching.of(bundle.card)):
        return DriftOfWindows(detector, None, settings, limits)
    return DriftOfWindows(detector, _reader(bundle, detector.reference, limits), settings, limits)


def _adversarial(bundle: Bundle, sources: Sources, settings: Settings, limits: Limits) -> Subject:
    kind = _config(bundle).get("kind")
    if kind not in ADVERSARIAL:
        raise WrongDetector("it is none of adversarial inputs: serve it with serving.detectors.drift")
    if sources.watched is None:
        raise NothingToWatch(str(kind))
    watched = load_bundle(sources.watched, sources.trusted_key)
    _check_pair(bundle, watched)
    detector, reader = _watching(bundle, watched, limits)
    threshold = getattr(detector.config, "squeezing", detector.config).threshold
    if threshold is None:
        raise WrongDetector("its threshold was never set")
    return AdversarialInputs(detector, reader, settings, limits, _judge(sources, watched))


def _check_pair(bundle: Bundle, watched: Bundle) -> None:
    """A detector's scores and thresholds mean nothing beside another model than its own.

    Raises:
        WrongDetector: it was fitted beside another, or its card does not say beside which.
    """
    fitted = Watching.of(bundle.card).watched_digest
    if fitted is None:
        raise WrongDetector("its card has no watched_digest: beside which model it was fitted is not known")
    if fitted != watched.model_digest:
        raise WrongDetector("it was fitted beside another model than the one it is given to watch")


def _watching(bundle: Bundle, watched: Bundle, limits: Limits) -> tuple[Any, Reader]:
    """The detector with the classifier that it watches, and the reader of the requests of both."""
    files = bundle.model_files()
    match Watching.of(bundle.card).watches:
        case "digits":
            from secmlops.digits.model import load_classifier as load_images

            images = load_images(watched.model_files())
            reader = reader_for("digits", images.config.image_shape, limits)
            return load_detector(files, watched=images.network), reader
        case "web_attacks":
            from secmlops.web_attacks.models import load_classifier as load_requests
            from secmlops.web_attacks.rewriting import REWRITERS, scorer

            classifier = load_requests(watched.model_files())
            reader = reader_for("web_attacks", None, limits)
            return load_detector(files, watched=scorer(classifier), rewriters=REWRITERS), reader
        case watches:
            raise UnknownUseCase(watches)


def _judge(sources: Sources, watched: Bundle) -> DriftOrAttack | None:
    if sources.judge is None:
        return None
    bundle = load_bundle(sources.judge, sources.trusted_key)
    judge = load_detector(bundle.model_files())
    if not isinstance(judge, DriftOrAttack):
        raise WrongDetector("the bundle of the judge holds another kind of detector")
    _check_pair(bundle, watched)
    return judge


def _config(bundle: Bundle) -> Mapping[str, Any]:
    config = bundle.preprocess.get("config")
    if bundle.preprocess.get("kind") != "detector" or not isinstance(config, dict):
        raise InvalidDetector("preprocess.json is not a detector's")
    return config


def _reader(bundle: Bundle, reference: np.ndarray, limits: Limits) -> Reader:
    watching = Watching.of(bundle.card)
    shape = watching.image_shape
    if shape is None and reference.ndim == _IMAGE_DIMENSIONS:
        _, channels, height, width = reference.shape
        shape = channels, height, width
    if shape is None and watching.watches == "digits":
        raise WrongDetector("its reference is flat, and the card has no image_shape: channels, height, width")
    return reader_for(watching.watches, shape, limits)


def _check_width(reference: np.ndarray, settings: Settings) -> None:
    features = int(np.prod(reference.shape[1:]))
    if features > settings.max_features:
        raise WrongDetector(f"its rows have {features} features and --max_features allows {settings.max_features}")
