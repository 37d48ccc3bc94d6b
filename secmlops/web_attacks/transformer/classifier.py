"""The transformer models: DistilBERT and MobileBERT over decoded request parts, served as 8-bit ONNX.

Serving needs onnxruntime, tokenizers and NumPy, never PyTorch. Each window of a request runs through the network
alone and unpadded: dynamic 8-bit quantization takes its scale from the whole tensor, so windows that ran together
would change each other's scores (and an attacker could pick a neighbour that does).

Sources: DistilBERT (Sanh et al. 2019), MobileBERT (Sun et al. 2020), probabilities (Platt 1999). Mutated attacks
in training answer MITRE ATLAS AML.M0003.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secmlops.web_attacks.calibration import Platt
from secmlops.web_attacks.classifier import InvalidModel, Score, unread
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK, NORMAL
from secmlops.web_attacks.transformer import byte_tokenizer
from secmlops.web_attacks.transformer.config import Architecture
from secmlops.web_attacks.transformer.windows import Window, Windower

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

KIND: Final = "transformer"
EVIDENCE_CHARS: Final = 120
_CACHED_WINDOWS: Final = 16_384
_EVIDENCE_MASS: Final = 0.8


class Preprocess(BaseModel):
    """`preprocess.json`: all that turns a request into model input and a logit into a verdict.

    Attributes:
        kind: `transformer`.
        architecture: the encoder.
        max_tokens: longest window.
        slope: Platt slope, positive.
        offset: Platt offset.
        threshold: probability from which on the verdict is `attack`.
        classes: attack classes in the order of the class logits.
        weights: `int8` (dynamic quantization) or `float32`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["transformer"] = KIND
    architecture: Architecture
    max_tokens: int = Field(ge=8, le=4096)
    slope: float = Field(gt=0)
    offset: float
    threshold: float = Field(ge=0, le=1)
    classes: tuple[str, ...] = Field(min_length=1)
    weights: Literal["int8", "float32"]


class WindowScorer:
    """The ONNX network, one window at a time.

    Args:
        model: the bytes of `model.onnx`.
        threads: CPU threads of one run.

    Raises:
        InvalidModel: not an ONNX file, or one with other inputs and outputs.
    """

    def __init__(self, model: bytes, threads: int = 1):
        self._session = _session(model, threads)
        self.logit = lru_cache(maxsize=_CACHED_WINDOWS)(self._logit)

    def _logit(self, ids: tuple[int, ...]) -> float:
        return float(self._run(ids, ["logit"])[0][0])

    def explain(self, ids: tuple[int, ...]) -> tuple[int, np.ndarray]:
        """The likeliest attack class (index) and each token's share of the attack's logit, (tokens,) float32."""
        class_logits, saliency = self._run(ids, ["class_logits", "saliency"])
        return int(class_logits[0].argmax()), saliency[0]

    def _run(self, ids: tuple[int, ...], outputs: list[str]) -> list[np.ndarray]:
        tokens = np.array([ids], dtype=np.int64)
        return self._session.run(outputs, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})


class TransformerClassifier:
    """A trained transformer as it is served; build it with `from_files`.

    Attributes:
        name: the architecture.
        threshold: probability from which on the verdict is `attack`.
        settings: what was read from `preprocess.json`.
    """

    def __init__(self, windower: Windower, scorer: WindowScorer, settings: Preprocess):
        self.name: str = settings.architecture
        self.threshold = settings.threshold
        self.settings = settings
        self._platt = Platt(settings.slope, settings.offset)
        self._windower = windower
        self._scorer = scorer

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, threads: int = 1) -> "TransformerClassifier":
        """Build the model from the files of a bundle.

        Args:
            files: at least `model.onnx`, `tokenizer.json` and `preprocess.json`.
            threads: CPU threads of one run of the network.

        Raises:
            InvalidModel: a file is missing, malformed, or does not fit the others.
            UnusableTokenizer: the tokenizer is none, or lacks a token.
        """
        for name in ("model.onnx", "tokenizer.json", "preprocess.json"):
            if name not in files:
                raise InvalidModel(f"{name} is missing")
        try:
            settings = Preprocess.model_validate_json(files["preprocess.json"])
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, e["loc"])) or e["type"] for e in error.errors()}))
            raise InvalidModel(f"preprocess.json is malformed ({fields})") from None
        windower = Windower(byte_tokenizer.load(files["tokenizer.json"]), settings.max_tokens)
        return cls(windower, WindowScorer(files["model.onnx"], threads), settings)

    def score(self, requests: Sequence[HttpRequest]) -> list[Score]:
        """Score a batch; the answers stand in the order of the requests."""
        return [self._score(request) for request in requests]

    def _score(self, request: HttpRequest) -> Score:
        taken = self._windower.take(request)
        windows = taken.windows
        logits = [self._scorer.logit(window.ids) for window in windows]
        driving = int(np.argmax(logits))
        window, score = windows[driving], self._platt.probability(logits[driving])
        if score < self.threshold and not taken.whole:
            return unread()
        if score < self.threshold:
            return Score(score, NORMAL, "", window.label, _visible(window.text[:EVIDENCE_CHARS]))
        attack_class, shares = self._scorer.explain(window.ids)
        return Score(score, ATTACK, self.settings.classes[attack_class], window.label, self._evidence(window, shares))

    def _evidence(self, window: Window, shares: np.ndarray) -> str:
        """The shortest run of tokens that holds most of the logit's positive shares, as text."""
        spans = self._windower.spans(window)
        first, last = _shortest_run(np.maximum(shares, 0) * [stop > start for start, stop in spans])
        start, stop = spans[first][0], spans[last][1]
        return _visible(window.text[start : max(stop, start + 1)][:EVIDENCE_CHARS])


def _shortest_run(shares: np.ndarray) -> tuple[int, int]:
    """First and last index of the shortest stretch that holds `_EVIDENCE_MASS` of non-negative shares."""
    sums = np.concatenate([[0.0], np.cumsum(shares, dtype=np.float64)])
    ends = np.searchsorted(sums, sums + _EVIDENCE_MASS * sums[-1] - 1e-9)
    lengths = np.where(ends < len(sums), ends - np.arange(len(sums)), len(sums) + 1)
    first = int(np.argmin(np.maximum(lengths, 1)))
    return first, max(int(ends[first]) - 1, first)


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _session(model: bytes, threads: int) -> "InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise InvalidModel(f"model.onnx does not load ({type(error).__name__})") from None
    names = {item.name for item in [*session.get_inputs(), *session.get_outputs()]}
    missing = {"input_ids", "attention_mask", "logit", "class_logits", "saliency"} - names
    if missing:
        raise InvalidModel(f"model.onnx has no {', '.join(sorted(missing))}")
    return session
