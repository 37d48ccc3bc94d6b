"""The models side by side: one way to train any of them, one way to load what was trained."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.classifier import Classifier, InvalidModel
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest

Model = Literal["svm", "distilbert", "mobilebert"]

MODELS: Final[tuple[str, ...]] = get_args(Model)


class UnknownModel(SecmlopsError):
    """A model's name, or a kind in `preprocess.json`, that is not known here.

    Attributes:
        name: what was given.
        known: what is known.
    """

    def __init__(self, name: object, known: tuple[str, ...]):
        self.name = name
        self.known = known
        super().__init__(f"there is no model {str(name)[:40]!r}: use one of {', '.join(known)}")


def train(
    model: str,
    train_records: Sequence[LabelledRequest],
    validation_records: Sequence[LabelledRequest],
    out: str | Path,
    *,
    max_false_positive_rate: float,
    seed: int = 0,
    mutated_copies: int = 1,
    weights: str = "",
    site_normals: Sequence[HttpRequest] = (),
    options: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, float]:
    """Train one of `MODELS` and write its unsigned model directory.

    Args:
        model: which one.
        train_records: labelled requests to learn from.
        validation_records: labelled requests of other sites or times, for calibration, threshold, early stopping.
        out: the model directory; made when absent.
        max_false_positive_rate: at most this share of held-out normals may reach the threshold.
        seed: of everything random.
        mutated_copies: mutated copies of each attack in training (hardening, AML.M0003).
        weights: URI of pretrained transformer weights; empty: from configuration.
        site_normals: normal traffic of the site to protect.
        options: further fields of `svm.SvmConfig` or `transformer.TransformerConfig`.
        on_progress: called with steps done, steps in all, and a message.

    Returns:
        Metrics on held-out requests.

    Raises:
        UnknownModel: not one of `MODELS`.
        TooFewLabels: too few requests of a label.
    """
    if model not in MODELS:
        raise UnknownModel(model, MODELS)
    settings = {**(options or {}), "seed": seed}
    places: dict[str, Any] = {"max_false_positive_rate": max_false_positive_rate, "site_normals": site_normals}
    report = on_progress or (lambda done, total, message: None)
    if model == "svm":
        from secmlops.web_attacks.svm import training as svm
        from secmlops.web_attacks.svm.config import SvmConfig

        config = SvmConfig(**{"mutate": mutated_copies, **settings})

        def share(step: str, done: float) -> None:
            report(round(100 * done), 100, step)

        return svm.train(train_records, validation_records, Path(out), config, on_progress=share, **places)
    from secmlops.web_attacks.transformer import training as transformer
    from secmlops.web_attacks.transformer.config import TransformerConfig

    built = TransformerConfig(
        **{"architecture": model, "mutated_copies": mutated_copies, "weights_uri": weights or None, **settings}
    )
    return transformer.train(train_records, validation_records, Path(out), built, on_progress=report, **places)


def load_classifier(files: Mapping[str, bytes]) -> Classifier:
    """Build the classifier that a bundle's files hold.

    Args:
        files: the verified files of a bundle, by name.

    Raises:
        UnknownModel: `preprocess.json` names no kind known here.
        InvalidModel: a file is missing, malformed, or does not fit the others.
    """
    from secmlops.web_attacks.svm.classifier import KIND as SVM
    from secmlops.web_attacks.svm.classifier import SvmClassifier

    if "preprocess.json" not in files:
        raise InvalidModel("preprocess.json is missing")
    try:
        settings = json.loads(files["preprocess.json"])
    except (ValueError, RecursionError):
        raise InvalidModel("preprocess.json is not JSON") from None
    kind = settings.get("kind") if isinstance(settings, dict) else None
    if kind == SVM:
        return SvmClassifier.from_files(files)
    from secmlops.web_attacks.transformer.classifier import KIND as TRANSFORMER
    from secmlops.web_attacks.transformer.classifier import TransformerClassifier

    if kind == TRANSFORMER:
        return TransformerClassifier.from_files(files)
    raise UnknownModel(kind, (SVM, TRANSFORMER))
