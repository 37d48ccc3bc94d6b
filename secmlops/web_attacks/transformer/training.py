"""Makes a transformer model directory: data, network, training, ONNX, quantization, calibration, card."""

import json
import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import numpy as np
import torch

from secmlops.errors import SecmlopsError
from secmlops.web_attacks import mutations
from secmlops.web_attacks.background import normal_texts
from secmlops.web_attacks.calibration import Platt, choose_margin, fit_platt
from secmlops.web_attacks.classifier import TooFewLabels
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import parts, readings
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES, NORMAL
from secmlops.web_attacks.transformer import byte_tokenizer
from secmlops.web_attacks.transformer import network as networks
from secmlops.web_attacks.transformer.classifier import KIND, Preprocess, WindowScorer
from secmlops.web_attacks.transformer.config import TransformerConfig
from secmlops.web_attacks.transformer.fitting import GENERATED, Bags, Fit, Progress, Schedule, fit, logits_of
from secmlops.web_attacks.transformer.network import AttackNetwork
from secmlops.web_attacks.transformer.windows import MAX_WINDOWS, Windower

FEWEST_TRAINING: Final = 20
FEWEST_VALIDATION: Final = 5

MAX_LOGIT_DIFFERENCE: Final = 1e-4
"""How far the float32 ONNX logit may be from PyTorch's, relative to 1 + |logit|."""

MAX_PROBABILITY_SHIFT: Final = 0.05
"""How far 8-bit weights may move the probability of any validation request that is compared."""

MIN_VERDICT_AGREEMENT: Final = 0.995
"""Share of validation requests whose verdict 8-bit weights must not change."""

_COMPARED_WINDOWS: Final = 500
_SAMPLED_REQUESTS: Final = 750
_TOKENIZER_TEXTS: Final = 40_000
_TOKENIZER_CHARS: Final = 400


class ExportMismatch(SecmlopsError):
    """The ONNX file does not compute what the PyTorch network computes.

    Attributes:
        difference: the largest difference found, relative to 1 + |logit|.
    """

    def __init__(self, difference: float):
        self.difference = difference
        super().__init__(
            f"the exported model differs from the trained one by {difference:.2g} (at most {MAX_LOGIT_DIFFERENCE:g} is "
            "allowed): nothing was written; check the versions of torch, onnxscript and onnxruntime"
        )


def train(
    train: Sequence[LabelledRequest],
    validation: Sequence[LabelledRequest],
    out: Path,
    config: TransformerConfig | None = None,
    *,
    max_false_positive_rate: float,
    site_normals: Sequence[HttpRequest] = (),
    on_progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, float]:
    """Train and write an unsigned model directory: model.onnx, tokenizer.json, preprocess.json, card.json.

    Args:
        train: labelled requests of both labels.
        validation: requests of other sites or times, for early stopping, calibration and the threshold.
        out: the model directory; made when absent.
        config: how to build and train.
        max_false_positive_rate: at most this share of held-out normals may reach the threshold.
        site_normals: normal traffic of the site to protect; three quarters join the training, the rest bounds the
            threshold.
        on_progress: called with steps done, steps in all, and a message.

    Returns:
        Metrics on the validation requests, as the served model scores them.

    Raises:
        TooFewLabels: fewer than 20 training or 5 validation requests of a label.
        ValueError: the false-positive rate is not between 0 and 1.
        UnusableWeights: the weights at `weights_uri` do not fit.
        ExportMismatch: the ONNX file does not compute what PyTorch computes.
    """
    config, tell = config or TransformerConfig(), on_progress or (lambda done, total, message: None)
    if not 0 < max_false_positive_rate < 1:
        raise ValueError("max_false_positive_rate must be between 0 and 1")
    _require_labels(train, FEWEST_TRAINING)
    _require_labels(validation, FEWEST_VALIDATION)
    site = [LabelledRequest(request, NORMAL) for request in site_normals]
    learned = [*_hardened(train, config), *(r for i, r in enumerate(site) if i % 4), *_general(config)]
    held_out = [*validation, *site[::4]]
    with _bounded(config):
        tell(0, 100, "reading requests")
        network, tokenizer, max_tokens = _build(learned, config)
        windower = Windower(tokenizer, max_tokens)
        held_out_bags, sampled = Bags(held_out, windower), _sampled(held_out, config.seed)
        sample = held_out_bags if len(sampled) == len(held_out) else Bags(sampled, windower)
        report = fit(
            network,
            Bags(learned, windower),
            sample,
            _schedule(config),
            max_tokens=max_tokens,
            seed=config.seed,
            on_progress=_inner(tell),
        )
        tell(85, 100, "exporting to ONNX")
        served = _export(network, max_tokens, sample, held_out_bags, max_false_positive_rate)
    settings = Preprocess(
        architecture=config.architecture,
        max_tokens=max_tokens,
        slope=served.platt.slope,
        offset=served.platt.offset,
        threshold=served.threshold,
        classes=ATTACK_CLASSES,
        weights=served.weights,
    )
    metrics = _metrics(served, held_out_bags)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(served.model)
    (out / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    (out / "preprocess.json").write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    card = _card(config, settings, served, report, network, train, held_out, len(site), metrics)
    (out / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True), encoding="utf-8")
    tell(100, 100, "done")
    return metrics


