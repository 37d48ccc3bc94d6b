"""The processes that train together: one alone, or those that `torchrun` started."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes of one training, seen from one of them.

    Gradients are averaged here and not by `DistributedDataParallel`, which sees only what passes through its own
    forward: attacks and bounds walk through the layers themselves.

    Attributes:
        rank: which of them this one is, from 0; rank 0 writes checkpoints and reports progress.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, indices: Tensor) -> Tensor:
        """This process's part of a batch."""
        return indices[self.rank :: self.count]

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in one message."""
        if self.count == 1:
            return
        flat = torch.cat([value.reshape(-1) for value in values])
        distributed.all_reduce(flat)
        flat /= self.count
        for value, mean in zip(values, flat.split([value.numel() for value in values]), strict=True):
            value.copy_(mean.view_as(value))

    def mean(self, value: float, device: torch.device) -> float:
        """The mean of a number over all processes."""
        if self.count == 1:
            return value
        both = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(both)
        return float(both) / self.count

    def start_alike(self, network: nn.Module) -> None:
        """Give every process the weights of rank 0."""
        if self.count > 1:
            for value in network.state_dict().values():
                whole = value.contiguous()
                distributed.broadcast(whole, 0)
                value.copy_(whole)


@contextmanager
def joined(device: torch.device) -> Iterator[Workers]:
    """Join the processes that the environment of `torchrun` names; without one, this process works alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers()
        return
    started = not distributed.is_initialized()
    if started:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Workers(distributed.get_rank(), distributed.get_world_size())
    finally:
        if started:
            distributed.destroy_process_group()
