"""Web-attack detection: from captured packets to a signed model that KServe may serve.

Requirements come first; traffic is collected, labelled, reviewed, validated and checked for poisoning; the
models are trained and attacked side by side; the gate decides. Beside a champion that passes, detectors of drift and
of adversarial requests are fitted, measured and judged by the same gate. If they pass too, they and the champion are
signed and published, and it is deployed and registered; if not, the run fails: a model does not ship without detectors
that work. A champion that fails gets one hardened attempt; if that fails too, the run fails.

This file and every component stay ASCII: some installations keep compiled pipelines in MySQL utf8 columns.
"""

from pathlib import Path
from typing import Any

from kfp import dsl

from components import SERVING_IMAGE
from components.business_understanding.state_requirements import state_requirements
from components.data_engineering.check_poisoning import check_poisoning
from components.data_engineering.collect_packets import collect_packets
from components.data_engineering.gather_captures import gather_captures
from components.data_engineering.label_packets import label_packets
from components.data_engineering.prepare_requests import prepare_requests
from components.model_engineering.train_classifier import train_classifier
from components.monitoring.evaluate_detectors import evaluate_detectors
from components.monitoring.fit_detectors import fit_detectors
from components.monitoring.publish_detectors import publish_detectors
from components.monitoring.sign_detectors import sign_detectors
from components.quality_assurance.evaluate_classifier import evaluate_classifier
from components.quality_assurance.judge_models import judge_models
from components.quality_assurance.reject_model import reject_model
from pipelines.release import release
from pipelines.resources import (
    DATA,
    SMALL,
    TRAINING,
    place,
    with_signing_key,
    with_storage,
    with_trusted_key,
    with_warehouse,
)
from secmlops.lifecycle.policy import load_policy

HARDENED_COPIES = 4
POLICY = load_policy(Path(__file__).parent / "policies" / "web_attacks.yaml").model_dump(exclude_none=True)
RUN_ID = dsl.PIPELINE_JOB_ID_PLACEHOLDER


