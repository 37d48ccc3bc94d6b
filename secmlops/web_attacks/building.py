"""From labelled requests to a judged, signed bundle, in one call: the pipeline's steps without a pipeline."""

import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from secmlops import bundle, release
from secmlops.bundle.keys import load_private_key
from secmlops.errors import SecmlopsError
from secmlops.lifecycle.gate import Verdict
from secmlops.lifecycle.policy import Policy
from secmlops.lifecycle.requirements import state_requirements
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
        assurance: HTML report on which mitigations are evidenced.
        suspects: HTML report on the labels that the poisoning check left out of training.
        verdict: the gate's verdict.
        unreadable: input lines that were left out.
        unreviewed: labels that were left out because nobody reviewed them.
    """

    bundle: Path
    report: Path
    assurance: Path
    suspects: Path
    verdict: Verdict
    unreadable: int
    unreviewed: int


class OnlyUnreviewed(SecmlopsError):
    """Labelled requests of which none was reviewed.

    Attributes:
        count: how many there are.
    """

    def __init__(self, count: int):
        self.count = count
        super().__init__(
            f"nobody reviewed any of the {count:,} labels: have a second person confirm them, "
            "or train on them all the same with --include-unreviewed"
        )


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
    include_unreviewed: bool = False,
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
        include_unreviewed: train also on labels that say `"reviewed": false`.
        report: where the HTML report is written; default: `OUT.html`. `OUT.assurance.html` and `OUT.suspects.html`
            are written beside the bundle.
        seed: seed of everything random.
        on_unreadable: called for each line that is left out.

    Raises:
        InvalidDataset: the requests cannot be trained on.
        OnlyUnreviewed: no label was reviewed.
        TargetNotEmpty: `out` exists.
        MissingKey: there is no such key; found out before any work, as is the next.
        InvalidKey: it is no private key.
    """
    unreadable = 0

    def left_out(number: int, line: bytes, error: SecmlopsError) -> None:
        nonlocal unreadable
        unreadable += 1
        on_unreadable(number, line, error)

    bundle.require_new(out)
    load_private_key(signing_key)
    report = report or out.with_name(f"{out.name}.html")
    assurance, suspects = (out.with_name(f"{out.name}.{kind}.html") for kind in ("assurance", "suspects"))
    with tempfile.TemporaryDirectory() as temporary:
        run = _Run(Path(temporary), report)
        labelled = list(jsonl.read_labelled(lines, left_out))
        records = [record for record in labelled if record.reviewed or include_unreviewed]
        if labelled and not records:
            raise OnlyUnreviewed(len(labelled))
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
        data_engineering.check_poisoning(
            run["train"], run["sanitized"], str(suspects), run["prepared"], run["checked"], seed=seed
        )

        def attempt(name: str, copies: int, dossier: str) -> quality_assurance.Judged:
            return _attempt(
                run,
                name,
                model,
                dossier=dossier,
                copies=copies,
                seed=seed,
                weights=weights,
                site_normals=site_normals,
            )

        name, judged = "first", attempt("first", mutated_copies, run["checked"])
        if not judged.passed and mutated_copies < HARDENED_COPIES:
            name, judged = "hardened", attempt("hardened", HARDENED_COPIES, run["first-judged"])
        release.write_signed(
            run[f"{name}-champion"],
            judged.verdict,
            run[f"{name}-judged"],
            str(out),
            run["signed"],
            run_id=f"cli-{uuid.uuid4()}",
            key=signing_key,
        )
        release.assure(run["signed"], str(assurance))
    return Built(out, report, assurance, suspects, judged.verdict, unreadable, len(labelled) - len(records))


@dataclass(frozen=True, slots=True)
class _Run:
    folder: Path
    report: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


def _attempt(
    run: _Run, name: str, model: str, *, dossier: str, copies: int, seed: int, **training: Any
) -> quality_assurance.Judged:
    model_engineering.train_classifier(
        run["sanitized"],
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
        dossier,
        run["policy.json"],
        run[f"{name}-champion"],
        run[f"{name}-verdict"],
        str(run.report),
        run[f"{name}-judged"],
    )