@dataclass(frozen=True, slots=True)
class _Served:
    """The ONNX file that is served, its scale, and how equal it is to the PyTorch network."""

    model: bytes
    weights: Literal["int8", "float32"]
    logits: np.ndarray
    platt: Platt
    threshold: float
    equality: dict[str, float | bool]


def _require_labels(records: Sequence[LabelledRequest], needed: int) -> None:
    attacks = sum(record.is_attack for record in records)
    for label, found in (("attack", attacks), ("normal", len(records) - attacks)):
        if found < needed:
            raise TooFewLabels(label, found, needed)


def _sampled(records: Sequence[LabelledRequest], seed: int) -> list[LabelledRequest]:
    """At most `_SAMPLED_REQUESTS` of each label, for what is looked at after every pass."""
    attacks = [record for record in records if record.is_attack]
    normals = [record for record in records if not record.is_attack]
    rng = random.Random(seed)
    return [record for group in (normals, attacks) for record in rng.sample(group, min(len(group), _SAMPLED_REQUESTS))]


def _hardened(records: Sequence[LabelledRequest], config: TransformerConfig) -> list[LabelledRequest]:
    rng = random.Random(config.seed)
    mutated = [
        replace(record, request=mutations.mutate_request(record.request, record.attack_class, rng, rng.randint(1, 4)))
        for record in records
        if record.is_attack
        for _ in range(config.mutated_copies)
    ]
    return [*records, *mutated]


def _general(config: TransformerConfig) -> list[LabelledRequest]:
    """Generated benign values, each somewhere in a request of its own."""
    rng = random.Random(config.seed)
    texts = normal_texts(config.background, config.seed)
    return [LabelledRequest(_carrying(text, rng), NORMAL, tags=(GENERATED,)) for text in texts]


def _carrying(text: str, rng: random.Random) -> HttpRequest:
    value = quote(text.encode("utf-8", "replace"), safe="")
    place = rng.randrange(4)
    if place == 0:
        return HttpRequest("POST", "/", body=f"q={value}".encode())
    if place == 1:
        return HttpRequest("GET", "/", headers=(("X-Value", value),))
    if place == 2:
        return HttpRequest("GET", "/", headers=(("Cookie", f"q={value}"),))
    return HttpRequest("GET", f"/?q={value}")


