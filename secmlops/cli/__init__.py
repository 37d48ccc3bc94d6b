"""The `secmlops` command: what the pipeline's components do, for people without a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from secmlops.cli import digits, web_attacks
from secmlops.cli.running import REFUSED, failing_clearly

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Secure MLOps: train, judge, sign and verify models."
)
app.add_typer(web_attacks.app, name="web-attacks")
app.add_typer(digits.app, name="digits")


@app.callback()
def _main() -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the gate or by verification."""


@app.command()
def keygen(out: Annotated[Path, typer.Option(help="Writes OUT (private, mode 0600) and OUT.pub.")]) -> None:
    """Make a key pair for signing model bundles (ECDSA P-256)."""
    from secmlops import bundle

    with failing_clearly():
        private, public = bundle.keygen(out)
    typer.echo(f"{private}\n{public}")


@app.command()
def verify(
    bundle_dir: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The model bundle.")],
    trusted_key: Annotated[Path, typer.Option(help="Public key of the signer.")],
) -> None:
    """Check a bundle's signature and its gate verdict, as every loader does."""
    from secmlops import bundle

    with failing_clearly(REFUSED):
        verified = bundle.verify(bundle_dir, trusted_key)
    typer.echo(f"ok {verified.model_digest}")
