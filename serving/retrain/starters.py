"""What starts a retraining: one interface, a cluster and a single machine behind it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from secmlops.errors import SecmlopsError


class RunState(StrEnum):
    """Where a retraining is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It ended without a model to publish: a step failed, or the gate refused every candidate."""
    STOPPED = "stopped"
    """Somebody ended it."""
    LOST = "lost"
    """It is gone, and nobody saw how it ended."""


@dataclass(frozen=True, slots=True)
class Order:
    """A retraining to start.

    Attributes:
        name: unique to what asked for it: the same alerts give the same name.
        use_case: the use case.
        pipeline: its pipeline.
        parameters: the pipeline's.
    """

    name: str
    use_case: str
    pipeline: str
    parameters: dict[str, str]


class StartFailed(SecmlopsError):
    """A retraining did not start; starting the same order again is safe.

    Attributes:
        name: the order's.
        reason: why, for the log.
    """

    def __init__(self, name: str, reason: str):
        self.name, self.reason = name, reason
        super().__init__(f"retraining {name} was not started: {reason}")


class Unreachable(SecmlopsError):
    """Nothing can be said about a retraining now.

    Attributes:
        reason: why.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"the state of the retraining cannot be read now: {reason}")


class Starter(Protocol):
    """Starts pipelines and follows them. Calls block; one at a time."""

    def start(self, order: Order) -> str:
        """Start a pipeline and return the run's id; the same order is started once, however often it is asked for.

        Raises:
            StartFailed: it did not start.
        """

    def find(self, name: str) -> str | None:
        """The id of the run that an order of this name started, if one did.

        Raises:
            Unreachable: that cannot be known now.
        """

    def state(self, run_id: str) -> RunState:
        """Where the run is.

        Raises:
            Unreachable: that cannot be known now.
        """

    def close(self) -> None:
        """End what would not outlive this process in good order."""
