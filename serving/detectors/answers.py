"""A detector asked directly: rows in by V1, V2 REST or gRPC, its answer `{"data", "meta"}` out."""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from kserve import InferOutput, InferRequest, InferResponse
from kserve.utils.utils import generate_uuid

from secmlops.detectors.detector import Answer, BadWindow
from secmlops.detectors.verdict import Signals
from serving.detectors.readers import PROBABILITIES, SCORES, numbers, probabilities_of, read_items
from serving.detectors.subjects import ROWS, AdversarialInputs, DriftOfWindows, Subject, Verdicts
from serving.limits import Limits
from serving.protocol import Tensor, v1_question
from serving.refusals import Reason, Refusal

ANSWER: Final = Tensor("answer", "BYTES")
"""The whole answer as JSON, an array of one."""

SIGNALS: Final = (ROWS, PROBABILITIES, SCORES)
"""What a judge wants of each row: in V1 the keys of an instance, in V2 the names of the inputs."""

_BYTES_OF: Final[dict[str, np.dtype[Any]]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT64": np.dtype("<i8"),
}


class Asked:
    """Answers questions with a subject's detector, one at a time: engines draw from global generators.

    Args:
        subject: it.
        limits: bounds of a question.
        max_rows: of a question.
    """

    def __init__(self, subject: Subject, limits: Limits, max_rows: int):
        self._subject = subject
        self._limits = limits
        self._max_rows = max_rows
        self._lock = threading.Lock()

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors of a V2 question."""
        if isinstance(self._subject, AdversarialInputs):
            return self._subject.requests.tensors
        if isinstance(self._subject, Verdicts):
            return tuple(Tensor(name, "FP64", (-1,) if name == SCORES else (-1, -1)) for name in SIGNALS)
        return (Tensor(ROWS, "FP64", (-1, *self._subject.detector.reference.shape[1:])),)

    def answer(self, question: dict[str, Any] | InferRequest) -> Answer:
        """Answer a V1 or V2 question as the doors read it.

        Raises:
            Refusal: it is not of rows that can be judged.
        """
        subject = self._subject
        with self._lock:
            try:
                if isinstance(subject, AdversarialInputs):
                    items = read_items(question, subject.requests, self._limits)
                    return subject.detector.predict(subject.requests.batch(items))
                if isinstance(subject, Verdicts):
                    found = self._tensors(question, SIGNALS)
                    probabilities = probabilities_of(found[PROBABILITIES])
                    return subject.detector.predict(Signals(found[ROWS], probabilities, found[SCORES]))
                assert isinstance(subject, DriftOfWindows)
                return _of_rows(subject, self._tensors(question, (ROWS,))[ROWS])
            except BadWindow as error:
                raise Refusal(Reason.UNREADABLE_REQUEST, str(error)) from None

    def _tensors(self, question: dict[str, Any] | InferRequest, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        if isinstance(question, InferRequest):
            found = _v2(question, names)
        else:
            found = _v1(v1_question(question, self._limits)["instances"], names)
        if max(map(len, found.values())) > self._max_rows:
            raise Refusal(Reason.TOO_MANY_INSTANCES, f"at most {self._max_rows} rows are judged at once")
        return found


def write_answer(question: dict[str, Any] | InferRequest, answer: Answer, model_name: str) -> dict | InferResponse:
    """The answer in the protocol of the question: as it is (V1), or as a tensor of its JSON (V2)."""
    plain = plain_answer(answer)
    if not isinstance(question, InferRequest):
        return plain
    text = orjson.dumps(plain).decode()
    return InferResponse(
        response_id=question.id or generate_uuid(),
        model_name=model_name,
        infer_outputs=[InferOutput(name=ANSWER.name, shape=[1], datatype=ANSWER.datatype, data=[text])],
    )


def plain_answer(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values; what is not finite becomes null."""
    return orjson.loads(orjson.dumps(dict(answer), default=_plain, option=orjson.OPT_NON_STR_KEYS))


def is_detection(answer: Answer) -> bool:
    """Whether an answer flags anything."""
    data = answer["data"]
    return bool(np.any([np.any(data.get(key, 0)) for key in ("is_drift", "is_attack", "is_adversarial")]))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError


def _of_rows(subject: DriftOfWindows, rows: npt.NDArray[Any]) -> Answer:
    rows = rows.astype(subject.detector.reference.dtype, copy=False)
    stream = subject.new_stream()
    if stream is None:
        return subject.detector.predict(rows)
    answer: Answer | None = None
    for row in rows:
        answer = stream.predict(row)
        if answer["data"]["is_drift"]:
            break
    assert answer is not None
    return answer


def _v1(instances: Sequence[Any], names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    if len(names) == 1:
        return {names[0]: numbers(instances)}
    if not all(isinstance(instance, dict) and instance.keys() >= set(names) for instance in instances):
        raise Refusal(Reason.WRONG_SHAPE, f"each instance must be an object with {', '.join(names)}")
    return {name: numbers([instance[name] for instance in instances]) for name in names}


def _v2(question: InferRequest, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    given = {tensor.name: tensor for tensor in question.inputs}
    if set(given) != set(names) or len(given) != len(question.inputs):
        raise Refusal(Reason.WRONG_SHAPE, f"exactly these inputs are expected: {', '.join(names)}")
    return {name: _array(given[name]) for name in names}


def _array(tensor: Any) -> npt.NDArray[Any]:
    dtype = _BYTES_OF.get(tensor.datatype)
    raw = tensor._raw_data
    if dtype is None:
        raise Refusal(Reason.WRONG_DATATYPE, f"an input must have one of the datatypes {', '.join(_BYTES_OF)}")
    try:
        return numbers(tensor.data if raw is None else np.frombuffer(raw, dtype)).reshape(tensor.shape)
    except ValueError:
        raise Refusal(Reason.WRONG_SHAPE, "the shape and the number of elements differ") from None
