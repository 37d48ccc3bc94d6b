"""What every model server here is: a KServe model that answers only with a verified bundle."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, cast

import kserve
import numpy as np
import orjson
from kserve import InferRequest, InferResponse
from kserve.errors import ModelNotReady

from secmlops.bundle import Bundle
from secmlops.bundle import load as load_bundle
from secmlops.errors import SecmlopsError
from serving.limits import Limits
from serving.metrics import metrics_of
from serving.offload import Offload
from serving.protocol import Tensor, asks_for, check_outputs, elements, respond
from serving.recent import Answer, Recent
from serving.refusals import Refusal, logger


@dataclass(frozen=True, slots=True)
class Batch:
    """One inference call on its way through preprocess, predict and postprocess.

    Attributes:
        payload: the question as it came, which decides the protocol of the answer.
        instances: its instances: JSON values (V1), or bytes or arrays (V2).
        asked: the parameters of `VerifiedModel.on_request` that it sets.
        answers: one per instance, in their order.
    """

    payload: dict | InferRequest
    instances: Sequence[Any]
    asked: tuple[str, ...] = ()
    answers: Sequence[Answer] = ()


class WrongUseCase(SecmlopsError):
    """A verified bundle that was judged for another use case.

    Attributes:
        found: the verdict's use case.
        served: the server's.
    """

    def __init__(self, found: str, served: str):
        self.found = found
        self.served = served
        super().__init__(f"the bundle was judged for {found}, this server serves {served}: mount the right bundle")


class VerifiedModel(kserve.Model):
    """A model server over a signed bundle, for V1, V2 REST and V2 gRPC alike (ATLAS AML.M0013, AML.M0014).

    A subclass names its use case and tensors, and says how to open a bundle, read an instance and answer.
    `load` verifies; when that fails the process stays up, is not ready, and the reason stands in the log only.

    Attributes:
        inputs: a V2 question has exactly one of them.
        outputs: of every answer.
        on_request: further outputs by the request parameter that asks for them; in V2 their name does so too.
    """

    use_case: ClassVar[str]
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    on_request: Mapping[str, Tensor] = MappingProxyType({})

    def __init__(self, name: str, bundle: Path, trusted_key: str | Path, limits: Limits):
        super().__init__(name)
        self.limits = limits
        self.metrics = metrics_of(self.use_case)
        self._bundle = bundle
        self._trusted_key = trusted_key
        self._offload = Offload(limits)
        self._recent = Recent(limits.max_remembered)

    def check(self, bundle: Bundle) -> None:
        """Refuse a bundle that was judged for something else than what is served here.

        Raises:
            WrongUseCase: it was.
        """
        if bundle.verdict.use_case != self.use_case:
            raise WrongUseCase(bundle.verdict.use_case, self.use_case)

    @abstractmethod
    def open(self, bundle: Bundle) -> None:
        """Build the model from the files of a verified bundle.

        Raises:
            SecmlopsError: the files do not make a model of this kind.
        """

    @abstractmethod
    def read(self, instance: Any) -> Any:
        """Turn one instance, a JSON value (V1), bytes or an array (V2), into what `answer` takes.

        Raises:
            Refusal: it cannot be read.
        """

    @abstractmethod
    def answer(self, items: Sequence[Any]) -> list[Answer]:
        """Answer items, each with one value per output tensor; runs on a thread of its own.

        An answer is a pure function of its instance: it is remembered for when the same instance comes again.
        """

    def add(self, parameter: str, items: Sequence[Any], answers: Sequence[Answer]) -> Sequence[Any]:
        """The output that a parameter of `on_request` asks for, one value per item; runs where `answer` does.

        Raises:
            Refusal: it cannot be given.
        """
        raise NotImplementedError

    def observe(self, answers: Sequence[Answer]) -> None:
        """See every answer that is given, remembered or new; for metrics."""

    def load(self) -> bool:
        """Verify the bundle and open it; returns whether the model is ready now."""
        self.metrics.model_ready.labels(model_name=self.name).set(0)
        try:
            bundle = load_bundle(self._bundle, self._trusted_key)
            self.check(bundle)
            self.open(bundle)
        except SecmlopsError as error:
            logger.error("model %s is not ready: %s: %s", self.name, type(error).__name__, error)
            return False
        except Exception:
            logger.exception("model %s is not ready: its bundle could not be opened", self.name)
            return False
        verdict = bundle.verdict
        self.metrics.model_info.labels(
            model_name=self.name,
            digest=bundle.model_digest,
            policy=verdict.policy_name,
            policy_version=verdict.policy_version,
        ).set(1)
        self.metrics.model_ready.labels(model_name=self.name).set(1)
        logger.info("model %s is ready: %s", self.name, bundle.model_digest)
        self.ready = True
        return True

    def start(self) -> None:
        """Do nothing: KServe's own `start` would declare an unverified model ready."""

    def stop(self) -> None:
        """Take no more work."""
        self.ready = False
        self._offload.close()

    def get_input_types(self) -> list[dict]:
        """The input tensors, one of which is to be given, for the V2 metadata."""
        return [tensor.document() for tensor in self.inputs]

    def get_output_types(self) -> list[dict]:
        """The output tensors, for the V2 metadata."""
        return [tensor.document() for tensor in (*self.outputs, *self.on_request.values())]

    async def preprocess(self, payload: dict | InferRequest, headers: dict[str, str] | None = None) -> Batch:
        """Take the instances out of a V1 or V2 question."""
        if not self.ready:
            raise ModelNotReady(self.name)
        asked = tuple(name for name, tensor in self.on_request.items() if asks_for(payload, name, tensor))
        if isinstance(payload, InferRequest):
            check_outputs(payload, (*self.outputs, *self.on_request.values()))
            return Batch(payload, elements(payload, self.inputs, self.limits), asked)
        return Batch(payload, payload["instances"], asked)

    async def predict(self, batch: Batch, headers: dict[str, str] | None = None, *_: Any) -> Batch:
        """Answer the instances: remembered ones at once, others off the event loop, within the bounds of `limits`."""
        keys = _keys(batch.instances, batch.asked)
        remembered = self._recent.find(keys)
        if None in remembered:
            new = [index for index, answer in enumerate(remembered) if answer is None]
            answered = await self._offload.run(self._answer, batch, new)
            for index, answer in zip(new, answered, strict=True):
                remembered[index] = answer
                self._recent.put(keys[index], answer)
        answers = cast(list[Answer], remembered)
        self.observe(answers)
        return replace(batch, answers=answers)

    async def postprocess(self, batch: Batch, headers: dict[str, str] | None = None, *_: Any) -> dict | InferResponse:
        """Put the answers into the protocol of the question."""
        tensors = (*self.outputs, *(self.on_request[name] for name in batch.asked))
        return respond(batch.payload, tensors, batch.answers, self.name)

    def _answer(self, batch: Batch, indices: Sequence[int]) -> list[Answer]:
        items = [self._read(index, batch.instances[index]) for index in indices]
        answers = self.answer(items)
        columns = [self.add(name, items, answers) for name in batch.asked]
        return [(*answer, *added) for answer, *added in zip(answers, *columns, strict=True)]

    def _read(self, index: int, instance: Any) -> Any:
        try:
            return self.read(instance)
        except Refusal as refusal:
            raise Refusal(refusal.reason, f"instance {index}: {refusal.sentence}") from None


def _keys(instances: Sequence[Any], asked: tuple[str, ...]) -> list[bytes]:
    """Digests of the questions, so that no client's data stays in memory.

    SHA-256, because processors have instructions for it; what precedes the data sets apart kinds and what was asked.
    """
    plain = _prefix(b"bytes", asked)
    return [
        sha256(plain + instance if isinstance(instance, bytes) else _encoded(instance, asked)).digest()
        for instance in instances
    ]


def _encoded(instance: Any, asked: tuple[str, ...]) -> bytes:
    if isinstance(instance, np.ndarray):
        return _prefix(b"array", asked) + instance.tobytes()
    return _prefix(b"json", asked) + orjson.dumps(instance)


@cache
def _prefix(kind: bytes, asked: tuple[str, ...]) -> bytes:
    """A prefix that no other kind and no other `asked` begins with: neither of its parts holds a NUL byte."""
    return b"%s\0%s\0" % (kind, orjson.dumps(asked))