@contextmanager
def _bounded(config: TransformerConfig):
    """Seeded, on at most `config.threads` threads; the process's own settings return afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, config.threads))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _build(records: Sequence[LabelledRequest], config: TransformerConfig):
    if config.weights_uri is not None:
        from secmlops.storage.objects import fetch

        with tempfile.TemporaryDirectory() as folder:
            weights = fetch(config.weights_uri, Path(folder) / "weights")
            network, tokenizer, longest = networks.from_folder(config.architecture, weights)
        return network, tokenizer, min(config.max_tokens, longest)
    tokenizer = byte_tokenizer.train(_texts(records, config.seed), config.vocabulary)
    network = networks.from_configuration(
        config.architecture,
        vocabulary=tokenizer.get_vocab_size(),
        max_tokens=config.max_tokens,
        width=config.width,
        layers=config.depth,
        heads=config.heads,
    )
    return network, tokenizer, config.max_tokens


def _texts(records: Sequence[LabelledRequest], seed: int) -> list[str]:
    """Distinct beginnings of decoded texts for the tokenizer, attacks first."""
    found: dict[str, None] = {}
    for record in sorted(records, key=lambda record: not record.is_attack):
        for part in parts(record.request):
            for text in readings(part.text):
                found[text[:_TOKENIZER_CHARS]] = None
    texts = list(found)
    random.Random(seed).shuffle(texts)
    return texts[:_TOKENIZER_TEXTS]


def _schedule(config: TransformerConfig) -> Schedule:
    return Schedule(
        epochs=config.epochs,
        tokens_per_epoch=config.tokens_per_epoch,
        batch_requests=config.batch_requests,
        patience=config.patience,
        learning_rate=config.learning_rate or (2e-3 if config.weights_uri is None else 5e-5),
    )


def _inner(on_progress: Progress) -> Progress:
    def report(done: int, total: int, message: str) -> None:
        on_progress(5 + 80 * done // total, 100, message)

    return report


def _export(
    network: AttackNetwork, max_tokens: int, sample: Bags, held_out: Bags, max_false_positive_rate: float
) -> _Served:
    with tempfile.TemporaryDirectory() as folder:
        exact_path, small_path = Path(folder) / "exact.onnx", Path(folder) / "small.onnx"
        networks.export(network, exact_path, max_tokens)
        networks.quantize(exact_path, small_path)
        exact, small = exact_path.read_bytes(), small_path.read_bytes()
    trained = logits_of(network, sample.windows)
    exact_scorer, small_scorer = WindowScorer(exact), WindowScorer(small)
    difference = _difference(exact_scorer, sample, trained)
    if not difference <= MAX_LOGIT_DIFFERENCE:
        raise ExportMismatch(difference)
    logits = _highest(small_scorer, held_out)
    platt, threshold = _calibrated(logits, held_out.attack, max_false_positive_rate)
    shift, agreement = _moved(sample.highest(trained), _highest(small_scorer, sample), platt, threshold)
    kept = bool(shift.max() <= MAX_PROBABILITY_SHIFT and agreement >= MIN_VERDICT_AGREEMENT)
    equality: dict[str, float | bool] = {
        "compared_requests": len(sample.bags),
        "float32_onnx_max_logit_difference": difference,
        "float32_onnx_tolerance": MAX_LOGIT_DIFFERENCE,
        "int8_max_probability_shift": float(shift.max()),
        "int8_shift_tolerance": MAX_PROBABILITY_SHIFT,
        "int8_verdict_agreement": agreement,
        "int8_agreement_tolerance": MIN_VERDICT_AGREEMENT,
        "int8_within_tolerance": kept,
    }
    if kept:
        return _Served(small, "int8", logits, platt, threshold, equality)
    logits = _highest(exact_scorer, held_out)
    platt, threshold = _calibrated(logits, held_out.attack, max_false_positive_rate)
    return _Served(exact, "float32", logits, platt, threshold, equality)


def _difference(scorer: WindowScorer, sample: Bags, trained: np.ndarray) -> float:
    """The largest difference of a logit, relative to 1 + |logit|, over windows of all lengths."""
    every = max(1, len(sample.windows) // _COMPARED_WINDOWS)
    pairs = list(zip(sample.windows, trained, strict=True))[::every]
    return float(max(abs(scorer.logit(ids) - want) / (1 + abs(want)) for ids, want in pairs))


def _highest(scorer: WindowScorer, bags: Bags) -> np.ndarray:
    return bags.highest(np.array([scorer.logit(ids) for ids in bags.windows]))


def _calibrated(logits: np.ndarray, attack: np.ndarray, max_false_positive_rate: float) -> tuple[Platt, float]:
    margins = logits.astype(np.float64)
    platt = fit_platt(margins[~attack], margins[attack])
    return platt, platt.probability(choose_margin(margins[~attack], margins[attack], max_false_positive_rate))


def _moved(exact: np.ndarray, small: np.ndarray, platt: Platt, threshold: float) -> tuple[np.ndarray, float]:
    """Per request, how far its probability moved; and the share of equal verdicts."""
    before = np.array([platt.probability(logit) for logit in exact])
    after = np.array([platt.probability(logit) for logit in small])
    return np.abs(before - after), float(((before >= threshold) == (after >= threshold)).mean())


def _metrics(served: _Served, held_out: Bags) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    score = np.array([served.platt.probability(logit) for logit in served.logits])
    verdict = score >= served.threshold
    return {
        "validation_auc": float(roc_auc_score(held_out.attack, served.logits)),
        "validation_average_precision": float(average_precision_score(held_out.attack, served.logits)),
        "validation_f1": float(f1_score(held_out.attack, verdict)),
        "validation_recall": float(verdict[held_out.attack].mean()),
        "validation_fpr": float(verdict[~held_out.attack].mean()),
    }


def _card(
    config: TransformerConfig,
    settings: Preprocess,
    served: _Served,
    report: Fit,
    network: AttackNetwork,
    train: Sequence[LabelledRequest],
    held_out: Sequence[LabelledRequest],
    site_normals: int,
    metrics: dict[str, float],
) -> dict[str, Any]:
    return {
        "task": "http-attack-detection",
        "kind": KIND,
        "name": config.architecture,
        "classes": list(settings.classes),
        "intended_use": "score HTTP requests before an application; a verdict is advice to a filter or an analyst",
        "limits": [
            f"of a request with more than {MAX_WINDOWS} windows of {settings.max_tokens} tokens, the rest is not read",
            "texts of kinds that are in neither training nor site traffic may score high",
            *([] if settings.weights == "int8" else ["8-bit weights moved the scores too far; float32 is served"]),
        ],
        "architecture": config.architecture,
        "network": {
            "weights": config.weights_uri or "from configuration",
            "parameters": sum(p.numel() for p in network.parameters()),
            "served_as": settings.weights,
        },
        "training": {
            "requests": len(train),
            "attacks": sum(record.is_attack for record in train),
            "site_normals": site_normals,
            "mutated_copies": config.mutated_copies,
            "config": asdict(config),
            "fit": asdict(report),
        },
        "validation": {"requests": len(held_out), "attacks": sum(record.is_attack for record in held_out)},
        "metrics": metrics,
        "equality": served.equality,
        "threshold": settings.threshold,
    }
