"""What running as a pipeline costs: the local run against the same steps as plain functions in one process."""

import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.report import Row, at_most, print_rows
from secmlops.bundle import keygen

NORMAL, ATTACKS, SEED = 3_000, 2_400, 1
ROUNDS, CANDIDATES, ATTACKED = 20, 10, 60
MOST = 1.6


def main() -> bool:
    """Measure and print; returns whether the bound was met."""
    with tempfile.TemporaryDirectory() as folder:
        plain_s = _plain(Path(folder) / "plain")
        pipeline_s = _pipeline(Path(folder) / "pipeline")
    ratio = pipeline_s / plain_s
    row: Row = at_most(
        "local pipeline run / the same steps as plain functions, demo data (wall clock)",
        ratio,
        MOST,
        peer=f"plain functions, one process: {plain_s:.0f} s (pipeline: {pipeline_s:.0f} s)",
        ratio=f"{ratio:.2f}",
        digits=2,
    )
    return print_rows("Cost of the pipeline", [row])


def _pipeline(folder: Path) -> float:
    from pipelines.local import run, with_local_defaults
    from pipelines.web_attacks import pipeline

    arguments = {"normal": NORMAL, "attacks": ATTACKS, "seed": SEED}
    return run(pipeline, with_local_defaults(pipeline, arguments, folder), folder).seconds


def _plain(folder: Path) -> float:
    from secmlops import release
    from secmlops.lifecycle.requirements import state_requirements
    from secmlops.web_attacks.models import MODELS
    from secmlops.web_attacks.steps import data_engineering, model_engineering, quality_assurance

    folder.mkdir()
    private, public = keygen(folder / "key")
    policy = yaml.safe_load((Path("pipelines") / "policies" / "web_attacks.yaml").read_text())
    warehouse = f"chdb://{folder / 'warehouse'}"

    def at(name: str) -> str:
        return str(folder / name)

    began = time.monotonic()
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
            mutated_copies=2,
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
    release.sign_bundle(
        at("champion"), at("verdict"), at("e5"), at("bundle"), at("e6"), run_id="plain", key=str(private)
    )
    uri = release.publish_bundle(at("bundle"), at("published"), at("e6"), at("e7"), key=str(public))
    release.fetch_verified(uri, folder / "fetched", key=str(public))
    release.assure(at("e7"), at("assurance.html"))
    release.register_verdict(at("verdict"), uri, warehouse, "plain")
    return time.monotonic() - began


if __name__ == "__main__":
    raise SystemExit(main() is False)
