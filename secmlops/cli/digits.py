"""`secmlops digits`: classify images, also where somebody wants the answer to be wrong."""

from pathlib import Path
from typing import Annotated

import typer

from secmlops.cli.running import (
    FAILED,
    REFUSED,
    dump,
    failing_clearly,
    open_output,
    policy_of_pipeline,
    require_passed,
)

app = typer.Typer(no_args_is_help=True, help="Classify images that somebody may have tampered with.")

_DATA = (
    "Four IDX files (MNIST), or a folder per class of PNG and JPEG: a path, s3://, or for IDX a web address with "
    "#sha256=; empty: scikit-learn's digits."
)
Bundle = Annotated[Path, typer.Option("--bundle", help="The signed model bundle.")]
TrustedKey = Annotated[Path, typer.Option(help="Public key of the signer.")]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the signed bundle; must not exist.")],
    signing_key: Annotated[Path, typer.Option(help="Private key from `secmlops keygen`.")],
    recipe: Annotated[str, typer.Option(help="How to harden: standard, fgsm, trades, ...")],
    data: Annotated[str, typer.Option(help=_DATA)] = "",
    policy: Annotated[Path | None, typer.Option(help="Gate policy (YAML); default: the pipeline's.")] = None,
    eps: Annotated[
        float | None, typer.Option(min=0, max=1, help="Harden against this change of a pixel; default: the recipe's.")
    ] = None,
    flagged: Annotated[
        float, typer.Option(min=0, max=0.5, help="Detect adversarial images; this share of clean ones may be flagged.")
    ] = 0.0,
    uncertain: Annotated[
        float, typer.Option(min=0, max=0.5, help="Abstain where uncertain; on this share of clean images at most.")
    ] = 0.0,
    attacks: Annotated[str | None, typer.Option(help="Attacks of the gate, separated by commas.")] = None,
    attacked_images: Annotated[int, typer.Option(min=0, help="Test images that are attacked; 0: all.")] = 200,
    report: Annotated[Path | None, typer.Option(help="HTML report; default: OUT.html.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
) -> None:
    """Train a classifier by a recipe, attack it, judge it by the policy, and sign it.

    A bundle that fails the gate is kept for study, no loader takes it, and the exit code is 3.
    """
    from secmlops.digits.building import ATTACKS, build
    from secmlops.lifecycle.policy import load_policy

    with failing_clearly():
        built = build(
            data,
            out,
            signing_key,
            recipe=recipe,
            policy=load_policy(policy or policy_of_pipeline("digits")),
            eps=eps,
            flagged=flagged,
            uncertain=uncertain,
            attacks=_names(attacks) if attacks else ATTACKS,
            attacked_images=attacked_images,
            report=report,
            seed=seed,
        )
    typer.echo(f"bundle: {built.bundle}\nreport: {built.report}\ndata: {built.data_report}", err=True)
    typer.echo(f"assurance: {built.assurance}", err=True)
    if built.refused_files:
        typer.echo(f"{built.refused_files:,} files were no usable images and were left out", err=True)
    require_passed(built.verdict)


@app.command()
def attack(
    bundle_dir: Bundle,
    trusted_key: TrustedKey,
    out: Annotated[str, typer.Option(help="JSON report; - is stdout.")] = "-",
    data: Annotated[str, typer.Option(help=f"Whose test images are attacked. {_DATA}")] = "",
    attacks: Annotated[str, typer.Option(help="Names separated by commas.")] = "fgsm,pgd,apgd_t,square",
    eps: Annotated[str, typer.Option(help="Budgets separated by commas.")] = ".1",
    images: Annotated[int, typer.Option(min=0, help="Test images that are attacked; 0: all.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the attacks and of the choice of images.")] = 1,
) -> None:
    """Attack a verified bundle's model: accuracy per attack and budget, worst case, and what is proved."""
    from secmlops import bundle
    from secmlops.digits import attacking
    from secmlops.progress import reporter

    budgets = _budgets(eps)
    with failing_clearly(REFUSED):
        opened = bundle.load(bundle_dir, trusted_key)
    with failing_clearly(), open_output(out) as file:
        made = attacking.attack_bundle(
            opened,
            data,
            _names(attacks),
            budgets,
            images=images,
            seed=seed,
            on_progress=None if out == "-" else reporter("attacking"),
        )
        file.write(made.model_dump_json(indent=1) + "\n")
    typer.echo(attacking.table(made.matrix), err=True)
    for finding in (*made.matrix.alarms, *made.matrix.warnings):
        typer.echo(f"{finding.kind}: {finding.text}", err=True)


@app.command()
def predict(
    bundle_dir: Bundle,
    trusted_key: TrustedKey,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", help="PNG or JPEG files.")] = None,
    data: Annotated[str | None, typer.Option(help=f"Answer the test images of this instead. {_DATA}")] = None,
    out: Annotated[str, typer.Option(help="One JSON line per image, in order; - is stdout.")] = "-",
    certify: Annotated[bool, typer.Option("--certify", help="Add the radius within which the answer stands.")] = False,
) -> None:
    """Classify images with a verified bundle; the exit code is 1 when an image could not be taken."""
    from secmlops import bundle
    from secmlops.digits import predicting
    from secmlops.digits.attacking import as_divided_for
    from secmlops.digits.model import load_classifier

    if bool(images) == (data is not None):
        raise typer.BadParameter("give image files or --data, one of the two")
    with failing_clearly(REFUSED):
        opened = bundle.load(bundle_dir, trusted_key)
        classifier = load_classifier(opened.model_files())
    refused = 0
    with failing_clearly(), open_output(out) as file:
        if data is None:
            answers = predicting.predict_files(classifier, images or [], certify=certify)
        else:
            answers = predicting.predict_images(classifier, as_divided_for(opened, data).test, certify=certify)
        for answer in answers:
            file.write(dump(answer))
            refused += "error" in answer
    if refused:
        typer.echo(f"error: {refused:,} images could not be taken", err=True)
        raise typer.Exit(FAILED)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _budgets(text: str) -> list[float]:
    try:
        return [float(number) for number in _names(text)]
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no numbers separated by commas", param_hint="--eps") from None
