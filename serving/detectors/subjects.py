"""What a detector makes of a watched service: which events it wants, which rows it keeps, how it judges a window.

A subject hides the kinds of detectors from windows and queues. It is built from verified bundles alone; the kinds are
told apart by what `secmlops.detectors.storage` rebuilt, and the card says what is watched (`Watching` there). The usual
view is `rows`, of prediction and uncertainty drift `probabilities`; `--window_rows` overrides the card's.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from secmlops.detectors.config import PredictionConfig, UncertaintyConfig
from secmlops.detectors.detector import Answer
from secmlops.detectors.storage import InvalidDetector, Watching, resume_stream, stream_bytes
from secmlops.detectors.verdict import TESTS, DriftOrAttack, Signals
from serving.detectors.events import Half
from serving.detectors.readers import PROBABILITIES, SCORES, Columns, Reader, read_items, read_outputs
from serving.detectors.settings import Settings
from serving.limits import Limits
from serving.refusals import Reason, Refusal

ROWS: Final = "rows"
FLAGS: Final = "flags"
CAMPAIGN_LEVEL: Final = 0.01
"""Of the test that a window holds more flagged instances than clean traffic does."""

_LEAST_P: Final = 1e-300
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a detector says of a window; see `serving.detectors.metrics` for score and threshold.

    Attributes:
        rows: of the window.
        detected: whether it is a detection.
        score: of the window.
        threshold: a detection has a greater score.
        p_value: smallest, where the test has one.
        distance: largest, where the test has one.
        verdict: `clean`, `drift` or `attack`, where a judge was asked.
        attack_probability: where a judge was asked.
        moved: the features that moved most, or the reasons of a judge.
    """

    rows: int
    detected: bool
    score: float
    threshold: float
    p_value: float | None = None
    distance: float | None = None
    verdict: str | None = None
    attack_probability: float | None = None
    moved: tuple[str, ...] = ()


class Subject(ABC):
    """One detector beside one kind of service.

    Attributes:
        halves: the events that it wants; of two, both halves of a call are joined.
        window_rows: rows of a window.
        row_bytes: of a row as it is kept.
        reader: of requests; None where only answers are looked at.
        detector: what judges.
    """

    detector: Any
    halves: frozenset[Half]
    window_rows: int
    row_bytes: int

    def __init__(self, reader: Reader | None, outputs: Sequence[str], limits: Limits):
        self.reader = reader
        self._outputs = tuple(outputs)
        self._limits = limits
        self.halves = frozenset(
            half for half, wanted in ((Half.REQUEST, reader is not None), (Half.RESPONSE, bool(outputs))) if wanted
        )

    @property
    def requests(self) -> Reader:
        """The reader, where requests are looked at."""
        assert self.reader is not None
        return self.reader

    def read_request(self, document: Any) -> list[Any]:
        """The instances of a request.

        Raises:
            Refusal: they cannot be read.
        """
        return read_items(document, self.requests, self._limits)

    def read_response(self, document: Any) -> Columns:
        """The outputs of an answer.

        Raises:
            Refusal: they cannot be read.
        """
        return read_outputs(document, self._outputs, self._limits)

    @abstractmethod
    def columns(self, items: Sequence[Any], outputs: Columns) -> Columns:
        """What is kept of a batch of instances with their outputs."""

    @abstractmethod
    def judge(self, columns: Columns, stream: Any) -> Judgement:
        """Judge a window.

        Raises:
            BadWindow: it cannot be judged.
        """

    def new_stream(self) -> Any:
        """Where the judging of one service goes on from window to window; None: nowhere."""
        return None

    def saved_stream(self, stream: Any) -> bytes:
        """A stream as bytes."""
        return b""

    def resume(self, stream: Any, saved: bytes) -> None:
        """Go on where a stream stood.

        Raises:
            InvalidDetector: the bytes are no such stream.
        """
        raise InvalidDetector("it judges windows and has no stream")

    def ratios(self, columns: Columns) -> Sequence[float] | None:
        """Scores of the instances over the threshold, where instances have scores."""
        return None

    def groups(self, items: Sequence[Any]) -> npt.NDArray[np.uint64] | None:
        """Whose each instance is (n,), where a window may hold one of each only."""
        return None if self.reader is None else self.reader.groups(items)


