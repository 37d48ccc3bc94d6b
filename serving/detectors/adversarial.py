"""The adversarial-input service: is somebody trying to fool the model? Beside it, or in its request path.

The bundle holds a detector of adversarial inputs; `--watched_dir` is the signed bundle of the model that it watches,
and `--judge_dir` one with a judge that tells drift from attack. Beside the model it is fed by the payload logger,
as the drift service is. With `--predictor_host` it is a KServe transformer: `--policy flag` says in the answer which
instances were flagged, `--policy refuse` answers a request that holds one with a refusal, and so it does when the
detector cannot say.

    python -m serving.detectors.adversarial --model_dir BUNDLE --watched_dir MODEL --trusted_key PUB \
        --model_name digits-adversarial --state_dir DIR
    python -m serving.detectors.adversarial ... --model_name digits --predictor_host digits-predictor --policy refuse
"""

from pathlib import Path

from serving.detectors.model import DetectorModel, detector_parser, read_flags, serve_detector
from serving.detectors.opening import Sources
from serving.detectors.transformer import POLICIES, AdversarialTransformer, Predictor

if __name__ == "__main__":
    parser = detector_parser("Detection of adversarial inputs", "adversarial")
    parser.add_argument("--watched_dir", type=Path, required=True, help="Signed bundle of the model that is watched.")
    parser.add_argument("--judge_dir", type=Path, help="Signed bundle of a judge that tells drift from attack.")
    parser.add_argument("--policy", choices=POLICIES, default="flag", help="What becomes of a flagged request.")
    flags, settings, limits = read_flags(parser)
    sources = Sources(flags.model_dir, flags.trusted_key, flags.watched_dir, flags.judge_dir)
    if flags.predictor_host is None:
        model = DetectorModel(flags.model_name, "adversarial", sources, settings, limits, flags.state_dir)
    else:
        scheme = "https" if flags.predictor_use_ssl else "http"
        predictor = Predictor(f"{scheme}://{flags.predictor_host}", flags.predictor_request_timeout_seconds, limits)
        model = AdversarialTransformer(
            flags.model_name, sources, settings, limits, flags.state_dir, predictor=predictor, policy=flags.policy
        )
    serve_detector(model, flags)
