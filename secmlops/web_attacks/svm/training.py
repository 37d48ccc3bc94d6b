"""Training of the linear n-gram model, from labelled requests to an unsigned model directory."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks.calibration import Platt, bounded_quantile, choose_margin, fit_platt
from secmlops.web_attacks.classifier import TooFewLabels
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.svm.classifier import KIND, SvmClassifier
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.corpus import Corpus, gather
from secmlops.web_attacks.svm.held_out import HeldOut, margins_of, out_of_fold, site_allowances
from secmlops.web_attacks.svm.learner import PASSES, Fitted, fit, fit_briefly
from secmlops.web_attacks.taxonomy import ATTACK, ATTACK_CLASSES, NORMAL

FEWEST_REQUESTS: Final = 20
CLASS_BITS: Final = 14


def train(
    train: Sequence[LabelledRequest],
    validation: Sequence[LabelledRequest],
    out: Path,
    config: SvmConfig | None = None,
    *,
    max_false_positive_rate: float,
    site_normals: Sequence[HttpRequest] = (),
    on_progress: Callable[[str, float], None] | None = None,
) -> dict[str, float]:
    """Train and write an unsigned model directory: weights.safetensors, preprocess.json, card.json.

    Args:
        train: labelled requests of both labels.
        validation: requests of other sites or times; they help to calibrate, never to fit weights.
        out: the model directory; made when absent.
        config: how to train.
        max_false_positive_rate: the threshold is the most sensitive one that keeps held-out normals below it.
        site_normals: normal traffic of the site to protect; joins the normals and bounds the threshold.
        on_progress: called with a step's name and the share done, 0..1.

    Returns:
        Metrics on held-out requests (out-of-fold by site, and the validation requests).

    Raises:
        TooFewLabels: fewer than 20 requests of a label.
        ValueError: the false-positive rate is not between 0 and 1.
    """
    config = config or SvmConfig()
    tell = on_progress or (lambda step, share: None)
    _refuse_too_few(train)
    begun = time.monotonic()
    tell("taking requests apart", 0.0)
    corpus = gather(train, site_normals, config)
    held_out = out_of_fold(corpus, config, tell)
    tell("fitting on all training requests", 0.7)
    learner = fit(corpus, corpus.bags, config, config.rounds, lambda share: tell("fitting", 0.7 + 0.2 * share))
    tell("calibrating", 0.92)
    held_out = held_out.joined(margins_of(corpus.texts, learner.model, validation))
    normals, attacks = held_out.normals, held_out.attacks
    platt = fit_platt(normals, attacks)
    cut = choose_margin(normals, attacks, max_false_positive_rate)
    allowances: dict[str, float] = {}
    if len(held_out.site_normals) >= FEWEST_REQUESTS:
        allowances = site_allowances(held_out.site_normals, cut, max_false_positive_rate)
        cut = choose_margin(held_out.site_margins(allowances), attacks, max_false_positive_rate)
    threshold = platt.probability(cut)
    classes, class_weights, class_bias = _class_head(corpus, learner, config)
    classifier = SvmClassifier(
        learner.model, platt.slope, platt.offset, threshold, classes, class_weights, class_bias, allowances
    )
    metrics = _metrics(held_out, allowances, platt, threshold)
    _write(Path(out), classifier, config, metrics, _facts(train, validation, site_normals, time.monotonic() - begun))
    tell("done", 1.0)
    return metrics


def _refuse_too_few(train: Sequence[LabelledRequest]) -> None:
    for label, found in ((ATTACK, sum(r.is_attack for r in train)), (NORMAL, sum(not r.is_attack for r in train))):
        if found < FEWEST_REQUESTS:
            raise TooFewLabels(label, found, FEWEST_REQUESTS)


def _class_head(
    corpus: Corpus, fitted: Fitted, config: SvmConfig
) -> tuple[tuple[str, ...], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """One linear score per attack class over fewer buckets, learnt on witnesses and generated attacks."""
    from sklearn.svm import LinearSVC

    bits = min(CLASS_BITS, config.bits)
    found = zip(fitted.witnesses, fitted.classes, strict=True)
    labelled = [(number, kind) for number, kind in found if kind in ATTACK_CLASSES]
    classes = tuple(kind for kind in ATTACK_CLASSES if any(kind == own for _, own in labelled))
    if len(classes) < 2:
        return classes, np.zeros((len(classes), 1 << bits), np.float32), np.zeros(len(classes), np.float32)
    rows = _folded(corpus.texts.rows(np.array([number for number, _ in labelled])), config.bits - bits)
    solver = LinearSVC(C=1.0, tol=1e-2, max_iter=PASSES, class_weight="balanced", random_state=config.seed)
    fit_briefly(solver, rows, np.array([classes.index(kind) for _, kind in labelled]), None)
    if len(classes) == 2:
        return (
            classes,
            np.concatenate([-solver.coef_, solver.coef_]).astype(np.float32),
            np.concatenate([-solver.intercept_, solver.intercept_]).astype(np.float32),
        )
    return classes, solver.coef_.astype(np.float32, order="C"), solver.intercept_.astype(np.float32)


def _folded(rows: Any, shift: int) -> Any:
    import scipy.sparse as sp

    return sp.csr_matrix((rows.data, rows.indices >> shift, rows.indptr), shape=(rows.shape[0], rows.shape[1] >> shift))


def _metrics(held_out: HeldOut, allowances: Mapping[str, float], platt: Platt, threshold: float) -> dict[str, float]:
    cut = (math.log(threshold / (1 - threshold)) - platt.offset) / platt.slope
    normals, attacks = held_out.normals, held_out.attacks
    found = {
        "threshold": threshold,
        "held_out_normals": float(len(normals)),
        "held_out_attacks": float(len(attacks)),
        "held_out_fpr": float((normals >= cut).mean()),
        "held_out_tpr": float((attacks >= cut).mean()),
    }
    if held_out.site_normals:
        found["held_out_site_fpr"] = float((held_out.site_margins(allowances) >= cut).mean())
    for rate in (0.002, 0.01):
        least = bounded_quantile(normals, rate)
        found[f"held_out_tpr_at_{rate:g}_fpr"] = float((attacks >= least).mean())
    return found


def _facts(
    train: Sequence[LabelledRequest],
    validation: Sequence[LabelledRequest],
    site_normals: Sequence[HttpRequest],
    seconds: float,
) -> dict[str, Any]:
    return {
        "training_normals": sum(not record.is_attack for record in train),
        "training_attacks": dict(Counter(record.attack_class or "unnamed" for record in train if record.is_attack)),
        "training_sites": len({record.site for record in train if not record.is_attack}),
        "validation_requests": len(validation),
        "site_normals": len(site_normals),
        "training_s": round(seconds, 1),
    }


def _write(
    out: Path, classifier: SvmClassifier, config: SvmConfig, metrics: dict[str, float], facts: dict[str, Any]
) -> None:
    from safetensors.numpy import save

    model = classifier.model
    out.mkdir(parents=True, exist_ok=True)
    arrays = {
        "weights": model.floats(),
        "class_weights": classifier.class_weights,
        "class_bias": classifier.class_bias,
    }
    settings = {
        "kind": KIND,
        "bits": model.shape.bits,
        "chars": list(model.shape.chars),
        "tokens": list(model.shape.tokens),
        "windows": list(model.windows),
        "window_penalty": model.window_penalty,
        "bias": model.bias,
        "slope": classifier.slope,
        "offset": classifier.offset,
        "threshold": classifier.threshold,
        "classes": list(classifier.classes),
        "allowances": dict(classifier.allowances),
    }
    card = {
        "name": KIND,
        "task": "binary classification of HTTP requests (normal, attack) with attack class, part and evidence",
        "classes": list(classifier.classes),
        "model": "linear SVM over hashed character and token n-grams of decoded request parts",
        "data": facts,
        "parameters": asdict(config),
        "metrics": metrics,
        "intended_use": "flagging web attacks for blocking or review, beside other controls",
        "limits": [
            "sees one request at a time: no rates, sessions or responses",
            "business-logic abuse without attack syntax looks normal",
            "calibrated on sites held out of training; adapt it with a site's own normal traffic",
        ],
    }
    (out / "weights.safetensors").write_bytes(save(arrays))
    (out / "preprocess.json").write_text(json.dumps(settings, indent=1, sort_keys=True))
    (out / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True))
