"""A model that answers with lengths and misbehaves on demand, to test the doors apart from any classifier."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from serving.base import VerifiedModel
from serving.limits import Limits
from serving.protocol import Tensor
from serving.recent import Answer

SECRET = "/etc/secret-path: KeyError"


class Lengths(VerifiedModel):
    """Answers each instance with its length; `b"break"` raises, `b"hang"` waits for `go`."""

    use_case: ClassVar[str] = "lengths"
    inputs = (Tensor("texts", "BYTES"),)
    outputs = (Tensor("length", "INT64"),)

    def __init__(self, limits: Limits, *, ready: bool = True):
        super().__init__("lengths", Path("nowhere"), Path("no.pub"), limits)
        self.ready = ready
        self.go = threading.Event()
        self.answered = 0

    def open(self, bundle: Any) -> None:
        raise NotImplementedError

    def read(self, instance: Any) -> Any:
        return instance

    def answer(self, items: Sequence[Any]) -> list[Answer]:
        self.answered += len(items)
        if b"break" in items or "break" in items:
            raise RuntimeError(SECRET)
        if b"hang" in items:
            self.go.wait()
        return [(len(item),) for item in items]
