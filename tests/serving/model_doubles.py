"""A model that answers with lengths and misbehaves on demand, so that the doors are tested apart from any classifier."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from serving.base import VerifiedModel
from serving.limits import Limits
from serving.protocol import Tensor

SECRET = "/etc/secret-path: KeyError"


class Lengths(VerifiedModel):
    """Answers each instance with its length; `b"break"` raises, `b"hang"` waits for `go`."""

    use_case: ClassVar[str] = "lengths"
    input: ClassVar[Tensor] = Tensor("texts", "BYTES")
    outputs: ClassVar[tuple[Tensor, ...]] = (Tensor("length", "INT64"),)

    def __init__(self, limits: Limits, *, ready: bool = True):
        super().__init__("lengths", Path("nowhere"), Path("no.pub"), limits)
        self.ready = ready
        self.go = threading.Event()

    def open(self, bundle: Any) -> None:
        raise NotImplementedError

    def answer(self, instances: Sequence[Any]) -> Mapping[str, list]:
        if b"break" in instances or "break" in instances:
            raise RuntimeError(SECRET)
        if b"hang" in instances:
            self.go.wait()
        return {"length": [len(instance) for instance in instances]}
