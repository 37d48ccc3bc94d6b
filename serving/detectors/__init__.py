"""Detector services: drift and adversarial inputs, judged beside the models that KServe serves."""
