"""Robust digits: variants of one classifier, each hardened another way, attacked, certified, and judged side by side.

Requirements come first; images are read and validated; every variant is trained, attacked and measured on its own;
the gate judges all of them and chooses. A champion that passes is signed, published, deployed and registered; when
none passes, the run fails.

This file and every component stay ASCII: some installations keep compiled pipelines in MySQL utf8 columns.
"""

from pathlib import Path

from kfp import dsl

from components import SERVING_IMAGE
from components.business_understanding.state_requirements import state_requirements
from components.data_engineering.load_images import load_images
from components.model_engineering.train_recipe import train_recipe
from components.quality_assurance.choose_recipe import choose_recipe
from components.quality_assurance.evaluate_recipe import evaluate_recipe
from components.quality_assurance.reject_model import reject_model
from pipelines.release import release
from pipelines.resources import DATA, SMALL, TRAINING, place, with_storage, with_warehouse
from secmlops.lifecycle.policy import load_policy

POLICY = load_policy(Path(__file__).parent / "policies" / "digits.yaml").model_dump(exclude_none=True)
VARIANTS = [
    "standard",
    "fgsm",
    "trades",
    "certified_small",
    "distillation",
    "input_transformation",
    "robust_architecture",
]
ATTACKS = ["fgsm", "pgd", "apgd_ce", "apgd_t", "square"]


@dsl.pipeline(name="digits", description="Train, attack, harden, certify, judge, sign and deploy digit classifiers.")
def pipeline(
    warehouse: str,
    publish_to: str,
    data: str = "",
    policy: dict = POLICY,
    variant: list[str] = VARIANTS,
    flagged: float = 0.0,
    uncertain: float = 0.0,
    attacks: list[str] = ATTACKS,
    attacked_images: int = 200,
    seed: int = 1,
    service: str = "digits",
    namespace: str = "secmlops",
    warehouse_secret: str = "clickhouse",
    storage_secret: str = "object-store",
    signing_secret: str = "signing-key",
    trust_config: str = "trusted-key",
    serving_image: str = SERVING_IMAGE,
):
    """Train, attack, judge and release image classifiers.

    Args:
        warehouse: `clickhouse://user@host:port/db`, or on one machine `chdb:///folder`.
        publish_to: folder or `s3://bucket/prefix` for signed bundles.
        data: images as IDX files or folders, by path, `s3://` or checksummed web address; empty: small digits.
        policy: the gate policy (`pipelines/policies/digits.yaml`).
        variant: which recipes to train side by side.
        flagged: share of clean images that a detector of adversarial ones may flag; 0: no detector.
        uncertain: share of clean images on which a model may abstain; 0: none does.
        attacks: which attacks each of them meets.
        attacked_images: how many test images are attacked; 0: all.
        seed: seed of everything random.
        service: name of the InferenceService.
        namespace: its namespace.
        warehouse_secret: Secret with CLICKHOUSE_PASSWORD.
        storage_secret: Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_S3_ENDPOINT.
        signing_secret: Secret with the private key under `signing.pem`.
        trust_config: ConfigMap with the public key under `signing.pub`.
        serving_image: image of the model server.
    """
    stated = place(state_requirements(policy=policy), SMALL, retries=1)
    loaded = place(load_images(source=data, dossier=stated.outputs["evidence"], seed=seed), DATA, retries=1)
    with_storage(loaded, storage_secret)

    with dsl.ParallelFor(variant, parallelism=4) as recipe:
        trained = place(
            train_recipe(
                train=loaded.outputs["train"],
                validation=loaded.outputs["validation"],
                recipe=recipe,
                flagged=flagged,
                uncertain=uncertain,
                seed=seed,
            ),
            TRAINING,
        )
        evaluated = place(
            evaluate_recipe(
                model=trained.outputs["model"],
                test=loaded.outputs["test"],
                requirements=stated.outputs["requirements"],
                training_evidence=trained.outputs["evidence"],
                attacks=attacks,
                attacked_images=attacked_images,
                seed=seed,
            ),
            TRAINING,
        )
    chosen = place(
        choose_recipe(
            models=dsl.Collected(trained.outputs["model"]),
            evaluations=dsl.Collected(evaluated.outputs["evaluation"]),
            candidate_evidence=dsl.Collected(evaluated.outputs["evidence"]),
            dossier=loaded.outputs["evidence"],
            requirements=stated.outputs["requirements"],
        ),
        SMALL,
    )

    with dsl.If(chosen.outputs["passed"] == True, name="gate-passed"):  # noqa: E712 - kfp builds the condition
        release(
            champion=chosen.outputs["champion"],
            verdict=chosen.outputs["verdict"],
            dossier=chosen.outputs["evidence"],
            publish_to=publish_to,
            service=service,
            namespace=namespace,
            warehouse=warehouse,
            warehouse_secret=warehouse_secret,
            storage_secret=storage_secret,
            signing_secret=signing_secret,
            trust_config=trust_config,
            serving_image=serving_image,
        )
    with dsl.Else(name="reject"):
        rejected = place(
            reject_model(
                verdict=chosen.outputs["verdict"],
                dossier=chosen.outputs["evidence"],
                warehouse=warehouse,
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            ),
            SMALL,
        )
        with_warehouse(rejected, warehouse_secret)