@dsl.pipeline(
    name="web-attacks",
    description="Collect, label, train, attack, judge, sign and deploy detectors of web attacks.",
)
def pipeline(
    warehouse: str,
    publish_to: str,
    captures: str = "",
    reviews: str = "",
    reviewed_only: bool = True,
    policy: dict = POLICY,
    architectures: list[str] = ["svm", "distilbert", "mobilebert"],  # noqa: B006 - kfp reads the literal default
    weights: str = "",
    site_normals: str = "",
    mutated_copies: int = 2,
    normal: int = 3000,
    attacks: int = 2400,
    attack_rounds: int = 20,
    attack_candidates: int = 10,
    attacked_requests: int = 60,
    detector_engine: str = "native",
    requests_per_day: int = 20_000,
    detector_window: int = 100,
    seed: int = 1,
    service: str = "web-attacks",
    namespace: str = "secmlops",
    warehouse_secret: str = "clickhouse",
    storage_secret: str = "object-store",
    signing_secret: str = "signing-key",
    trust_config: str = "trusted-key",
    serving_image: str = SERVING_IMAGE,
):
    """Train, judge and release detectors of web attacks.

    Args:
        warehouse: `clickhouse://user@host:port/db`, or on one machine `chdb:///folder`.
        publish_to: folder or `s3://bucket/prefix` for signed bundles.
        captures: URI of captured traffic; empty: record the traffic lab.
        reviews: URI of a reviewers' file; empty: none.
        reviewed_only: train only on labels that a second person confirmed.
        policy: the gate policy (`pipelines/policies/web_attacks.yaml`).
        architectures: which models to train side by side.
        weights: URI of pretrained transformer weights; empty: from configuration.
        site_normals: URI of a site's normal requests to adapt to; empty: none.
        mutated_copies: mutated copies of each attack in the first training (AML.M0003).
        normal: visitors' requests to record in the lab.
        attacks: attackers' requests to record in the lab.
        attack_rounds: rounds of the score-guided query attack.
        attack_candidates: candidates per round.
        attacked_requests: attacks that the query attack starts from.
        detector_engine: who computes drift: `native`, or `alibi` where the extra `detectors` is installed.
        requests_per_day: the traffic at which the detectors' false alarms a day are counted.
        detector_window: requests, each of another client, that drift is looked for in.
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
    with_storage(stated, storage_secret)

    gathered = place(gather_captures(source=captures, normal=normal, attacks=attacks, seed=seed), DATA, retries=1)
    with_storage(gathered, storage_secret)
    collected = place(
        collect_packets(captures=gathered.outputs["captures"], dossier=stated.outputs["evidence"], warehouse=warehouse),
        DATA,
        retries=1,
    )
    with_warehouse(collected, warehouse_secret)
    labelled = place(
        label_packets(
            captures=gathered.outputs["captures"],
            ground_truth=gathered.outputs["ground_truth"],
            dossier=collected.outputs["evidence"],
            warehouse=warehouse,
            reviews=reviews,
        ),
        DATA,
        retries=1,
    )
    with_warehouse(with_storage(labelled, storage_secret), warehouse_secret)
    prepared = place(
        prepare_requests(
            dossier=labelled.outputs["evidence"], warehouse=warehouse, reviewed_only=reviewed_only, seed=seed
        ),
        DATA,
        retries=1,
    )
    with_warehouse(prepared, warehouse_secret)
    sanitized = place(
        check_poisoning(train=prepared.outputs["train"], dossier=prepared.outputs["evidence"], seed=seed),
        DATA,
        retries=1,
    )

    def train_and_evaluate(architecture: str, copies: int) -> tuple[dsl.PipelineTask, dsl.PipelineTask]:
        trained = place(
            train_classifier(
                train=sanitized.outputs["sanitized"],
                validation=prepared.outputs["validation"],
                requirements=stated.outputs["requirements"],
                architecture=architecture,
                seed=seed,
                mutated_copies=copies,
                weights=weights,
                site_normals=site_normals,
            ),
            TRAINING,
        )
        with_storage(trained, storage_secret)
        evaluated = place(
            evaluate_classifier(
                model=trained.outputs["model"],
                test=prepared.outputs["test"],
                training_evidence=trained.outputs["evidence"],
                attack_rounds=attack_rounds,
                attack_candidates=attack_candidates,
                attacked_requests=attacked_requests,
                seed=seed,
            ),
            TRAINING,
        )
        return trained, evaluated

    def judge(trained: dsl.PipelineTask, evaluated: dsl.PipelineTask, dossier: Any) -> dsl.PipelineTask:
        return place(
            judge_models(
                models=dsl.Collected(trained.outputs["model"]),
                evaluations=dsl.Collected(evaluated.outputs["evaluation"]),
                candidate_evidence=dsl.Collected(evaluated.outputs["evidence"]),
                dossier=dossier,
                requirements=stated.outputs["requirements"],
            ),
            SMALL,
        )

    def fit_and_judge_detectors(judged: dsl.PipelineTask) -> tuple[dsl.PipelineTask, dsl.PipelineTask]:
        fitted = place(
            fit_detectors(
                champion=judged.outputs["champion"],
                traffic=prepared.outputs["traffic"],
                requirements=stated.outputs["requirements"],
                dossier=judged.outputs["evidence"],
                engine=detector_engine,
                requests_per_day=requests_per_day,
                window=detector_window,
                seed=seed,
            ),
            DATA,
        )
        evaluated = place(
            evaluate_detectors(
                champion=judged.outputs["champion"],
                traffic=prepared.outputs["traffic"],
                requirements=stated.outputs["requirements"],
                drift=fitted.outputs["drift"],
                adversarial=fitted.outputs["adversarial"],
                verdict=fitted.outputs["verdict"],
                dossier=fitted.outputs["evidence"],
            ),
            DATA,
        )
        return fitted, evaluated

    def release_detectors(fitted: dsl.PipelineTask, evaluated: dsl.PipelineTask) -> dsl.PipelineTask:
        signed = place(
            sign_detectors(
                drift=fitted.outputs["drift"],
                adversarial=fitted.outputs["adversarial"],
                verdict=fitted.outputs["verdict"],
                drift_gate=evaluated.outputs["drift_gate"],
                adversarial_gate=evaluated.outputs["adversarial_gate"],
                verdict_gate=evaluated.outputs["verdict_gate"],
                dossier=evaluated.outputs["evidence"],
                run_id=RUN_ID,
            ),
            SMALL,
        )
        with_signing_key(signed, signing_secret)
        published = place(
            publish_detectors(
                drift=signed.outputs["drift_bundle"],
                adversarial=signed.outputs["adversarial_bundle"],
                verdict=signed.outputs["verdict_bundle"],
                publish_to=publish_to,
                dossier=signed.outputs["evidence"],
            ),
            SMALL,
            retries=2,
        )
        with_trusted_key(with_storage(published, storage_secret), trust_config)
        return published

    def reject(verdict: Any, dossier: Any) -> None:
        rejected = place(reject_model(verdict=verdict, dossier=dossier, warehouse=warehouse, run_id=RUN_ID), SMALL)
        with_warehouse(rejected, warehouse_secret)

    def watch_and_release(judged: dsl.PipelineTask) -> None:
        fitted, evaluated = fit_and_judge_detectors(judged)
        with dsl.If(evaluated.outputs["passed"] == True, name="detectors-passed"):  # noqa: E712
            watching = release_detectors(fitted, evaluated)
            release(
                champion=judged.outputs["champion"],
                verdict=judged.outputs["verdict"],
                dossier=watching.outputs["evidence"],
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
        with dsl.Else(name="detectors-rejected"):
            # They are judged together: the verdicts differ in the digest alone.
            reject(evaluated.outputs["drift_gate"], evaluated.outputs["evidence"])

    with dsl.ParallelFor(architectures, parallelism=3) as architecture:
        candidates = train_and_evaluate(architecture, mutated_copies)
    judged = judge(*candidates, dossier=sanitized.outputs["evidence"])

    with dsl.If(judged.outputs["passed"] == True, name="gate-passed"):  # noqa: E712 - kfp builds the condition
        watch_and_release(judged)
    with dsl.Else(name="harden"):
        with dsl.ParallelFor(judged.outputs["retrain"]) as architecture:
            hardened_candidates = train_and_evaluate(architecture, HARDENED_COPIES)
        hardened = judge(*hardened_candidates, dossier=judged.outputs["evidence"])
        with dsl.If(hardened.outputs["passed"] == True, name="hardened-passed"):  # noqa: E712
            watch_and_release(hardened)
        with dsl.Else(name="reject"):
            reject(hardened.outputs["verdict"], hardened.outputs["evidence"])
