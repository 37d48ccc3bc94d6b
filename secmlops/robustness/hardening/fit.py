"""The one training loop: any network, any objective, on one core, on a GPU, or on several processes by `torchrun`.

The whole set lies in memory as one tensor; a step takes its images by index, so nothing is loaded, copied between
processes or decoded while training. On processors that multiply bfloat16 matrices (AMX), convolutions run in bfloat16
and channels-last, which makes an adversarial epoch about three times faster; weights, their moving average and the
optimizer stay float32.
"""

import copy
import hashlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.hardening import checkpoint as checkpoints
from secmlops.robustness.hardening.checkpoint import Checkpoint, CheckpointUnusable
from secmlops.robustness.hardening.workers import Workers, joined

Precision = Literal["float32", "bfloat16", "float16"]
Progress = Callable[[int, int, str], None]
Validation = Callable[[nn.Module], float]
"""A score of a network on images that it does not train on, such as its robust accuracy; higher is better."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_STEPS_PER_REPORT = 20
_STEPS_TO_START = 100
"""A network that has seen fewer batches has not collapsed but hardly begun."""

_WATCHED = 1_000
"""Training images on which the accuracy after each epoch is measured."""


class Objective(Protocol):
    """What is minimized.

    Runs under autocast: convert logits with `.float()` before a loss. `progress` is the share of the whole training
    that is done, in [0, 1), for whatever grows with it (the size of the attack, the weight of a bound).
    """

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """The scalar loss of a batch: images (n, c, h, w) in [0, 1], labels (n,)."""
        ...


class FitConfig(BaseModel):
    """How long and how fast to learn.

    Attributes:
        epochs: passes over the images.
        batch_size: images in a step, over all processes; the rest of a pass that fills no batch is left out of it.
        learning_rate: of Adam at its peak; it rises linearly from zero and falls linearly to zero (one cycle, Smith
            and Topin 2018).
        warm_up: share of the training in which it rises.
        weight_decay: decoupled (Loshchilov and Hutter 2019).
        clip_norm: longest gradient.
        averaging: decay per step of the moving average of the weights, which is then what is validated and kept;
            0 keeps the weights themselves.
        shift: images are moved by up to so many pixels each way, drawn anew each time, black moving in.
        seed: of the order, the shifts and whatever the objective draws. The network comes initialized.
        precision: of the convolutions; `auto` is bfloat16 where the hardware has it, else float32 on a processor and
            float16 on a GPU.
        device: `auto` is the GPU where there is one.
        patience: stop after so many epochs without a better validation score.
        largest_drop: stop once the validation score is so far below its best: adversarial training by single steps
            can lose all robustness within one epoch (catastrophic overfitting, Wong et al. 2020).
        collapse_after: share of the training after which one and the same answer for all training images is an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(gt=0)] = 10
    batch_size: Annotated[int, Field(gt=0)] = 256
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    warm_up: Annotated[float, Field(gt=0, lt=1)] = 0.25
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shift: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["auto"] | Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    patience: Annotated[int, Field(gt=0)] | None = None
    largest_drop: Annotated[float, Field(gt=0)] | None = None
    collapse_after: Annotated[float, Field(gt=0, le=1)] = 0.3


class Epoch(BaseModel):
    """What one pass came to.

    Attributes:
        epoch: from 1.
        loss: mean of the objective.
        accuracy: on up to 1,000 training images as they are, after the pass.
        validation: the score, where one was asked for.
        seconds: wall time of the pass with its validation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    loss: float
    accuracy: float
    validation: float | None
    seconds: float


class FitReport(BaseModel):
    """What training did.

    Attributes:
        seconds: wall time of all passes, also of those before a resumption.
        epochs: passes made.
        kept_epoch: the pass whose weights were kept: the best by the validation score, or the last.
        stopped: why before the last planned pass; empty if it was not.
        steps: batches seen.
        device: where.
        precision: of the convolutions.
        processes: how many trained together.
        history: pass by pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    epochs: int
    kept_epoch: int
    stopped: str
    steps: int
    device: str
    precision: Precision
    processes: int
    history: tuple[Epoch, ...]


