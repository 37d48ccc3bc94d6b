"""`secmlops web-attacks`: detect attacks in HTTP requests."""

import os
import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from secmlops.cli.running import (
    REFUSED,
    dump,
    failing_clearly,
    open_input,
    open_output,
    policy_of_pipeline,
    require_passed,
)
from secmlops.errors import SecmlopsError

app = typer.Typer(no_args_is_help=True, help="Detect attacks in HTTP requests.")


@app.command()
def read(
    captures: Annotated[
        list[str], typer.Argument(help="pcap, pcapng, HAR, logs, raw HTTP, CSV or JSON lines; - is stdin.")
    ],
    out: Annotated[str, typer.Option(help="JSON lines, one request each; - is stdout.")] = "-",
    quarantine: Annotated[str | None, typer.Option(help="JSON lines of what could not be read, and why.")] = None,
    format: Annotated[str | None, typer.Option(help="Format of the captures; guessed when not given.")] = None,
) -> None:
    """Read HTTP requests from captures."""
    from secmlops.web_attacks import jsonl, readers

    with failing_clearly(), open_output(out) as requests, open_output(quarantine or os.devnull) as refused:
        read_count = quarantined = 0
        for capture in captures:
            source = sys.stdin.buffer if capture == "-" else capture
            for item in readers.read(source, format=format):
                if isinstance(item, readers.Quarantined):
                    quarantined += 1
                    refused.write(dump(item.to_json()))
                else:
                    read_count += 1
                    requests.write(dump(jsonl.to_json(item)))
    typer.echo(f"{read_count:,} requests read, {quarantined:,} records quarantined", err=True)


@app.command()
def train(
    data: Annotated[str, typer.Option(help="Labelled requests as JSON lines; - is stdin.")],
    out: Annotated[Path, typer.Option(help="Folder of the signed bundle; must not exist.")],
    signing_key: Annotated[Path, typer.Option(help="Private key from `secmlops keygen`.")],
    model: Annotated[str, typer.Option(help="svm, distilbert or mobilebert.")] = "svm",
    site_normals: Annotated[
        str, typer.Option(help="Normal requests of the site to adapt to: any format that `read` takes.")
    ] = "",
    policy: Annotated[Path | None, typer.Option(help="Gate policy (YAML); default: the pipeline's.")] = None,
    weights: Annotated[str, typer.Option(help="URI of pretrained transformer weights.")] = "",
    mutated_copies: Annotated[int, typer.Option(min=0, help="Mutated copies of each attack (hardening).")] = 2,
    include_unreviewed: Annotated[
        bool, typer.Option("--include-unreviewed", help='Train also on labels that say `"reviewed": false`.')
    ] = False,
    report: Annotated[Path | None, typer.Option(help="HTML report; default: OUT.html.")] = None,
    quarantine: Annotated[str | None, typer.Option(help="JSON lines of what could not be read, and why.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
) -> None:
    """Train a classifier, judge it by the policy, and sign it.

    Labels that look flipped or planted are left out of training, and so are those that nobody reviewed.
    A model that fails the gate gets one hardened attempt.
    If that fails too, the bundle is kept for study, no loader takes it, and the exit code is 3.
    """
    from secmlops.lifecycle.policy import load_policy
    from secmlops.web_attacks.building import build

    with failing_clearly(), open_input(data) as lines, open_output(quarantine or os.devnull) as refused:
        built = build(
            lines,
            out,
            signing_key,
            model=model,
            policy=load_policy(policy or policy_of_pipeline("web_attacks")),
            site_normals=site_normals,
            weights=weights,
            mutated_copies=mutated_copies,
            include_unreviewed=include_unreviewed,
            report=report,
            seed=seed,
            on_unreadable=lambda number, line, error: _write_refused(refused, number, line, error),
        )
    typer.echo(f"bundle: {built.bundle}\nreport: {built.report}\nassurance: {built.assurance}", err=True)
    typer.echo(f"labels left out as suspect: {built.suspects}", err=True)
    if built.unreadable:
        typer.echo(f"{built.unreadable:,} lines could not be read and were left out", err=True)
    if built.unreviewed:
        typer.echo(f"labels that nobody reviewed, left out: {built.unreviewed:,}", err=True)
    require_passed(built.verdict)


@app.command()
def score(
    bundle_dir: Annotated[Path, typer.Option("--bundle", help="The signed model bundle.")],
    trusted_key: Annotated[Path, typer.Option(help="Public key of the signer.")],
    source: Annotated[str, typer.Option("--in", help="Requests as JSON lines; - is stdin.")] = "-",
    out: Annotated[str, typer.Option(help="One JSON line per input line, in order; - is stdout.")] = "-",
) -> None:
    """Score requests with a verified bundle, as a stream."""
    from secmlops.web_attacks import scoring

    with failing_clearly(REFUSED):
        classifier = scoring.open_classifier(bundle_dir, trusted_key)
    with failing_clearly(), open_input(source) as lines, open_output(out) as answers:
        for answer in scoring.score_lines(classifier, lines):
            answers.write(dump(answer))


@app.command("review-export")
def review_export(
    warehouse: Annotated[str, typer.Option(help="chdb:///folder or clickhouse://user@host:port/db.")],
    out: Annotated[Path, typer.Option(help="File for reviewers: .csv or .jsonl.")],
) -> None:
    """Write the labels that wait for review into a file for reviewers."""
    from secmlops.storage.warehouse import open_warehouse
    from secmlops.web_attacks import labels

    with failing_clearly(), open_warehouse(warehouse) as house:
        count = labels.export_for_review(house, out)
    typer.echo(f"{count:,} labels wait for review in {out}", err=True)


@app.command("review-import")
def review_import(
    warehouse: Annotated[str, typer.Option(help="chdb:///folder or clickhouse://user@host:port/db.")],
    reviews: Annotated[Path, typer.Argument(help="The file that reviewers filled in.")],
    by: Annotated[str, typer.Option(help="Who reviewed; must not be who proposed.")],
) -> None:
    """Take reviewers' decisions into the warehouse; the history of every label is kept."""
    from secmlops.storage.warehouse import open_warehouse
    from secmlops.web_attacks import labels

    with failing_clearly(), open_warehouse(warehouse) as house:
        done = labels.import_reviews(house, reviews, by=by)
    typer.echo(f"{done.agreed:,} agreed, {done.changed:,} changed, {done.rejected:,} rejected", err=True)


def _write_refused(refused: IO[str], number: int, line: bytes, error: SecmlopsError) -> None:
    refused.write(dump({"line": number, "reason": str(error), "data": line.decode("latin-1")}))
