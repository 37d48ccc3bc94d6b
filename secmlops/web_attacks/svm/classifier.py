"""The linear n-gram model: every part of a request is read, the worst stretch of the worst part decides.

A request's score is the largest over its parts, each part's is the largest over its readings (decoded, canonical)
and over sliding windows of several lengths. So benign text around an attack cannot dilute it, and which
headers a client sends has no say. Serving needs NumPy only; weights are whole multiples of a small unit and
their sums integers, so a request's score is the same to the last bit in every batch.

Sources: multiple-instance learning with one witness per bag, Andrews et al., "Support vector machines for
multiple-instance learning", NIPS 2002; probabilities, Platt, "Probabilistic outputs for support vector machines",
1999. Answers MITRE ATLAS AML.M0003 (model hardening: mutated attacks in training) and AML.M0015 (evasive input).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks import decoding
from secmlops.web_attacks.calibration import Platt
from secmlops.web_attacks.classifier import InvalidModel, Score, unread
from secmlops.web_attacks.decoding import Taken, parts, readings, take
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.svm.linear_model import LinearModel
from secmlops.web_attacks.svm.ngrams import Shape, features, lay_out
from secmlops.web_attacks.taxonomy import ATTACK, NORMAL

KIND: Final = "svm"
EVIDENCE_CHARS: Final = 120
PIECE_CHARS: Final = 32_768
"""Longest text read at once; a longer one is read in pieces that overlap, equal ones once."""

_OVERLAP: Final = 1024
_BATCH_CHARS: Final = 131_072  # so that the arrays stay in the processor's cache
_LONG_RUN: Final = re.compile(r"[\x00-\x20]{64,}|[0-9]{64,}|[^\x00-\x7e]{64,}")
_CACHED_CHARS: Final = 512
_CACHED_TEXTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class _Reading:
    margin: float
    text: str
    start: int
    stop: int


@dataclass
class SvmClassifier:
    """The trained model as it is served; build it with `from_files`.

    Attributes:
        model: the linear model.
        slope: Platt slope.
        offset: Platt offset.
        threshold: probability from which on the verdict is `attack`.
        classes: attack classes of the class head, in its order.
        class_weights: shape (classes, 2**class_bits), float32.
        class_bias: shape (classes,).
        allowances: by part label, how much margin the normal traffic of the protected site needs there.
    """

    model: LinearModel
    slope: float
    offset: float
    threshold: float
    classes: tuple[str, ...]
    class_weights: npt.NDArray[np.float32]
    class_bias: npt.NDArray[np.float32]
    allowances: Mapping[str, float] = field(default_factory=dict)
    name: str = KIND
    _seen: dict[str, _Reading] = field(default_factory=dict, repr=False)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "SvmClassifier":
        """Build the model from the files of a bundle.

        Args:
            files: at least `weights.safetensors` and `preprocess.json`.

        Raises:
            InvalidModel: a file is missing, malformed, or does not fit the others.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            settings = json.loads(files["preprocess.json"])
            arrays = load(files["weights.safetensors"])
            if settings["kind"] != KIND:
                raise InvalidModel(f"its kind is {settings['kind']!r}, not {KIND!r}")
            shape = Shape(int(settings["bits"]), _span(settings["chars"]), _span(settings["tokens"]))
            model = LinearModel.from_floats(
                arrays["weights"],
                float(settings["bias"]),
                shape,
                tuple(map(int, settings["windows"])),
                float(settings["window_penalty"]),
            )
            classifier = cls(
                model,
                float(settings["slope"]),
                float(settings["offset"]),
                float(settings["threshold"]),
                tuple(settings["classes"]),
                arrays["class_weights"].astype(np.float32),
                arrays["class_bias"].astype(np.float32),
                dict(settings.get("allowances", {})),
            )
        except KeyError as error:
            raise InvalidModel(f"{error.args[0]} is missing") from None
        except (ValueError, TypeError, AttributeError, SafetensorError) as error:
            raise InvalidModel(f"a file is malformed ({type(error).__name__})") from None
        classifier._check()
        return classifier

    def _check(self) -> None:
        if len(self.model.weights) != 1 << self.model.shape.bits:
            raise InvalidModel("the number of weights is not the number of hash buckets")
        if self.class_weights.shape[:1] != (len(self.classes),) or self.class_bias.shape != (len(self.classes),):
            raise InvalidModel("the class head does not fit the list of classes")
        if not np.isfinite([self.model.bias, self.slope, self.offset, self.threshold]).all():
            raise InvalidModel("a setting is not a finite number")

    def score(self, requests: Sequence[HttpRequest]) -> list[Score]:
        """Score a batch; the answers stand in the order of the requests."""
        taken = [take(request) for request in requests]
        found = self._read({part.text for request in taken for part in request.parts})
        return [self._answer(request, found) for request in taken]

    def forget(self) -> None:
        """Drop what was remembered of texts already read; answers do not change, they only cost anew."""
        self._seen.clear()
        decoding.forget()

    def margin(self, requests: Sequence[HttpRequest]) -> list[float]:
        """The raw margins behind the scores, for calibration and studies."""
        taken = [parts(request) for request in requests]
        found = self._read({part.text for request in taken for part in request})
        return [max(found[part.text].margin - self._allowed(part.label) for part in request) for request in taken]

    def probability(self, margin: float) -> float:
        """The calibrated probability of an attack at a margin."""
        return Platt(self.slope, self.offset).probability(margin)

    def _allowed(self, label: str) -> float:
        return self.allowances.get(label, 0.0) if self.allowances else 0.0

    def _answer(self, request: Taken, found: Mapping[str, _Reading]) -> Score:
        read = [(part.label, found[part.text]) for part in request.parts]
        label, reading = max(read, key=lambda item: item[1].margin - self._allowed(item[0]))
        score = self.probability(reading.margin - self._allowed(label))
        attack = score >= self.threshold
        if not attack and not request.whole:
            return unread()
        return Score(
            score=score,
            verdict=ATTACK if attack else NORMAL,
            attack_class=self._classify(reading) if attack else "",
            part=label,
            evidence=self._evidence(reading) if attack else "",
        )

    def _classify(self, reading: _Reading) -> str:
        if not self.classes:
            return "other"
        batch = lay_out([reading.text])
        bits = self.class_weights.shape[1].bit_length() - 1
        buckets = np.concatenate([_within(reading, *view) for view in features(batch, self.model.shape)])
        folded = buckets >> np.uint32(self.model.shape.bits - bits)
        scores = self.class_weights[:, folded].sum(axis=1) / max(np.sqrt(len(folded)), 1.0) + self.class_bias
        return self.classes[int(np.argmax(scores))]

    def _evidence(self, reading: _Reading) -> str:
        """The stretch of the decoded text that drove the margin, with control characters as blanks."""
        batch = lay_out([reading.text])
        start, stop = self.model.densest(batch, reading.start, reading.stop, EVIDENCE_CHARS // 2)
        raw = reading.text.replace("\0", " ").encode("utf-8", "surrogatepass")
        first = int(batch.origins[start]) if start else 0
        last = int(batch.origins[min(stop, len(batch.origins) - 1)]) - 1
        shown = raw[first : max(last, first)].decode("utf-8", "ignore").strip()
        return "".join(char if char.isprintable() else " " for char in shown[:EVIDENCE_CHARS])

    def _read(self, texts: set[str]) -> dict[str, _Reading]:
        """The worst reading of each text."""
        answer: dict[str, _Reading] = {}
        new: list[str] = []
        for text in texts:
            known = self._seen.get(text)
            if known is None:
                new.append(text)
            else:
                answer[text] = known
        for batch in _batches(_pieces(new)):
            self._read_batch(batch, answer)
        if len(self._seen) > _CACHED_TEXTS:
            self._seen.clear()
        self._seen.update((text, answer[text]) for text in new if len(text) <= _CACHED_CHARS)
        return answer

    def _read_batch(self, pieces: list[tuple[str, str]], answer: dict[str, _Reading]) -> None:
        found = self.model.margins(lay_out([piece for _, piece in pieces]))
        for (text, piece), margin, start, stop in zip(
            pieces, found.margin.tolist(), found.start.tolist(), found.stop.tolist(), strict=True
        ):
            best = answer.get(text)
            if best is None or margin > best.margin:
                answer[text] = _Reading(margin, piece, start, stop)


def _within(
    reading: _Reading, positions: npt.NDArray[np.int64] | None, buckets: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """The n-grams that begin inside the stretch that gave the margin."""
    at = np.arange(len(buckets)) if positions is None else positions[: len(buckets)]
    return buckets[(buckets != 0) & (at >= reading.start) & (at < reading.stop)]


def _span(lengths: Sequence[int]) -> tuple[int, int]:
    shortest, longest = map(int, lengths)
    return shortest, longest


def _pieces(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each text with the pieces of its readings."""
    for text in texts:
        for form in readings(text):
            for piece in (form,) if len(form) <= PIECE_CHARS else _cut(form):
                yield text, piece


def _cut(form: str) -> Iterable[str]:
    """Overlapping pieces, after runs that n-grams take for one character anyway have been shortened to fit in one."""
    form = _LONG_RUN.sub(lambda run: run[0][:64], form)
    starts = range(0, max(len(form) - _OVERLAP, 1), PIECE_CHARS - _OVERLAP)
    return dict.fromkeys(form[at : at + PIECE_CHARS] for at in starts)


def _batches(pieces: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    size = 0
    for text, piece in pieces:
        batch.append((text, piece))
        size += len(piece)
        if size > _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