class TrainingSetMalformed(SecmlopsError):
    """Images and labels that nothing can be learned from.

    Attributes:
        reason: what is wrong.
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(f"{reason}; training needs float images (n, channels, height, width) and as many labels")


class TrainingDiverged(SecmlopsError):
    """The loss is no longer a finite number.

    Attributes:
        step: at which batch.
        epoch: in which pass, from 1.
    """

    def __init__(self, step: int, epoch: int):
        self.step, self.epoch = step, epoch
        super().__init__(
            f"the loss is not finite at step {step} (epoch {epoch}): check the images for NaN, or lower the "
            "learning rate"
        )


class TrainingCollapsed(SecmlopsError):
    """The network gives one answer for everything, as adversarial training from a cold start can end.

    Attributes:
        epoch: after which pass, from 1.
        accuracy: on training images.
    """

    def __init__(self, epoch: int, accuracy: float):
        self.epoch, self.accuracy = epoch, accuracy
        super().__init__(
            f"after epoch {epoch} the network gives the same answer for every training image (accuracy {accuracy:.1%}):"
            " it has collapsed; let the attack grow over more epochs or lower the learning rate"
        )


def fit(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    objective: Objective,
    config: FitConfig,
    *,
    validation: Validation | None = None,
    checkpoint: Path | None = None,
    on_progress: Progress | None = None,
) -> FitReport:
    """Train a network in place; it ends on the processor, in evaluation mode, with the weights that were kept.

    The same seed on the same hardware gives the same weights, also when the training was interrupted and resumed.
    Under `torchrun` every process calls this with the same arguments and ends with the same weights.

    Args:
        network: initialized; from images (n, c, h, w) in [0, 1] to logits (n, k).
        images: float32 (n, c, h, w).
        labels: int64 (n,).
        objective: what to minimize.
        config: how.
        validation: a score after each epoch; the weights of the best epoch are kept.
        checkpoint: file to write after each epoch, and to go on from if it is there. Several processes must all see it.
        on_progress: called with steps done, steps planned and a message, on the process that writes.

    Raises:
        TrainingSetMalformed: images and labels do not fit together.
        TrainingDiverged: the loss is not finite.
        TrainingCollapsed: the network gives one answer for everything.
        CheckpointUnusable: the checkpoint is damaged or belongs to another training.
    """
    _check(images, labels)
    device = _device(config)
    with joined(device) as workers, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        run = _Run(network, images, labels, objective, config, device, workers)
        if checkpoint is not None:
            run.resume(checkpoint)
        while not run.finished:
            run.epoch(validation, on_progress if workers.writes else None)
            if checkpoint is not None and workers.writes:
                run.save(checkpoint)
        return run.finish()


def precision_of(config: FitConfig, device: torch.device) -> Precision:
    """The precision of the convolutions that a configuration means on a device."""
    if config.precision != "auto":
        return config.precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if torch.cpu.get_capabilities().get("amx_bf16") else "float32"


@dataclass(slots=True)
class _Best:
    score: float = -math.inf
    epoch: int = 0


class _Run:
    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        objective: Objective,
        config: FitConfig,
        device: torch.device,
        workers: Workers,
    ):
        self.identity = {
            "config": config.model_dump(exclude={"device"}),
            "objective": repr(objective) if hasattr(objective, "__dataclass_fields__") else type(objective).__name__,
            "network": {name: list(value.shape) for name, value in network.state_dict().items()},
            "data": _digest(images, labels),
        }
        self.config, self.objective, self.device, self.workers = config, objective, device, workers
        self.network: nn.Module = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        workers.start_alike(self.network)
        self.images, self.labels = images.to(device), labels.to(device)
        self.averaged = copy.deepcopy(self.network) if config.averaging else self.network
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.precision = precision_of(config, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "float16")
        self.batch_size = min(config.batch_size, len(images))
        self.steps_per_epoch = len(images) // self.batch_size
        self.steps = self.steps_per_epoch * config.epochs
        self.watched = slice(None, None, math.ceil(len(images) / _WATCHED))
        self.history: list[Epoch] = []
        self.best = _Best()
        self.best_weights: dict[str, Tensor] = {}
        self.stopped = ""

    @property
    def finished(self) -> bool:
        return len(self.history) == self.config.epochs or bool(self.stopped)

    def epoch(self, validation: Validation | None, on_progress: Progress | None) -> None:
        start, number = time.perf_counter(), len(self.history) + 1
        loss = self._pass(number, on_progress)
        self.averaged.eval()
        accuracy, answers = self._look()
        late = number >= self.config.collapse_after * self.config.epochs
        if answers == 1 and late and number * self.steps_per_epoch >= _STEPS_TO_START:
            raise TrainingCollapsed(number, accuracy)
        score = None if validation is None else self.workers.mean(validation(self.averaged), self.device)
        seconds = time.perf_counter() - start
        self.history.append(Epoch(epoch=number, loss=loss, accuracy=accuracy, validation=score, seconds=seconds))
        if score is not None:
            self._judge(score, number)
        if on_progress is not None:
            seen = "" if score is None else f", validation {score:.4f}"
            on_progress(number * self.steps_per_epoch, self.steps, f"epoch {number}: loss {loss:.4f}{seen}")

    def _pass(self, number: int, on_progress: Progress | None) -> float:
        """One pass; everything drawn in it depends on the seed and its number alone, so it can be resumed."""
        config, workers = self.config, self.workers
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(_seed(config.seed, number)))
        torch.manual_seed(_seed(config.seed, number, 1 + workers.rank))
        self.network.train()
        total = torch.zeros((), device=self.device)
        for at in range(self.steps_per_epoch):
            step = (number - 1) * self.steps_per_epoch + at
            indices = workers.share(order[at * self.batch_size : (at + 1) * self.batch_size]).to(self.device)
            total += self._step(indices, step)
            if at % _STEPS_PER_REPORT == 0:
                if not torch.isfinite(total):
                    raise TrainingDiverged(step, number)
                if on_progress is not None:
                    on_progress(step, self.steps, f"epoch {number} of {config.epochs}")
        if not torch.isfinite(total):
            raise TrainingDiverged(number * self.steps_per_epoch, number)
        return float(total) / self.steps_per_epoch

    def _step(self, indices: Tensor, step: int) -> Tensor:
        config, progress = self.config, step / self.steps
        images, labels = self.images[indices], self.labels[indices]
        if config.shift:
            images = _shifted(images, config.shift)
        # Uncached: weights that were cast while gradients were off would get none.
        with torch.autocast(
            self.device.type, _DTYPES[self.precision], enabled=self.precision != "float32", cache_enabled=False
        ):
            loss = self.objective(self.network, images, labels, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * _cycle((step + 1) / (self.steps + 1), config.warm_up)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        mean_loss = loss.detach().float()
        self.workers.average([*(p.grad for p in parameters if p.grad is not None), mean_loss])
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if config.averaging:
            self._average(min(config.averaging, (1 + step) / (10 + step)))
        return mean_loss

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        for mean, value in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    @torch.inference_mode()
    def _look(self) -> tuple[float, int]:
        """The accuracy on some training images, and how many different answers the network gives them."""
        answers = self.averaged(self.images[self.watched]).argmax(1)
        labels = self.labels[self.watched]
        return float((answers == labels).float().mean()), len(answers.unique()) if len(labels.unique()) > 1 else 0

    def _judge(self, score: float, number: int) -> None:
        config = self.config
        if score > self.best.score:
            self.best = _Best(score, number)
            self.best_weights = {name: value.clone() for name, value in self.averaged.state_dict().items()}
        elif config.largest_drop is not None and score < self.best.score - config.largest_drop:
            self.stopped = f"validation fell from {self.best.score:.4f} to {score:.4f}"
        elif config.patience is not None and number - self.best.epoch >= config.patience:
            self.stopped = f"no better validation in {config.patience} epochs"

    def finish(self) -> FitReport:
        """Leave the kept weights in the network."""
        self.network.load_state_dict(self.best_weights or self.averaged.state_dict())
        self.network.cpu().to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        epochs = len(self.history)
        return FitReport(
            seconds=sum(epoch.seconds for epoch in self.history),
            epochs=epochs,
            kept_epoch=self.best.epoch or epochs,
            stopped=self.stopped,
            steps=epochs * self.steps_per_epoch,
            device=str(self.device),
            precision=self.precision,
            processes=self.workers.count,
            history=tuple(self.history),
        )

    def save(self, path: Path) -> None:
        moments = self.optimizer.state_dict()["state"]
        tensors: dict[str, dict[str, Tensor]] = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict() if self.config.averaging else {},
            "best": self.best_weights,
            "optimizer": {f"{i}/{name}": value for i, state in moments.items() for name, value in state.items()},
        }
        state = {
            "history": [epoch.model_dump() for epoch in self.history],
            "best": [self.best.score, self.best.epoch] if self.best.epoch else None,
            "stopped": self.stopped,
            "scaler": self.scaler.state_dict(),
        }
        checkpoints.write(path, Checkpoint(self.identity, tensors, state))

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint if there is one."""
        if path.exists():
            self._restore(checkpoints.read(path, self.identity))
        done = len(self.history)
        if self.workers.mean(done, self.device) != done:
            raise CheckpointUnusable(path, "is not the same for every process")

    def _restore(self, saved: Checkpoint) -> None:
        self.network.load_state_dict(dict(saved.tensors["network"]))
        if self.config.averaging:
            self.averaged.load_state_dict(dict(saved.tensors["averaged"]))
        self.best_weights = {name: value.to(self.device) for name, value in saved.tensors.get("best", {}).items()}
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.tensors["optimizer"].items():
            index, _, name = key.partition("/")
            moments.setdefault(int(index), {})[name] = (
                value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            )
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})
        state: dict[str, Any] = dict(saved.state)
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.best = _Best(*state["best"]) if state["best"] else _Best()
        self.stopped = state["stopped"]
        self.scaler.load_state_dict(state["scaler"])


def _check(images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise TrainingSetMalformed(f"images have shape {tuple(images.shape)} and type {images.dtype}")
    if len(images) == 0 or labels.shape != (len(images),):
        raise TrainingSetMalformed(f"{len(images)} images have labels of shape {tuple(labels.shape)}")


def _device(config: FitConfig) -> torch.device:
    if config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _digest(images: Tensor, labels: Tensor) -> str:
    digest = hashlib.sha256(images.detach().cpu().contiguous().numpy().data)
    digest.update(labels.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")


def _cycle(done: float, warm_up: float) -> float:
    return done / warm_up if done < warm_up else (1 - done) / (1 - warm_up)


def _shifted(images: Tensor, by: int) -> Tensor:
    """Every image moved by up to `by` pixels each way, black moving in."""
    n, _, height, width = images.shape
    padded = nn.functional.pad(images, (by,) * 4)
    down, right = torch.randint(0, 2 * by + 1, (2, n, 1), device=images.device)
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    every = torch.arange(n, device=images.device)
    return padded.permute(0, 2, 3, 1)[every[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
