"""The detectors beside a web-attack model: fitted on the traffic that it was made from, measured on later traffic.

Three, each a bundle of its own: `drift` (which of `drift_features.NAMES` moved), `adversarial` (requests that the model
answers differently in another form), `verdict` (what moved a window: the site, or an evasion campaign).

Windows hold one request of a client at most (`drift_features.client_of`), and so does the reference: consecutive
requests come from few visits, and tests that take them for independent alarm at nearly every window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from secmlops.detectors.adversarial import threshold_for
from secmlops.detectors.changes import Change
from secmlops.detectors.config import TabularConfig
from secmlops.detectors.detector import Detector, Engine
from secmlops.detectors.disagreement import Disagreement, DisagreementConfig, Scorer
from secmlops.detectors.evaluation import Detection, FalseAlarms, Roc, detections, false_alarms, one_of_each, roc
from secmlops.detectors.opening import open_detector
from secmlops.detectors.univariate import UnivariateDrift
from secmlops.detectors.verdict import DriftOrAttack, EvidenceReader, Kind, Signals, fit_judge, mixture
from secmlops.errors import SecmlopsError
from secmlops.web_attacks import drift_features, mutations
from secmlops.web_attacks.calibration import bounded_quantile
from secmlops.web_attacks.classifier import Classifier
from secmlops.web_attacks.dataset import LabelledRequest, by_label
from secmlops.web_attacks.drift_features import client_of
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.rewriting import REWRITERS, scorer
from secmlops.web_attacks.site_changes import CHANGES

FITTED_SHARE: Final = 0.7
"""Share of the traffic, the earliest, that detectors are fitted on; they are measured on the rest."""

FEWEST_CLIENTS: Final = 100
"""Clients that a reference needs; windows to fit a judge with take others, half a window's at least."""

SIZES: Final = (0.25, 0.5, 1.0)
"""Shares of the clients that an injected change reaches."""

WINDOWS: Final = 200
"""Windows without a change that false alarms are counted in."""

CALIBRATIONS: Final = 200
ATTACK_SHARES: Final = (0.1, 0.2, 0.4, 0.8)
MUTATIONS: Final = 4
CANDIDATES: Final = 6

_MOST_NORMALS: Final = 2_500
_MOST_ATTACKED: Final = 120
_MOST_CHANGED: Final = 250
_LEAST_WINDOW: Final = 20
_REFERENCE_SHARE: Final = 0.6
_STREAMS: Final = 6
_PATIENCE: Final = 3
_REPEATS: Final = 5


class TooFewClients(SecmlopsError):
    """Traffic of too few clients to fit or to measure detectors on.

    Attributes:
        found: how many there are.
        needed: how many it takes.
    """

    def __init__(self, found: int, needed: int):
        self.found, self.needed = found, needed
        super().__init__(
            f"requests of {found} clients are too few for detectors, at least {needed} are needed: "
            "bring more traffic, or shorter windows"
        )


class NoAttacks(SecmlopsError):
    """Traffic without a single attack to rewrite."""

    def __init__(self) -> None:
        super().__init__("detectors are fitted and measured on rewritten attacks, and the traffic holds none")


@dataclass(frozen=True, slots=True)
class Setting:
    """How the detectors are to be operated.

    Attributes:
        false_alarms_per_day: of each detector of windows, at most.
        requests_per_day: the traffic that this is meant for.
        false_positive_rate: share of normal requests that the adversarial detector may flag.
        window: requests of a window, each of another client.
        attack_share: share of attacks in everyday traffic, at most; more of them in the data are left out.
        engine: who computes the drift detector.
        seed: of everything drawn.
    """

    false_alarms_per_day: float
    requests_per_day: int = 20_000
    false_positive_rate: float = 0.05
    window: int = 100
    attack_share: float = 0.02
    engine: Engine = "native"
    seed: int = 0

    def windows_per_day(self, clients_per_request: float) -> float:
        """Windows that fill in a day."""
        return self.requests_per_day * clients_per_request / self.window


@dataclass(frozen=True, slots=True)
class Watched:
    """The detectors.

    Attributes:
        drift: judges windows of `drift_features.view`.
        adversarial: judges requests.
        verdict: judges windows of `Signals`.
        level: false alarms per window that the setting allows.
        windows_per_day: that it follows from.
    """

    drift: Detector
    adversarial: Disagreement
    verdict: DriftOrAttack
    level: float
    windows_per_day: float

    def named(self) -> dict[str, Any]:
        """By name."""
        return {"drift": self.drift, "adversarial": self.adversarial, "verdict": self.verdict}


