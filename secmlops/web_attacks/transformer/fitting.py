"""Training of the transformer models: weakly labelled windows, balanced loss, early stopping.

A label belongs to a request, but only one of its windows holds the attack. So an attack request is a bag of
which, once the network can tell, the highest window counts, and every window of a normal request is normal
(multiple-instance learning, Dietterich et al. 1997).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from secmlops.web_attacks.calibration import fit_platt
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES
from secmlops.web_attacks.text_shape import text_shape
from secmlops.web_attacks.transformer.network import AttackNetwork
from secmlops.web_attacks.transformer.windows import Windower

Progress = Callable[[int, int, str], None]

MAX_BAG = 12
"""Most windows of one attack request that take part in training."""

MARK_SHARE = 0.05
"""A window that stands in more than this share of all attack requests marks their sender."""

FEWEST_FOR_MARK = 8

GENERATED = "generated"
"""Tag of generated benign texts that any site may see."""

GENERATED_SHARE = 0.3
"""Most of the normal windows in a step that are generated ones."""

PER_SHAPE = 50
"""Of normal windows of one shape (identifiers, numbers), so many count fully; more share that weight."""

_SINGLE_WORD = re.compile(r"[\w.,:@+!-]*")

SHARPEST = 8.0
"""Softmax sharpness of the choice of witnesses in the end; it then is the highest window but for near ties."""

_WINDOWS_PER_PASS = 64


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        epochs: most passes.
        tokens_per_epoch: a pass ends after about so many tokens, drawn anew each time.
        batch_requests: attack requests in a step; as many normal windows again, twice.
        patience: passes without a better validation loss before stopping.
        learning_rate: its peak, after `warm_up` of all steps.
        warm_up: share of the steps.
        weight_decay: decoupled, on matrices only.
        class_weight: weight of the attack-class loss beside the detection loss.
        averaging: decay of the moving average of the weights, which is what is validated and kept.
        undecided: share of the steps over which the choice of each attack's witness sharpens from all its windows to
            the highest; a network that knows nothing would choose by chance and then believe itself.
        surrounded: share of windows that get normal text before and behind them in a step, so that attacks are known
            at any place in any surroundings.
    """

    epochs: int = 8
    tokens_per_epoch: int = 250_000
    batch_requests: int = 32
    patience: int = 3
    learning_rate: float = 1e-3
    warm_up: float = 0.1
    weight_decay: float = 0.05
    class_weight: float = 0.3
    averaging: float = 0.98
    undecided: float = 0.4
    surrounded: float = 0.25


class Bags:
    """Requests as lists of windows, each distinct window kept once.

    Attributes:
        windows: token ids of every distinct window.
        shapes: their texts with letters and digits made alike.
        single: whether they are no more than one word, number or identifier.
        bags: per request, the indices of its windows.
        attack: per request, whether it is labelled an attack.
        attack_class: per request, the index of its attack class; -1 for none.
        generated: per request, whether it is a generated benign text.
    """

    def __init__(self, records: Sequence[LabelledRequest], windower: Windower):
        found: dict[tuple[int, ...], int] = {}
        shapes: list[str] = []
        single: list[bool] = []
        self.bags: list[np.ndarray] = []
        for record in records:
            bag = []
            for window in windower.windows(record.request):
                bag.append(found.setdefault(window.ids, len(found)))
                if bag[-1] == len(shapes):
                    shapes.append(text_shape(window.text))
                    single.append(bool(_SINGLE_WORD.fullmatch(window.text)))
            self.bags.append(np.array(bag))
        self.windows = list(found)
        self.shapes = shapes
        self.single = np.array(single)
        self.attack = np.array([record.is_attack for record in records])
        self.generated = np.array([GENERATED in record.tags for record in records])
        self.attack_class = np.array(
            [ATTACK_CLASSES.index(r.attack_class) if r.attack_class in ATTACK_CLASSES else -1 for r in records]
        )

    def highest(self, logits: np.ndarray) -> np.ndarray:
        """Per request, the highest of its windows' logits."""
        return np.array([logits[bag].max() for bag in self.bags])

    def learnable(self) -> "Learnable":
        """The attack bags as far as they may hold the attack, and the normal windows.

        A window that normal requests also have is no attack. One that stands in many attack requests (a tool's
        User-Agent), or that is a mere identifier (a session's cookie), marks their sender: a network that may choose
        it learns by heart who sent, not what. An attack that consists of nothing else keeps all its windows.
        """
        normal = np.unique(np.concatenate([b for b, attack in zip(self.bags, self.attack, strict=True) if not attack]))
        attacks = np.flatnonzero(self.attack)
        seen = np.bincount(np.concatenate([self.bags[i] for i in attacks]), minlength=len(self.windows))
        excluded = self.single | (seen > max(FEWEST_FOR_MARK, MARK_SHARE * len(attacks)))
        excluded[normal] = True
        bags = [_rest(self.bags[i], excluded)[:MAX_BAG] for i in attacks]
        return Learnable(
            bags,
            self.attack_class[attacks],
            normal,
            self._normal_chance(normal),
        )

    def _normal_chance(self, normal: np.ndarray) -> np.ndarray:
        real = np.zeros(len(self.windows), dtype=bool)
        for bag, attack, generated in zip(self.bags, self.attack, self.generated, strict=True):
            if not attack and not generated:
                real[bag] = True
        counts = Counter(self.shapes[i] for i in normal)
        chance = np.array([1 / max(counts[self.shapes[i]], PER_SHAPE) for i in normal])
        return _shared_out(chance, ~real[normal])


