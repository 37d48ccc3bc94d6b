"""The drift service: has what a model sees, or says, changed? Fed by KServe's payload logger, or asked directly.

The bundle holds a drift detector of windows or of streams, or a judge of drift or attack (`secmlops.detectors`); its
card says what is watched (`serving.detectors.subjects`). In the InferenceService that is watched:

    logger: {mode: all, url: http://digits-drift.models/v1/models/digits-drift:predict}

    python -m serving.detectors.drift --model_dir BUNDLE --trusted_key PUB --model_name digits-drift --state_dir DIR
"""

from serving.detectors.model import DetectorModel, detector_parser, read_flags, serve_detector
from serving.detectors.opening import Sources

if __name__ == "__main__":
    flags, settings, limits = read_flags(detector_parser("Drift detection", "drift"))
    sources = Sources(flags.model_dir, flags.trusted_key)
    serve_detector(DetectorModel(flags.model_name, "drift", sources, settings, limits, flags.state_dir), flags)
