"""The model of a detector service: verified like every model, ready when the process that judges is ready too."""

import argparse
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from kserve import InferRequest, InferResponse
from kserve.errors import ModelNotReady

from secmlops.bundle import Bundle
from secmlops.detectors.detector import Answer
from serving.base import VerifiedModel
from serving.detectors import metrics
from serving.detectors.answers import ANSWER, Asked, is_detection, write_answer
from serving.detectors.door import EventDoor
from serving.detectors.intake import Intake, worker_command
from serving.detectors.opening import Kind, Sources, check_use_case, open_subject
from serving.detectors.settings import Settings
from serving.limits import Limits
from serving.protocol import Tensor, check_outputs
from serving.server import argument_parser, require_one_worker, run

Question: TypeAlias = dict[str, Any] | InferRequest


class DetectorModel(VerifiedModel):
    """A detector that is fed by the payload logger and answers direct calls.

    A direct call (V1, V2 REST, V2 gRPC) is answered with the detector's own answer, `{"data", "meta"}`; in V2 it is
    the JSON in the BYTES tensor `answer`. It moves no window and no metric of a watched service.

    Args:
        name: of the model.
        kind: of the service.
        sources: of the bundles.
        settings: bounds of the windows.
        limits: bounds of the process.
        state_dir: where windows survive a restart; None: nowhere.
    """

    use_case: ClassVar[str] = "detector"
    outputs: tuple[Tensor, ...] = (ANSWER,)
    on_request: Mapping[str, Tensor] = MappingProxyType({})

    def __init__(
        self, name: str, kind: Kind, sources: Sources, settings: Settings, limits: Limits, state_dir: Path | None = None
    ):
        super().__init__(name, sources.detector, sources.trusted_key, limits)
        self.settings = settings
        self.intake = Intake(name, worker_command(kind, sources, settings, limits, state_dir), settings)
        self._kind = kind
        self._sources = sources

    def check(self, bundle: Bundle) -> None:
        """Refuse a bundle that was judged for another use case than its detector watches."""
        check_use_case(bundle)

    def open(self, bundle: Bundle) -> None:
        """Build the detector."""
        subject = open_subject(bundle, self._kind, self._sources, self.settings, self.limits)
        self._asked = Asked(subject, self.limits, max(subject.window_rows, self.limits.max_instances))
        self.inputs = self._asked.inputs

    def read(self, instance: Any) -> Any:
        """Not used: a question is read as a whole."""
        raise NotImplementedError

    def answer(self, items: Any) -> Any:
        """Not used: a question is answered as a whole."""
        raise NotImplementedError

    async def healthy(self) -> bool:
        """Whether the detector is verified, and the process that judges with it runs."""
        return bool(self.ready) and self.intake.alive

    def beside(self) -> AbstractAsyncContextManager[Any]:
        """What runs beside the server; nothing beside a detector that did not verify."""
        return self.intake.running() if self.ready else nullcontext()

    async def preprocess(self, payload: Question, headers: dict[str, str] | None = None) -> Any:
        """Check a question."""
        if not self.ready:
            raise ModelNotReady(self.name)
        if isinstance(payload, InferRequest):
            check_outputs(payload, self.outputs)
        return payload

    async def predict(self, question: Question, headers: dict[str, str] | None = None, *_: Any) -> Any:
        """Ask the detector, off the event loop."""
        answer = await self.ask(question, "direct")
        return write_answer(question, answer, self.name)

    async def postprocess(self, answer: Any, headers: dict[str, str] | None = None, *_: Any) -> dict | InferResponse:
        """The answer is in the protocol of the question already."""
        return answer

    async def ask(self, question: Question, mode: str) -> Answer:
        """The detector's answer; counted by its outcome.

        Raises:
            Refusal: the question cannot be judged, or not in time.
        """
        try:
            answer = await self._offload.run(self._asked.answer, question)
        except Exception:
            metrics.REQUESTS.labels(self.name, mode, "failed").inc()
            raise
        metrics.REQUESTS.labels(self.name, mode, "detected" if is_detection(answer) else "clean").inc()
        return answer


def detector_parser(description: str, default_name: str) -> argparse.ArgumentParser:
    """The command line of a detector service: a model server's, the windows' bounds, and where they are kept."""
    parser = argument_parser(description, default_name)
    parser.set_defaults(max_instances=256)
    parser.add_argument("--state_dir", type=Path, help="Folder that the windows survive a restart in.")
    Settings.add_flags(parser)
    return parser


def serve_detector(model: DetectorModel, flags: argparse.Namespace) -> None:
    """Serve a detector on what `detector_parser` read."""
    door = partial(EventDoor, intake=model.intake, name=model.name, settings=model.settings)
    run(model, flags, door=door, beside=model.beside)


def read_flags(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Settings, Limits]:
    """The command line."""
    flags = parser.parse_args()
    require_one_worker(flags)
    return flags, Settings.from_flags(flags), Limits.from_flags(flags)
