"""What running as a pipeline costs: the local run against the same steps as plain functions in one process.

Both sides do the same work on the same data with the same settings, the plain functions first. They differ in what a
pipeline adds: a process with its imports for each step, artifacts, and KFP's own orchestration. `kfp.local` trains and
evaluates the models of the ParallelFor side by side, in up to two processes, while the plain
functions run one after the other; so two idle cores shorten the pipeline's wall-clock time and hide what it adds.
The sum of processor time over all processes is therefore compared as well, and the bound holds for both.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.report import Row, at_most, print_rows
from secmlops.bundle import keygen

NORMAL, ATTACKS, SEED = 3_000, 2_400, 1
MUTATED_COPIES, ROUNDS, CANDIDATES, ATTACKED = 2, 20, 10, 60
MOST = 1.6


def main() -> bool:
    """Measure and print; returns whether the bound was met."""
    with tempfile.TemporaryDirectory() as folder:
        private, public = keygen(Path(folder) / "key")
        os.environ |= {"SECMLOPS_SIGNING_KEY": str(private), "SECMLOPS_TRUSTED_KEY": str(public)}  # both sides use them
        plain = _cost(lambda: _plain(Path(folder) / "plain"))
        pipeline = _cost(lambda: _pipeline(Path(folder) / "pipeline"))
    rows = [
        _row("processor time of all processes", plain.cpu_s, pipeline.cpu_s),
        _row("wall clock", plain.wall_s, pipeline.wall_s),
    ]
    return print_rows("Cost of the pipeline", rows)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds by the clock, and of processors in this process and in all that it started."""

    wall_s: float
    cpu_s: float


def _cost(work: Callable[[], None]) -> _Cost:
    wall, cpu = time.monotonic(), _cpu_s()
    work()
    return _Cost(time.monotonic() - wall, _cpu_s() - cpu)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _row(what: str, plain_s: float, pipeline_s: float) -> Row:
    ratio = pipeline_s / plain_s
    return at_most(
        f"local pipeline run / the same steps as plain functions, demo data ({what})",
        ratio,
        MOST,
        peer=f"plain functions, one process: {plain_s:.0f} s (pipeline: {pipeline_s:.0f} s)",
        ratio=f"{ratio:.2f}",
        digits=2,
    )


def _pipeline(folder: Path) -> None:
    from pipelines.local import run, with_local_defaults
    from pipelines.web_attacks import pipeline

    arguments = {
        "normal": NORMAL,
        "attacks": ATTACKS,
        "seed": SEED,
        "mutated_copies": MUTATED_COPIES,
        "attack_rounds": ROUNDS,
        "attack_candidates": CANDIDATES,
        "attacked_requests": ATTACKED,
    }
    run(pipeline, with_local_defaults(pipeline, arguments, folder), folder)


def _plain(folder: Path) -> None:
    from components import SERVING_IMAGE
    from secmlops import release
    from secmlops.inference_service import write_inference_service
    from secmlops.lifecycle.requirements import state_requirements
    from secmlops.web_attacks.models import MODELS
    from secmlops.web_attacks.steps import data_engineering, model_engineering, quality_assurance

    folder.mkdir()
    policy = yaml.safe_load((Path("pipelines") / "policies" / "web_attacks.yaml").read_text())
    warehouse = f"chdb://{folder / 'warehouse'}"

    def at(name: str) -> str:
        return str(folder / name)

    state_requirements(policy, at("policy"), at("e0"))
    data_engineering.gather_captures("", at("captures"), at("truth"), normal=NORMAL, attacks=ATTACKS, seed=SEED)
    data_engineering.collect_packets(at("captures"), warehouse, at("e0"), at("e1"))
    data_engineering.label_packets(at("captures"), at("truth"), warehouse, "", at("e1"), at("e2"))
    data_engineering.prepare_requests(
        warehouse, at("train"), at("validation"), at("test"), at("r"), at("e2"), at("e3"), reviewed_only=True, seed=SEED
    )
    data_engineering.check_poisoning(at("train"), at("clean"), at("r"), at("e3"), at("e4"), seed=SEED)
    for name in MODELS:
        model_engineering.train_classifier(
            at("clean"),
            at("validation"),
            at("policy"),
            name,
            at(f"{name}-model"),
            at(f"{name}-t"),
            seed=SEED,
            mutated_copies=MUTATED_COPIES,
        )
        quality_assurance.evaluate_classifier(
            at(f"{name}-model"),
            at("test"),
            at(f"{name}-evaluation"),
            at(f"{name}-t"),
            at(f"{name}-e"),
            rounds=ROUNDS,
            candidates=CANDIDATES,
            attacked_requests=ATTACKED,
            seed=SEED,
        )
    quality_assurance.judge_models(
        [at(f"{name}-model") for name in MODELS],
        [at(f"{name}-evaluation") for name in MODELS],
        [at(f"{name}-e") for name in MODELS],
        at("e4"),
        at("policy"),
        at("champion"),
        at("verdict"),
        at("report.html"),
        at("e5"),
    )
    release.sign_bundle(at("champion"), at("verdict"), at("e5"), at("bundle"), at("e6"), run_id="plain")
    uri = release.publish_bundle(at("bundle"), at("published"), at("e6"), at("e7"))
    write_inference_service(
        uri, "web-attacks", "secmlops", "trusted-key", SERVING_IMAGE, at("manifest.yaml"), at("e7"), at("e8")
    )
    release.assure(at("e8"), at("assurance.html"))
    release.register_verdict(at("verdict"), uri, warehouse, "plain")


if __name__ == "__main__":
    raise SystemExit(main() is False)