class DetectorsMeasured(BaseModel):
    """What the detectors did on traffic that they were not fitted on.

    Attributes:
        false_alarms: of the drift detector, on windows without a change.
        clients_per_request: of the traffic.
        requests_per_day: that false alarms a day are meant for.
        detections: of the drift detector, by change and share of the clients that it reaches.
        curves: of the adversarial detector, by attack.
        flagged_normals: share of normal requests that it flags.
        flagged_attacked: share of rewritten attacks that it flags.
        evasions: rewritten attacks that the model calls normal.
        flagged_evasions: share of them that the detector flags; None: there are none.
        confusion: windows by what they were and by the verdict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    false_alarms: FalseAlarms
    clients_per_request: float
    requests_per_day: int
    detections: tuple[Detection, ...]
    curves: tuple[Roc, ...]
    flagged_normals: float
    flagged_attacked: float
    evasions: int
    flagged_evasions: float | None
    confusion: dict[str, dict[str, int]]

    def metrics(self) -> dict[str, float]:
        """Every figure the gate can ask for; what could not be measured is missing."""
        whole = [row for row in self.detections if row.size == max(SIZES)]
        delays = [row.delay_rows for row in whole]
        right = sum(row.get(kind, 0) for kind, row in self.confusion.items())
        found = {
            "drift_false_alarms_per_day": self.false_alarms.per_day(self.requests_per_day * self.clients_per_request),
            "drift_detection_rate": min(row.rate for row in whole),
            "adversarial_auroc": min(curve.auroc for curve in self.curves),
            "adversarial_false_positive_rate": self.flagged_normals,
            "adversarial_flagged_attacks": self.flagged_attacked,
            "verdict_accuracy": right / sum(sum(row.values()) for row in self.confusion.values()),
        }
        if None not in delays:
            found["drift_delay_windows"] = max(delay for delay in delays if delay is not None) / self.false_alarms.rows
        return found


def halves(records: Sequence[LabelledRequest]) -> tuple[list[LabelledRequest], list[LabelledRequest]]:
    """Traffic in order of time, in two: to fit on, and to measure on."""
    cut = round(FITTED_SHARE * len(records))
    return list(records[:cut]), list(records[cut:])


def fit(classifier: Classifier, records: Sequence[LabelledRequest], setting: Setting) -> Watched:
    """Fit the three detectors beside a model.

    Args:
        classifier: the model.
        records: labelled traffic, leaks stripped.
        setting: how they are to be operated.

    Raises:
        TooFewClients: the traffic is of fewer than `FEWEST_CLIENTS`, or a window is shorter than 20.
        TooFewClean: there are too few normal requests for the false-positive rate.
        NoAttacks: no attack is among the records.
        AlibiMissing: the engine is `alibi`, and alibi-detect is not installed.
    """
    generator = np.random.default_rng(setting.seed)
    adversarial = Disagreement(DisagreementConfig(views=tuple(REWRITERS)), scorer(classifier), REWRITERS)
    everyday = _Everyday.of(adversarial, records, setting, generator)
    clients = len(np.unique(everyday.clients))
    needed = FEWEST_CLIENTS + max(_LEAST_WINDOW, setting.window // 2)
    if clients < needed or setting.window < _LEAST_WINDOW:
        raise TooFewClients(min(clients, setting.window), needed if clients < needed else _LEAST_WINDOW)
    normal_scores = everyday.signals.scores[~everyday.attacks]
    adversarial.config = adversarial.config.model_copy(
        update={
            "threshold": threshold_for(normal_scores, setting.false_positive_rate),
            "false_positive_rate": setting.false_positive_rate,
        }
    )
    windows_per_day = setting.windows_per_day(clients / len(everyday.clients))
    level = min(0.05, setting.false_alarms_per_day / windows_per_day)
    kept = _whole_windows(clients, setting.window)
    reference = everyday.signals.take(one_of_each(everyday.clients, kept, generator))
    names: dict[str, Any] = {"names": drift_features.NAMES, "categorical": drift_features.CATEGORICAL}
    p_val = _calibrated(everyday, TabularConfig(p_val=level, **names), setting.window, generator)
    drift = open_detector(TabularConfig(p_val=p_val, **names), reference.inputs, setting.engine)
    verdict = _fitted_verdict(adversarial, everyday, by_label(records)[1], level, setting, generator)
    return Watched(drift, adversarial, verdict, level, windows_per_day)


def _fitted_verdict(
    adversarial: Disagreement,
    everyday: "_Everyday",
    attacks: Sequence[LabelledRequest],
    level: float,
    setting: Setting,
    generator: np.random.Generator,
) -> DriftOrAttack:
    """The windows are of other clients than the reference: nothing new is as near to it as what lies in it."""
    clients = len(np.unique(everyday.clients))
    order = one_of_each(everyday.clients, clients, generator)
    kept = max(FEWEST_CLIENTS, round(_REFERENCE_SHARE * clients))
    reference = everyday.signals.take(order[:kept])
    changed = _Changed.of(adversarial, everyday, order[kept:][:_MOST_CHANGED], setting.seed)
    attacked = _signals(adversarial, _evasions(adversarial.scorer, attacks, setting.seed))
    reader = EvidenceReader(reference, level=level, standardized=True)
    made = _made_windows(changed, attacked, min(setting.window, clients - kept), generator)
    judge = fit_judge(
        [reader.read(signals) for _, signals in made], [kind for kind, _ in made], level=level, standardized=True
    )
    return DriftOrAttack(judge, reference.inputs, reference.probabilities, reference.scores)


def measure(
    watched: Watched, classifier: Classifier, records: Sequence[LabelledRequest], setting: Setting
) -> DetectorsMeasured:
    """Measure the detectors on traffic that they were not fitted on.

    Args:
        watched: the detectors.
        classifier: the model.
        records: labelled traffic, leaks stripped, later than what they were fitted on.
        setting: that they were fitted with.

    Raises:
        TooFewClients: fewer than a window has requests.
        NoAttacks: no attack is among the records.
    """
    generator = np.random.default_rng(setting.seed + 1)
    adversarial = watched.adversarial
    everyday = _Everyday.of(adversarial, records, setting, generator)
    clients = len(np.unique(everyday.clients))
    if clients < setting.window:
        raise TooFewClients(clients, setting.window)
    alarms = false_alarms(
        watched.drift,
        everyday.signals.inputs,
        rows=setting.window,
        level=watched.level,
        windows=WINDOWS,
        groups=everyday.clients,
        seed=setting.seed,
    )
    attacked = _signals(adversarial, _evasions(adversarial.scorer, by_label(records)[1], setting.seed + 1))
    rows = one_of_each(everyday.clients, min(_MOST_CHANGED, clients), generator)
    changed = _Changed.of(adversarial, everyday, rows, setting.seed + 1)
    threshold = adversarial.config.threshold or 0.0
    evading = attacked.probabilities[:, 1] < classifier.threshold
    normal_scores = everyday.signals.scores[~everyday.attacks]
    flagged = attacked.scores > threshold
    return DetectorsMeasured(
        false_alarms=alarms,
        clients_per_request=clients / len(everyday.clients),
        requests_per_day=setting.requests_per_day,
        detections=tuple(_detections(watched.drift, changed, setting)),
        curves=(roc("rewritten attacks", normal_scores, attacked.scores),),
        flagged_normals=float((normal_scores > threshold).mean()),
        flagged_attacked=float(flagged.mean()),
        evasions=int(evading.sum()),
        flagged_evasions=float(flagged[evading].mean()) if evading.any() else None,
        confusion=_confusion(watched.verdict, _made_windows(changed, attacked, setting.window, generator)),
    )


@dataclass(frozen=True, slots=True)
class _Everyday:
    """Traffic as it is on an ordinary day.

    Attributes:
        requests: normal ones, and attacks in their everyday share.
        signals: of each.
        clients: whose each is.
        attacks: which are attacks.
    """

    requests: list[HttpRequest]
    signals: Signals
    clients: npt.NDArray[Any]
    attacks: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        adversarial: Disagreement,
        records: Sequence[LabelledRequest],
        setting: Setting,
        generator: np.random.Generator,
    ) -> "_Everyday":
        normals, attacks = by_label(records)
        normals = normals[-_MOST_NORMALS:]
        share = min(len(attacks) / max(1, len(records)), setting.attack_share)
        some = generator.choice(len(attacks), round(share * len(normals) / (1 - share)), replace=False)
        requests = [*(r.request for r in normals), *(attacks[index].request for index in some)]
        _, clients = np.unique([client_of(request) for request in requests], return_inverse=True)
        return cls(requests, _signals(adversarial, requests), clients, np.arange(len(requests)) >= len(normals))


def _signals(adversarial: Disagreement, requests: Sequence[HttpRequest]) -> Signals:
    scores = adversarial.scorer(requests)
    return Signals(
        drift_features.view(requests, scores), drift_features.probabilities(scores), adversarial.score(requests)
    )


def _calibrated(everyday: _Everyday, config: TabularConfig, window: int, generator: np.random.Generator) -> float:
    """The p-value below which so few windows without a change lie as the config's level says, as found by trying.

    Clients are divided again and again, some taken for the window and the others for the reference.
    """
    rows, clients = everyday.signals.inputs, len(np.unique(everyday.clients))
    least = np.empty(CALIBRATIONS)
    for trial in range(CALIBRATIONS):
        order = one_of_each(everyday.clients, clients, generator)
        rest = min(window, clients // 3)
        reference = order[rest : rest + _whole_windows(clients - rest, rest)]
        p_vals = UnivariateDrift(config, rows[reference]).predict(rows[order[:rest]])["data"]["p_val"]
        least[trial] = min(1.0, p_vals.min() * len(p_vals))
    return min(config.p_val, float(np.exp(-bounded_quantile(-np.log(np.maximum(least, 1e-300)), config.p_val))))


def _whole_windows(rows: int, window: int) -> int:
    """So many rows as are whole windows, where there are: tests are quicker then."""
    return rows - rows % window if rows >= window else rows


def _evasions(score: Scorer, attacks: Sequence[LabelledRequest], seed: int) -> list[HttpRequest]:
    """Attacks rewritten so that they keep what they do, each in the form of several that the model suspects least.

    Raises:
        NoAttacks: there is none.
    """
    if not attacks:
        raise NoAttacks
    rng = Random(seed)
    chosen = rng.sample(list(attacks), min(_MOST_ATTACKED, len(attacks)))
    forms = [
        mutations.mutate_request(one.request, one.attack_class, rng, MUTATIONS)
        for one in chosen
        for _ in range(CANDIDATES)
    ]
    scores = score(forms).reshape(len(chosen), CANDIDATES)
    return [forms[CANDIDATES * row + column] for row, column in enumerate(scores.argmin(axis=1))]


@dataclass(frozen=True, slots=True)
class _Changed:
    """Requests of different clients, as they are and under every change.

    Attributes:
        before: as they are.
        after: by change; row by row the same requests.
    """

    before: Signals
    after: dict[str, Signals]

    @classmethod
    def of(cls, adversarial: Disagreement, everyday: _Everyday, rows: npt.NDArray[np.int64], seed: int) -> "_Changed":
        requests = [everyday.requests[row] for row in rows]
        after = {
            name: _signals(adversarial, change(requests, Random(f"{name}:{seed}"))) for name, change in CHANGES.items()
        }
        return cls(everyday.signals.take(rows), after)


def _detections(drift: Detector, changed: _Changed, setting: Setting) -> list[Detection]:
    """Rows are numbers of requests here; a change points some of them to the changed form of the same request."""
    count = len(changed.before.scores)
    seen = np.concatenate([changed.before.inputs, *(signals.inputs for signals in changed.after.values())])

    def pointing(offset: int) -> Change:
        return lambda numbers, size, chance: np.where(chance.random(len(numbers)) < size, numbers + offset, numbers)

    return detections(
        drift,
        np.arange(count),
        {name: pointing((1 + place) * count) for place, name in enumerate(changed.after)},
        rows=setting.window,
        sizes=SIZES,
        streams=_STREAMS,
        patience=_PATIENCE,
        view=lambda numbers: seen[numbers],
        seed=setting.seed,
    )


def _made_windows(
    changed: _Changed, attacked: Signals, rows: int, generator: np.random.Generator
) -> list[tuple[Kind, Signals]]:
    """Windows made on purpose: without a change, with each change, with rewritten attacks among the rest."""
    clean = changed.before
    windows: list[tuple[Kind, Signals]] = [
        ("clean", mixture(clean, clean, 0, rows, generator)) for _ in range(8 * _REPEATS)
    ]
    for signals in changed.after.values():
        for share in SIZES[1:]:
            windows += [("drift", mixture(clean, signals, share, rows, generator)) for _ in range(_REPEATS)]
    for share in ATTACK_SHARES:
        share = min(share, len(attacked.scores) / rows)
        windows += [("attack", mixture(clean, attacked, share, rows, generator)) for _ in range(2 * _REPEATS)]
    return windows


def _confusion(verdict: DriftOrAttack, windows: Sequence[tuple[Kind, Signals]]) -> dict[str, dict[str, int]]:
    kinds: tuple[Kind, ...] = ("clean", "drift", "attack")
    counts = {true: dict.fromkeys(kinds, 0) for true in kinds}
    for true, signals in windows:
        counts[true][verdict.config.judge(verdict.reader.read(signals)).kind] += 1
    return {str(true): {str(kind): count for kind, count in row.items()} for true, row in counts.items()}
