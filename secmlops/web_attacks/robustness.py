"""A score-guided query attack with semantics-preserving mutations: how many detected attacks can be talked past.

The attacker sees the score, not the model (MITRE ATLAS AML.T0015 and AML.T0043.001, black-box optimization; the
scheme is the guided mutation of WAF-A-MoLE, arXiv 2001.01952): in each round it mutates the best variant found so
far into a handful of candidates, asks for their scores, and keeps the lowest. It wins when a verdict is `normal`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Final

from pydantic import BaseModel, ConfigDict

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.classifier import Classifier, Score
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.mutations import MUTATIONS, Injection, for_class
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import NORMAL

ROUNDS: Final = 100
CANDIDATES: Final = 20
MAX_GROWTH_BYTES: Final = 2048
LOCKSTEP: Final = 32
SINGLE_TRIES: Final = 5
EXAMPLES: Final = 20
EXAMPLE_CHARACTERS: Final = 400
_STEPS_PER_CANDIDATE: Final = 3

Progress = Callable[[int, int], None]


class NothingToAttack(SecmlopsError):
    """No attack among the records can be attacked."""

    def __init__(self) -> None:
        super().__init__("no request is labelled `attack` and carries a payload: give the query attack some attacks")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MutationResult(_Record):
    """What one mutation achieves alone, and how often it was part of a success.

    Attributes:
        name: key in `MUTATIONS`.
        preserves: what stays the same and on which engines, in words.
        assumption: what the attacked application must do; empty when nothing special.
        tried: detected attacks that it changed.
        evaded: of those, how many passed as normal with this mutation alone (`SINGLE_TRIES` tries each).
        mean_score_drop: by how much the lowest score of the tries lay below the original's, on average.
        in_evasions: successes of the query attack whose variant contains it.
    """

    name: str
    preserves: str
    engines: tuple[str, ...]
    assumption: str
    tried: int
    evaded: int
    mean_score_drop: float
    in_evasions: int

    @property
    def evasion_rate(self) -> float:
        """Share of the attacks it changed that it takes past the classifier alone."""
        return self.evaded / self.tried if self.tried else 0.0


class ClassResult(_Record):
    """The query attack on one attack class."""

    attacked: int
    evaded: int

    @property
    def evasion_rate(self) -> float:
        """Share of the detected attacks of this class that got past."""
        return self.evaded / self.attacked


class BudgetPoint(_Record):
    """Share of the detected attacks that got past within so many queries each."""

    queries: int
    evasion_rate: float


class Example(_Record):
    """One success of the query attack; texts are shortened to `EXAMPLE_CHARACTERS`."""

    attack_class: str
    part: str
    original: str
    evading: str
    original_score: float
    evading_score: float
    queries: int
    mutations: tuple[str, ...]


class RobustnessReport(_Record):
    """How a classifier stood a score-guided query attack.

    Attributes:
        model: the classifier's name.
        n_attacks: attacks given that carry a payload.
        n_undetected: of those, missed without any mutation; they count as missed, not as evaded.
        n_attacked: detected attacks that were attacked.
        n_evaded: of those, how many got past.
        rounds: rounds per attack at most.
        candidates: queries per round.
        max_growth_bytes: by how much a payload may grow.
        seed: seed of all random choices.
        queries: queries of the guided search in all.
        median_queries: of the successes; None without one.
        by_class: per attack class.
        by_mutation: per mutation, the one that takes most attacks past first.
        curve: evasion over the query budget.
        examples: some successes.
    """

    model: str
    n_attacks: int
    n_undetected: int
    n_attacked: int
    n_evaded: int
    rounds: int
    candidates: int
    max_growth_bytes: int
    seed: int
    queries: int
    median_queries: float | None
    by_class: dict[str, ClassResult]
    by_mutation: tuple[MutationResult, ...]
    curve: tuple[BudgetPoint, ...]
    examples: tuple[Example, ...]

    @property
    def evasion_rate(self) -> float | None:
        """Share of the detected attacks that got past; None when none was detected in the first place."""
        return self.n_evaded / self.n_attacked if self.n_attacked else None

    @property
    def most_evading(self) -> MutationResult | None:
        """The mutation that takes most attacks past alone, or else is in most successes; None when none helped."""
        first = self.by_mutation[0] if self.by_mutation else None
        return first if first and (first.evaded or first.in_evasions) else None

    def metrics(self) -> dict[str, float]:
        """Figures by the names that policies use; `evasion_rate` is absent when nothing was detected."""
        named: dict[str, float] = {
            "robust_recall": (self.n_attacked - self.n_evaded) / self.n_attacks,
            "attack_queries": float(self.queries),
        }
        if self.evasion_rate is not None:
            named["evasion_rate"] = self.evasion_rate
        if self.median_queries is not None:
            named["evasion_median_queries"] = self.median_queries
        if self.n_attacked:
            most = max((one.evaded for one in self.by_mutation), default=0)
            named["worst_mutation_evasion_rate"] = most / self.n_attacked
        return named | {f"evasion_rate_{name}": one.evasion_rate for name, one in self.by_class.items()}


def attack(
    classifier: Classifier,
    records: Sequence[LabelledRequest],
    *,
    rounds: int = ROUNDS,
    candidates: int = CANDIDATES,
    seed: int = 0,
    max_records: int | None = None,
    max_growth_bytes: int = MAX_GROWTH_BYTES,
    names: Collection[str] | None = None,
    on_progress: Progress | None = None,
) -> RobustnessReport:
    """Attack a classifier through its scores alone.

    Args:
        classifier: the model under attack.
        records: labelled requests; only attacks are used.
        rounds: rounds per attack at most; one stops at its first success.
        candidates: mutated candidates scored per round.
        seed: seed of all random choices; the result does not depend on the batching.
        max_records: attack at most so many, evenly over the attack classes.
        max_growth_bytes: variants whose payload and parameters grow by more are not asked about.
        names: use only these mutations.
        on_progress: called with (attacks finished, attacks in all).

    Raises:
        NothingToAttack: no record is an attack that carries a payload.
        UnknownMutation: a name is not in `MUTATIONS`.
    """
    chosen = _choose([record for record in records if record.is_attack], max_records, seed)
    targets, undetected = _targets(classifier, chosen, seed)
    if not targets and not undetected:
        raise NothingToAttack
    alone = _each_mutation_alone(classifier, targets, names, max_growth_bytes)
    waiting, active, done = list(reversed(targets)), list[_Target](), 0
    while waiting or active:
        while waiting and len(active) < LOCKSTEP:
            active.append(waiting.pop())
        _play_round(classifier, active, candidates, max_growth_bytes, names)
        still = [one for one in active if not one.success and one.round < rounds and not one.exhausted]
        done += len(active) - len(still)
        active = still
        if on_progress:
            on_progress(done, len(targets))
    return _report(classifier.name, targets, undetected, alone, rounds, candidates, max_growth_bytes, seed)


@dataclass(slots=True)
class _Target:
    """One detected attack and the state of its search."""

    attack_class: str
    origin: Injection
    origin_score: Score
    rng: Random
    best: Injection
    best_score: float
    round: int = 0
    queries: int = 0
    exhausted: bool = False
    success: Score | None = None


@dataclass(slots=True)
class _Alone:
    """Tally of one mutation used alone."""

    tried: int = 0
    evaded: int = 0
    drops: list[float] = field(default_factory=list)


def _choose(attacks: list[LabelledRequest], most: int | None, seed: int) -> list[LabelledRequest]:
    """At most `most` attacks, evenly over the classes, in a random but repeatable choice."""
    if most is None or len(attacks) <= most:
        return attacks
    by_class: dict[str, list[LabelledRequest]] = defaultdict(list)
    for record in Random(seed).sample(attacks, len(attacks)):
        by_class[record.attack_class].append(record)
    chosen: list[LabelledRequest] = []
    while len(chosen) < most:
        for name in sorted(by_class):
            if by_class[name] and len(chosen) < most:
                chosen.append(by_class[name].pop())
    return chosen


def _targets(classifier: Classifier, attacks: list[LabelledRequest], seed: int) -> tuple[list[_Target], int]:
    """Detected attacks that hold a payload, and how many are not detected as they are."""
    scores = _score(classifier, [record.request for record in attacks])
    targets, undetected = [], 0
    for index, (record, score) in enumerate(zip(attacks, scores, strict=True)):
        if score.verdict == NORMAL:
            undetected += 1
            continue
        name = record.attack_class or "other"
        origin = Injection.find(record.request, name, score.part)
        if origin is not None:
            targets.append(_Target(name, origin, score, Random(f"{seed}:{index}"), origin, score.score))
    return targets, undetected


def _score(classifier: Classifier, requests: Sequence[HttpRequest], batch: int = 512) -> list[Score]:
    return [
        one for start in range(0, len(requests), batch) for one in classifier.score(requests[start : start + batch])
    ]


def _each_mutation_alone(
    classifier: Classifier, targets: list[_Target], names: Collection[str] | None, max_growth_bytes: int
) -> dict[str, _Alone]:
    """Every mutation by itself on every target: a few tries, the lowest score counts."""
    tallies: dict[str, _Alone] = defaultdict(_Alone)
    for target in targets:
        tries: list[tuple[str, HttpRequest]] = []
        for one in for_class(target.attack_class, names):
            variants = {}
            for _ in range(SINGLE_TRIES):
                changed = target.origin.apply(one, target.rng)
                if changed and changed.growth_bytes <= max_growth_bytes:
                    variants[changed.payload, changed.nonce, changed.prefix, changed.suffix] = changed.render()
            tries += [(one.name, request) for request in variants.values()]
        best: dict[str, Score] = {}
        for (name, _), score in zip(tries, _score(classifier, [request for _, request in tries]), strict=True):
            if name not in best or score.score < best[name].score or score.verdict == NORMAL:
                best[name] = score
        for name, score in best.items():
            tally = tallies[name]
            tally.tried += 1
            tally.evaded += score.verdict == NORMAL
            tally.drops.append(target.origin_score.score - score.score)
    return dict(tallies)


def _play_round(
    classifier: Classifier,
    active: list[_Target],
    candidates: int,
    max_growth_bytes: int,
    names: Collection[str] | None,
) -> None:
    """One round for all active targets in one batch of queries."""
    asked: list[tuple[_Target, Injection]] = []
    for target in active:
        target.round += 1
        variants = _variants(target, candidates, max_growth_bytes, names)
        target.exhausted = not variants
        asked += [(target, variant) for variant in variants]
    scores = _score(classifier, [variant.render() for _, variant in asked])
    for (target, variant), score in zip(asked, scores, strict=True):
        if target.success:
            continue
        target.queries += 1
        if score.verdict == NORMAL:
            target.success, target.best = score, variant
        elif score.score <= target.best_score:
            target.best, target.best_score = variant, score.score


def _variants(
    target: _Target, candidates: int, max_growth_bytes: int, names: Collection[str] | None
) -> list[Injection]:
    """Candidates of one round: mostly one to three steps from the best so far, some afresh from the original."""
    start = target.best
    found = []
    for _ in range(candidates):
        rng = target.rng
        variant = target.origin if rng.random() < 0.15 else start
        for _ in range(rng.randint(1, _STEPS_PER_CANDIDATE)):
            variant = variant.step(rng, names) or variant
        if variant.trail and variant.growth_bytes <= max_growth_bytes:
            found.append(variant)
    return found


def _report(
    model: str,
    targets: list[_Target],
    undetected: int,
    alone: dict[str, _Alone],
    rounds: int,
    candidates: int,
    max_growth_bytes: int,
    seed: int,
) -> RobustnessReport:
    successes = [target for target in targets if target.success]
    return RobustnessReport(
        model=model,
        n_attacks=len(targets) + undetected,
        n_undetected=undetected,
        n_attacked=len(targets),
        n_evaded=len(successes),
        rounds=rounds,
        candidates=candidates,
        max_growth_bytes=max_growth_bytes,
        seed=seed,
        queries=sum(target.queries for target in targets),
        median_queries=float(median(target.queries for target in successes)) if successes else None,
        by_class=_by_class(targets),
        by_mutation=_by_mutation(successes, alone),
        curve=_curve(targets, rounds * candidates),
        examples=tuple(_example(target) for target in successes[:EXAMPLES]),
    )


def _by_class(targets: list[_Target]) -> dict[str, ClassResult]:
    attacked = Counter(target.attack_class for target in targets)
    evaded = Counter(target.attack_class for target in targets if target.success)
    return {name: ClassResult(attacked=count, evaded=evaded[name]) for name, count in sorted(attacked.items())}


def _by_mutation(successes: list[_Target], alone: dict[str, _Alone]) -> tuple[MutationResult, ...]:
    contained = Counter(name for target in successes for name in set(target.best.trail))
    results = []
    for name in alone.keys() | contained.keys():
        one, tally = MUTATIONS[name], alone.get(name, _Alone())
        results.append(
            MutationResult(
                name=name,
                preserves=one.preserves,
                engines=tuple(sorted(one.engines)),
                assumption=one.assumption,
                tried=tally.tried,
                evaded=tally.evaded,
                mean_score_drop=sum(tally.drops) / len(tally.drops) if tally.drops else 0.0,
                in_evasions=contained[name],
            )
        )
    return tuple(sorted(results, key=lambda one: (-one.evaded, -one.in_evasions, -one.mean_score_drop, one.name)))


def _curve(targets: list[_Target], budget: int) -> tuple[BudgetPoint, ...]:
    if not targets:
        return ()
    needed = sorted(target.queries for target in targets if target.success)
    points = [BudgetPoint(queries=0, evasion_rate=0.0)]
    points += [BudgetPoint(queries=q, evasion_rate=(i + 1) / len(targets)) for i, q in enumerate(needed)]
    return (
        *points,
        BudgetPoint(queries=max(budget, needed[-1] if needed else 0), evasion_rate=len(needed) / len(targets)),
    )


def _example(target: _Target) -> Example:
    score = target.success
    return Example(
        attack_class=target.attack_class,
        part=target.origin.slot.part,
        original=_shown(target.origin.request, target.origin),
        evading=_shown(target.best.render(), target.best),
        original_score=target.origin_score.score,
        evading_score=score.score if score else target.best_score,
        queries=target.queries,
        mutations=tuple(dict.fromkeys(target.best.trail)),
    )


def _shown(request: HttpRequest, injection: Injection) -> str:
    """The field that carries the payload, as sent."""
    kind, _, index = injection.slot.field.partition(":")
    fields = {"uri": request.uri, "body": request.body.decode("latin-1")}
    text = request.headers[int(index)][1] if kind == "header" else fields[kind]
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"