class DriftOfWindows(Subject):
    """A drift detector of windows, or of the rows of a stream.

    Args:
        detector: it.
        reader: of requests; None where the answers are looked at.
        settings: size of windows.
        limits: bounds of an event.
    """

    def __init__(self, detector: Any, reader: Reader | None, settings: Settings, limits: Limits):
        joins = reader is None or reader.joins
        super().__init__(reader, (PROBABILITIES,) if joins else (), limits)
        self.detector = detector
        self.online = bool(detector.meta["online"])
        self.window_rows = settings.stream_rows if self.online else settings.window_rows
        self._features = math.prod(detector.reference.shape[1:])
        self._dtype = detector.reference.dtype if detector.reference.dtype.kind == "f" else np.dtype(np.float64)
        self.row_bytes = self._features * self._dtype.itemsize
        self._floor = 1 / (getattr(detector.config, "n_permutations", math.inf) + 1) or _LEAST_P

    def read_request(self, document: Any) -> list[Any]:
        """The instances of a request, of as many features as the reference has where that shows already."""
        items = super().read_request(document)
        if isinstance(items[0], np.ndarray):
            self._check_features(items[0].size)
        return items

    def read_response(self, document: Any) -> Columns:
        """The probabilities of an answer, of as many classes as the reference has where those are the rows."""
        found = super().read_response(document)
        if self.reader is None:
            self._check_features(found[PROBABILITIES].shape[1])
        return found

    def columns(self, items: Sequence[Any], outputs: Columns) -> Columns:
        """The rows that the detector was fitted on."""
        rows = outputs[PROBABILITIES] if self.reader is None else self.requests.rows(items, outputs)
        self._check_features(rows.shape[1])
        return {ROWS: rows.astype(self._dtype, copy=False)}

    def judge(self, columns: Columns, stream: Any) -> Judgement:
        """Judge a window, or go on with a stream."""
        if stream is not None:
            return _judge_stream(stream, columns[ROWS])
        rows = columns[ROWS].reshape(-1, *self.detector.reference.shape[1:])
        return _of_p_values(self.detector.predict(rows), len(rows), self._floor)

    def new_stream(self) -> Any:
        """A detector of its own for a service, where it goes row by row."""
        if not self.online:
            return None
        stream = copy.deepcopy(self.detector)
        stream.reset()
        return stream

    def saved_stream(self, stream: Any) -> bytes:
        """Where a stream stands."""
        return stream_bytes(stream)

    def resume(self, stream: Any, saved: bytes) -> None:
        """Go on where a stream stood."""
        resume_stream(stream, saved)

    def _check_features(self, found: int) -> None:
        if found != self._features:
            raise Refusal(Reason.WRONG_SHAPE, f"a row has {found} features and the detector's have {self._features}")


class Verdicts(Subject):
    """A judge of drift or attack, over requests and answers that hold an adversarial score.

    Args:
        judge: it.
        reader: of requests.
        settings: size of windows.
        limits: bounds of an event.
    """

    def __init__(self, judge: DriftOrAttack, reader: Reader, settings: Settings, limits: Limits):
        super().__init__(reader, (PROBABILITIES, SCORES), limits)
        self.detector = judge
        self.window_rows = settings.window_rows
        self.row_bytes = _signal_bytes(judge)

    def columns(self, items: Sequence[Any], outputs: Columns) -> Columns:
        """The signals."""
        return {ROWS: self.requests.rows(items, outputs), **outputs}

    def judge(self, columns: Columns, stream: Any) -> Judgement:
        """Tell what happened to a window."""
        answer = self.detector.predict(Signals(columns[ROWS], columns[PROBABILITIES], columns[SCORES]))["data"]
        p_value = max(min(answer["evidence"][test] for test in TESTS), _LEAST_P)
        return Judgement(
            rows=len(columns[ROWS]),
            detected=answer["kind"] != "clean",
            score=-math.log10(p_value),
            threshold=-math.log10(self.detector.config.level / len(TESTS)),
            p_value=p_value,
            distance=answer["evidence"]["drift_distance"],
            verdict=answer["kind"],
            attack_probability=answer["attack_probability"],
            moved=tuple(name for name, _ in answer["reasons"]),
        )


