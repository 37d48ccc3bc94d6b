"""What the payload of a watched service means: a reader per use case, chosen by the card's `watches`.

Requests are read as the use case's own server reads them. Answers are read alike for every service: the output
`probabilities`, or where there is none `score` as the probability of the second of two classes, or a V1 prediction
that is an array of numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from kserve import InferRequest

from secmlops.errors import SecmlopsError
from serving.http_instances import read_instance
from serving.image_instances import read_image
from serving.limits import Limits
from serving.protocol import Tensor, elements, v1_question, v2_question
from serving.refusals import Reason, Refusal

PROBABILITIES: Final = "probabilities"
SCORES: Final = "adversarial_score"

Columns = dict[str, npt.NDArray[Any]]
"""What is known of rows, by name, each (n, ...)."""

_SUM_TOLERANCE: Final = 1e-3


class UnknownUseCase(SecmlopsError):
    """A detector looks at requests of a use case that has no reader here.

    Attributes:
        watches: what its card says.
    """

    def __init__(self, watches: object):
        self.watches = watches
        super().__init__(
            f"the card's `watches` is {str(watches)[:40]!r}: requests are read of {', '.join(READERS)}; "
            "of other services only the answers are (view `probabilities`)"
        )


class Reader(Protocol):
    """Requests of one use case.

    Attributes:
        tensors: a V2 request has exactly one of them.
        joins: whether `rows` wants the answers too.
    """

    tensors: tuple[Tensor, ...]
    joins: bool

    def read(self, instance: Any) -> Any:
        """Read one instance: a JSON value (V1), bytes or an array (V2).

        Raises:
            Refusal: it is none.
        """
        ...

    def rows(self, items: Sequence[Any], outputs: Columns) -> npt.NDArray[Any]:
        """The rows (n, features) that drift is looked for in."""
        ...

    def batch(self, items: Sequence[Any]) -> Any:
        """The items as a detector of adversarial inputs takes them."""
        ...

    def groups(self, items: Sequence[Any]) -> npt.NDArray[np.uint64] | None:
        """Whose each item is (n,), where a window may hold one of each only; None: items are independent."""
        ...


class Images:
    """The digits service: images as float32 arrays in [0, 1].

    Args:
        shape: channels, height, width.
        limits: bounds of an instance.
    """

    joins: bool = False

    def __init__(self, shape: tuple[int, int, int], limits: Limits):
        self.tensors: tuple[Tensor, ...] = (Tensor("images", "FP32", (-1, *shape)), Tensor("encoded_images", "BYTES"))
        self._shape, self._limits = shape, limits

    def read(self, instance: Any) -> Any:
        """Read an image."""
        return read_image(instance, self._shape, self._limits)

    def rows(self, items: Sequence[Any], outputs: Columns) -> npt.NDArray[Any]:
        """The pixels."""
        return self.batch(items).reshape(len(items), -1)

    def batch(self, items: Sequence[Any]) -> Any:
        """Float32 (n, channels, height, width)."""
        return np.stack(items)

    def groups(self, items: Sequence[Any]) -> npt.NDArray[np.uint64] | None:
        """Images are independent."""
        return None


class Requests:
    """The web-attacks service: HTTP requests.

    Args:
        limits: bounds of an instance.
    """

    joins: bool = True
    tensors: tuple[Tensor, ...] = (Tensor("requests", "BYTES"),)

    def __init__(self, limits: Limits):
        self._limits = limits

    def read(self, instance: Any) -> Any:
        """Read an HTTP request."""
        from secmlops.web_attacks.request import InvalidRequest

        try:
            return read_instance(instance, self._limits)
        except InvalidRequest as error:
            raise Refusal(Reason.UNREADABLE_REQUEST, str(error)) from None

    def rows(self, items: Sequence[Any], outputs: Columns) -> npt.NDArray[Any]:
        """The use case's own view, of requests and of the model's answers."""
        from secmlops.web_attacks import drift_features

        return drift_features.view(items, outputs[PROBABILITIES][:, 1])

    def batch(self, items: Sequence[Any]) -> Any:
        """The requests."""
        return list(items)

    def groups(self, items: Sequence[Any]) -> npt.NDArray[np.uint64] | None:
        """The clients: requests of one visit are alike, and the detectors were fitted on one of each."""
        from secmlops.web_attacks import drift_features

        return np.array([int(drift_features.client_of(request), 16) for request in items], dtype=np.uint64)


READERS: Final = ("digits", "web_attacks")


def reader_for(watches: object, image_shape: tuple[int, int, int] | None, limits: Limits) -> Reader:
    """The reader of a use case.

    Raises:
        UnknownUseCase: there is none, or the shape of its images is not known.
    """
    if watches == "web_attacks":
        return Requests(limits)
    if watches == "digits" and image_shape is not None:
        return Images(image_shape, limits)
    raise UnknownUseCase(watches)


def read_items(question: Any, reader: Reader, limits: Limits) -> list[Any]:
    """The instances of a V1 or V2 question: parsed JSON of either, or what the server's doors have read already.

    Raises:
        Refusal: another form, too many instances, or one that cannot be read.
    """
    if isinstance(question, dict) and "inputs" in question:
        question = v2_question(question, b"", "watched")
    if isinstance(question, InferRequest):
        instances: Sequence[Any] = elements(question, reader.tensors, limits)
    else:
        instances = v1_question(question, limits)["instances"]
    return [reader.read(instance) for instance in instances]


def read_outputs(document: Any, names: Sequence[str], limits: Limits) -> Columns:
    """The named outputs of a V1 or V2 answer, parsed JSON, as float64 (n,) or (n, classes).

    Raises:
        Refusal: another form, or an output is missing or not what its name says.
    """
    if not isinstance(document, dict):
        raise Refusal(Reason.WRONG_SHAPE, "the answer must be an object")
    outputs = _v2_outputs(document) if "outputs" in document else _v1_outputs(document)
    columns = {name: _column(outputs, name) for name in names}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise Refusal(Reason.WRONG_SHAPE, "the outputs of an answer must be of the same instances")
    if not 1 <= lengths.pop() <= limits.max_instances:
        raise Refusal(Reason.TOO_MANY_INSTANCES, f"an answer holds 1 to {limits.max_instances} instances")
    return columns


def probabilities_of(values: Any) -> npt.NDArray[np.float64]:
    """Checked probabilities (n, classes); scores (n,) in [0, 1] become those of two classes.

    Raises:
        Refusal: they are none.
    """
    found = numbers(values)
    if found.ndim == 1:
        found = np.column_stack([1 - found, found])
    if found.ndim != 2 or found.shape[1] < 2:
        raise Refusal(Reason.WRONG_SHAPE, "probabilities of two or more classes are wanted for each instance")
    if found.min() < 0 or np.abs(found.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise Refusal(Reason.OUT_OF_RANGE, "the probabilities of an instance are not negative and sum to one")
    return found


def numbers(values: Any) -> npt.NDArray[np.float64]:
    """Finite numbers (n, ...) out of JSON or an array.

    Raises:
        Refusal: something else.
    """
    try:
        found = np.asarray(values)
    except (ValueError, TypeError):
        raise Refusal(Reason.WRONG_SHAPE, "the numbers must be arrays of equal length") from None
    if found.dtype.kind not in "iuf" or not found.ndim or not found.size:
        raise Refusal(Reason.WRONG_DATATYPE, "arrays of numbers are wanted")
    found = found.astype(np.float64)
    if not np.isfinite(found).all():
        raise Refusal(Reason.OUT_OF_RANGE, "the numbers must be finite")
    return found


def _column(outputs: Mapping[str, Any], name: str) -> npt.NDArray[np.float64]:
    if name == PROBABILITIES:
        return probabilities_of(outputs.get(PROBABILITIES, outputs.get("score")))
    found = numbers(outputs.get(name))
    if found.ndim != 1:
        raise Refusal(Reason.WRONG_SHAPE, f'the output "{name}" must be a number for each instance')
    return found


def _v1_outputs(document: Mapping[str, Any]) -> dict[str, Any]:
    predictions = document.get("predictions")
    if not isinstance(predictions, list) or not predictions:
        raise Refusal(Reason.WRONG_SHAPE, 'the answer must have the array "predictions" or "outputs"')
    if not all(isinstance(prediction, dict) for prediction in predictions):
        return {PROBABILITIES: predictions}
    known = (PROBABILITIES, "score", SCORES)
    return {name: [each[name] for each in predictions] for name in known if all(name in each for each in predictions)}


def _v2_outputs(document: Mapping[str, Any]) -> dict[str, Any]:
    entries = document["outputs"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refusal(Reason.WRONG_SHAPE, '"outputs" must be an array of objects')
    return {str(entry.get("name")): _reshaped(entry) for entry in entries if entry.get("datatype") != "BYTES"}


def _reshaped(entry: Mapping[str, Any]) -> Any:
    data, shape = entry.get("data"), entry.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Refusal(Reason.WRONG_SHAPE, 'each output needs "shape", an array of sizes')
    try:
        return np.asarray(data).reshape(shape)
    except (ValueError, TypeError):
        raise Refusal(Reason.WRONG_SHAPE, "the shape and the number of elements differ") from None
