from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fit_detectors(
    champion: Input[Model],
    traffic: Input[Dataset],
    requirements: Input[Artifact],
    dossier: Input[Artifact],
    engine: str,
    requests_per_day: int,
    window: int,
    seed: int,
    drift: Output[Model],
    adversarial: Output[Model],
    verdict: Output[Model],
    metrics: Output[Metrics],
    evidence: Output[Artifact],
):
    """Fit the detectors of drift and of adversarial requests beside the champion, on the earlier traffic.

    Args:
        champion: unsigned model directory.
        traffic: labelled requests in order of time.
        requirements: the policy of this run; its operating point says how many false alarms a day are borne.
        dossier: the evidence so far.
        engine: `native`, or `alibi` where alibi-detect is installed.
        requests_per_day: the traffic that false alarms a day are counted at.
        window: requests of a window, each of another client.
        seed: seed of everything drawn.
        drift: unsigned detector directory: which features of the requests moved.
        adversarial: another: requests that the model answers differently in another form.
        verdict: another: whether a change of the site or an evasion campaign moved a window.
        metrics: the levels and thresholds that were chosen.
        evidence: the dossier with adversarial input detection (AML.M0015) added.

    Raises:
        TooFewClients: the traffic is of too few clients.
        UnknownEngine: the engine is none of the two.
    """
    from secmlops.web_attacks.steps import monitoring

    metrics.metadata.update(
        monitoring.fit_detectors(
            champion.path,
            traffic.path,
            requirements.path,
            {"drift": drift.path, "adversarial": adversarial.path, "verdict": verdict.path},
            dossier.path,
            evidence.path,
            engine=engine,
            requests_per_day=requests_per_day,
            window=window,
            seed=seed,
        )
    )