@dataclass(frozen=True, slots=True)
class Learnable:
    """What a network learns from.

    Attributes:
        attacks: per attack, indices of the windows of which one at least holds it.
        attack_class: per attack, the index of its class; -1 for none.
        normals: indices of windows that hold no attack.
        normal_chance: per such window, how likely it is drawn; sums to 1.
    """

    attacks: list[np.ndarray]
    attack_class: np.ndarray
    normals: np.ndarray
    normal_chance: np.ndarray


def _shared_out(chance: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Chances that sum to 1, of which generated texts have at most `GENERATED_SHARE`."""
    chance = chance / chance.sum()
    share = chance[generated].sum()
    if GENERATED_SHARE < share < 1:
        chance = np.where(generated, chance * GENERATED_SHARE / share, chance * (1 - GENERATED_SHARE) / (1 - share))
    return chance


def _rest(bag: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    rest = bag[~excluded[bag]]
    return rest if len(rest) else bag


@dataclass(frozen=True, slots=True)
class Fit:
    """What training did.

    Attributes:
        epochs: passes made.
        best_epoch: the pass whose weights were kept, from 1.
        validation_loss: balanced cross entropy of that pass, nats.
        tokens: tokens seen.
    """

    epochs: int
    best_epoch: int
    validation_loss: float
    tokens: int


def fit(
    network: AttackNetwork,
    train: Bags,
    validation: Bags,
    schedule: Schedule,
    *,
    max_tokens: int,
    seed: int,
    on_progress: Progress,
) -> Fit:
    """Train in place and leave the weights of the best pass in the network."""
    rng = np.random.default_rng(seed)
    plan = _Plan(train, schedule, max_tokens)
    optimizer = torch.optim.AdamW(_parameter_groups(network, schedule), lr=schedule.learning_rate, fused=True)
    steps = plan.steps_per_epoch * schedule.epochs
    learning_rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _slope(step / steps, schedule.warm_up))
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.averaging))
    best_loss, best_epoch, best_weights, tokens, epoch = math.inf, 0, None, 0, 0
    for epoch in range(1, schedule.epochs + 1):
        network.train()
        for step, (bags, classes, negatives) in enumerate(plan.batches(rng)):
            sharpness = SHARPEST * min(1.0, learning_rate.last_epoch / (steps * schedule.undecided))
            tokens += _step(network, plan, bags, classes, negatives, sharpness, optimizer, rng)
            learning_rate.step()
            averaged.update_parameters(network)
            if step % 10 == 0:
                done = (epoch - 1) * plan.steps_per_epoch + step
                on_progress(done, steps, f"pass {epoch} of {schedule.epochs}")
        loss = validation_loss(validation, logits_of(cast(AttackNetwork, averaged.module), validation.windows))
        on_progress(epoch * plan.steps_per_epoch, steps, f"pass {epoch}: validation loss {loss:.4f}")
        if loss < best_loss - 1e-4:
            best_loss, best_epoch = loss, epoch
            best_weights = {name: value.clone() for name, value in averaged.module.state_dict().items()}
        elif epoch - best_epoch >= schedule.patience:
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    network.eval()
    return Fit(epoch, best_epoch, best_loss, tokens)


def validation_loss(bags: Bags, logits: np.ndarray) -> float:
    """Cross entropy of the requests' highest windows after calibration, both labels weighing the same, in nats."""
    raw = bags.highest(logits).astype(np.float64)
    platt = fit_platt(raw[~bags.attack], raw[bags.attack])
    highest = platt.slope * raw + platt.offset
    loss = np.logaddexp(0, np.where(bags.attack, -highest, highest))
    return float((loss[bags.attack].mean() + loss[~bags.attack].mean()) / 2)


def logits_of(network: AttackNetwork, windows: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The attack logit of each window by the PyTorch network, float32."""
    network.eval()
    logits = np.zeros(len(windows), dtype=np.float32)
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    with torch.inference_mode():
        for at in range(0, len(order), _WINDOWS_PER_PASS):
            chosen = order[at : at + _WINDOWS_PER_PASS]
            logits[chosen] = network.logits(*padded([windows[i] for i in chosen]))[0].numpy()
    return logits


def padded(windows: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, (windows, longest), int64."""
    lengths = np.array([len(window) for window in windows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = np.fromiter(chain.from_iterable(windows), dtype=np.int64, count=lengths.sum())
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


class _Plan:
    def __init__(self, train: Bags, schedule: Schedule, max_tokens: int):
        self.windows, self.data = train.windows, train.learnable()
        self.schedule, self.max_tokens = schedule, max_tokens
        lengths = np.array([len(window) for window in train.windows])
        per_attack = np.mean([lengths[bag].sum() for bag in self.data.attacks])
        per_step = schedule.batch_requests * (per_attack + 2 * lengths[self.data.normals].mean())
        whole = max(len(self.data.attacks), len(self.data.normals) / 2) / schedule.batch_requests
        self.steps_per_epoch = max(1, round(min(whole, schedule.tokens_per_epoch / per_step)))
        named = np.bincount(self.data.attack_class[self.data.attack_class >= 0], minlength=len(ATTACK_CLASSES))
        weights = np.where(named > 0, np.sqrt(named.sum() / np.maximum(named, 1) / max((named > 0).sum(), 1)), 0)
        self.class_weights = torch.tensor(weights, dtype=torch.float32)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[list[np.ndarray], Tensor, np.ndarray]]:
        """Attack bags, their classes, and normal windows, step by step."""
        size, data = self.schedule.batch_requests, self.data
        attacks = rng.choice(len(data.attacks), (self.steps_per_epoch, size))
        normals = rng.choice(data.normals, (self.steps_per_epoch, 2 * size), p=data.normal_chance)
        for chosen, negatives in zip(attacks, normals, strict=True):
            yield [data.attacks[i] for i in chosen], torch.tensor(data.attack_class[chosen]), negatives

    def drawn(self, indices: np.ndarray, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """The windows of these indices, some of them surrounded by normal text."""
        chance = rng.random(len(indices)) < self.schedule.surrounded
        return [
            self._surrounded(self.windows[i], rng) if yes else self.windows[i]
            for i, yes in zip(indices, chance, strict=True)
        ]

    def _surrounded(self, window: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
        room = int((self.max_tokens - len(window)) * rng.random() ** 2)
        front = int(rng.integers(0, room + 1))
        before = self._normal_text(front, rng)[-front:] if front else ()
        behind = self._normal_text(room - front, rng)[: room - front]
        return (*window[:2], *before, *window[2:-1], *behind, window[-1])

    def _normal_text(self, length: int, rng: np.random.Generator) -> tuple[int, ...]:
        text: tuple[int, ...] = ()
        for _ in range(4):
            if len(text) >= length:
                break
            text += self.windows[self.data.normals[rng.integers(len(self.data.normals))]][2:-1]
        return text


def _step(
    network: AttackNetwork,
    plan: _Plan,
    bags: list[np.ndarray],
    classes: Tensor,
    negatives: np.ndarray,
    sharpness: float,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> int:
    windows = plan.drawn(np.concatenate([*bags, negatives]), rng)
    logit, class_logits = _forward(network, windows)
    bag = torch.tensor(np.repeat(np.arange(len(bags)), [len(b) for b in bags]))
    positive, negative = logit[: len(bag)], logit[len(bag) :]
    weight = _witness_weight(positive.detach(), bag, len(bags), sharpness)
    softplus = torch.nn.functional.softplus
    loss = ((weight * softplus(-positive)).sum() / len(bags) + softplus(negative).mean()) / 2
    named = classes[bag] >= 0
    if named.any():
        each = torch.nn.functional.cross_entropy(
            class_logits[: len(bag)][named], classes[bag][named], weight=plan.class_weights, reduction="none"
        )
        loss = loss + plan.schedule.class_weight * (weight[named] * each).sum() / weight[named].sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return sum(map(len, windows))


def _witness_weight(logit: Tensor, bag: Tensor, bags: int, sharpness: float) -> Tensor:
    """The softmax of `sharpness` times the logits within each bag: how far a window counts as its bag's witness."""
    highest = torch.full((bags,), -torch.inf).scatter_reduce(0, bag, logit, "amax")
    weight = torch.exp(sharpness * (logit - highest[bag]))
    return weight / torch.zeros(bags).index_add(0, bag, weight)[bag]


def _forward(network: AttackNetwork, windows: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Logits in the order of the windows, computed in groups of like length."""
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    logit, class_logits = [], []
    for at in range(0, len(order), _WINDOWS_PER_PASS // 2):
        scores = network.logits(*padded([windows[i] for i in order[at : at + _WINDOWS_PER_PASS // 2]]))
        logit.append(scores[0])
        class_logits.append(scores[1])
    back = torch.tensor(np.argsort(order))
    return torch.cat(logit)[back], torch.cat(class_logits)[back]


def _parameter_groups(network: AttackNetwork, schedule: Schedule) -> list[dict]:
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    vectors = [p for p in network.parameters() if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": schedule.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _slope(share: float, warm_up: float) -> float:
    return share / warm_up if share < warm_up else max(0.02, (1 - share) / (1 - warm_up))