class AdversarialInputs(Subject):
    """A detector of adversarial inputs: instances are scored as they come, a window counts the flagged ones.

    Args:
        detector: it, with its threshold.
        reader: of requests.
        settings: size of windows.
        limits: bounds of an event.
        judge: tells drift from attack over the same windows; it then wants the answers too.
    """

    def __init__(
        self, detector: Any, reader: Reader, settings: Settings, limits: Limits, judge: DriftOrAttack | None = None
    ):
        super().__init__(reader, (PROBABILITIES,) if judge else (), limits)
        self.detector = detector
        self._judge = judge
        self.window_rows = settings.window_rows
        self.row_bytes = 9 + (_signal_bytes(judge) if judge else 0)
        config = getattr(detector.config, "squeezing", detector.config)
        self._rate, self._threshold = float(config.false_positive_rate), float(config.threshold)

    def columns(self, items: Sequence[Any], outputs: Columns) -> Columns:
        """Scores and flags; with a judge, its signals too."""
        found = self.detector.predict(self.requests.batch(items))["data"]
        columns: Columns = {
            SCORES: np.asarray(found["instance_score"], dtype=np.float64),
            FLAGS: np.asarray(found["is_adversarial"], dtype=np.uint8),
        }
        if self._judge is None:
            return columns
        return columns | {ROWS: self.requests.rows(items, outputs), PROBABILITIES: outputs[PROBABILITIES]}

    def judge(self, columns: Columns, stream: Any) -> Judgement:
        """Whether more instances are flagged than in clean traffic, by the binomial distribution."""
        flagged, rows = int(columns[FLAGS].sum()), len(columns[FLAGS])
        allowed = int(stats.binom.ppf(1 - CAMPAIGN_LEVEL, rows, self._rate))
        verdict, probability, moved = None, None, ()
        if self._judge is not None:
            answer = self._judge.predict(Signals(columns[ROWS], columns[PROBABILITIES], columns[SCORES]))["data"]
            verdict, probability = answer["kind"], answer["attack_probability"]
            moved = tuple(name for name, _ in answer["reasons"])
        return Judgement(
            rows=rows,
            detected=flagged > allowed,
            score=flagged / rows,
            threshold=allowed / rows,
            p_value=float(stats.binom.sf(flagged - 1, rows, self._rate)),
            verdict=verdict,
            attack_probability=probability,
            moved=moved,
        )

    def ratios(self, columns: Columns) -> Sequence[float]:
        """Scores over the threshold."""
        return (columns[SCORES] / max(self._threshold, _LEAST_P)).tolist()

    def groups(self, items: Sequence[Any]) -> npt.NDArray[np.uint64] | None:
        """With a judge, as it was fitted. Without one every instance counts: a campaign may come from one client."""
        return None if self._judge is None else super().groups(items)


def looks_at_answers(detector: Any, watching: Watching) -> bool:
    """Whether the rows of a drift detector are the watched model's probabilities."""
    if isinstance(detector.config, PredictionConfig | UncertaintyConfig):
        return True
    return watching.view == PROBABILITIES


def _of_p_values(answer: Answer, rows: int, floor: float) -> Judgement:
    data = answer["data"]
    smallest, level = float(np.min(data["p_val"])), float(data["threshold"])
    # A permutation test's zero means below one in so many permutations.
    p_value = max(smallest, min(floor, level / 2))
    return Judgement(
        rows=rows,
        detected=bool(data["is_drift"]),
        score=-math.log10(p_value),
        threshold=-math.log10(level),
        p_value=smallest,
        distance=float(np.max(data["distance"])),
        moved=tuple(str(each["feature"]) for each in data.get("moved", ())[:_MOST_NAMED]),
    )


def _judge_stream(stream: Any, rows: npt.NDArray[Any]) -> Judgement:
    """Go on with a stream; after an alarm it begins anew. Told of is the row that came nearest to its threshold."""
    nearest, detected = (0.0, math.inf), False
    for row in rows.reshape(-1, *stream.reference.shape[1:]):
        data = stream.predict(row)["data"]
        statistics = np.asarray(data["test_stat"], dtype=np.float64)
        statistic = float(np.nanmax(statistics)) if np.isfinite(statistics).any() else -math.inf
        if not detected and (math.isinf(nearest[1]) or statistic - data["threshold"] > nearest[0] - nearest[1]):
            nearest = (statistic, float(data["threshold"]))
        if data["is_drift"]:
            nearest, detected = (statistic, float(data["threshold"])), True
            stream.reset()
    score, threshold = nearest if math.isfinite(nearest[0]) else (0.0, nearest[1])
    return Judgement(rows=len(rows), detected=detected, score=score, threshold=threshold, distance=score)


def _signal_bytes(judge: DriftOrAttack) -> int:
    reference = judge.reader.reference
    values = math.prod(reference.inputs.shape[1:]) + reference.probabilities.shape[1] + 1
    return 8 * values
