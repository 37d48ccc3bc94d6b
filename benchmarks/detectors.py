"""Drift detectors: the native engine beside alibi-detect on the same data, and what they do about no drift and drift.

Agreement of the two engines; CPU seconds of one MMD window (reference 2,000, window 500, 100 permutations, 32 features)
and of configuring an online detector; memory at 10,000 x 2,000; false alarms of 200 windows; detection and delay on
injected drift of several kinds and sizes.

    python -m benchmarks.detectors
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from benchmarks.report import Row, at_least, at_most, print_rows
from secmlops.detectors import alibi
from secmlops.detectors.changes import NUMBER_CHANGES
from secmlops.detectors.config import (
    ChiSquareConfig,
    ClassifierDriftConfig,
    CvmConfig,
    KsConfig,
    LsddConfig,
    MmdConfig,
    OnlineCvmConfig,
    OnlineMmdConfig,
    TabularConfig,
)
from secmlops.detectors.detector import Engine
from secmlops.detectors.evaluation import Detection, allowed, detections, false_alarms, run_lengths
from secmlops.detectors.lsdd import LsddDrift
from secmlops.detectors.opening import open_detector
from secmlops.progress import say

ENGINES: Final[tuple[Engine, Engine]] = ("native", "alibi")
PERMUTATIONS = 200
FEATURES = 32
REFERENCE, WINDOW = 2_000, 500
SPEED_UP = 30
LARGE, LARGE_WINDOW = 10_000, 2_000
MOST_MIB = 512
ROWS = 100
WINDOWS = 200
ERT, STREAMS = 150.0, 80
SHIFTS = (0.0, 0.05, 0.1, 0.2, 0.5)


def main() -> bool:
    """Measure, print, and return whether every bound was met."""
    stages: list[Callable[[], list[Row]]] = [_memory, _false_alarms, _online, _detection]
    if alibi.installed():
        stages = [_parity, _speed, _power, *stages]
    else:
        say("detectors: without the peer, alibi-detect is not installed (secmlops[detectors])")
    rows: list[Row] = []
    for stage in stages:
        began = time.monotonic()
        rows += stage()
        say(f"{len(rows)} figures, {time.monotonic() - began:.0f} s")
    return print_rows("Drift detectors", rows)


def _parity() -> list[Row]:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(900, 4))
    categories = generator.integers(0, 5, size=(900, 4))
    tabular = np.column_stack([numbers[:, :2], categories[:, :2]])
    cases: list[tuple[Any, np.ndarray]] = [
        (KsConfig(), numbers),
        (KsConfig(correction="fdr"), numbers),
        (CvmConfig(), numbers),
        (ChiSquareConfig(), categories),
        (TabularConfig(categorical=(2, 3)), tabular),
        (MmdConfig(n_permutations=PERMUTATIONS), numbers),
        (LsddConfig(n_permutations=PERMUTATIONS), numbers),
    ]
    return [row for config, data in cases for row in _agreement(config, data)]


def _agreement(config: Any, data: np.ndarray) -> list[Row]:
    peer = open_detector(config, data[:600], "alibi")
    ours = _like(peer, config, data[:600])
    sampled = hasattr(config, "n_permutations")
    apart, differences, beyond = [], [0.0], 0
    for shift in SHIFTS:
        window = np.minimum(data[600:], 4 - int(8 * shift)) if data.dtype.kind == "i" else data[600:] + shift
        one, other = (each.predict(window)["data"] for each in (peer, ours))
        apart.append(int(one["is_drift"] != other["is_drift"]))
        scale = np.maximum(np.abs(other["distance"]), 1)  # alibi-detect rounds to single precision
        differences.append(float((np.abs(one["distance"] - other["distance"]) / scale).max()))
        gap, share = np.abs(one["p_val"] - other["p_val"]), (one["p_val"] + other["p_val"]) / 2
        error = 4 * np.sqrt(2 * share * (1 - share) / PERMUTATIONS) + 1 / PERMUTATIONS if sampled else 1e-6
        beyond += int((gap > error).any())
    name = config.kind + (f" {config.correction}" if hasattr(config, "correction") else "")
    means = "Monte-Carlo error" if sampled else "1e-6"
    return [
        at_most(f"{name}: decisions that differ, {len(SHIFTS)} windows", sum(apart), 0, peer="alibi", digits=0),
        at_most(
            f"{name}: largest difference of the distance, relative above 1",
            max(differences),
            1e-5,
            peer="alibi",
            digits=7,
        ),
        at_most(f"{name}: p-values further apart than {means}", beyond, 0, peer="alibi", digits=0),
    ]


def _like(peer: Any, config: Any, reference: np.ndarray) -> Any:
    """Our detector; for LSDD with the centres that the peer has drawn."""
    if not isinstance(config, LsddConfig):
        return open_detector(config, reference, "native")
    inner = peer.detector._detector
    around = inner._unnormalize(inner.kernel_centers)
    return LsddDrift(config, reference, np.array([np.abs(reference - row).sum(axis=1).argmin() for row in around]))


def _speed() -> list[Row]:
    generator = np.random.default_rng(1)
    reference, window = generator.normal(size=(REFERENCE, FEATURES)), generator.normal(size=(WINDOW, FEATURES))
    seconds = {}
    runs: dict[Engine, int] = {"alibi": 2, "native": 5}
    for engine, times in runs.items():
        detector = open_detector(MmdConfig(), reference, engine)
        seconds[engine] = min(_cpu_seconds(partial(detector.predict, window)) for _ in range(times))
    ratio = seconds["alibi"] / seconds["native"]
    claim = f"MMD, {REFERENCE:,} x {WINDOW}, 100 permutations: times faster, CPU seconds"
    peer = f"alibi {seconds['alibi']:.2f} s, ours {seconds['native']:.3f} s"
    return [at_least(claim, ratio, SPEED_UP, peer=peer, ratio=f"{ratio:.0f}", digits=0), *_configuring(reference)]


def _configuring(reference: np.ndarray) -> list[Row]:
    rows = []
    for config in (
        OnlineMmdConfig(ert=150, window_size=20, n_bootstraps=300),
        OnlineCvmConfig(ert=150, window_sizes=(10, 20), n_bootstraps=1000),
    ):
        few = reference[:300, :3]
        ours, theirs = (_cpu_seconds(partial(open_detector, config, few, engine)) for engine in ENGINES)
        claim = f"{config.kind}: CPU seconds to configure, {config.n_bootstraps:,} streams"
        rows.append(Row(claim, f"{ours:.2f}", f"alibi {theirs:.2f}", f"{theirs / ours:.0f}", "", None))
    return rows


def _cpu_seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _power() -> list[Row]:
    """How often each detector sees a small shift of one feature, and none; classifier drift is measured, not equal."""
    rows = []
    for config in (MmdConfig(), LsddConfig(), ClassifierDriftConfig()):
        found = {}
        for engine in ENGINES:
            found[engine] = [
                np.mean([_seen(config, engine, seed, shift) for seed in range(8)]) for shift in (0.0, 0.3, 0.5)
            ]
        figures = {engine: ", ".join(f"{share:.2f}" for share in shares) for engine, shares in found.items()}
        claim = f"{config.kind}: windows with an alarm at no shift, .3, .5 sigma of one feature of 8 (300 x 150)"
        rows.append(Row(claim, figures["native"], f"alibi {figures['alibi']}", "-", "", None))
    return rows


def _seen(config: Any, engine: Any, seed: int, shift: float) -> int:
    generator = np.random.default_rng(seed)
    reference, window = generator.normal(size=(300, 8)), generator.normal(size=(150, 8))
    window[:, 0] += shift
    config = config.model_copy(update={"seed": seed})
    return open_detector(config, reference, engine).predict(window)["data"]["is_drift"]


_LARGE_RUN = f"""
import resource, numpy as np
from secmlops.detectors.config import MmdConfig
from secmlops.detectors.opening import open_detector
g = np.random.default_rng(0)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
detector = open_detector(MmdConfig(), g.normal(size=({LARGE}, {FEATURES})), "native")
detector.predict(g.normal(size=({LARGE_WINDOW}, {FEATURES})))
print(peak() - before)
"""


def _memory() -> list[Row]:
    found = subprocess.run([sys.executable, "-c", _LARGE_RUN], capture_output=True, text=True, check=True)
    whole = (LARGE + LARGE_WINDOW) ** 2 * 8 / 1024**2
    claim = f"MMD, {LARGE:,} x {LARGE_WINDOW:,}: MiB above the imports, at the peak"
    return [at_most(claim, float(found.stdout), MOST_MIB, peer=f"the kernel matrix alone {whole:.0f}", digits=0)]


def _detectors() -> list[tuple[Any, Any]]:
    configs = (KsConfig(), CvmConfig(), MmdConfig(), LsddConfig(), ClassifierDriftConfig())
    reference = np.random.default_rng(2).normal(size=(REFERENCE, 8))
    return [(config, open_detector(config, reference, "native")) for config in configs]


def _false_alarms() -> list[Row]:
    clean = np.random.default_rng(3).normal(size=(WINDOWS * ROWS, 8))
    rows = []
    for config, detector in _detectors():
        found = false_alarms(detector, clean, rows=ROWS, level=config.p_val, windows=WINDOWS)
        claim = f"{config.kind}: false alarms of {WINDOWS} windows at level {config.p_val:g}"
        bound = allowed(WINDOWS, config.p_val)
        rows.append(at_most(claim, found.alarms, bound, peer="the binomial's 99 %", digits=0))
    return rows


def _detection() -> list[Row]:
    clean = np.random.default_rng(4).normal(size=(3_000, 8))
    rows = []
    for config, detector in _detectors():
        table = detections(
            detector, clean, NUMBER_CHANGES, rows=ROWS, sizes=(0.1, 0.25, 0.5, 1.0), streams=4, patience=3
        )
        for change in NUMBER_CHANGES:
            chosen = [row for row in table if row.change == change]
            claim = f"{config.kind}, {change} by .1, .25, .5, 1: windows with an alarm; median delay in rows"
            figures = f"{_list(chosen, _rate)}; {_list(chosen, _delay)}"
            rows.append(Row(claim, figures, "-", "-", "", None))
    return rows


def _online() -> list[Row]:
    """Run lengths of streams as they are, and after a shift of every feature by half and by a whole deviation."""
    generator = np.random.default_rng(5)
    reference, clean = generator.normal(size=(1_000, 3)), generator.normal(size=(20_000, 3))
    rows = []
    for config in (
        OnlineMmdConfig(ert=ERT, window_size=20, n_bootstraps=2_000),
        OnlineCvmConfig(ert=ERT, window_sizes=(10, 20)),
    ):
        detector = open_detector(config, reference, "native")
        nothing, half, whole = run_lengths(
            detector, clean, {"shifted": NUMBER_CHANGES["shifted"]}, sizes=(0.5, 1.0), streams=STREAMS
        )
        delays = f"delay at .5 and 1 sigma: {half.mean_rows:.0f}, {whole.mean_rows:.0f} rows"
        claim = f"{config.kind}: rows to a false alarm, mean of {STREAMS} streams, expected {ERT:g}"
        rows.append(at_least(claim, nothing.mean_rows, 2 / 3 * ERT, peer=delays, digits=0))
    return rows


def _list(rows: list[Detection], show: Callable[[Detection], str]) -> str:
    return ", ".join(show(row) for row in rows)


def _rate(row: Detection) -> str:
    return f"{row.rate:.2f}"


def _delay(row: Detection) -> str:
    return "none" if row.delay_rows is None else f"{row.delay_rows:.0f}"


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
