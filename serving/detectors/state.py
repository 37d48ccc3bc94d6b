"""What a detector service knows, in one file that survives a restart: arrays and JSON, written whole or not at all.

The file is no part of the signed bundle and is treated as hostile: it is bounded, holds no code, is checked when read,
and one that cannot be used is moved aside and counted, never fatal.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import orjson
import safetensors.numpy

from secmlops.errors import SecmlopsError

FILE: Final = "windows.safetensors"
FORMAT: Final = 1

_NUMBER: Final = 8
_MAX_HEADER_BYTES: Final = 64 * 1024 * 1024


class UnusableState(SecmlopsError):
    """A state file that cannot be gone on with.

    Attributes:
        reason: `damaged`, or `foreign` when it was written beside another detector.
    """

    def __init__(self, reason: str, sentence: str):
        self.reason = reason
        super().__init__(f"the saved windows cannot be used: {sentence}")


class StateFile:
    """One file in a folder.

    Args:
        folder: made when absent.
        owner: names the detector and its settings that the state belongs to.
        max_bytes: of the file.
    """

    def __init__(self, folder: Path, owner: str, max_bytes: int):
        self.path = folder / FILE
        self._owner = owner
        self._max_bytes = max_bytes

    def write(self, arrays: Mapping[str, npt.NDArray[Any]], document: Mapping[str, Any]) -> None:
        """Replace the file at once: a reader sees the old one or the new one.

        Raises:
            OSError: it cannot be written.
        """
        told = orjson.dumps({"format": FORMAT, "owner": self._owner, **document}).decode()
        content = safetensors.numpy.save(dict(arrays), metadata={"document": told})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        with open(beside, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)

    def read(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]] | None:
        """The arrays and the document; None where there is no file.

        Raises:
            UnusableState: it is damaged, or another detector's.
            OSError: it cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                content = file.read(self._max_bytes + 1)
        except FileNotFoundError:
            return None
        if len(content) > self._max_bytes:
            raise UnusableState("damaged", "the file is larger than all windows together")
        try:
            document = _document(content)
            arrays = safetensors.numpy.load(content)
        except Exception as error:  # safetensors' errors and NumPy's share no base class
            raise UnusableState("damaged", f"the file is malformed ({type(error).__name__})") from None
        if document.get("format") != FORMAT or document.get("owner") != self._owner:
            raise UnusableState("foreign", "they were saved beside another detector or with other settings")
        return arrays, document

    def move_aside(self, reason: str) -> None:
        """Keep an unusable file for a look, one of each reason, out of the way.

        Raises:
            OSError: it cannot be moved.
        """
        os.replace(self.path, self.path.with_suffix(f".{reason}"))


def _document(content: bytes) -> dict[str, Any]:
    """The JSON in the header of a safetensors file."""
    length = int.from_bytes(content[:_NUMBER], "little")
    if not 0 < length <= min(_MAX_HEADER_BYTES, len(content) - _NUMBER):
        raise ValueError("no header")
    document = orjson.loads(orjson.loads(content[_NUMBER : _NUMBER + length])["__metadata__"]["document"])
    if not isinstance(document, dict):
        raise ValueError("no document")
    return document


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
