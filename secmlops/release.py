"""What follows the verdict: sign, publish, register, or reject. Each step verifies what it is handed."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from secmlops import __version__, bundle
from secmlops.errors import SecmlopsError
from secmlops.lifecycle.assurance import assurance_report
from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.evidence import MODEL_ARTIFACTS, Evidence
from secmlops.lifecycle.gate import Verdict
from secmlops.lifecycle.register import register
from secmlops.lifecycle.stages import Stage
from secmlops.progress import say
from secmlops.storage import objects
from secmlops.storage.warehouse import open_warehouse

SIGNING_KEY = "env:SECMLOPS_SIGNING_KEY"
TRUSTED_KEY = "env:SECMLOPS_TRUSTED_KEY"


class ModelRejected(SecmlopsError):
    """A model that failed the gate even after its hardened attempt, or whose detectors failed it.

    Attributes:
        verdict: the gate's verdict on it, or on them.
    """

    def __init__(self, verdict: Verdict):
        self.verdict = verdict
        failed = "; ".join(f"{result.metric}: {result.reason}" for result in verdict.failures)
        super().__init__(f"the gate refused the model, nothing was published ({failed})")


def sign_bundle(
    champion: str, verdict: str, dossier: str, bundle_dir: str, evidence: str, *, run_id: str, key: str = SIGNING_KEY
) -> None:
    """Assemble and sign the bundle of a model that passed the gate.

    Args:
        champion: unsigned model directory.
        verdict: the gate's verdict on it.
        dossier: the evidence so far, from which provenance is drawn.
        bundle_dir: the bundle to write.
        evidence: the dossier handed on.
        run_id: the pipeline run.
        key: where the private key is.

    Raises:
        GateNotPassed: the verdict failed; nothing is signed.
        VerdictMismatch: the verdict names another model.
        MissingKey: there is no private key.
    """
    reached = Verdict.model_validate_json(Path(verdict).read_bytes())
    if not reached.passed:
        raise bundle.GateNotPassed(bundle_dir, reached.failures)
    write_signed(champion, reached, dossier, bundle_dir, evidence, run_id=run_id, key=key)


def write_signed(
    champion: str,
    verdict: Verdict,
    dossier: str,
    bundle_dir: str,
    evidence: str,
    *,
    run_id: str,
    key: bundle.KeySource,
) -> None:
    """Assemble and sign a bundle whatever its verdict says: with a failed one it can be studied, not loaded.

    The bundle appears signed or not at all. Arguments and errors as for `sign_bundle`.
    """
    records = read_dossier(dossier)
    target = Path(bundle_dir)
    bundle.require_new(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        made = bundle.assemble(
            champion,
            Path(folder) / "bundle",
            verdict=verdict,
            provenance=provenance(records, run_id, verdict.model_digest),
        )
        bundle.sign(made, key)
        os.replace(made, target)
    record = Evidence(
        stage=Stage.DEPLOYMENT,
        mitigations=("AML.M0013", "AML.M0023"),
        claim="The bundle is signed; it names its data, code, parameters, parts and verdict.",
        measured={"records_in_provenance": len(records)},
        artifacts={"model": verdict.model_digest},
        producer="sign_bundle",
    )
    hand_on([dossier], evidence, record)
    say(f"signed {verdict.model_digest[:19]}")


def publish_bundle(bundle_dir: str, publish_to: str, dossier: str, evidence: str, *, key: str = TRUSTED_KEY) -> str:
    """Verify a bundle and publish it under a name that its digest gives.

    Args:
        bundle_dir: the signed bundle.
        publish_to: folder or `s3://bucket/prefix`.
        dossier: the evidence so far.
        evidence: the dossier handed on.
        key: where the trusted public key is.

    Returns:
        The URI of the published bundle.

    Raises:
        BundleError: it does not verify; nothing is published.
    """
    verified = bundle.verify(bundle_dir, key)
    name = verified.model_digest.removeprefix("sha256:")[:16]
    uri = objects.publish(Path(bundle_dir), f"{publish_to.rstrip('/')}/{name}")
    hand_on([dossier], evidence, verification(verified, "publish_bundle"))
    say(f"published {uri}")
    return uri


def fetch_verified(bundle_uri: str, folder: Path, *, key: str = TRUSTED_KEY) -> bundle.VerifiedBundle:
    """Fetch a published bundle into a folder and verify it there.

    Raises:
        BundleError: it does not verify.
    """
    return bundle.verify(objects.fetch(bundle_uri, folder / "bundle"), key)


def verification(verified: bundle.VerifiedBundle, producer: str) -> Evidence:
    """The record of a step that verified a bundle before it did anything with it."""
    return Evidence(
        stage=Stage.DEPLOYMENT,
        mitigations=("AML.M0014",),
        claim="Signature, contents and gate verdict of the bundle were verified by the trusted key in this step.",
        measured={"policy": f"{verified.verdict.policy_name} {verified.verdict.policy_version}"},
        artifacts={"model": verified.model_digest},
        producer=producer,
    )


def register_verdict(verdict: str, bundle_uri: str, warehouse: str, run_id: str) -> None:
    """Add the verdict on a published bundle to the warehouse's register."""
    reached = Verdict.model_validate_json(Path(verdict).read_bytes())
    with open_warehouse(warehouse) as house:
        register(house, reached, run_id=run_id, bundle_uri=bundle_uri)
    say(f"verdict on {reached.model_digest[:19]} registered")


def assure(dossier: str, report_file: str) -> None:
    """Write the assurance report from the dossier alone."""
    assurance = assurance_report(read_dossier(dossier), Path(report_file), title="Assurance")
    say(f"{len(assurance.mitigations)} mitigations looked at")


def reject_model(verdict: str, dossier: str, warehouse: str, run_id: str, report_file: str) -> None:
    """Register a failed verdict, write the assurance report, and fail.

    Raises:
        ModelRejected: always.
    """
    failed = Verdict.model_validate_json(Path(verdict).read_bytes())
    assure(dossier, report_file)
    with open_warehouse(warehouse) as house:
        register(house, failed, run_id=run_id)
    raise ModelRejected(failed)


def provenance(records: Sequence[Evidence], run_id: str, model_digest: str) -> bundle.Provenance:
    """Draw one model's provenance from the evidence of its run; what belongs to other candidates is left out.

    Args:
        records: all evidence of the run.
        run_id: the run.
        model_digest: the model.
    """
    own = [record for record in records if record.speaks_for(model_digest)]
    materials = {
        name: digest for record in own for name, digest in record.artifacts.items() if name not in MODEL_ARTIFACTS
    }
    judged = [record.artifacts["champion"] for record in records if "champion" in record.artifacts]
    # The last one stands: beside it a detector may be what is released.
    kept = {model_digest, *judged[-1:]}
    return bundle.Provenance(
        invocation_id=run_id,
        parameters={
            record.producer: {k: v for k, v in record.measured.items() if isinstance(v, str | int | float | None)}
            for record in own
            if record.stage is Stage.MODEL_ENGINEERING
        },
        materials=tuple(bundle.Material(name=name, digest=digest) for name, digest in materials.items()),
        code_revision=os.environ.get("SECMLOPS_REVISION", __version__),
        refused=tuple(digest for digest in judged if digest not in kept),
        builder=f"urn:secmlops:builder:{'kubernetes' if 'KUBERNETES_SERVICE_HOST' in os.environ else 'local'}",
        started_at=min(record.at for record in records),
        finished_at=max(record.at for record in records),
    )
