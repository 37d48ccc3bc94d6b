"""Robust digits: variants of one classifier, each hardened another way, attacked, certified, and judged side by side.

Requirements come first; images are read and validated; every variant is trained, attacked and measured on its own, on
images kept for the choice; the best of them is examined on images that no choice has looked at, and the gate judges
that. A champion that passes is signed, published, deployed and registered; when it does not, the run fails.

This file and every component stay ASCII: some installations keep compiled pipelines in MySQL utf8 columns.
"""

from pathlib import Path

from kfp import dsl

from components import SERVING_IMAGE
from components.business_understanding.state_requirements import state_requirements
from components.data_engineering.load_images import load_images
from components.model_engineering.train_recipe import train_recipe
from components.quality_assurance.assess_theft import assess_theft
from components.quality_assurance.choose_recipe import choose_recipe
from components.quality_assurance.drill_backdoor import drill_backdoor
from components.quality_assurance.evaluate_recipe import evaluate_recipe
from components.quality_assurance.examine_champion import examine_champion
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
    drill: bool = True,
    theft: bool = True,
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
        attacked_images: how many images are attacked, to choose and again in the exam; 0: all.
        drill: whether a backdoor is planted in a copy of the training images, to see that it would be found.
        theft: whether the champion is stolen through its answers, to see what they give away.
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

    drilled = place(
        drill_backdoor(
            train=loaded.outputs["train"],
            validation=loaded.outputs["validation"],
            selection=loaded.outputs["selection"],
            dossier=loaded.outputs["evidence"],
            enabled=drill,
            seed=seed,
        ),
        TRAINING,
    )

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
                selection=loaded.outputs["selection"],
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
            dossier=drilled.outputs["evidence"],
            requirements=stated.outputs["requirements"],
        ),
        SMALL,
    )
    assessed = place(
        assess_theft(
            champion=chosen.outputs["champion"],
            train=loaded.outputs["train"],
            validation=loaded.outputs["validation"],
            selection=loaded.outputs["selection"],
            dossier=chosen.outputs["evidence"],
            enabled=theft,
            seed=seed,
        ),
        TRAINING,
    )
    examined = place(
        examine_champion(
            champion=chosen.outputs["champion"],
            test=loaded.outputs["test"],
            requirements=stated.outputs["requirements"],
            evaluations=dsl.Collected(evaluated.outputs["evaluation"]),
            dossier=assessed.outputs["evidence"],
            attacks=attacks,
            attacked_images=attacked_images,
            seed=seed,
        ),
        TRAINING,
    )

    with dsl.If(examined.outputs["Output"] == True, name="gate-passed"):  # noqa: E712 - kfp builds the condition
        release(
            champion=chosen.outputs["champion"],
            verdict=examined.outputs["verdict"],
            dossier=examined.outputs["evidence"],
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
                verdict=examined.outputs["verdict"],
                dossier=examined.outputs["evidence"],
                warehouse=warehouse,
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            ),
            SMALL,
        )
        with_warehouse(rejected, warehouse_secret)
