"""Detectors beside a model: drift, adversarial inputs, and which of the two it is.

One interface, alibi-detect's: a detector is built on reference data, and `predict` answers `{"data", "meta"}`. Two
engines stand behind it for drift: `alibi` (alibi-detect, extra `secmlops[detectors]`) and `native` (ours).
MITRE ATLAS AML.M0015 (adversarial input detection) and the monitoring half of AML.M0008 (validate AI model).
"""
