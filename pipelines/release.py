"""What every pipeline ends in when the gate passes: the champion is signed, published, deployed and registered."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model

from components.deployment.deploy import deploy
from components.deployment.publish_bundle import publish_bundle
from components.deployment.register_verdict import register_verdict
from components.deployment.sign_bundle import sign_bundle
from components.quality_assurance.assure import assure
from pipelines.resources import SMALL, place, with_signing_key, with_storage, with_trusted_key, with_warehouse


@dsl.pipeline(name="release", description="Sign, publish, deploy and register a model that passed the gate.")
def release(
    champion: Input[Model],
    verdict: Input[Artifact],
    dossier: Input[Artifact],
    publish_to: str,
    service: str,
    namespace: str,
    warehouse: str,
    warehouse_secret: str,
    storage_secret: str,
    signing_secret: str,
    trust_config: str,
    serving_image: str,
):
    """What only a passed gate leads to; each step verifies again what it is handed."""
    signed = place(
        sign_bundle(champion=champion, verdict=verdict, dossier=dossier, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER), SMALL
    )
    with_signing_key(signed, signing_secret)
    published = place(
        publish_bundle(bundle=signed.outputs["bundle"], publish_to=publish_to, dossier=signed.outputs["evidence"]),
        SMALL,
        retries=2,
    )
    with_trusted_key(with_storage(published, storage_secret), trust_config)
    deployed = place(
        deploy(
            bundle_uri=published.outputs["Output"],
            service=service,
            namespace=namespace,
            trust_config=trust_config,
            image=serving_image,
            dossier=published.outputs["evidence"],
        ),
        SMALL,
        retries=1,
    )
    with_trusted_key(with_storage(deployed, storage_secret), trust_config)
    place(assure(dossier=deployed.outputs["evidence"]), SMALL, retries=1)
    registered = place(
        register_verdict(
            verdict=verdict,
            bundle_uri=published.outputs["Output"],
            warehouse=warehouse,
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        ),
        SMALL,
        retries=2,
    )
    with_warehouse(registered, warehouse_secret)
