"""From labelled requests to a judged, signed bundle, in one call: the pipeline's steps without a pipeline."""

import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from secmlops import bundle
from secmlops.errors import SecmlopsError
from secmlops.lifecycle.dossier import read_dossier
from secmlops.lifecycle.gate import Verdict
from secmlops.lifecycle.policy import Policy
from secmlops.lifecycle.requirements import state_requirements
from secmlops.release import provenance
from secmlops.web_attacks import jsonl
from secmlops.web_attacks.steps import (
    data_engineering,
    model_engineering,
    quality_assurance,
)

HARDENED_COPIES = 4
ATTACK_ROUNDS = 20
ATTACK_CANDIDATES = 10
ATTACKED_REQUESTS = 100


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` made.

    Attributes:
        bundle: the signed bundle; loaders refuse it when the verdict failed.
        report: HTML report on the model.
        verdict: the gate's verdict.
        unreadable: input lines that were left out.
    """

    bundle: Path
    report: Path
    verdict: Verdict
    unreadable: int


def build(
    lines: BinaryIO,
    out: Path,
    signing_key: Path,
    *,
    model: str,
    policy: Policy,
    site_normals: str = "",
    weights: str = "",
    mutated_copies: int = 2,
    report: Path | None = None,
    seed: int = 1,
    on_unreadable: Callable[[int, bytes, SecmlopsError], None] = lambda number, line, error: None,
) -> Built:
    """Train, evaluate, attack, judge and sign one model; one that fails gets one hardened attempt.

    Args:
        lines: labelled requests as `jsonl.labelled_from_json` takes them, one a line.
        out: folder of the bundle; must not exist.
        signing_key: private key.
        model: one of `models.MODELS`.
        policy: the gate policy.
        site_normals: path or URI of a site's normal requests; empty: none.
        weights: URI of pretrained transformer weights; empty: none.
        mutated_copies: mutated copies of each attack in the first attempt.
        report: where the HTML report is written; default: `OUT.html`.
        seed: seed of everything random.
        on_unreadable: called for each line that is left out.

    Raises:
        InvalidDataset: the requests cannot be trained on.
        TargetNotEmpty: `out` exists.
        MissingKey: there is no such key.
    """
    unreadable = 0

    def left_out(number: int, line: bytes, error: SecmlopsError) -> None:
        nonlocal unreadable
        unreadable += 1
        on_unreadable(number, line, error)

    bundle.require_new(out)
    report = report or out.with_name(f"{out.name}.html")
    with tempfile.TemporaryDirectory() as temporary:
        run = _Run(Path(temporary), report)
        records = list(jsonl.read_labelled(lines, left_out))
        state_requirements(policy.model_dump(exclude_none=True), run["policy.json"], run["stated"])
        data_engineering.split_requests(
            records,
            run["train"],
            run["validation"],
            run["test"],
            run["data.html"],
            run["stated"],
            run["prepared"],
            seed=seed,
        )

        def attempt(name: str, copies: int) -> quality_assurance.Judged:
            return _attempt(
                run,
                name,
                model,
                copies=copies,
                seed=seed,
                weights=weights,
                site_normals=site_normals,
            )

        name, judged = "first", attempt("first", mutated_copies)
        if not judged.passed and mutated_copies < HARDENED_COPIES:
            name, judged = "hardened", attempt("hardened", HARDENED_COPIES)
        origin = provenance(read_dossier(run[f"{name}-judged"]), f"cli-{uuid.uuid4()}")
        bundle.assemble(run[f"{name}-champion"], out, verdict=judged.verdict, provenance=origin)
        bundle.sign(out, signing_key)
    return Built(out, report, judged.verdict, unreadable)


@dataclass(frozen=True, slots=True)
class _Run:
    folder: Path
    report: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


def _attempt(run: _Run, name: str, model: str, *, copies: int, seed: int, **training: Any) -> quality_assurance.Judged:
    model_engineering.train_classifier(
        run["train"],
        run["validation"],
        run["policy.json"],
        model,
        run[f"{name}-model"],
        run[f"{name}-trained"],
        seed=seed,
        mutated_copies=copies,
        **training,
    )
    quality_assurance.evaluate_classifier(
        run[f"{name}-model"],
        run["test"],
        run[f"{name}-evaluation"],
        run[f"{name}-trained"],
        run[f"{name}-evaluated"],
        rounds=ATTACK_ROUNDS,
        candidates=ATTACK_CANDIDATES,
        attacked_requests=ATTACKED_REQUESTS,
        seed=seed,
    )
    return quality_assurance.judge_models(
        [run[f"{name}-model"]],
        [run[f"{name}-evaluation"]],
        [run[f"{name}-evaluated"]],
        run["prepared"],
        run["policy.json"],
        run[f"{name}-champion"],
        run[f"{name}-verdict"],
        str(run.report),
        run[f"{name}-judged"],
    )
