"""A training's state between two epochs, in one safetensors file: tensors, and the rest as JSON in its header."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from secmlops.errors import SecmlopsError

_STATE = "training"


class CheckpointUnusable(SecmlopsError):
    """A checkpoint cannot be resumed from.

    Attributes:
        path: its file.
        reason: why not.
    """

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        super().__init__(f"checkpoint {path} {reason}: name another file, or delete this one to start anew")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a training needs to go on.

    Attributes:
        identity: what is trained on what: a checkpoint of anything else is refused.
        tensors: named groups of tensors.
        state: the rest, as JSON values.
    """

    identity: Mapping[str, Any]
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any] = field(default_factory=dict)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    flat = {
        f"{group}/{name}": value.detach().cpu().contiguous()
        for group, tensors in checkpoint.tensors.items()
        for name, value in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save_file(
        flat, unfinished, metadata={_STATE: json.dumps({"identity": checkpoint.identity, "state": checkpoint.state})}
    )
    os.replace(unfinished, path)


def read(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointUnusable: it is no checkpoint, or one of another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_STATE])
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointUnusable(path, "is damaged or no checkpoint") from error
    if differing := sorted(name for name in identity if header["identity"].get(name) != identity[name]):
        raise CheckpointUnusable(path, f"belongs to another training (it differs in: {', '.join(differing)})")
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in flat.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    return Checkpoint(header["identity"], groups, header["state"])
